package node

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// remain has the root and the nodes sign a roster of none but these, and waits until it rules at the first of them.
func (r *trio) remain(at *Node, left ...*Node) {
	r.t.Helper()
	a := at.registrar.Authority()
	next := identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots,
		Threshold: a.Threshold,
	}
	for _, id := range a.Nodes {
		for _, n := range left {
			if n.ID() == id {
				next.Nodes = append(next.Nodes, id)
			}
		}
	}
	raw, err := r.operator.Cosign(at.Realm(), next)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, n := range r.nodes {
		if raw, err = identity.AddTo[identity.Roster](n.contents.signer, n.Realm(), raw); err != nil {
			r.t.Fatal(err)
		}
	}
	answer := submit(r.t, at, at.contents.signer, byte(200+next.Number), registry.TypeRoster, registry.PutRoster{Roster: raw})
	if err := answer.Err(); err != nil {
		r.t.Fatal(err)
	}
	until(r.t, "the new roster rules", func() bool { return left[0].registrar.Authority().Number == next.Number })
}

// TestThreeShrinkToOne removes two nodes at once, in turn with the one that stays leading and with another one leading.
// The links must last until the log has let them go.
func TestThreeShrinkToOne(t *testing.T) {
	for name, stays := range map[string]bool{"the leader stays": true, "the leader goes": false} {
		t.Run(name, func(t *testing.T) {
			r := grown(t)
			leader := r.leader()
			last := leader
			for _, n := range r.nodes {
				if !stays && n != leader {
					last = n
				}
			}
			r.remain(last, last)
			until(t, "it is the log's only server", func() bool { return len(last.log.Servers()) == 1 && last.log.Leads() })
			if err := r.add(last, 40, "after").Err(); err != nil {
				t.Fatal(err)
			}
			for _, n := range r.nodes {
				if n != last {
					until(t, "a removed node serves nobody", func() bool { return fault.CodeOf(n.registrar.Ready()) == fault.Unreachable })
					until(t, "its links are cut", func() bool {
						_, err := n.cluster.Call(t.Context(), last.ID(), opBarrier, nil)
						return fault.CodeOf(err) == fault.Denied
					})
				}
			}
			r.nodes = []*Node{last}
			r.join("d")
			r.join("e")
			r.settled()
		})
	}
}

// TestTwoShrinkToOne removes the node that leads of two: neither has a majority without the other.
func TestTwoShrinkToOne(t *testing.T) {
	r := grown(t)
	leader := r.leader()
	var rest []*Node
	for _, n := range r.nodes {
		if n != leader {
			rest = append(rest, n)
		}
	}
	r.remain(leader, leader, rest[0])
	until(t, "two servers", func() bool { return len(leader.log.Servers()) == 2 && leader.log.Leads() })
	last := rest[0]
	r.remain(last, last)
	until(t, "it is the log's only server", func() bool { return len(last.log.Servers()) == 1 && last.log.Leads() })
	if err := r.add(last, 41, "after").Err(); err != nil {
		t.Fatal(err)
	}
}
