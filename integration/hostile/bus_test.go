//go:build hostile

package hostile

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// word is what a node tells the others of a process at its door; it once told so too that it has gone.
type word struct {
	Credential []byte      `cbor:"1,keyasint,omitempty"`
	Presence   []byte      `cbor:"2,keyasint,omitempty"`
	Principal  identity.ID `cbor:"3,keyasint"`
	Process    wire.Digest `cbor:"4,keyasint"`
	Gone       bool        `cbor:"5,keyasint,omitempty"`
}

type departed struct {
	Processes []control.Process `cbor:"1,keyasint,omitempty"`
}

// captured is what passed by on the bus.
type captured struct {
	mu   sync.Mutex
	list []packet
}

type packet struct {
	subject string
	data    []byte
}

// listen captures everything that passes, which a hostile node can.
func (m *mallory) listen() *captured {
	m.t.Helper()
	c := &captured{}
	_, err := m.conn.Subscribe(bus.In(m.realm.id).All(), func(subject string, data []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = append(c.list, packet{subject, append([]byte(nil), data...)})
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// of returns what was captured of a kind, for a principal if one is named.
func (c *captured) of(realm wire.Realm, kind bus.Kind, to identity.ID) (found []packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.list {
		s, err := bus.In(realm).Parse(p.subject)
		if err == nil && s.Kind == kind && (to.IsZero() || s.To == to) {
			found = append(found, p)
		}
	}
	return found
}

// found reports how many processes a node offers for a capability; -1 if it cannot say now.
func (r *realm) found(n *node.Node, capability string) int {
	var out control.Found
	if r.try(n, control.OpFind, control.Find{Capability: capability}, &out) != nil {
		return -1
	}
	return len(out.Processes)
}

// A hostile node can neither send away the processes of other nodes nor make any up.
func TestFalseWords(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	m.board()
	seen := m.listen()
	here, there := r.nodes[0], r.nodes[1]
	bob := r.connect(r.profile("bob", here))
	serve(t, bob)
	until(t, "both nodes offer bob", func() bool { return r.found(here, upper) == 1 && r.found(there, upper) == 1 })
	var told []packet
	until(t, "bob's word was captured", func() bool {
		told = seen.of(r.id, bus.Word, identity.ID{})
		var w word
		return len(told) > 0 && wire.Decode(told[len(told)-1].data, &w) == nil && len(w.Presence) > 0
	})
	var honest word
	if err := wire.Decode(told[len(told)-1].data, &honest); err != nil {
		t.Fatal(err)
	}
	words, id := bus.In(r.id), bob.Self().Process
	farewell, err := wire.Encode(word{Principal: bob.ID(), Process: id, Gone: true})
	if err != nil {
		t.Fatal(err)
	}
	gone := departed{Processes: []control.Process{{Principal: bob.ID(), Credential: id}}}
	rounds(20, func(int) {
		m.publish(words.Word(m.ID()), told[len(told)-1].data) // it is here, at mine
		for _, as := range []identity.ID{m.ID(), here.ID(), there.ID()} {
			m.publish(words.Word(as), farewell)
		}
		for _, n := range r.nodes {
			if _, err := m.call(n, "gone", gone); err != nil {
				t.Error(err)
			}
			if r.found(n, upper) == 0 {
				t.Fatal("bob was sent away")
			}
		}
	})
	stranger := newSigner(t, identity.Agent)
	ghost, err := identity.NewProcess(r.id, stranger, 1, time.Now().UnixMilli(), time.Hour.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	inBobsName, err := identity.NewProcess(r.id, stranger, 1, time.Now().UnixMilli(), time.Hour.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []word{
		{Credential: ghost.Credential().Raw(), Principal: stranger.ID(), Process: ghost.Credential().ID()},
		{Credential: inBobsName.Credential().Raw(), Presence: honest.Presence, Principal: bob.ID(), Process: id},
		{Credential: []byte("junk"), Principal: bob.ID(), Process: wire.Digest{1}},
	} {
		raw, err := wire.Encode(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, as := range []identity.ID{m.ID(), here.ID(), there.ID()} {
			m.publish(words.Word(as), raw)
		}
	}
	m.publish(words.Word(m.ID()), []byte("junk"))
	r.tick("after")
	for _, n := range r.nodes {
		var out control.Vouched
		if r.try(n, control.OpSender, control.Process{Principal: stranger.ID(), Credential: ghost.Credential().ID()}, &out) == nil {
			t.Error("a stranger's process is known")
		}
		until(t, "bob is offered once", func() bool { return r.found(n, upper) == 1 })
	}
	if err := bob.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "bob is not offered any more", func() bool { return r.found(here, upper) == 0 && r.found(there, upper) == 0 })
}

// counted serves and counts what reached the handler.
func counted(t *testing.T, a *sdk.Agent) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	err := sdk.Handle(a, upper, func(_ context.Context, q *sdk.Request[string]) (string, error) {
		n.Add(1)
		return q.Data, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &n
}

// What was captured on the bus is handled by nobody a second time: not where it went, not elsewhere, not after a start.
func TestCapturedEnvelopes(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	m.board()
	seen := m.listen()
	here, there := r.nodes[0], r.nodes[1]
	alice, bobs := r.connect(r.profile("alice", here)), r.profile("bob", there)
	bob, err := sdk.Connect(t.Context(), sdk.WithProfile(bobs))
	if err != nil {
		t.Fatal(err)
	}
	atBob := counted(t, bob)
	until(t, "alice reaches bob over the route", func() bool { return call(t, alice) == nil })
	honest := atBob.Load()
	if honest < 1 {
		t.Fatal("the honest call was not handled")
	}
	var requests, replies []packet
	until(t, "a request and its reply were captured", func() bool {
		requests, replies = seen.of(r.id, bus.Request, bob.ID()), seen.of(r.id, bus.Reply, alice.ID())
		return len(requests) > 0 && len(replies) > 0
	})
	carol := r.connect(r.profile("carol", here))
	atCarol := counted(t, carol)
	subjects := bus.In(r.id)
	replay := func(process bus.Token) {
		for range 20 {
			for _, p := range requests {
				s, err := subjects.Parse(p.subject)
				if err != nil {
					t.Fatal(err)
				}
				m.publish(p.subject, p.data)
				m.publish(subjects.Request(bob.ID(), process, alice.ID()), p.data)
				m.publish(subjects.Request(bob.ID(), process, carol.ID()), p.data) // in another's name
				m.publish(subjects.Request(bob.ID(), s.Process, m.ID()), p.data)
				m.publish(subjects.Request(carol.ID(), bus.TokenOf(carol.Self().Process), alice.ID()), p.data)
			}
			for _, p := range replies {
				m.publish(p.subject, p.data)
			}
		}
	}
	replay(bus.TokenOf(bob.Self().Process))
	until(t, "carol answers afterwards", func() bool { return callTo(t, alice, "carol") == nil })
	if n := atBob.Load(); n != honest {
		t.Errorf("bob handled %d of %d requests", n, honest)
	}
	if n := atCarol.Load(); n != 1 {
		t.Errorf("carol handled %d requests of 1", n)
	}
	if err := bob.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := r.connect(bobs)
	atBob = counted(t, again)
	replay(bus.TokenOf(again.Self().Process))
	until(t, "bob answers after the start", func() bool { return callTo(t, alice, "bob") == nil })
	if n := atBob.Load(); n != 1 {
		t.Errorf("after its start bob handled %d requests of 1", n)
	}
}

// callTo makes one call to a named agent.
func callTo(t *testing.T, a *sdk.Agent, name string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := sdk.Call[string, string](ctx, a, sdk.To(name, upper), "x")
	return err
}
