package sdk

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// liar is the only node of a realm: it has its own key and nobody else's, and records what it likes.
type liar struct {
	*ledgertest.World
	t      *testing.T
	worker identity.Signer
	intern identity.Signer // L1
}

// view makes the node record the opening and show it with the proposal, all properly signed by the node.
func (l liar) view(proposal []byte, o consensus.Opening) control.DecisionView {
	l.t.Helper()
	result, err := wire.Encode(o)
	if err != nil {
		l.t.Fatal(err)
	}
	leaf := audit.Leaf{Index: 1, Result: wire.Hash(result)}
	var tree merkle.Tree
	if err := tree.Append(leaf.Hash()); err != nil {
		l.t.Fatal(err)
	}
	claimed, err := wire.Parse[consensus.Proposal](proposal, wire.MaxStatement)
	if err != nil {
		l.t.Fatal(err)
	}
	m, err := l.Ledger.Member(claimed.Claim.Proposer)
	if err != nil {
		l.t.Fatal(err)
	}
	ticket, err := l.Ledger.Ticket(m.ID, l.Now)
	if err != nil {
		l.t.Fatal(err)
	}
	return control.DecisionView{
		ID: claimed.ID(l.Realm), Proposal: proposal, Opening: o, Opened: audit.Inclusion{Leaf: leaf},
		Head: l.Sign(audit.Head{
			Version: 1, Size: 1, Root: wire.Digest(tree.Root()), Time: l.Now, State: wire.Digest{1},
		}, l.Nodes...),
		Verdict:   consensus.Verdict{Proposal: claimed.ID(l.Realm), State: consensus.Open, At: l.Now},
		Principal: control.Principal{Ticket: l.Sign(ticket, l.Nodes...), Successions: m.Successions},
	}
}

// Voters are shown nothing that the proposer did not sign, and no opening that the policy does not give, whatever the
// node signs.
func TestForgedViewsAreNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(ledgertest.Start))) // of the bubble's clock
		w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
		l := liar{World: w, t: t}
		l.worker = w.Agent(w.Roots[0], "worker", identity.Journeyer)
		l.intern = w.Agent(w.Roots[1], "intern", identity.Observer)
		opening := w.Propose(l.worker, l.worker.ID(), "process.exec")
		d, err := w.Ledger.Decision(opening.Proposal)
		if err != nil {
			t.Fatal(err)
		}
		before := l.worker
		l.worker = w.Rotate(l.worker)
		known := lore{authority: w.Ledger.Authority()}
		known.govern([]policy.Policy{w.Policy})

		v, err := verifyView(l.view(d.Proposal, opening), known, time.Now().UnixMilli())
		if err != nil || v.Executor != l.worker.ID() || v.Proposer.ID != l.worker.ID() {
			t.Fatalf("an honest view, by the proposer's former key: %+v, %v", v, err)
		}
		for _, c := range []struct {
			name  string
			by    wire.Key
			forge func(o *consensus.Opening)
			want  fault.Code
		}{
			{"as it was", before.Key(), func(*consensus.Opening) {}, ""},
			{"signed by the node in the proposer's name", w.Nodes[0].Key(), func(o *consensus.Opening) {
				o.Key = w.Nodes[0].Public()
			}, fault.BadKey},
			{"signed by another agent", l.intern.Key(), func(o *consensus.Opening) { o.Key = l.intern.Public() }, fault.BadKey},
			{"another operator's agent", before.Key(), func(o *consensus.Opening) {
				o.Operator = w.Roots[2].ID() // so that its own operator may vote
				o.Voters = nil
				for _, root := range w.Roots[:2] {
					o.Voters = append(o.Voters, consensus.Voter{ID: root.ID(), Key: root.Public(), Operator: root.ID(), Weight: 1, Calibration: 1000})
				}
				slices.SortFunc(o.Voters, func(x, y consensus.Voter) int { return x.ID.Compare(y.ID) })
			}, fault.Misaddressed},
			{"decided alone", before.Key(), func(o *consensus.Opening) { o.Alone, o.Voters = true, nil }, fault.Denied},
			{"a voter that weighs more", before.Key(), func(o *consensus.Opening) {
				o.Voters = append([]consensus.Voter{}, o.Voters...)
				o.Voters[0].Weight = 9
			}, fault.Denied},
			{"a longer deadline", before.Key(), func(o *consensus.Opening) { o.Deadline++ }, fault.Denied},
		} {
			forged := opening
			c.forge(&forged)
			raw := w.SignAlone(w.Proposal(l.worker.ID(), l.worker.ID(), "process.exec"), c.by)
			claimed, err := wire.Parse[consensus.Proposal](raw, wire.MaxStatement)
			if err != nil {
				t.Fatal(err)
			}
			forged.Proposal, forged.Action = claimed.ID(w.Realm), claimed.Claim.Action.Digest()
			if c.name != "a longer deadline" {
				forged.Deadline = min(forged.Opened+forged.Rule.Deadline, claimed.Claim.Expires)
			}
			if _, err := verifyView(l.view(raw, forged), known, time.Now().UnixMilli()); fault.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, fault.CodeOf(err), c.want)
			}
		}
	})
}
