package registrar

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What one answer holds at most: it must fit one message.
const (
	maxRanked   = 200 // lines
	maxChildren = 512 // of one agent
)

// onStanding tells where an agent stands. Every member may ask: what moves an agent's rights is nobody's secret.
func (r desk) onStanding(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Who](body)
	if err != nil {
		return nil, err
	}
	s, err := fresh(ctx, r.Registrar, func() (ledger.Standing, error) {
		id := in.ID
		if id.IsZero() {
			m, err := r.ledger.Named(in.Name)
			if err != nil {
				return ledger.Standing{}, err
			}
			id = m.ID
		}
		return r.ledger.Standing(id)
	})
	if err != nil {
		return nil, err
	}
	s.Children = s.Children[:min(len(s.Children), maxChildren)]
	return control.Account(s), nil
}

// onRanking lists the agents, as many as one answer takes.
func (r desk) onRanking(_ context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Page](body)
	if err != nil {
		return nil, err
	}
	all, err := r.ledger.Ranking()
	if err != nil {
		return nil, err
	}
	out := control.Ranking{All: uint64(len(all)), At: r.ledger.Now()}
	first := min(in.After, out.All)
	for _, one := range all[first:min(first+maxRanked, out.All)] {
		out.Ranks = append(out.Ranks, control.Rank(one))
	}
	return out, nil
}
