package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
)

var dropAll, noFaults = membus.Faults{Drop: 1000}, membus.Faults{}

// wantAt checks that all requests of one kind went to one node, at least one.
func (c *cluster) wantAt(op control.Op, node *played) {
	c.t.Helper()
	list := c.requests(op)
	if len(list) == 0 || slices.ContainsFunc(list, func(a asked) bool { return a.node != node.ID() }) {
		c.t.Errorf("%s was asked of %v, want %s", op, list, node.ID())
	}
}

// After the connection has gone to another node, that one is asked, hears of the process at once and says anew how the
// realm is.
func TestControlFollowsTheConnection(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		c.grow(3)
		alice, bob := c.agent("alice"), c.agent("bob")
		handle(t, bob, "text.upper", upper)
		who := func() {
			t.Helper()
			if _, err := alice.Who(t.Context(), "bob"); err != nil {
				t.Fatal(err)
			}
		}
		at := c.of(alice).Node()
		who()
		first := slices.IndexFunc(c.nodes, func(n *played) bool { return n.ID() == at })
		c.wantAt(control.OpWho, c.nodes[first])
		for n := range 3 {
			to := c.nodes[(first+n+1)%3]
			time.Sleep(2 * time.Second)
			for _, op := range []control.Op{control.OpRealm, control.OpAnnounce} {
				c.requests(op)
			}
			began := time.Now()
			c.of(alice).moves(to)
			c.of(bob).moves(to)
			settle()
			c.wantAt(control.OpAnnounce, to)
			c.wantAt(control.OpRealm, to)
			if took := time.Since(began); took > time.Second {
				t.Errorf("announced after %s", took)
			}
			c.requests(control.OpWho)
			who()
			c.wantAt(control.OpWho, to)
			mustCall(t, alice, sdk.Any("text.upper"))
		}
	})
}

// A question that is under way when the connection goes is put to the next node, as soon as there is one.
func TestAQuestionGoesOnAtTheNextNode(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		c.grow(3)
		alice := c.agent("alice")
		c.agent("bob")
		r, fell := c.of(alice), c.of(alice).Node()
		c.set(func() {
			c.answer = func(node *played, op control.Op) error {
				if node.ID() == fell && op == control.OpWho {
					r.goes() // and the answer with it
				}
				return nil
			}
		})
		next := c.nodes[slices.IndexFunc(c.nodes, func(n *played) bool { return n.ID() != fell })]
		began := time.Now()
		go func() {
			time.Sleep(800 * time.Millisecond) // between two attempts
			r.comes(next)
		}()
		if _, err := alice.Who(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("answered after %s", took)
		}
		list := c.requests(control.OpWho)
		if last := list[len(list)-1]; len(list) < 2 || list[0].node != fell || last.node != next.ID() {
			t.Errorf("asked %v", list)
		}
		r.goes()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := alice.Who(ctx, "bob"); !sdk.CodeOf(err).Retryable() {
			t.Errorf("without any node: %v", err)
		}
		r.comes(next)
	})
}

// A command in doubt is handed in again as it is: the same bytes, so that it takes effect once.
func TestACommandIsHandedInAgainAsItIs(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		c.grow(2)
		bob := c.agent("bob")
		r, fell := c.of(bob), c.of(bob).Node()
		c.set(func() {
			c.answer = func(node *played, op control.Op) error {
				if node.ID() == fell && op == control.OpSubmit {
					r.goes()
				}
				return nil
			}
		})
		next := c.nodes[slices.IndexFunc(c.nodes, func(n *played) bool { return n.ID() != fell })]
		go func() {
			time.Sleep(time.Second)
			r.comes(next)
		}()
		handle(t, bob, "text.upper", upper)
		list := c.requests(control.OpSubmit)
		if len(list) != 2 || list[0].node == list[1].node || !bytes.Equal(list[0].command, list[1].command) {
			t.Errorf("%d commands", len(list))
		}
		mustCall(t, c.agent("alice"), sdk.Any("text.upper"))
	})
}

