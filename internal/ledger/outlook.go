package ledger

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Preview returns the opening that a proposal would have if the proposer made it now, and changes nothing. Its Proposal is
// zero, because nobody has signed anything. Errors: those that propose has, but for what is wrong with a signature.
func (l *Ledger) Preview(p consensus.Proposal) (consensus.Opening, error) {
	if err := p.Check(); err != nil {
		return consensus.Opening{}, err
	}
	l.mu.Lock() // what is too old to be summed up is forgotten on the way
	defer l.mu.Unlock()
	s := l.state
	m, err := s.member(p.Proposer)
	if err != nil {
		return consensus.Opening{}, err
	}
	if err := m.Status.Check(); err != nil {
		return consensus.Opening{}, err
	}
	o := &order{author: m}
	o.Author, o.leaf.Index = m.ID, s.tree.Size()+1
	if err := proposable(s, o, p); err != nil {
		return consensus.Opening{}, err
	}
	return openingOf(s, o, p, wire.Digest{})
}

// Revealing reports whether ballots on an open decision that were committed to may be revealed at now, Unix milliseconds.
func (l *Ledger) Revealing(id wire.Digest, now int64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d, open := l.state.open[id]
	if !open || d.Opening.Rule.Commit == 0 {
		return false
	}
	u, err := l.state.urnOf(d)
	if err != nil {
		return false
	}
	revealing, err := u.Revealing(u.Poll, now)
	return err == nil && revealing
}

// Calibration returns what the member's stated confidence is worth by its settled votes, in per mille: of a person 1000.
func (m Member) Calibration() uint64 { return calibrationOf(&m) }
