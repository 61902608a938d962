package sdktest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Packet is what one connection published.
type Packet struct {
	From    sdk.ID // who is connected there: an agent, an operator, the node, or a one-time key
	Subject string
	Data    []byte
}

// maxPackets bounds what a recorder holds; the oldest go first.
const maxPackets = 16384

type recorder struct {
	mu   sync.Mutex
	list []Packet
}

func (r *recorder) add(p Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) >= maxPackets {
		r.list = slices.Clone(r.list[maxPackets/2:])
	}
	r.list = append(r.list, p)
}

// Packets returns what was published so far, in order, the node's answers included.
func (r *Realm) Packets() []Packet {
	rec := &r.door.packets
	rec.mu.Lock()
	defer rec.mu.Unlock()
	list := slices.Clone(rec.list)
	for i := range list {
		list[i].Data = bytes.Clone(list[i].Data)
	}
	return list
}

// Intercept has fn decide what becomes of every packet from now on: what it returns is delivered instead, nothing for a
// loss. It is called in the publisher's goroutine, by many at a time, and must not publish itself. nil ends it.
func (r *Realm) Intercept(fn func(Packet) []Packet) {
	if fn == nil {
		r.door.hook.Store(nil)
		return
	}
	r.door.hook.Store(&fn)
}

// Inject publishes a packet as a hostile node can: on any subject, whoever it is from.
func (r *Realm) Inject(t testing.TB, p Packet) {
	t.Helper()
	if err := r.door.raw.Publish(context.Background(), p.Subject, p.Data); err != nil {
		t.Fatalf("sdktest: inject: %v", err)
	}
}
