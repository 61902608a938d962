package ledger

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

var (
	errAboveParent = fault.New(fault.Denied, "ledger: a child stays below its parent's level").
			WithHint("raise the parent first, or enrol the agent anew without a parent")
	errStep = fault.New(fault.Denied, "ledger: a promotion goes one level up, or renews the lease of the level that the agent has").
		WithHint("appoint it where it is to skip a level: conclave trust level")
)

// promote lets an agent climb one level that it has earned, or keeps it on its level for another lease. People sign that;
// whether it is earned is reckoned here.
func promote(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.SetLevel](o.Command)
	if err != nil {
		return nil, err
	}
	m, err := targetOf(s, o, body.Principal, body.Reason)
	if err != nil {
		return nil, err
	}
	if m.ID.Role() != identity.Agent {
		return nil, fmt.Errorf("%w: only agents have levels", ErrDenied)
	}
	if err := body.Level.Check(); err != nil {
		return nil, err
	}
	if err := m.Status.Check(); err != nil {
		return nil, err
	}
	if err := s.reckoner.ripe(m, body.Level); err != nil {
		return nil, err
	}
	if err := s.signedOff(o, m, body.Level); err != nil {
		return nil, err
	}
	from, why := m.Level, trust.Renewed
	if body.Level > from {
		why = trust.Earned
		s.noteLevel(m, o, body.Level)
		s.noteBefore(m, uint64(len(o.signers)), body.Level)
		if s.loosen(o) == nil { // only then it proves the level to who knows no score
			m.Raised = append(m.Raised[:len(m.Raised):len(m.Raised)], Signed{o.raw, o.leaf.Index})
		}
	}
	m.Level, m.Reason = body.Level, body.Reason
	s.reckoner.moved(m, o, from, why)
	return s.touch(m, o), nil
}

// ripe refuses promotions that the agent has not earned.
func (r *reckoner) ripe(m *Member, to identity.Level) error {
	now := r.state.now
	switch to {
	case m.Level:
		if err := r.book.Renewable(m.ID, to, now); err != nil {
			return err
		}
		if account, _ := r.book.Account(m.ID); account.Climb.Blocked > now {
			return fmt.Errorf("%w: dwell after the last demotion", trust.ErrUnripe)
		}
		return nil
	case m.Level + 1:
		if most := r.state.ceiling(m); to > most {
			return fmt.Errorf("%w: at most %s", errAboveParent, most)
		}
		return r.book.Promotable(m.ID, m.Level, r.state.ceiling(m)+1, now)
	}
	return fmt.Errorf("%w: from %s to %s", errStep, m.Level, to)
}

// signedOff refuses promotions that too few people have signed, or too few who are not the agent's own.
func (s *state) signedOff(o *order, m *Member, to identity.Level) error {
	people, foreign := s.signOff(to)
	have := uint64(len(o.signers))
	if have < people {
		return fmt.Errorf("%w: %d of %d", ErrQuorum, have, people)
	}
	if o.signers[m.Operator] {
		have--
	}
	if have < foreign {
		return fmt.Errorf("%w: %d of %d, without its own operator, who does not count for its own agents", ErrQuorum, have, foreign)
	}
	return nil
}

// signOff returns how many operators sign for a level, and how many of them are not the agent's own. Where the level votes or
// decides anything alone, certificates prove it by signatures, and nothing else: so these are as many as loosen, at least. As many
// bring back who was silenced, or its operator could undo alone what another has done.
func (s *state) signOff(to identity.Level) (people, foreign uint64) {
	ladder := s.policy.Ladder()
	if to < 1 || int(to) > len(ladder) {
		return s.policy.Loosen, 0
	}
	rung := ladder[to-1]
	people, foreign = max(rung.People, 1), rung.Foreign
	if to == identity.Observer || s.policy.Rights(to).Weight > 0 || s.policy.Alone(to, 0) {
		people = max(people, s.policy.Loosen)
	}
	return people, foreign
}

var errOwes = fault.New(fault.Denied, "ledger: the operator owes for violations of its agents").
	WithHint("make the token with --level L1, and let the agent climb; or have people pardon what is owed")

// owesNothing refuses to let an agent begin above the lowest level whose operator owes for as much as a violation weighs: else who was
// lowered would come back under another name.
func (s *state) owesNothing(t identity.Token) error {
	if s.reckoner == nil || t.Level <= identity.Observer {
		return nil
	}
	if owed := s.reckoner.book.Debt(t.Operator, s.now); owed >= s.policy.Params().Severities[0] {
		return fmt.Errorf("%w: %d micro-units", errOwes, owed)
	}
	return nil
}

// begettable refuses tokens of agents whose parent cannot have such a child: it must be an active agent of the same operator,
// and of a higher level.
func begettable(s *state, t identity.Token) error {
	if t.Parent == nil {
		return nil
	}
	parent, err := s.member(*t.Parent)
	if err != nil {
		return fmt.Errorf("token's parent: %w", err)
	}
	if err := parent.Status.Check(); err != nil {
		return fmt.Errorf("token's parent: %w", err)
	}
	if parent.Operator != t.Operator {
		return fmt.Errorf("%w: the token's parent is another operator's agent", ErrDenied)
	}
	if t.Level >= parent.Level {
		return fmt.Errorf("%w: its parent %s is %s", errAboveParent, parent.Name, parent.Level)
	}
	return nil
}

// ceiling returns the greatest level that an agent may have: of a child, one below its parent's; nothing below one that is
// not active.
func (s *state) ceiling(m *Member) identity.Level {
	if m.Parent.IsZero() {
		return identity.Steward
	}
	parent := s.members[m.Parent]
	if parent == nil || parent.Status != trust.Active || parent.Level == identity.Quarantined {
		return identity.Quarantined
	}
	return parent.Level - 1
}

