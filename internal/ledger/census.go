package ledger

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Kind is what principals are counted by.
type Kind struct {
	Role   identity.Role
	Status trust.Status
}

// Census is how many there are of what the ledger keeps.
type Census struct {
	Commands   uint64 // applied
	Principals map[Kind]int
	Decisions  map[consensus.State]int
}

// Census counts, without copying what it counts.
func (l *Ledger) Census() Census {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := Census{
		Commands: l.state.tree.Size(), Principals: map[Kind]int{}, Decisions: map[consensus.State]int{},
	}
	for _, m := range l.state.members {
		c.Principals[Kind{m.ID.Role(), m.Status}]++
	}
	for _, d := range l.state.decisions {
		c.Decisions[d.Verdict.State]++
	}
	return c
}
