package sdk_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// nodesOf returns the first nodes' keys, sorted as in a roster, and their addresses.
func (c *cluster) nodesOf(n int) (pins []sdk.ID, addresses []string) {
	for _, node := range c.nodes[:n] {
		pins, addresses = append(pins, node.ID()), append(addresses, node.at)
	}
	slices.SortFunc(pins, sdk.ID.Compare)
	return pins, addresses
}

// wantKnown checks that the agent's connection was told of exactly the first n nodes.
func (c *cluster) wantKnown(a *sdk.Agent, n int) {
	c.t.Helper()
	addresses, pins, _ := c.of(a).known()
	wantPins, wantAddresses := c.nodesOf(n)
	if !slices.Equal(pins, wantPins) || !slices.Equal(addresses, wantAddresses) {
		c.t.Errorf("pins %s at %q, want those of %d nodes at %q", pins, addresses, n, wantAddresses)
	}
}

// A realm grows while an agent runs: the first ticket of the new roster teaches the agent what it needs, and nobody
// notices. The fourth node is in no roster, and is never pinned, though the nodes name it.
func TestARealmGrowsUnderARunningAgent(t *testing.T) {
	clustered(t, 4, func(t *testing.T, c *cluster) {
		alice, bob := c.agent("alice"), c.agent("bob")
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		if _, _, times := c.of(alice).known(); times > 1 {
			t.Fatalf("told of nodes %d times", times)
		}
		c.requests(control.OpRealm)
		c.requests(control.OpWho)
		time.Sleep(2 * time.Second)
		c.grow(3)
		if _, err := alice.Who(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		if n := len(c.requests(control.OpRealm)); n != 1 {
			t.Errorf("the realm was asked for %d times", n)
		}
		if n := len(c.requests(control.OpWho)); n != 1 {
			t.Errorf("bob was asked about %d times", n)
		}
		if sdk.Roster(alice) != 1 || sdk.Roster(bob) != 0 {
			t.Errorf("alice knows roster %d, bob %d", sdk.Roster(alice), sdk.Roster(bob))
		}
		c.wantKnown(alice, 3)
		mustCall(t, alice, sdk.Any("text.upper")) // bob learns by himself
		if k := alice.Admin(); k.Policy().Preset == "" {
			t.Error("no policy any more")
		}
	})
}

// Without any traffic the agent still hears of nodes that came, in time to need them.
func TestARealmIsLookedAtNowAndThen(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.grow(3)
		time.Sleep(2 * time.Minute)
		c.wantKnown(alice, 3)
	})
}

func TestAHintOfNodesHasTheRealmLearned(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.grow(3)
		time.Sleep(2 * time.Second)
		hint := func(members ...sdk.ID) {
			raw, err := wire.Encode(control.Hint{Size: 8, Members: members})
			if err != nil {
				t.Fatal(err)
			}
			node := c.network.Join(bus.NodePermissions(c.realm), bus.Observer{})
			if err := node.Publish(t.Context(), bus.In(c.realm).Hint(c.nodes[0].ID()), raw); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		hint(c.root.ID())
		if sdk.Roster(alice) != 0 {
			t.Error("learned by a hint of an operator")
		}
		hint(c.nodes[1].ID())
		c.wantKnown(alice, 3)
	})
}

// However many ask, there is one question at a time, and at most one a second.
func TestLearningIsOneQuestionASecond(t *testing.T) {
	clustered(t, 1, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.requests(control.OpRealm)
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := sdk.Relearn(t.Context(), alice); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		n, took := len(c.requests(control.OpRealm)), time.Since(began)
		if n == 0 || time.Duration(n) > took/time.Second+1 || n > 2 {
			t.Errorf("%d questions in %s", n, took)
		}
		if err := sdk.Relearn(t.Context(), alice); err != nil || time.Since(began) < took+time.Second {
			t.Errorf("asked again after %s: %v", time.Since(began)-took, err)
		}
	})
}

// A node cannot take a running agent back, nor aside. Each lie is told after the truth was accepted, and the truth is
// accepted again after it.
func TestARunningAgentIsNotTakenBack(t *testing.T) {
	clustered(t, 4, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.grow(3)
		honest := func() {
			t.Helper()
			if err := sdk.Relearn(t.Context(), alice); err != nil || sdk.Roster(alice) != 1 {
				t.Fatalf("roster %d: %v", sdk.Roster(alice), err)
			}
		}
		honest()
		other := c.sign(nil, 2) // by who was the only node, which has lost that place
		longer := [][]byte{other, c.sign([][]byte{other}, 2)}
		node, rosters := c.nodes[0], c.rosters
		for _, lie := range []struct {
			name string
			tell func()
		}{
			{"an older roster", func() { node.roster = 0 }},
			{"another roster of the same number", func() { c.rosters = [][]byte{other} }},
			{"a longer chain that goes another way", func() { c.rosters, node.roster = longer, 2 }},
			{"an older head", func() { node.size = 3 }},
			{"a roster after it that the old node has signed", func() {
				alone := func(*identity.Authority) []wire.Key { return []wire.Key{node.Key()} }
				c.rosters, node.roster = append(slices.Clone(rosters), c.signBy(rosters, 2, alone)), 2
			}},
		} {
			c.set(lie.tell)
			if err := sdk.Relearn(t.Context(), alice); err == nil || sdk.Roster(alice) != 1 {
				t.Errorf("%s: believed, roster %d", lie.name, sdk.Roster(alice))
			}
			c.wantKnown(alice, 3)
			c.set(func() { c.rosters, node.roster, node.size = rosters, 1, 0 })
			honest()
		}
	})
}

