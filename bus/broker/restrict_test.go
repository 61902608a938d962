package broker

import (
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// both returns permissions to publish, or to subscribe, on all of the words' subjects.
func both(publish, subscribe []string) (p bus.Permissions) {
	for _, words := range publish {
		p.Publish = append(p.Publish, subject(words))
	}
	for _, words := range subscribe {
		p.Subscribe = append(p.Subscribe, subject(words))
	}
	return p
}

// limited makes an agent that may publish on calm and wild and hear both, and under a restriction calm only.
func (f *fixture) limited() *agent {
	all := []string{"calm", "wild"}
	a := f.agent(both(all, all))
	a.grant.admission.Restricted = []string{subject("calm")}
	f.grants(a)
	return a
}

// grants has the gate say of the agent what its grant is now.
func (f *fixture) grants(a *agent) { f.gate.set("c"+a.name, a.grant) }

// says publishes and returns when the node has taken it.
func says(t *testing.T, c bus.Conn, words, data string) {
	t.Helper()
	must(t, c.Publish(ctx(t), subject(words), []byte(data)))
	must(t, c.Flush(ctx(t)))
}

// hears wants exactly these words next.
func hears(t *testing.T, got <-chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		if s := next(t, got); s != w {
			t.Fatalf("heard %q, want %q", s, w)
		}
	}
}

func TestRestrictedClientsDoWhatIsLeft(t *testing.T) {
	f := start(t)
	a, b := f.limited(), f.limited()
	from, to := f.dial(t, a), f.dial(t, b)
	got := listen(t, to, "calm")
	wild := listen(t, to, "wild")
	says(t, from, "wild", "1")
	hears(t, wild, "1")
	for range 2 { // the second changes nothing
		f.Restrict(errLease)
	}
	if e := f.wants(t, Restricted); e.Code != fault.NoQuorum || e.At == 0 {
		t.Errorf("event %+v", e)
	}
	says(t, from, "wild", "refused")
	says(t, from, "calm", "2")
	says(t, to, "wild", "refused")
	says(t, to, "calm", "3")
	hears(t, got, "2", "3")
	if len(wild) > 0 {
		t.Errorf("a wild message went through: %q", <-wild)
	}
	if f.Live(a.id) != 1 || f.Live(b.id) != 1 {
		t.Error("a connection was cut")
	}
	for range 2 {
		f.Resume()
	}
	f.wants(t, Resumed)
	says(t, from, "wild", "4")
	hears(t, wild, "4")
	must(t, errors.Join(from.Err(), to.Err(), f.Accepting()))
}

// TestRestrictedFloodIsSilent: see TestRevokedFloodIsSilent.
func TestRestrictedFloodIsSilent(t *testing.T) {
	f := start(t)
	for name, rest := range map[string][]string{"nothing is left": nil, "something else is left": {subject("calm")}} {
		t.Run(name, func(t *testing.T) {
			a := f.agent(both([]string{"calm", "flood"}, []string{"flood"}))
			a.grant.admission.Restricted = rest
			f.grants(a)
			var ending sync.WaitGroup
			flood(t, f, a, func() {
				f.Restrict(errLease)
				ending.Go(func() { // what stays connected is cut when it has sent much more, so that the flood ends
					if len(rest) > 0 {
						f.sentMore(t, 10_000)
					}
					f.Suspend(errLease)
				})
			})
			ending.Wait()
			f.Resume()
		})
	}
}

// sentMore waits until the clients have sent so many messages more, delivered or not, or have gone.
func (f *fixture) sentMore(t *testing.T, n int64) {
	sent := func() (sum int64) {
		for _, one := range published(f.server, 100) {
			sum += one
		}
		return sum
	}
	before := sent()
	until(t, func() bool { return sent() >= before+n || f.server.NumClients() == 1 }, func() string { return "nobody sends" })
}

func TestRestrictedBrokerAdmitsNobody(t *testing.T) {
	f := start(t)
	a, newcomer := f.limited(), f.limited()
	stays := f.dial(t, a)
	if _, err := f.raw(t, newcomer.key, token(newcomer)); err != nil {
		t.Fatalf("the honest twin: %v", err)
	}
	f.Revoke(newcomer.id)
	f.Restrict(errLease)
	if err := f.Accepting(); !errors.Is(err, errLease) {
		t.Errorf("accepting: %v", err)
	}
	f.gate.setHook(func() { t.Error("the gate was asked") })
	if _, err := natsbus.Dial(ctx(t), newcomer.options(f)); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("a newcomer: %v", err)
	}
	if e := f.wants(t, Refused); e.Code != fault.NoQuorum {
		t.Errorf("event %+v", e)
	}
	if _, err := natsbus.Dial(ctx(t), f.process(a.id, a.grant.admission.Permissions).options(f)); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("another process of a principal that is there: %v", err)
	}
	f.gate.setHook(nil)
	must(t, stays.Err())
	f.Resume()
	f.dial(t, newcomer)
}

