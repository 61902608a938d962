package lease_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const (
	anywhere = "127.0.0.1:0"
	patience = time.Minute     // bounds what takes much less time
	glance   = 2 * time.Second // of what is tried again, or must not happen

	reads = "db.read"      // R0 by the preset, as a capability and as a topic
	runs  = "process.exec" // R2
	news  = "news"         // of no known kind
)

// realm is three nodes in this process; agents are connected to the last.
type realm struct {
	t        *testing.T
	signer   identity.Signer
	operator *sdk.Agent
	nodes    []*node.Node
	dirs     []string
}

// grow makes a realm of three nodes that all count and serve.
func grow(t *testing.T, lease policy.Lease) *realm {
	t.Helper()
	signer, _, err := identity.GenerateSigner(identity.Operator)
	must(t, err)
	rules, err := policy.Preset(policy.Solo)
	must(t, err)
	rules.Lease = lease
	place := node.Place{Listen: anywhere, Cluster: anywhere}
	r := &realm{t: t, signer: signer}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			must(t, n.Close())
		}
	})
	for i := range 3 {
		dir := filepath.Join(t.TempDir(), "node")
		r.dirs = append(r.dirs, dir)
		if i == 0 {
			_, err = node.Init(dir, node.Plan{
				Policy: rules, Roots: []identity.ID{signer.ID()}, Place: place, Nonce: [16]byte{1}, Now: time.Now().UnixMilli(),
			})
			must(t, err)
			must(t, node.SignGenesis(dir, signer))
			r.nodes = append(r.nodes, r.open(0, anywhere))
			r.operator = r.connect(signer, r.nodes[0])
			continue
		}
		invited, err := r.operator.Admin().InviteNode(t.Context(), time.Hour)
		must(t, err)
		_, err = node.Join(t.Context(), dir, invited.Text, place)
		must(t, err)
		r.nodes = append(r.nodes, r.open(i, anywhere))
	}
	r.await("three nodes are up", func(ctx context.Context) bool {
		c, err := r.operator.Admin().Cluster(ctx)
		return err == nil && len(c.Nodes) == 3 && !slices.ContainsFunc(c.Nodes, func(m admin.Machine) bool {
			return !m.Counts || m.State != "leader" && m.State != "follower"
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, r.last().Serving(ctx))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *realm) last() *node.Node { return r.nodes[2] }

func (r *realm) open(i int, listen string) *node.Node {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n, err := node.Open(ctx, node.Config{Dir: r.dirs[i], Listen: listen, Cluster: anywhere})
	must(r.t, err)
	return n
}

// connect connects a principal to one node, until the test ends.
func (r *realm) connect(s identity.Signer, at *node.Node) *sdk.Agent {
	r.t.Helper()
	var a *sdk.Agent
	r.await("connected", func(ctx context.Context) (ok bool) { // the node may not know of the principal yet
		var err error
		a, err = r.dial(ctx, s, at)
		return err == nil
	})
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), glance)
		defer cancel()
		_ = a.Close(ctx) // its node may be gone
	})
	return a
}

func (r *realm) dial(ctx context.Context, s identity.Signer, at *node.Node) (*sdk.Agent, error) {
	return sdk.Connect(ctx, sdk.WithProfile(sdk.Profile{
		Realm: at.Realm(), Addresses: []string{at.Addr()}, Pins: []identity.ID{at.ID()}, Signer: s,
	}))
}

func (r *realm) enrol(name string) identity.Signer {
	r.t.Helper()
	token, err := r.operator.Admin().Invite(name, identity.Journeyer, []string{"*"}, time.Hour)
	must(r.t, err)
	s, _, err := sdk.Enrol(r.t.Context(), token, sdk.KeepNothing())
	must(r.t, err)
	return s
}

// await asks again and again until ok.
func (r *realm) await(what string, ok func(ctx context.Context) bool) {
	r.t.Helper()
	limit := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		ctx, cancel := context.WithTimeout(r.t.Context(), glance)
		done := ok(ctx)
		cancel()
		if done {
			return
		}
		select {
		case <-again.C:
		case <-limit:
			r.t.Fatalf("still not: %s", what)
		}
	}
}

// scene is who is connected to the last node, and what has reached the server and the reader.
type scene struct {
	*realm
	server, caller, silenced *sdk.Agent
	newcomer                 identity.Signer
	handled                  map[string]*atomic.Int64 // by caller and capability, "caller db.read"
	heard                    map[string]chan string   // by topic
}

func set(t *testing.T, lease policy.Lease) *scene {
	t.Helper()
	r := grow(t, lease)
	s := &scene{realm: r, handled: map[string]*atomic.Int64{}, heard: map[string]chan string{}}
	s.server, s.caller = r.connect(r.enrol("server"), r.last()), r.connect(r.enrol("caller"), r.last())
	silenced := r.enrol("silenced")
	s.silenced, s.newcomer = r.connect(silenced, r.last()), r.enrol("newcomer")
	for _, capability := range []string{reads, runs} {
		for _, who := range []string{"caller", "silenced", "newcomer"} {
			s.handled[who+" "+capability] = new(atomic.Int64)
		}
		must(t, sdk.HandleBytes(s.server, capability, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			s.handled[d.From.Name+" "+capability].Add(1)
			return []byte("done"), nil
		}))
	}
	for _, topic := range []string{reads, news} {
		heard := make(chan string, 1<<16)
		s.heard[topic] = heard
		must(t, s.caller.Advertise(t.Context(), topic))
		_, err := sdk.SubscribeBytes(s.server, topic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			heard <- string(d.Content)
			return nil, nil
		})
		must(t, err)
	}
	for _, a := range []*sdk.Agent{s.caller, s.silenced} { // the honest twins
		for _, capability := range []string{reads, runs} {
			r.await(capability+" is answered", func(ctx context.Context) bool { return call(ctx, a, capability) == nil })
		}
	}
	for _, topic := range []string{reads, news} {
		r.await(topic+" is heard", func(ctx context.Context) bool { return s.says(ctx, topic, "before") })
	}
	command, err := r.operator.Admin().Prepare(registry.TypeStatus, registry.SetStatus{
		Principal: silenced.ID(), Status: trust.Quarantined, Reason: "test",
	}, 0)
	must(t, err)
	_, err = r.operator.Admin().Submit(t.Context(), command)
	must(t, err)
	r.await("the quarantine has come to the last node", func(ctx context.Context) bool {
		return call(ctx, s.silenced, reads) != nil
	})
	return s
}

