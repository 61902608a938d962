package registrar

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A peer that shows a false head has signed it: the first one is kept, and no honest one.
func TestAFalseHeadIsKeptOnce(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		w.at[0].agent("alice")
		judge, honest, liar := w.at[0], w.Nodes[1], w.Nodes[2]
		head, ok := judge.ledger.HeadAt(judge.Size())
		if !ok {
			t.Fatal("no head")
		}
		show := func(by identity.Signer, h audit.Head) (cosignAnswer, error) {
			t.Helper()
			raw, err := by.Cosign(w.Realm, h)
			if err != nil {
				t.Fatal(err)
			}
			return judge.heads.cosign(by.ID(), raw)
		}
		if a, err := show(honest, head); err != nil || len(a.Signed) == 0 || judge.evidence != nil {
			t.Fatalf("the honest head: %v, evidence %v", err, judge.evidence)
		}
		first := head
		first.Root = wire.Digest{1}
		if a, err := show(liar, first); err != nil || len(a.Signed) > 0 || len(a.Instead) == 0 {
			t.Errorf("a false head: %v", err)
		}
		kept := judge.evidence
		c, err := wire.ParseCosigned[audit.Head](kept[liar.ID().String()], wire.MaxStatement)
		if err != nil || c.Claim != first || len(kept) != 2 {
			t.Fatalf("kept: %v %v", err, kept)
		}
		judge.evidence = nil
		second := head
		second.Root = wire.Digest{2}
		if _, err := show(liar, second); err != nil || judge.evidence != nil {
			t.Errorf("again: %v, evidence %v", err, judge.evidence)
		}
	})
}