// A node that has not heard of the newest commands yet is given time.
func TestANodeMayBeBehindForAMoment(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.set(func() { c.nodes[0].size = 2 })
		go func() {
			time.Sleep(1500 * time.Millisecond)
			c.set(func() { c.nodes[0].size = 0 })
		}()
		if err := sdk.Relearn(t.Context(), alice); err != nil {
			t.Error(err)
		}
		c.set(func() { c.nodes[0].size = 2 })
		wantCode(t, sdk.Relearn(t.Context(), alice), "superseded")
	})
}

// A ticket of a roster that is over is not accepted; the node is asked once more, and only once.
func TestATicketOfAnOldRosterIsAskedForOnceMore(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		alice := c.agent("alice")
		c.agent("bob")
		c.grow(3)
		who := func() (int, error) {
			c.requests(control.OpWho)
			_, err := alice.Who(t.Context(), "bob")
			return len(c.requests(control.OpWho)), err
		}
		if n, err := who(); n != 1 || err != nil {
			t.Fatalf("of the newest roster: %d questions, %v", n, err)
		}
		c.set(func() { c.nodes[0].tickets = new(int) })
		if n, err := who(); n != 2 || err != nil {
			t.Errorf("once of an old roster: %d questions, %v", n, err)
		}
		c.set(func() {
			c.answer = func(node *played, op control.Op) error {
				node.tickets = new(int)
				return nil
			}
		})
		n, err := who()
		if n != 2 {
			t.Errorf("always of an old roster: %d questions", n)
		}
		wantCode(t, err, "superseded")
		c.set(func() { c.answer, c.nodes[0].tickets = nil, nil })
		if n, err := who(); n != 1 || err != nil {
			t.Errorf("honest again: %d questions, %v", n, err)
		}
	})
}

// Among several processes one whose ticket is of an old roster does not hide the others, and is found when asked again.
func TestCallsGoOnWhileTicketsAreOld(t *testing.T) {
	clustered(t, 3, func(t *testing.T, c *cluster) {
		alice, bob := c.agent("alice"), c.agent("bob")
		handle(t, bob, "text.upper", upper)
		c.grow(3)
		if err := sdk.Relearn(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		c.requests(control.OpFind)
		c.set(func() { c.nodes[0].tickets = new(int) })
		mustCall(t, alice, sdk.Any("text.upper"))
		if n := len(c.requests(control.OpFind)); n != 2 {
			t.Errorf("%d questions", n)
		}
	})
}

// The next start knows all nodes that the last one has met.
func TestAContextLearnsTheNodes(t *testing.T) {
	clustered(t, 4, func(t *testing.T, c *cluster) {
		home := t.TempDir()
		t.Setenv("XDG_CONFIG_HOME", home)
		t.Setenv(contexts.EnvVar, "test")
		if err := os.Chmod(home, 0o700); err != nil {
			t.Fatal(err)
		}
		signer, seed, err := identity.GenerateSigner(identity.Agent)
		if err != nil {
			t.Fatal(err)
		}
		key := filepath.Join(home, "agent.key")
		if err := agefile.Save(key, identity.Agent, seed, nil); err != nil {
			t.Fatal(err)
		}
		c.set(func() { c.members[signer.ID()] = &member{Signer: signer, name: "alice"} })
		store, err := contexts.Open(contexts.DefaultDir())
		if err != nil {
			t.Fatal(err)
		}
		err = store.Save("test", contexts.Context{
			Realm: c.realm.String(), Addresses: []string{c.nodes[0].at}, Pins: []string{c.nodes[0].ID().String()}, Key: key,
			Principal: signer.ID().String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		run := func(during func(a *sdk.Agent)) {
			a, err := sdk.Connect(t.Context(), sdk.Over(c.connect))
			if err != nil {
				t.Fatal(err)
			}
			during(a)
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		run(func(a *sdk.Agent) {
			c.grow(3)
			if err := sdk.Relearn(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		})
		pins, addresses := c.nodesOf(3)
		kept, err := store.Load("test")
		if err != nil || !slices.Equal(kept.Addresses, addresses) || len(kept.Pins) != 3 || kept.Seen.Roster != 1 {
			t.Fatalf("%+v %v", kept, err)
		}
		run(func(a *sdk.Agent) {
			if o := c.of(a).options; !slices.Equal(o.Pins, pins) || !slices.Equal(o.Addresses, addresses) {
				t.Errorf("began with %s at %q", o.Pins, o.Addresses)
			}
		})
		c.set(func() {
			for _, node := range c.nodes {
				node.roster = 0
			}
		})
		_, err = sdk.Connect(t.Context(), sdk.Over(c.connect))
		wantCode(t, err, "superseded")
	})
}

// Whatever addresses a node makes up, only those of nodes of the roster are taken, one of each, and only what has the
// form of an address.
func TestAddressesThatANodeMakesUp(t *testing.T) {
	for _, at := range []string{
		"", "b.example", ":7422", "b.example:0", "b.example:65536", "b.example:http", "nats://b.example:7422", "user@b.example:7422",
		"b example:7422", "b.example:7422/path", "b.example:7422,c.example:7422", "b\n.example:7422",
	} {
		clustered(t, 2, func(t *testing.T, c *cluster) {
			alice := c.agent("alice")
			c.set(func() { c.nodes[1].at = at })
			c.grow(2)
			if err := sdk.Relearn(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			addresses, pins, _ := c.of(alice).known()
			if len(pins) != 2 || !slices.Equal(addresses, []string{c.nodes[0].at}) {
				t.Errorf("%q: %s at %q", at, pins, addresses)
			}
			c.set(func() { c.nodes[1].at = "[::1]:7422" })
			if err := sdk.Relearn(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			c.wantKnown(alice, 2)
		})
	}
}
