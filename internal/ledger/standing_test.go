package ledger_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestStandingSaysWhatIsMissing(t *testing.T) {
	s := standard(t)
	agent := s.Agent(s.a, "newcomer", identity.Observer)
	condition := func(name string) trust.Condition {
		t.Helper()
		next := scored(t, s.World, agent.ID()).Next
		i := slices.IndexFunc(next, func(c trust.Condition) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("no %s in %v", name, next)
		}
		return next[i]
	}
	if c := condition("outcomes"); c.Met || c.Have != 0 || c.Need != 30 {
		t.Errorf("%+v", c)
	}
	if c := condition("sign-off"); c.Met || c.Need != 2 {
		t.Errorf("%+v: an approval alone is proven by as many signatures as loosen", c)
	}
	s.works(t, agent.ID(), 8, true)
	if c := condition("outcomes"); !c.Met || c.Have != 32 {
		t.Errorf("%+v", c)
	}
	for _, c := range scored(t, s.World, agent.ID()).Next {
		if !c.Met && c.Name != "sign-off" {
			t.Errorf("not met: %+v", c)
		}
	}
	wantCode(t, s.SignOff(agent.ID(), identity.Apprentice, s.b, s.c), "")
}

func TestStanding(t *testing.T) {
	s := reckoned(t)
	child := scored(t, s.World, s.worker.ID()).Children[0]
	view := scored(t, s.World, child)
	if view.Parent == nil || *view.Parent != s.worker.ID() || view.Cap != identity.Observer || view.Operator != s.a.ID() || view.OperatorName == "" {
		t.Errorf("%+v", view)
	}
	if view := scored(t, s.World, s.auditor.ID()); view.Make == nil || *view.Make != wire.Hash([]byte("model 1")) || view.Cap != identity.Steward {
		t.Errorf("%+v", view)
	}
	if view := scored(t, s.World, s.worker.ID()); view.At != s.Now || view.Index != s.Ledger.Size() || view.Throttle != 400 ||
		view.Score != view.Scores[view.Class].Value || len(view.Account.Samples) == 0 || view.Blocked <= s.Now {
		t.Errorf("%+v", view)
	}
	for _, row := range []struct {
		name string
		id   identity.ID
		want fault.Code
	}{
		{"agent", s.worker.ID(), ""}, {"person", s.a.ID(), fault.Denied}, {"nobody", s.Signer(identity.Agent).ID(), fault.Unknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := s.Ledger.Standing(row.id)
			wantErr(t, err, row.want)
		})
	}
	b, err := json.Marshal(view)
	wantErr(t, err, "")
	var back map[string]any
	wantErr(t, json.Unmarshal(b, &back), "")
	for _, name := range []string{"id", "operator_name", "scores", "suspicion", "next", "account", "at"} {
		if _, ok := back[name]; !ok {
			t.Errorf("no %s in the JSON", name)
		}
	}
}

func TestRanking(t *testing.T) {
	s := standard(t)
	newcomer := s.Agent(s.c, "a-newcomer", identity.Observer)
	s.works(t, s.worker.ID(), 2, true)
	ranks, err := s.Ledger.Ranking()
	wantErr(t, err, "")
	var names []string
	for _, r := range ranks {
		names = append(names, r.Name)
		if view := scored(t, s.World, r.ID); view.Score != r.Score || view.Class != r.Class || view.Until != r.Until || view.Level != r.Level {
			t.Errorf("%+v, standing %+v", r, view)
		}
		if r.Belief+r.Disbelief+r.Uncertainty != 1000 {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(names, []string{"worker", "auditor", "reviewer", "a-newcomer"}) {
		t.Errorf("%v", names)
	}
	if ranks[3].ID != newcomer.ID() {
		t.Error("another newcomer")
	}
}

// Where agents have something to lose, somebody tells the time though nobody decides anything.
func TestNextReview(t *testing.T) {
	w := ledgertest.New(t, standardPolicy(t), 3, 1)
	newcomer := w.Agent(w.Roots[0], "newcomer", identity.Observer)
	if next := w.Ledger.NextReview(); next != 0 {
		t.Errorf("a newcomer has nothing to lose: %d", next)
	}
	alarm := w.Evidence(trust.Alarm, newcomer.ID(), w.Roots[1].ID())
	alarm.Value = 500
	wantCode(t, w.Tell(alarm, w.Roots[1]), "")
	first := w.Ledger.NextReview()
	if first <= w.Now {
		t.Errorf("review at %d, now %d", first, w.Now)
	}
	w.Tick(first - w.Now)
	if next := w.Ledger.NextReview(); next <= first {
		t.Errorf("after the review at %d the next is at %d", first, next)
	}
}