// loss is a level that an agent is about to lose.
type loss struct {
	member *Member
	to     identity.Level
	why    trust.Why
}

// losses returns the loss of a level, and those that its children have by it.
func (r *reckoner) losses(m *Member, to identity.Level, why trust.Why) []loss {
	if to >= m.Level {
		return nil
	}
	list := []loss{{m, to, why}}
	for i := 0; i < len(list); i++ {
		most := list[i].to - min(list[i].to, 1)
		for _, id := range r.children[list[i].member.ID] {
			if child := r.state.members[id]; child.Level > most {
				list = append(list, loss{child, most, trust.Inherited})
			}
		}
	}
	return list
}

// take takes the levels away. Signers is how many operators answer for it, see noteBefore. It returns who has lost one; whoever
// calls it passes them to tellFallen once the order's result is known.
func (r *reckoner) take(o *order, signers uint64, losses []loss) []*Member {
	var fallen []*Member
	for _, l := range losses {
		from := l.member.Level
		r.state.noteBefore(l.member, signers, l.to)
		l.member.Level, l.member.Reason = l.to, l.why.String()
		r.moved(l.member, o, from, l.why)
		fallen = append(fallen, l.member)
	}
	return fallen
}

// moved notes in the book that an agent's level is another now, or its lease.
func (r *reckoner) moved(m *Member, o *order, from identity.Level, why trust.Why) {
	r.book.Moved(m.ID, trust.Turn{At: r.state.now, Index: o.leaf.Index, From: from, To: m.Level, Why: why})
}

// tellFallen notes that members have changed by an order, and takes the votes from those who have none any more. Result is the
// order's.
func (s *state) tellFallen(o *order, fallen []*Member, result any) {
	for _, m := range fallen {
		s.touch(m, o)
		s.withdraw(o, m, result)
	}
}

// consequences takes from an agent what an event costs it at once. What few operators have brought about leaves the agent in
// electorates for a while, silenced, as a lowering by few does.
func (r *reckoner) consequences(o *order, m *Member, e trust.Event) []*Member {
	s, signers := r.state, uint64(len(o.signers))
	if e.Act == trust.Violation {
		if e.Severity >= gravest && m.Status == trust.Active {
			m.Status, m.StatusAt, m.StatusSigners = trust.Quarantined, s.now, signers
			m.Reason = trust.Violated.String()
		}
		fallen := r.take(o, signers, r.losses(m, trust.Penalty(e.Severity, m.Level), trust.Violated))
		switch {
		case len(fallen) > 0:
			return fallen
		case m.Status != trust.Active:
			return []*Member{m}
		}
	}
	to, why, falls := r.book.Judge(m.ID, m.Level, s.now)
	if !falls {
		return nil
	}
	return r.take(o, signers, r.losses(m, to, why))
}

// pulled takes from a member's children what they may not keep, after its level or status has changed.
func (s *state) pulled(o *order, m *Member) []*Member {
	if s.reckoner == nil {
		return nil
	}
	return s.reckoner.pull(o, m, uint64(len(o.signers)))
}

func (r *reckoner) pull(o *order, m *Member, signers uint64) []*Member {
	var fallen []*Member
	for _, id := range r.children[m.ID] {
		child := r.state.members[id]
		fallen = append(fallen, r.take(o, signers, r.losses(child, r.state.ceiling(child), trust.Inherited))...)
	}
	return fallen
}

// remade takes from an agent what a change of what it is made of costs, model, prompt or tools, and from its children what is
// left above it. Its operator's new key costs it nothing: the old key has signed it.
func (r *reckoner) remade(o *order, m *Member) []*Member {
	signers := uint64(len(o.signers))
	var fallen []*Member
	if to := trust.Remade(m.Level); to < m.Level {
		fallen = r.take(o, signers, []loss{{m, to, trust.Changed}})
	}
	return append(fallen, r.pull(o, m, signers)...)
}

// review looks, at a tick, at every agent's standing: who is below its floor for too long or has a lease that is over falls.
// Each fall leaves a leaf with what the agent is like then, so that it can be shown. Before is when it last looked.
func (r *reckoner) review(o *order, before int64) {
	s := r.state
	r.forget()
	for _, id := range r.agents {
		m := s.members[id]
		if to, why, falls := r.book.Judge(id, m.Level, s.now); falls {
			for _, l := range r.losses(m, to, why) {
				o.leaf = audit.Leaf{Index: s.tree.Size() + 1, Command: o.id}
				fallen := r.take(o, wire.MaxCosigners, []loss{l})
				change := l.member.change()
				s.tellFallen(o, fallen, change)
				s.record(o.id, change, nil)
			}
		}
		r.throttle(m)
	}
	if s.now/day != before/day {
		r.book.Sample(s.now, func(id identity.ID) identity.Level { return s.members[id].Level })
	}
}

const day = 24 * 60 * 60 * 1000 // ms

// throttleStep is by how much, per mille, what suspicion takes away of a rate changes at once: connections do not follow every
// tick.
const throttleStep = 100

// throttle notes how much of its rate suspicion takes away from an agent now.
func (r *reckoner) throttle(m *Member) {
	if step := r.throttled(m); step != m.Throttle {
		m.Throttle = step
		r.state.change.Members = append(r.state.change.Members, m.ID)
	}
}

func (r *reckoner) throttled(m *Member) uint64 {
	return min(r.book.Suspicion(m.ID, r.state.now), 1000) / throttleStep * throttleStep
}

// suspected reports whether a member is under so much suspicion that it does not vote.
func (s *state) suspected(m *Member) bool {
	return s.reckoner != nil && m.ID.Role() == identity.Agent &&
		s.reckoner.book.Suspicion(m.ID, s.now) > s.policy.Params().Suspect
}