// What a call ends with when its connection goes says whether it may have been handled.
func TestACallWhoseConnectionGoes(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		c.grow(2)
		alice, bob := c.agent("alice"), c.agent("bob")
		var work atomic.Int64 // how long the handler works
		var handled atomic.Int64
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			handled.Add(1)
			time.Sleep(time.Duration(work.Load()))
			return upper(ctx, r)
		})
		mustCall(t, alice, sdk.Any("text.upper"))
		r := c.of(alice)
		for _, row := range []struct {
			name       string
			cut, works time.Duration
			away       time.Duration
			want       code.Code
			took       time.Duration
		}{
			{"a quick one, whose reply is lost", time.Second, 1500 * time.Millisecond, time.Second, code.Uncertain, 3 * time.Second},
			{"one that comes back in time", time.Second, 2500 * time.Millisecond, time.Second, "", 2500 * time.Millisecond},
			{"a slow one that is still being made", 8 * time.Second, 15 * time.Second, time.Second, "", 15 * time.Second},
			{"a slow one that takes too long", 8 * time.Second, 20 * time.Second, time.Second, code.Uncertain, 16 * time.Second},
		} {
			work.Store(int64(row.works))
			before, began := handled.Load(), time.Now()
			go func() {
				time.Sleep(row.cut)
				r.goes()
				time.Sleep(row.away)
				r.comes(c.nodes[1])
			}()
			_, err := call(t, alice, sdk.Any("text.upper"))
			if took := time.Since(began); sdk.CodeOf(err) != row.want || took != row.took {
				t.Errorf("%s: %v after %s", row.name, err, took)
			}
			if n := handled.Load() - before; n != 1 {
				t.Errorf("%s: handled %d times", row.name, n)
			}
			time.Sleep(time.Minute)
		}
		before := handled.Load()
		r.goes()
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.Unreachable)
		if handled.Load() != before {
			t.Error("handled what has not left")
		}
		r.comes(c.nodes[0])
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}

// A call that does not find out whom to ask has sent nothing, and says so.
func TestACallWhoseNodeDoesNotAnswer(t *testing.T) {
	clustered(t, 1, func(t *testing.T, c *cluster) {
		alice, bob := c.agent("alice"), c.agent("bob")
		handle(t, bob, "text.upper", upper)
		c.set(func() {
			c.answer = func(_ *played, op control.Op) error {
				if op == control.OpFind {
					return control.ErrNoAnswer
				}
				return nil
			}
		})
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.Unreachable)
		c.set(func() { c.answer = nil })
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}

// A handler that ends while its own connection is down answers when it stands again.
func TestAReplyWaitsForTheConnection(t *testing.T) {
	clustered(t, 2, func(t *testing.T, c *cluster) {
		c.grow(2)
		alice, bob := c.agent("alice"), c.agent("bob")
		r := c.of(bob)
		handle(t, bob, "text.upper", func(ctx context.Context, q *sdk.Request[ask]) (answer, error) {
			r.goes()
			return upper(ctx, q)
		})
		began := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			r.comes(c.nodes[1])
		}()
		if text := mustCall(t, alice, sdk.Any("text.upper")); text != "HELLO" || time.Since(began) != 3*time.Second {
			t.Errorf("%q after %s", text, time.Since(began))
		}
	})
}

