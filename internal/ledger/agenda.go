package ledger

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// moment is when an open decision is counted though nobody votes: the time to commit is over, the time to reveal, or the
// deadline.
type moment struct {
	at    int64 // log time, Unix milliseconds
	index uint64
	id    wire.Digest
}

func (m moment) compare(n moment) int {
	return cmp.Or(cmp.Compare(m.at, n.at), cmp.Compare(m.index, n.index), bytes.Compare(m.id[:], n.id[:]))
}

// momentsOf returns the moments of an open decision after a log time: the deadline is always one, for it ends the decision.
func momentsOf(d *Decision, after int64) []moment {
	o := d.Opening
	list := []moment{{o.Deadline, o.Index, d.ID}}
	if o.Rule.Commit == 0 {
		return list
	}
	for _, at := range []int64{o.CommitsUntil(), o.RevealsUntil()} {
		if after < at && at < o.Deadline {
			list = append(list, moment{at, o.Index, d.ID})
		}
	}
	return list
}

// agenda holds moments, the earliest first.
type agenda []moment

func (a *agenda) add(m moment) {
	i, found := slices.BinarySearchFunc(*a, m, moment.compare)
	if !found {
		*a = slices.Insert(*a, i, m)
	}
}

func (a *agenda) remove(m moment) {
	if i, found := slices.BinarySearchFunc(*a, m, moment.compare); found {
		*a = slices.Delete(*a, i, i+1)
	}
}

// next takes out the earliest moment that log time has reached.
func (a *agenda) next(now int64) (moment, bool) {
	if len(*a) == 0 || (*a)[0].at > now {
		return moment{}, false
	}
	m := (*a)[0]
	*a = (*a)[1:]
	return m, true
}

// countDue counts, at a tick, the decisions whose moment has come, and ends those that it decides. Each that is approved by it gets a leaf of its own, with its
// verdict, so that a certificate can show it; all others share the leaf of the tick.
func (s *state) countDue(o *order, tick registry.Tick) {
	var silent []*Decision
	for m, ok := s.due.next(s.now); ok; m, ok = s.due.next(s.now) {
		d, open := s.open[m.id]
		if !open {
			continue
		}
		switch state := s.stateAt(d); state {
		case consensus.Open:
			s.change.Decisions = append(s.change.Decisions, d.ID) // from now on its ballots may be revealed
		case consensus.Approved:
			s.conclude(d, state)
			o.leaf = audit.Leaf{Index: s.tree.Size() + 1, Command: o.id}
			d.Decided = leafOf(o, d.Verdict)
			s.record(o.id, d.Verdict, nil)
			s.change.Decisions = append(s.change.Decisions, d.ID)
		default:
			s.conclude(d, state)
			silent = append(silent, d)
		}
	}
	if len(silent) == 0 {
		return
	}
	o.leaf = audit.Leaf{Index: s.tree.Size() + 1, Command: o.id}
	for _, d := range silent {
		d.Decided = leafOf(o, tick)
		s.change.Decisions = append(s.change.Decisions, d.ID)
	}
	s.record(o.id, tick, nil)
}

// stateAt returns where an open decision stands at log time: at its deadline silence has rejected it.
func (s *state) stateAt(d *Decision) consensus.State {
	if d.Opening.Deadline <= s.now {
		return consensus.Expired
	}
	if len(d.Ballots)+len(d.Commitments) == 0 {
		return counted(consensus.Tally(d.Opening, consensus.Poll{Void: d.Void}, s.now))
	}
	u, err := s.urnOf(d)
	if err != nil {
		return consensus.Open
	}
	d.urn = &u
	return counted(u.Tally(u.Poll, s.now))
}

// counted returns what a tally said. It cannot fail: the electorate was checked at the opening, the ballots when they came.
func counted(state consensus.State, err error) consensus.State {
	if err != nil {
		return consensus.Open
	}
	return state
}

// openDecisions returns the undecided in order of opening.
func (s *state) openDecisions() []*Decision {
	list := make([]*Decision, 0, len(s.open))
	for _, d := range s.open {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *Decision) int { return cmp.Compare(a.Opening.Index, b.Opening.Index) })
	return list
}

// NextDeadline returns the earliest log time at which a tick counts or ends an open decision, or 0 if none is open.
func (l *Ledger) NextDeadline() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.state.due) == 0 {
		return 0
	}
	return l.state.due[0].at
}
