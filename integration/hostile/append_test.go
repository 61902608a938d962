//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// entry encodes a log entry.
func entry(t *testing.T, command []byte, ticks ...[]byte) []byte {
	t.Helper()
	raw, err := wire.Encode(ledger.Entry{Ticks: ticks, Command: command})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tickOf signs a tick by a node that tells a time.
func (m *mallory) tickOf(by identity.Signer, time int64, feature uint64) []byte {
	m.t.Helper()
	return m.commandOf(by, registry.TypeTick, registry.Tick{Time: time, Feature: feature})
}

// appendTo asks whoever leads to append an entry.
func (m *mallory) appendTo(raw []byte) error {
	m.t.Helper()
	var err error
	for _, n := range m.nodes { // one of them leads
		if _, err = m.call(n, "append", raw); err == nil || fault.CodeOf(err) != fault.Unreachable {
			return err
		}
	}
	return err
}

// Entries that no honest node would append change nothing that anybody could see, and hold up nobody.
func TestForgedEntries(t *testing.T) {
	r := grown(t)
	p := r.profile("alice", r.nodes[0])
	m := r.replace(r.follower())
	honest := r.command(r.operator, "forwarded") // the twin: an honest command, forwarded by a hostile node
	until(t, "the honest command is appended", func() bool { return m.appendTo(entry(t, honest)) == nil })
	until(t, "all nodes know", func() bool { return r.named("forwarded") })
	stranger, other := newSigner(t, identity.Operator), newSigner(t, identity.Node)
	before := r.status(r.nodes[0])
	now := time.Now().UnixMilli()
	unsigned, err := wire.Cosign(r.id, must(registry.New(r.operator.ID(), registry.TypeOperator,
		registry.AddOperator{Operator: stranger.ID(), Name: "unsigned"}, [16]byte{7}, now)))
	if err != nil {
		t.Fatal(err)
	}
	byItself, err := m.Cosign(r.id, must(registry.New(r.operator.ID(), registry.TypeOperator,
		registry.AddOperator{Operator: stranger.ID(), Name: "by-itself"}, [16]byte{8}, now)))
	if err != nil {
		t.Fatal(err)
	}
	byAlice, err := m.Cosign(r.id, must(registry.New(p.Signer.ID(), registry.TypeEpoch,
		registry.RaiseEpoch{Principal: p.Signer.ID(), Epoch: math.MaxInt64}, [16]byte{9}, now)))
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"junk":                      []byte("junk"),
		"nothing":                   entry(t, nil),
		"64 KiB of junk":            make([]byte, consensus.MaxEntry),
		"a command of junk":         entry(t, []byte("junk")),
		"an unsigned command":       entry(t, unsigned),
		"an operator's, by itself":  entry(t, byItself),
		"an agent's, by itself":     entry(t, byAlice),
		"its own":                   entry(t, r.command(m.Signer, "mine")),
		"a stranger's":              entry(t, r.command(stranger, "stranger")),
		"a tick of another node":    entry(t, nil, must(m.Cosign(r.id, must(registry.New(r.nodes[0].ID(), registry.TypeTick, registry.Tick{Time: now + 1<<40}, [16]byte{1}, now))))),
		"a tick of no node":         entry(t, nil, m.tickOf(other, now, 1)),
		"a tick as a command":       entry(t, m.tickOf(m.Signer, 1, 1)),
		"more ticks than there are": entry(t, nil, slices.Repeat([][]byte{m.tickOf(m.Signer, 2, 1)}, wire.MaxCosigners+1)...),
		"the honest one again":      entry(t, honest),
	} {
		err := m.appendTo(raw)
		wantCode(t, name, err, "", fault.Malformed, fault.Denied, fault.TooLarge, fault.BadSignature, fault.NoQuorum, fault.Unknown, fault.Superseded, fault.Conflict)
	}
	r.tick("after")
	for _, name := range []string{"unsigned", "by-itself", "mine", "stranger"} {
		if r.named(name) {
			t.Errorf("%s was added", name)
		}
	}
	if after := r.status(r.nodes[0]); after.Size > before.Size+uint64(len(r.nodes)) {
		t.Errorf("the tree grew by %d leaves for %d honest commands", after.Size-before.Size, len(r.nodes))
	}
	a := r.connect(p)
	if _, err := a.Who(t.Context(), "alice"); err != nil {
		t.Errorf("alice's credential is refused: %v", err)
	}
}

// One node's clock moves the log's time by nothing.
func TestTicksOfTheFar(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	until(t, "an honest tick is appended", func() bool {
		return m.appendTo(entry(t, nil, m.tickOf(m.Signer, time.Now().UnixMilli(), 1))) == nil
	})
	for _, told := range []int64{time.Now().Add(24 * time.Hour).UnixMilli(), 253_402_300_799_999, math.MaxInt64, 0, -1, math.MinInt64} {
		_ = m.appendTo(entry(t, nil, m.tickOf(m.Signer, told, 1<<40)))
		r.tick(fmt.Sprint("t", uint64(told)%1e6))
		for _, n := range r.nodes {
			s := r.status(n)
			if ahead := s.LogTime - time.Now().UnixMilli(); ahead > 1000 || ahead < -patience.Milliseconds() {
				t.Errorf("the log's time is %d ms ahead after a tick at %d", ahead, told)
			}
		}
	}
	for _, n := range r.nodes {
		if f := r.cluster(n).Feature; f != registry.Feature {
			t.Errorf("feature level %d", f)
		}
	}
}

// Junk at full rate leaves the others their lease, and honest commands are answered meanwhile.
func TestAFloodOfJunk(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	before := r.status(r.nodes[0])
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	junk := make([]byte, consensus.MaxEntry)
	for range 64 {
		for _, n := range r.nodes {
			flood.Go(func() {
				for ctx.Err() == nil {
					_, _ = m.mesh.Call(ctx, n.ID(), "append", junk)
				}
			})
		}
	}
	for i := range 3 {
		r.tick(fmt.Sprint("in-the-flood-", i))
		for _, n := range r.nodes {
			if r.cluster(n).Lease <= 0 {
				t.Errorf("node %s has no lease", n.ID())
			}
		}
	}
	stop()
	flood.Wait()
	if after := r.status(r.nodes[0]); after.Size > before.Size+3*uint64(len(r.nodes)) {
		t.Errorf("the tree grew by %d leaves", after.Size-before.Size)
	}
}

// named reports whether all honest nodes know a principal of the name.
func (r *realm) named(name string) bool {
	r.t.Helper()
	for _, n := range r.nodes {
		var who control.Principal
		if r.try(n, control.OpWho, control.Who{Name: name}, &who) != nil {
			return false
		}
	}
	return true
}