func TestRestrictionCutsWhomItLeavesNothing(t *testing.T) {
	f := start(t)
	a, b := f.agent(allow("x", "x")), f.limited()
	f.dial(t, a)
	f.dial(t, b)
	f.Restrict(nil)
	if e := f.wants(t, Cut); e.Principal != a.id || e.Code != fault.Unreachable {
		t.Errorf("event %+v", e)
	}
	if f.Live(a.id) != 0 || f.Live(b.id) != 1 {
		t.Errorf("%d and %d connections", f.Live(a.id), f.Live(b.id))
	}
}

// TestRevokedStaysSilentUnderARestriction: a quarantine that comes before it or during it is kept.
func TestRevokedStaysSilentUnderARestriction(t *testing.T) {
	f := start(t)
	before, during, other := f.limited(), f.limited(), f.limited()
	f.dial(t, before)
	conn, hub := f.dial(t, during), f.hub(t)
	stays := f.dial(t, other)
	got := listen(t, hub, ">")
	f.refuse(before, errUnknown)
	f.Revoke(before.id)
	f.Restrict(errLease)
	says(t, conn, "calm", "1")
	hears(t, got, "1")
	f.refuse(during, errUnknown)
	if f.Revoke(during.id) != 1 || f.Live(before.id)+f.Live(during.id) != 0 {
		t.Error("still there")
	}
	_ = conn.Publish(ctx(t), subject("calm"), []byte("after"))
	says(t, stays, "calm", "2")
	hears(t, got, "2")
	f.Resume()
	if f.Live(before.id)+f.Live(during.id) != 0 || f.Live(other.id) != 1 {
		t.Error("who is there has changed")
	}
}

// TestRefreshUnderARestriction: nobody gets more by it than is left, and whom the gate refuses goes.
func TestRefreshUnderARestriction(t *testing.T) {
	f := start(t)
	a, refused, emptied := f.limited(), f.limited(), f.limited()
	conn, hub := f.dial(t, a), f.hub(t)
	f.dial(t, refused)
	f.dial(t, emptied)
	got := listen(t, hub, ">")
	f.Restrict(errLease)
	f.refuse(refused, errLease)
	emptied.grant.admission.Restricted = nil
	f.grants(emptied)
	for _, x := range []*agent{a, refused, emptied} {
		f.Refresh(x.id)
	}
	says(t, conn, "wild", "refused")
	says(t, conn, "calm", "1")
	hears(t, got, "1")
	if f.Live(a.id) != 1 || f.Live(refused.id) != 0 || f.Live(emptied.id) != 0 {
		t.Errorf("%d, %d, %d connections", f.Live(a.id), f.Live(refused.id), f.Live(emptied.id))
	}
}

// TestResumeJudgesAnew: what the gate says has changed meanwhile.
func TestResumeJudgesAnew(t *testing.T) {
	f := start(t)
	more, less, gone := f.limited(), f.limited(), f.limited()
	conn, hub := f.dial(t, more), f.hub(t)
	f.dial(t, less)
	f.dial(t, gone)
	got := listen(t, hub, ">")
	f.Restrict(errLease)
	more.grant.admission.Permissions.Publish = append(more.grant.admission.Permissions.Publish, subject("new"))
	less.grant.admission.Permissions = allow("calm", "calm")
	f.grants(more)
	f.grants(less)
	f.refuse(gone, errUnknown)
	f.Resume()
	for _, want := range []struct {
		a    *agent
		live int
	}{{more, 1}, {less, 0}, {gone, 0}} {
		if n := f.Live(want.a.id); n != want.live {
			t.Errorf("%s has %d connections, want %d", want.a.name, n, want.live)
		}
	}
	says(t, conn, "new", "1")
	says(t, conn, "wild", "2")
	hears(t, got, "1", "2")
}