func call(ctx context.Context, a *sdk.Agent, capability string) error {
	_, err := sdk.CallBytes(ctx, a, sdk.To("server", capability), []byte("x"))
	return err
}

// says publishes on a topic and reports whether the reader has heard this, of all that it has heard so far.
func (s *scene) says(ctx context.Context, topic, what string) bool {
	_, _ = sdk.PublishBytes(ctx, s.caller, topic, []byte(what)) // may be refused
	for len(s.heard[topic]) > 0 {
		if <-s.heard[topic] == what {
			return true
		}
	}
	return false
}

// cutOff stops the other two nodes and returns a function that starts them again.
func (s *scene) cutOff() (heal func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), glance)
	defer cancel()
	_ = s.operator.Close(ctx)
	var at []string
	for _, n := range s.nodes[:2] {
		at = append(at, n.Addr())
		must(s.t, n.Close())
	}
	return func() {
		for i := range 2 {
			s.nodes[i] = s.open(i, at[i])
		}
	}
}

// refused wants an agent that is not connected to be let in by nobody.
func (s *scene) refused(who identity.Signer) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), glance)
	defer cancel()
	if a, err := s.dial(ctx, who, s.last()); err == nil {
		s.t.Error("a newcomer was let in")
		_ = a.Close(ctx)
	}
}

// whole wants everything to be as before, but for who was quarantined.
func (s *scene) whole() {
	s.t.Helper()
	for _, capability := range []string{reads, runs} {
		s.await(capability+" is answered again", func(ctx context.Context) bool { return call(ctx, s.caller, capability) == nil })
	}
	for _, topic := range []string{reads, news} {
		s.await(topic+" is heard again", func(ctx context.Context) bool { return s.says(ctx, topic, "after") })
	}
	before := s.handled["silenced "+reads].Load()
	ctx, cancel := context.WithTimeout(s.t.Context(), glance)
	defer cancel()
	if err := call(ctx, s.silenced, reads); err == nil || s.handled["silenced "+reads].Load() != before {
		s.t.Errorf("the quarantined agent is heard: %v", err)
	}
	newcomer := s.connect(s.newcomer, s.last())
	s.await("the newcomer is answered", func(ctx context.Context) bool { return call(ctx, newcomer, runs) == nil })
}

func TestRestrictedNodeServesR0(t *testing.T) {
	s := set(t, policy.Lease{Length: policy.MinLease, Restrict: true})
	heal := s.cutOff()
	s.await("what is not R0 is refused", func(ctx context.Context) bool {
		err := call(ctx, s.caller, runs)
		return sdk.CodeOf(err) == code.Unreachable && ctx.Err() == nil
	})
	ran, silenced := s.handled["caller "+runs].Load(), s.handled["silenced "+reads].Load()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		must(t, call(ctx, s.caller, reads))
		if err := call(ctx, s.caller, runs); sdk.CodeOf(err) != code.Unreachable {
			t.Errorf("%s: %v", runs, err)
		}
		_, _ = sdk.PublishBytes(ctx, s.caller, news, []byte("restricted"))
		cancel()
	}
	s.await("an R0 topic is heard", func(ctx context.Context) bool { return s.says(ctx, reads, "restricted") })
	s.refused(s.newcomer)
	ctx, cancel := context.WithTimeout(t.Context(), glance)
	defer cancel()
	if err := call(ctx, s.silenced, reads); err == nil || s.handled["silenced "+reads].Load() != silenced {
		t.Errorf("the quarantined agent is heard: %v", err)
	}
	if now := s.handled["caller "+runs].Load(); now != ran {
		t.Errorf("%s was handled %d times without a lease", runs, now-ran)
	}
	heal()
	s.whole()
	for len(s.heard[news]) > 0 {
		if <-s.heard[news] == "restricted" {
			t.Error("a message of a topic that is not R0 went through")
		}
	}
}

func TestStoppedNodeServesNobody(t *testing.T) {
	s := set(t, policy.Lease{Length: policy.MinLease})
	heal := s.cutOff()
	s.await("nobody is answered", func(ctx context.Context) bool { return call(ctx, s.caller, reads) != nil })
	served := s.handled["caller "+reads].Load()
	for _, capability := range []string{reads, runs} {
		ctx, cancel := context.WithTimeout(t.Context(), glance/5)
		if err := call(ctx, s.caller, capability); err == nil {
			t.Errorf("%s was answered without a lease", capability)
		}
		cancel()
	}
	s.refused(s.newcomer)
	if now := s.handled["caller "+reads].Load(); now != served {
		t.Errorf("%d calls were handled without a lease", now-served)
	}
	heal()
	s.whole()
}
