package ledger_test

import (
	"bytes"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// A preview is the opening that the proposal then gets, and leaves no trace.
func TestAPreviewIsWhatComesOfIt(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	w.Agent(w.Roots[1], "reviewer", identity.Journeyer)
	for _, kind := range []string{"file.write", "process.exec", "payments.send"} {
		p := w.Proposal(worker.ID(), worker.ID(), kind)
		before, err := w.Ledger.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		o, err := w.Ledger.Preview(p)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		after, err := w.Ledger.Snapshot()
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: a preview changed the state: %v", kind, err)
		}
		opening, err := registry.Result[consensus.Opening](w.Hand(worker, p))
		if err != nil {
			t.Fatal(err)
		}
		o.Proposal, o.Opened, o.Deadline, o.Index = opening.Proposal, opening.Opened, opening.Deadline, opening.Index
		if o.Digest() != opening.Digest() {
			t.Errorf("%s: previewed %+v, opened %+v", kind, o.Action, opening.Action)
		}
	}
	for name, c := range map[string]struct {
		change func(p *consensus.Proposal)
		want   fault.Code
	}{
		"of nobody":      {func(p *consensus.Proposal) { p.Proposer = w.Signer(identity.Agent).ID() }, fault.Unknown},
		"malformed":      {func(p *consensus.Proposal) { p.Action.Kind = "" }, fault.Malformed},
		"an emergency":   {func(p *consensus.Proposal) { p.Emergency = true }, fault.Denied},
		"over":           {func(p *consensus.Proposal) { p.Issued, p.Expires = 1, 2 }, fault.Expired},
		"by an observer": {func(p *consensus.Proposal) { p.Proposer = w.Agent(w.Roots[2], "observer", identity.Observer).ID() }, fault.Denied},
	} {
		p := w.Proposal(worker.ID(), worker.ID(), "process.exec")
		c.change(&p)
		if o, err := w.Ledger.Preview(p); fault.CodeOf(err) != c.want {
			t.Errorf("%s: %+v, %v has code %q, want %q", name, o, err, fault.CodeOf(err), c.want)
		}
	}
}

func TestBallotsAreRevealedWhenAllWhoCanHaveCommitted(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Standard), 3, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	one, two := w.Agent(w.Roots[1], "one", identity.Journeyer), w.Agent(w.Roots[2], "two", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "process.exec")
	at := func(now int64) bool { return w.Ledger.Revealing(o.Proposal, now) }
	commit := func(s identity.Signer) {
		b := w.Ballot(s.ID(), o, consensus.Approve)
		if a := w.Commit(s, o, w.Seal(s, b)); a.Code != "" {
			t.Fatalf("%s: %s", a.Code, a.Message)
		}
	}
	if at(o.Opened) || at(o.CommitsUntil()-1) || !at(o.CommitsUntil()) {
		t.Error("with nobody's commitment: not when the time to commit is over, or before")
	}
	commit(one)
	if at(o.Opened) {
		t.Error("one of two has committed, and it may reveal")
	}
	commit(two)
	if !at(o.Opened) {
		t.Error("all have committed, and nobody may reveal")
	}
	snapshot, err := w.Ledger.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Ledger.Restore(snapshot); err != nil || !at(o.Opened) {
		t.Errorf("forgotten by a restore: %v", err)
	}
	if w.Ledger.Revealing(wire.Digest{1}, o.Opened) {
		t.Error("of a decision that nobody knows")
	}
	plain := w.Propose(worker, worker.ID(), "file.write")
	if w.Ledger.Revealing(plain.Proposal, plain.Deadline) {
		t.Error("of one that is decided alone")
	}
}
