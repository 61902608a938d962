package registrar

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// gatekeeper lets through what is not about vaults, from R2 on what is about money, and breaks on what is odd.
type gatekeeper struct{ asked []policy.Request }

func (g *gatekeeper) Judge(r policy.Request) (policy.Verdict, error) {
	g.asked = append(g.asked, r)
	switch r.Action.Target {
	case "vault":
		return policy.Verdict{Rules: []string{"no-vault"}}, nil
	case "money":
		return policy.Verdict{Pass: true, Least: consensus.R2, Rules: []string{"money"}}, nil
	case "odd":
		return policy.Verdict{Pass: true}, errors.New("broken")
	}
	return policy.Verdict{Pass: true}, nil
}

func (t *trail) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// propose hands in a proposal about a target, of a class at least.
func (w *world) propose(by identity.Signer, target string, least consensus.Class) (registry.Answer, error) {
	w.t.Helper()
	w.now()
	p := w.Proposal(by.ID(), by.ID(), "db.read")
	p.Action.Target, p.Class = target, least
	return w.submit(by, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, by.Key())})
}

func TestGate(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		agent := w.agent("worker")
		if _, err := w.propose(agent, "vault", 0); err != nil {
			t.Fatalf("without a gate: %v", err)
		}
		gate := &gatekeeper{}
		w.r.config.Gate = gate
		for _, c := range []struct {
			target string
			least  consensus.Class
			ok     bool
			hint   string
		}{
			{"garden", 0, true, ""},
			{"vault", 0, false, ""},
			{"vault", 3, false, ""},
			{"money", 0, false, "R2"},
			{"money", 1, false, "R2"},
			{"money", 2, true, ""},
			{"money", 3, true, ""},
			{"odd", 3, false, ""},
		} {
			before, noted := w.r.ledger.Size(), w.trail.count()
			_, err := w.propose(agent, c.target, c.least)
			if (err == nil) != c.ok || (err != nil && !errors.Is(err, policy.ErrGate)) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("%s at least %s: %v, hint %q", c.target, c.least, err, fault.HintOf(err))
			}
			if !c.ok && (w.r.ledger.Size() != before || w.trail.count() == noted) {
				t.Errorf("%s at least %s: in the log, or not in the trail", c.target, c.least)
			}
		}
		last := gate.asked[len(gate.asked)-1]
		if last.Proposer != agent.ID() || last.Name != "worker" || last.Operator != w.Roots[0].ID() || last.Level != identity.Journeyer ||
			last.Class != consensus.R3 || last.Action.Kind != "db.read" || last.Emergency || last.Permit {
			t.Errorf("asked about %+v", last)
		}
		asked := len(gate.asked)
		w.must(agent, registry.TypeEpoch, registry.RaiseEpoch{Principal: agent.ID(), Epoch: uint64(w.now())})
		if len(gate.asked) != asked {
			t.Error("the gate is asked about what is no proposal")
		}
	})
}

// A person proposes under its own name, and who is nobody here is refused before the gate is asked.
func TestGateKnowsWhoAsks(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		gate := &gatekeeper{}
		w.r.config.Gate = gate
		if _, err := w.propose(w.Roots[0], "garden", 0); err != nil {
			t.Fatal(err)
		}
		if last := gate.asked[0]; last.Proposer != w.Roots[0].ID() || last.Operator != w.Roots[0].ID() || last.Score != nil {
			t.Errorf("asked about %+v", last)
		}
		if _, err := w.propose(w.Signer(identity.Agent), "garden", 0); err == nil || len(gate.asked) != 1 {
			t.Errorf("a stranger: %v, asked %d times", err, len(gate.asked))
		}
	})
}

// What another node forwards to the one that leads is judged there too.
func TestGateOfForwarded(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		agent := w.agent("worker")
		entry := func(target string) []byte {
			w.now()
			p := w.Proposal(agent.ID(), agent.ID(), "db.read")
			p.Action.Target = target
			command := w.Sign(w.Command(agent.ID(), registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, agent.Key())}), agent)
			raw, err := wire.Encode(entryOf(nil, command))
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		if err := w.r.Forwarded(w.Nodes[0].ID(), entry("vault")); err != nil {
			t.Fatalf("without a gate: %v", err)
		}
		w.r.config.Gate = &gatekeeper{}
		if err := w.r.Forwarded(w.Nodes[0].ID(), entry("garden")); err != nil {
			t.Errorf("honest: %v", err)
		}
		if err := w.r.Forwarded(w.Nodes[0].ID(), entry("vault")); !errors.Is(err, policy.ErrGate) {
			t.Errorf("refused by the gate: %v", err)
		}
	})
}

// A dry run says what the gate would say, and opens nothing.
func TestGateOfDryRun(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		agent := w.agent("worker")
		dry := func(target string, least consensus.Class) error {
			w.now()
			p := w.Proposal(agent.ID(), agent.ID(), "db.read")
			p.Action.Target, p.Class = target, least
			body, err := wire.Encode(control.DryRun{Proposal: p})
			if err != nil {
				t.Fatal(err)
			}
			_, err = desk{w.r}.onDryRun(t.Context(), control.Caller{Principal: agent.ID()}, body)
			return err
		}
		if err := dry("vault", 0); err != nil {
			t.Fatalf("without a gate: %v", err)
		}
		w.r.config.Gate = &gatekeeper{}
		if err := dry("money", consensus.R2); err != nil {
			t.Errorf("honest: %v", err)
		}
		for _, target := range []string{"vault", "money", "odd"} {
			if err := dry(target, 0); !errors.Is(err, policy.ErrGate) {
				t.Errorf("%s: %v", target, err)
			}
		}
		if d := w.r.ledger.Decisions(); len(d) > 0 {
			t.Errorf("%d decisions", len(d))
		}
	})
}
