package sdk

import (
	"context"
	"iter"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// Query says what to discover. The zero Query is everybody who is there.
type Query struct {
	Capability string // one capability's name
	Agent      string // one agent's name or nkey
	MinLevel   Level
}

// Found is one live process, verified: its ticket by a majority of nodes, its card by its agent, its presence by itself.
type Found struct {
	Peer         Peer                   `json:"agent"`
	Process      Digest                 `json:"process"`
	Capabilities []discovery.Capability `json:"capabilities"` // of the card, as far as the process serves them
	Topics       []string               `json:"topics,omitempty"`
}

// Discover yields the live processes that match; those that do not verify are left out. The order is arbitrary.
func (a *Agent) Discover(ctx context.Context, q Query) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		found, err := discover(ctx, a.circle, q)
		if err != nil {
			yield(Found{}, err)
			return
		}
		for _, f := range found {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func discover(ctx context.Context, among *acquaintances, q Query) ([]Found, error) {
	f := control.Find{Capability: q.Capability}
	if q.Agent != "" {
		w, err := whoOf(q.Agent)
		if err != nil {
			return nil, err
		}
		f.ID, f.Name = w.ID, w.Name
	}
	list, err := among.find(ctx, f)
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, i := range list {
		t := i.ticket.Statement()
		if t.Level < q.MinLevel || t.Principal.Role() != identity.Agent {
			continue
		}
		out := Found{
			Peer:    Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()},
			Process: i.credential.ID(), Topics: i.presence.Statement().Topics,
		}
		if !i.card.IsZero() {
			for _, c := range i.card.Statement().Capabilities {
				if contains(i.presence.Statement().Serves, c.Name) {
					out.Capabilities = append(out.Capabilities, c)
				}
			}
		}
		found = append(found, out)
	}
	return found, nil
}