// With an idempotent handler and RetryCalls nobody notices that nodes go away, the caller's or the other side's.
func TestRetriesHideThatNodesGoAway(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		c.grow(3)
		alice, bob := c.agent("alice"), c.agent("bob")
		bob.Use(middleware.Dedup(middleware.Window{}))
		var falls func()
		var done atomic.Int64
		handle(t, bob, "text.upper", func(ctx context.Context, q *sdk.Request[ask]) (answer, error) {
			done.Add(1)
			falls()
			return upper(ctx, q)
		})
		plain := c.agent("carol")
		alice.UseCalls(middleware.RetryCalls(middleware.Backoff{Attempts: 8, Each: 3 * time.Second, Again: true}))
		for _, row := range []struct {
			name  string
			falls func(caller *sdk.Agent)
		}{
			{"the caller's node", func(caller *sdk.Agent) {
				r := c.of(caller)
				r.goes()
				time.AfterFunc(time.Second, func() { r.comes(c.nodes[1]) })
				time.Sleep(100 * time.Millisecond)
			}},
			{"the other side's node, with the reply", func(*sdk.Agent) {
				c.network.SetFaults(dropAll)
				time.AfterFunc(500*time.Millisecond, func() { c.network.SetFaults(noFaults) })
			}},
		} {
			for _, caller := range []*sdk.Agent{plain, alice} {
				before := done.Load()
				falls = func() { row.falls(caller) }
				out, err := sdk.Call[answer](t.Context(), caller, sdk.Any("text.upper"), ask{Text: row.name})
				if n := done.Load() - before; n > 1 {
					t.Errorf("%s: done %d times", row.name, n)
				}
				if caller == plain {
					wantCode(t, err, code.Uncertain)
				} else if err != nil || out.Text == "" {
					t.Errorf("%s: noticed: %v", row.name, err)
				}
				time.Sleep(15 * time.Minute) // what is deduplicated is forgotten
			}
		}
	})
}

// joins has the reader of a topic join the agent: what was published before is not read.
func (c *cluster) joins(a *sdk.Agent, read *list[string]) {
	c.t.Helper()
	if _, err := sdk.Publish(c.t.Context(), a, "news.local", ask{Text: "before"}); err != nil {
		c.t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	read.mu.Lock()
	defer read.mu.Unlock()
	read.items = nil
}

// What was published and not confirmed when the connection went is in doubt, and nothing is sent twice under one
// counter: what is confirmed has been read once.
func TestNothingConfirmedIsLostWhenTheConnectionGoes(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		c.grow(3)
		alice, bob := c.agent("alice"), c.agent("bob")
		var read list[string]
		_, err := sdk.Subscribe(bob, "news.local", func(_ context.Context, m *sdk.Message[ask]) error {
			read.add(m.Data.Text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.joins(alice, &read)
		r := c.of(alice)
		confirmed, doubtful := map[string]bool{}, 0
		for i := range 60 {
			text := time.Duration(i).String()
			receipt, err := sdk.Publish(t.Context(), alice, "news.local", ask{Text: text})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			switch i % 10 {
			case 3:
				r.moves(c.nodes[i%3])
			case 6:
				r.goes()
			case 7:
				r.comes(c.nodes[i%3])
			}
			switch _, err := receipt.Wait(t.Context()); {
			case err == nil:
				confirmed[text] = true
			case sdk.CodeOf(err).Retryable() && errors.Is(err, bus.ErrUnreachable):
				doubtful++
			default:
				t.Errorf("%s: %v", text, err)
			}
		}
		seen := map[string]int{}
		for _, text := range read.all() {
			seen[text]++
		}
		for text, n := range seen {
			if n != 1 {
				t.Errorf("%s read %d times", text, n)
			}
		}
		for text := range confirmed {
			if seen[text] == 0 {
				t.Errorf("%s confirmed and lost", text)
			}
		}
		if doubtful == 0 || len(confirmed) < 30 {
			t.Errorf("%d confirmed, %d in doubt", len(confirmed), doubtful)
		}
	})
}

// A topic goes on, under the same key and without another join, when both sides have moved.
func TestATopicGoesOnAfterTheConnectionsMoved(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		c.grow(3)
		alice, bob := c.agent("alice"), c.agent("bob")
		var read list[string]
		_, err := sdk.Subscribe(bob, "news.local", func(_ context.Context, m *sdk.Message[ask]) error {
			read.add(m.Data.Text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.joins(alice, &read)
		for i, text := range []string{"one", "two", "three"} {
			if _, err := sdk.Publish(t.Context(), alice, "news.local", ask{Text: text}); err != nil {
				t.Fatal(err)
			}
			if err := alice.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read.all(); len(got) != i+1 || got[i] != text {
				t.Fatalf("read %q", got)
			}
			c.of(alice).moves(c.nodes[i])
			c.of(bob).moves(c.nodes[2-i])
			settle()
		}
	})
}
