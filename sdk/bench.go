package sdk

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Standing returns where this principal tells how others work, and sees where they stand.
func (a *Agent) Standing() standing.Box {
	return standing.By(bench{lent{a.link}, a}, func() standing.Known {
		return standing.Known{Signer: a.link.known.Signer, Realm: a.link.realm}
	})
}

// bench is what package standing uses of an agent.
type bench struct {
	lent
	agent *Agent
}

var _ standing.Registry = bench{}

// Who implements [standing.Registry].
func (n bench) Who(ctx context.Context, nameOrKey string) (standing.Party, error) {
	p, err := n.agent.Who(ctx, nameOrKey)
	return standing.Party(p), err
}

// Standing implements [standing.Registry].
func (n bench) Standing(ctx context.Context, id ID) (standing.View, error) {
	var s control.Account
	err := n.link.ask(ctx, control.OpStanding, control.Who{ID: id}, &s)
	if err == nil && s.ID != id {
		return standing.View{}, errForm
	}
	return standing.View(s), err
}

// maxPages bounds the pages of one list: a node that always has another one is not asked for ever.
const maxPages = 4096

// Ranking implements [standing.Registry].
func (n bench) Ranking(ctx context.Context) ([]standing.Rank, error) {
	var all []standing.Rank
	for range maxPages {
		var page control.Ranking
		if err := n.link.ask(ctx, control.OpRanking, control.Page{After: uint64(len(all))}, &page); err != nil {
			return nil, err
		}
		for _, one := range page.Ranks {
			all = append(all, standing.Rank(one))
		}
		if len(page.Ranks) == 0 || uint64(len(all)) >= page.All {
			break
		}
	}
	return all, nil
}

// OnChange implements [standing.Registry].
func (n bench) OnChange(fn func(standing.Change)) error { return n.agent.levels.add(fn) }

// why asks how the agent has come to its level; 0 where the node does not say.
func (n bench) why(to identity.Level) trust.Why {
	ctx, cancel := context.WithTimeout(n.link.crew.ctx, askTime)
	defer cancel()
	v, err := n.Standing(ctx, n.link.id())
	if turns := v.Account.Turns; err == nil && len(turns) > 0 && turns[len(turns)-1].To == to {
		return turns[len(turns)-1].Why
	}
	return 0
}

// Attesters implements [standing.Bench].
func (n bench) Attesters(ctx context.Context) (made, others []standing.Party, err error) {
	found, err := n.agent.circle.find(ctx, control.Find{Capability: trust.Attests})
	if err != nil {
		return nil, nil, err
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	for _, i := range found {
		t := i.ticket.Statement()
		p, list := standing.Party(vouchedPeer(t)), &others
		if slices.Contains(t.Serves, trust.Attests) {
			list = &made
		}
		if !slices.Contains(*list, p) && p.ID != n.link.id() {
			*list = append(*list, p)
		}
	}
	return made, others, nil
}

// Ask implements [standing.Bench].
func (n bench) Ask(ctx context.Context, attester ID, claim []byte) ([]byte, error) {
	return CallBytes(ctx, n.agent, To(attester.String(), trust.Attests), claim)
}

// Serve implements [standing.Bench].
func (n bench) Serve(fn func(ctx context.Context, from standing.Party, claim []byte) ([]byte, error)) error {
	card := discovery.Capability{Name: trust.Attests, Description: "checks outcomes and attests them"}
	return n.agent.service.handle(card, func(ctx context.Context, d *Delivery) ([]byte, error) {
		return fn(ctx, standing.Party(d.From), d.Content)
	}, nil)
}
