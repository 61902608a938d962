package broker

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// settles waits until the broker's counts are as wanted: the server counts a moment after it acts.
func (f *fixture) settles(t *testing.T, what string, as func(Traffic) bool) Traffic {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		now := f.Traffic()
		if as(now) {
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", what, now)
		}
		runtime.Gosched()
	}
}

func TestTrafficCountsWhatHappens(t *testing.T) {
	f := start(t)
	if now := f.Traffic(); now.Admitted != 0 || now.Opened != 0 || now.InMessages != 0 {
		t.Fatalf("before anything: %+v", now)
	}
	hub := f.hub(t)
	got := listen(t, hub, "x")
	before := f.settles(t, "the node's own", func(n Traffic) bool { return n.Open == 1 && n.Subscriptions > 0 })
	if before.Admitted != 0 {
		t.Errorf("the node counts as a principal: %+v", before)
	}
	a := f.agent(allow("x", ""))
	c := f.dial(t, a)
	must(t, c.Publish(ctx(t), subject("x"), []byte("twelve bytes")))
	next(t, got)
	after := f.settles(t, "one agent", func(n Traffic) bool { return n.Admitted == 1 && n.InMessages > before.InMessages })
	if after.Opened <= before.Opened || after.InBytes < before.InBytes+12 || after.OutMessages <= before.OutMessages ||
		after.OutBytes < before.OutBytes+12 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	stranger, err := net.Dial("tcp", f.Addr())
	must(t, err)
	f.settles(t, "a stranger", func(n Traffic) bool { return n.Open == 3 && n.Admitted == 1 && n.Opened > after.Opened })
	must(t, stranger.Close())
	f.settles(t, "the stranger gone", func(n Traffic) bool { return n.Open == 2 })
	f.refuse(a, errUnknown)
	f.Revoke(a.id)
	f.settles(t, "the agent gone", func(n Traffic) bool { return n.Open == 1 && n.Admitted == 0 })
}

func TestAccepting(t *testing.T) {
	f := start(t, func(c *Config) { c.MaxConnections = 1 })
	must(t, f.Accepting())
	a := f.agent(allow("x", "x"))
	f.dial(t, a)
	if err := f.Accepting(); fault.CodeOf(err) != fault.WindowFull {
		t.Errorf("full: %v", err)
	}
	f.refuse(a, errUnknown)
	f.Revoke(a.id)
	f.settles(t, "room again", func(Traffic) bool { return f.Accepting() == nil })
	f.Close()
	if err := f.Accepting(); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("closed: %v", err)
	}
	f.Traffic() // does not fail then
}
