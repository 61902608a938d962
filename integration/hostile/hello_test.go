//go:build hostile

package hostile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
)

// other returns an honest node that is not n.
func (r *realm) other(n *node.Node) *node.Node {
	for _, o := range r.nodes {
		if o != n {
			return o
		}
	}
	return nil
}

// A node that names another one's log server as its own does not get that one thrown out of the log.
func TestAServerOfAnotherNode(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	if err := m.greetAll(m.honest()); err != nil {
		t.Fatal(err)
	}
	r.settled()
	leader := r.leader()
	victim := r.other(leader)
	own := r.book(leader)[victim.ID()].Server
	if !strings.HasPrefix(own, victim.ID().String()+".") {
		t.Fatalf("the honest server's name is %q", own)
	}
	for _, server := range []string{
		victim.ID().String() + ".0123456789abcdef", leader.ID().String() + ".0123456789abcdef", own,
		newSigner(t, identity.Node).ID().String() + ".0123456789abcdef", "no server", m.ID().String(), strings.Repeat("x", 1<<10),
	} {
		for _, n := range r.nodes {
			g := m.honest()
			g.Server = server
			_, err := m.greet(n, g)
			wantCode(t, fmt.Sprintf("server %.20q", server), err, fault.Malformed, fault.Denied)
		}
	}
	if err := m.greetAll(m.honest()); err != nil {
		t.Errorf("the honest greeting afterwards: %v", err)
	}
	r.settled()
	r.tick("after")
}

// A node whose log server has another name every time changes nothing for the others.
func TestAServerThatIsAlwaysAnother(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	rounds(60, func(i int) {
		g := m.honest()
		g.Server = fmt.Sprintf("%s.%016x", m.ID(), i)
		_ = m.greetAll(g) // a refusal would do as well
		if i%20 == 19 {
			r.tick(fmt.Sprint("round-", i))
		}
	})
	r.settled()
	for _, n := range r.nodes {
		if lease := r.cluster(n).Lease; lease <= 0 {
			t.Errorf("node %s has no lease", n.ID())
		}
	}
}

// What cannot be a record is refused and kept nowhere, and keeps no honest node from greeting another.
func TestRecordsThatAreNone(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	long := strings.Repeat("x", 700<<10)
	for name, spoil := range map[string]func(*greeting){
		"honest":                    func(*greeting) {},
		"a long version":            func(g *greeting) { g.Version = long },
		"a version that writes":     func(g *greeting) { g.Version = "1\x1b[2J" },
		"a long cluster address":    func(g *greeting) { g.Cluster = long + ":1" },
		"no address":                func(g *greeting) { g.Cluster = "nowhere" },
		"routes without a port":     func(g *greeting) { g.Routes = "127.0.0.1" },
		"routes at port 0":          func(g *greeting) { g.Routes = "127.0.0.1:0" },
		"routes at a port too high": func(g *greeting) { g.Routes = "127.0.0.1:99999" },
		"routes that are no host":   func(g *greeting) { g.Routes = "user:secret@host:1" },
		"clients go to a URL":       func(g *greeting) { g.Client = "http://host:1/path" },
		"another node's name":       func(g *greeting) { g.Node = m.nodes[0].ID() },
		"more than there can be":    func(g *greeting) { g.Known = slices.Repeat([]record{g.record}, 5000) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range r.nodes {
				g := m.honest()
				spoil(&g)
				_, err := m.greet(n, g)
				if name == "honest" {
					wantCode(t, name, err, "")
				} else {
					wantCode(t, name, err, fault.Malformed, fault.TooLarge, fault.Denied)
				}
			}
			r.settled()
		})
	}
	for _, n := range r.nodes {
		for _, e := range r.book(n) {
			if len(e.Version)+len(e.Cluster)+len(e.Routes)+len(e.Client) > 1000 {
				t.Errorf("node %s keeps a record of %d bytes", n.ID(), len(e.Version)+len(e.Cluster))
			}
		}
	}
	r.tick("after")
}

// A record whose routes lead nowhere does not keep the brokers of the others apart, not even after they start anew.
func TestRoutesOfOthersStand(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	for _, routes := range []string{"127.0.0.1:0", "", "127.0.0.1:1", "not an address"} {
		g := m.honest()
		g.Routes = routes
		_ = m.greetAll(g)
	}
	again := r.nodes[1]
	r.stop(again)
	r.open(r.dirs[again.ID()])
	r.settled()
	a, b := r.connect(r.profile("alice", r.nodes[0])), r.connect(r.profile("bob", r.nodes[1]))
	serve(t, b)
	until(t, "alice reaches bob over the routes", func() bool { return call(t, a) == nil })
}

// What a node says of others does not lead honest nodes astray that start at the same time.
func TestHearsayDoesNotPartHonestNodes(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	fixed := map[identity.ID]string{}
	for _, n := range r.nodes {
		fixed[n.ID()] = n.ClusterAddr()
	}
	dirs := []string{r.dirs[r.nodes[0].ID()], r.dirs[r.nodes[1].ID()]}
	r.stop(r.nodes[1])
	r.stop(r.nodes[0])
	// Mallory tells each one about the other while that one is down.
	lie := func(to *node.Node) {
		g := m.honest()
		for id := range fixed {
			for _, stamp := range []int64{time.Now().Add(20 * time.Second).UnixMilli(), math.MaxInt64} {
				g.Known = append(g.Known, record{Node: id, Cluster: "127.0.0.1:1", Client: "127.0.0.1:1", Routes: "127.0.0.1:1", Stamp: stamp})
			}
		}
		m.mu.Lock()
		m.where[to.ID()] = to.ClusterAddr()
		m.mu.Unlock()
		_, _ = m.greet(to, g)
	}
	first := r.openAt(dirs[0], fixed)
	lie(first)
	r.stop(first)
	lie(r.openAt(dirs[1], fixed))
	r.openAt(dirs[0], fixed)
	rounds(20, func(int) {
		for _, n := range r.nodes {
			lie(n)
		}
	})
	r.settled()
	r.tick("after")
	for _, n := range r.nodes {
		for id, e := range r.book(n) {
			if id != m.ID() && id != n.ID() && e.Stamp > time.Now().Add(time.Hour).UnixMilli() {
				t.Errorf("node %s keeps hearsay of the far future", n.ID())
			}
		}
	}
}