func TestSuspensionIsMoreThanARestriction(t *testing.T) {
	f := start(t)
	a := f.limited()
	f.dial(t, a)
	f.Restrict(errLease)
	f.wants(t, Restricted)
	f.Suspend(errLease)
	f.wants(t, Suspended)
	if f.Live(a.id) != 0 {
		t.Error("still there")
	}
	f.Restrict(nil) // does not let anybody go on
	if f.table.isLimited() || fault.CodeOf(f.Accepting()) != fault.Unreachable {
		t.Errorf("limited %t, accepting %v", f.table.isLimited(), f.Accepting())
	}
	f.Resume()
	f.dial(t, a)
	f.Close()
	for len(f.events) > 0 {
		if e := <-f.events; e.Kind == Restricted {
			t.Error("a suspended broker said that it is restricted")
		}
	}
}

// TestRestrictedNodeIsCutFromTheOthers: nothing goes to clients of other nodes, and nothing comes from them.
func TestRestrictedNodeIsCutFromTheOthers(t *testing.T) {
	nodes := mesh(t, 3)
	here, there := nodes[0].limited(), nodes[1].limited()
	near, far := nodes[0].dialWith(t, here.at(nodes[0])), nodes[1].dialWith(t, there.at(nodes[1]))
	gotNear, gotFar := listen(t, near, "calm"), listen(t, far, "calm")
	reach(t, near, "calm", gotFar)
	nodes[0].Restrict(errLease)
	nodes[0].seesOnly(t)
	nodes[1].seesOnly(t, nodes[2])
	must(t, nodes[0].Routes([]Route{nodes[1].route()})) // the roster has changed meanwhile
	must(t, nodes[2].Routes([]Route{nodes[1].route()}))
	says(t, far, "calm", "far")
	says(t, near, "calm", "near")
	for range 2 {
		past(t, gotFar, "probe", "far", "near")
		past(t, gotNear, "probe", "near", "far")
		says(t, far, "calm", "far")
		says(t, near, "calm", "near")
	}
	if len(nodes[0].Peers()) > 0 {
		t.Error("routes were set under a restriction")
	}
	nodes[0].Resume()
	nodes[0].seesOnly(t, nodes[1])
	past(t, gotFar, "far", "far", "near")
	reach(t, near, "calm", gotFar)
}

// past passes over what was under way, until wanted comes; never must not.
func past(t *testing.T, got <-chan string, over, wanted, never string) {
	t.Helper()
	for s := next(t, got); s != wanted; s = next(t, got) {
		if s == never || s != over {
			t.Fatalf("heard %q", s)
		}
	}
}

// TestRateWindowUnderARestriction: its opening gives back what is left, no more.
func TestRateWindowUnderARestriction(t *testing.T) {
	table := newTable()
	p, c := &party{bucket: newBucket(60, 0)}, &client{handle: &recorder{}}
	c.admission = Admission{Permissions: allow("wild", "wild"), Restricted: []string{subject("calm")}, Rate: 60}
	table.apply(p, c)
	c.narrowed = true
	table.apply(p, c)
	p.bucket.closed = true
	table.apply(p, c)
	p.bucket.closed = false
	table.apply(p, c)
	want := [][]string{{subject("wild")}, {subject("calm")}, {}, {subject("calm")}}
	for i, got := range c.handle.(*recorder).published {
		if len(got) != len(want[i]) || len(got) > 0 && got[0] != want[i][0] {
			t.Errorf("%d: may publish %q, want %q", i, got, want[i])
		}
	}
}

func TestWhatIsLeftIsWithinThePermissions(t *testing.T) {
	f := start(t)
	for name, c := range map[string]struct {
		rest []string
		ok   bool
	}{
		"nothing":       {nil, true},
		"all of it":     {[]string{subject("calm"), subject("wild")}, true},
		"some":          {[]string{subject("wild")}, true},
		"more":          {[]string{subject("calm"), subject("other")}, false},
		"wider":         {[]string{subject(">")}, false},
		"another realm": {bus.NodePermissions(wire.Realm{1}).Publish, false},
		"malformed":     {[]string{subject("calm..x")}, false},
	} {
		a := f.limited()
		a.grant.admission.Restricted = c.rest
		f.grants(a)
		conn, err := natsbus.Dial(ctx(t), a.options(f))
		if c.ok {
			must(t, err)
			must(t, conn.Close(ctx(t)))
		} else if !errors.Is(err, natsbus.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// recorder is a connection that notes what it may publish.
type recorder struct {
	server.ClientAuthentication
	published [][]string
}

func (r *recorder) RegisterUser(u *server.User) {
	r.published = append(r.published, u.Permissions.Publish.Allow)
}
