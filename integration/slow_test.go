package integration

import (
	"bytes"
	"context"
	endian "encoding/binary"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	nodes "github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

const (
	slowTopic = "slow.reader"
	slowSize  = 16 << 10 // bytes of a message
	// slowAhead is how many messages the publisher may be ahead of the reader that is not slow: 4 MiB.
	slowAhead = 256
	// slowHeap is how much the heap may grow while one reader is stuck: 32 MiB in its queue at the bus; 16 MiB in the
	// one behind that, twice, as they came and opened; 8 MiB at the node; and 24 MiB for what is under way.
	slowHeap = 96 << 20
)

// losses counts what an agent logs of dropped messages: warnings with a subject and a count.
type losses struct {
	slog.Handler
	warnings, messages *atomic.Int64
}

func newLosses(t *testing.T) losses {
	return losses{slog.NewTextHandler(t.Output(), nil), new(atomic.Int64), new(atomic.Int64)}
}

// Handle implements slog.Handler.
func (l losses) Handle(ctx context.Context, r slog.Record) error {
	var subject bool
	var count int64
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "subject":
			subject = true
		case "count":
			count = int64(a.Value.Uint64())
		}
		return true
	})
	if r.Level == slog.LevelWarn && subject && count > 0 {
		l.warnings.Add(1)
		l.messages.Add(count)
	}
	return l.Handler.Handle(ctx, r)
}

// TestSlowReader has one reader of a topic stick in its handler while another reads along and the publisher sends far
// more than the queues hold: the heap stays bounded, what is lost is counted and logged, and nobody else notices. With
// the tag soak the reader sticks for a minute.
func TestSlowReader(t *testing.T) {
	n, operator := inProcess(t)
	none, lost := newLosses(t), newLosses(t)
	publisher := member(t, n, operator, "publisher", none)
	if err := publisher.Advertise(t.Context(), slowTopic); err != nil {
		t.Fatal(err)
	}
	slow := newReading(t, member(t, n, operator, "slow", lost))
	quick := newReading(t, member(t, n, operator, "quick", none))
	close(quick.resume)
	f := &feed{t: t, publisher: publisher, quick: quick}
	f.publish()
	slow.next(t, 0) // and sticks
	f.catchUp()
	before := scrape(t, n)
	heap := heapAlloc()

	for enough := slowEnough(); !enough(f.sent); {
		f.publish()
	}
	f.catchUp()
	grown := heapAlloc() - heap
	if grown > slowHeap {
		t.Errorf("the heap grew by %d bytes, at most %d allowed", grown, int64(slowHeap))
	}
	dropped := slow.subscription.Dropped()
	if dropped == 0 || lost.warnings.Load() == 0 || uint64(lost.messages.Load()) > dropped {
		t.Errorf("dropped %d deliveries, logged %d in %d warnings", dropped, lost.messages.Load(), lost.warnings.Load())
	}

	close(slow.resume)
	last, heard := f.until(slow)
	t.Logf("%d messages of %d KiB sent; the slow reader handled %d, lost %d deliveries, %d warnings; heap %+d KiB",
		f.sent, slowSize>>10, heard, dropped, lost.warnings.Load(), grown>>10)
	if last < f.sent-1 {
		t.Errorf("the slow reader did not come back: it heard %d of %d last", last, f.sent)
	}
	if dropped > uint64(f.sent-heard) { // a delivery is one message or more
		t.Errorf("%d sent, %d handled, yet %d counted as lost", f.sent, heard, dropped)
	}
	if got := quick.subscription.Dropped(); got != 0 || none.warnings.Load() != 0 {
		t.Errorf("the quick reader lost %d, warnings %d", got, none.warnings.Load())
	}
	after := scrape(t, n)
	for _, series := range []string{"conclave_connections_admitted_total", "conclave_slow_consumers_total"} {
		if after[series] != before[series] {
			t.Errorf("%s: %v before, %v after", series, before[series], after[series])
		}
	}
}

// member enrols and connects an agent.
func member(t *testing.T, n *nodes.Node, operator identity.Signer, name string, log slog.Handler) *sdk.Agent {
	t.Helper()
	connect := func(s identity.Signer) *sdk.Agent {
		a, err := sdk.Connect(t.Context(), sdk.WithLogger(slog.New(log)), sdk.WithProfile(sdk.Profile{
			Realm: n.Realm(), Addresses: []string{n.Addr()}, Pins: []identity.ID{n.ID()}, Signer: s,
		}))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	end := func(a *sdk.Agent) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = a.Close(ctx) // the test's end
	}
	o := connect(operator)
	defer end(o)
	token, err := o.Admin().Invite(name, identity.Journeyer, []string{"text.*"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := sdk.Enrol(t.Context(), token, sdk.KeepNothing())
	if err != nil {
		t.Fatal(err)
	}
	a := connect(signer)
	t.Cleanup(func() { end(a) })
	return a
}

// reading is a subscription whose handler tells the number of each message and waits for resume.
type reading struct {
	subscription *sdk.Subscription
	numbers      chan int
	resume       chan struct{}
}

func newReading(t *testing.T, a *sdk.Agent) *reading {
	t.Helper()
	r := &reading{numbers: make(chan int, 1<<20), resume: make(chan struct{})}
	var err error
	r.subscription, err = sdk.SubscribeBytes(a, slowTopic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		r.numbers <- int(endian.BigEndian.Uint64(d.Content))
		<-r.resume
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// next takes the number of the next message, which must be the one given.
func (r *reading) next(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-r.numbers:
		if got != want {
			t.Fatalf("heard message %d, want %d", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("message %d did not come", want)
	}
}

// feed is the publisher and the reader that it waits for.
type feed struct {
	t         *testing.T
	publisher *sdk.Agent
	quick     *reading
	sent      int
	read      int // by quick
}

func (f *feed) publish() {
	f.t.Helper()
	content := endian.BigEndian.AppendUint64(nil, uint64(f.sent))
	content = append(content, bytes.Repeat([]byte{byte(f.sent)}, slowSize-len(content))...)
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	if _, err := sdk.PublishBytes(ctx, f.publisher, slowTopic, content); err != nil {
		f.t.Fatalf("message %d: %v", f.sent, err)
	}
	f.sent++
	for f.sent-f.read > slowAhead {
		f.quick.next(f.t, f.read)
		f.read++
	}
}

// catchUp waits until the quick reader has heard everything.
func (f *feed) catchUp() {
	f.t.Helper()
	for ; f.read < f.sent; f.read++ {
		f.quick.next(f.t, f.read)
	}
}

// until publishes until the slow reader hears what is new, and returns what it heard last and how many it handled in
// all. It hears in order.
func (f *feed) until(slow *reading) (last, heard int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	mark := f.sent
	for heard = 1; last < mark && ctx.Err() == nil; heard++ { // message 0 was heard before
		if len(slow.numbers) == 0 {
			f.publish()
			f.catchUp()
		}
		select {
		case n := <-slow.numbers:
			if n <= last {
				f.t.Fatalf("the slow reader heard %d after %d", n, last)
			}
			last = n
		case <-ctx.Done():
		}
	}
	if last >= mark { // it has come back
		last = f.sent
	}
	return last, heard
}

func heapAlloc() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
