package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// reckoner counts evidence and takes levels away by it. A state has one from feature level 4 on.
type reckoner struct {
	state    *state
	book     *trust.Book
	agents   []identity.ID                 // that have an account, sorted
	children map[identity.ID][]identity.ID // by parent, sorted
	counted  map[wire.Digest]testimony     // by statement
	asked    map[wire.Digest]bool          // the requests among them
	load     map[identity.ID]int           // how many of them, by the author's operator
	stored   []record                      // accounts and operators of a snapshot that is being read
}

// testimony is a statement that must not be counted again.
type testimony struct {
	ID       wire.Digest `cbor:"1,keyasint"`
	Asked    wire.Digest `cbor:"2,keyasint,omitzero"` // of an outcome: its author's request
	Operator identity.ID `cbor:"3,keyasint"`          // of its author
	Until    int64       `cbor:"4,keyasint"`          // log time at which it is forgotten
}

// maxCounted bounds the statements by one operator and its agents that are remembered: a day's.
const maxCounted = 1 << 16

var (
	errManyCounted = fault.New(fault.Rate, "ledger: too much evidence of this operator and its agents today").
			WithHint("wait until what was counted has expired, or report fewer requests")
	errTooNew = fault.New(fault.Malformed, "ledger: not spoken before feature level 4").
			WithHint("update all nodes' programs, then try again: conclave doctor shows which are older")
)

func newReckoner(s *state) *reckoner {
	return &reckoner{
		state: s, book: trust.NewBook(s.policy.Params(), s.policy.Ladder()), children: map[identity.ID][]identity.ID{},
		counted: map[wire.Digest]testimony{}, asked: map[wire.Digest]bool{}, load: map[identity.ID]int{},
	}
}

// open opens an account for every agent that there is.
func (r *reckoner) open() {
	for _, id := range sortedKeys(r.state.members, identity.ID.Compare) {
		if m := r.state.members[id]; id.Role() == identity.Agent {
			r.enter(m)
		}
	}
}

// enter opens an agent's account and makes it its parent's child.
func (r *reckoner) enter(m *Member) {
	r.book.Open(m.ID, m.Operator, m.Level, r.state.now)
	r.know(m)
}

// know adds an agent to those that have an account.
func (r *reckoner) know(m *Member) {
	r.agents = inserted(r.agents, m.ID)
	if !m.Parent.IsZero() {
		r.children[m.Parent] = inserted(r.children[m.Parent], m.ID)
	}
}

func inserted(list []identity.ID, id identity.ID) []identity.ID {
	i, found := slices.BinarySearchFunc(list, id, identity.ID.Compare)
	if found {
		return list
	}
	return slices.Insert(list, i, id)
}

// tell counts a statement about an agent, once, if those who make it may. The result is what it changed.
func tell(s *state, o *order) (any, error) { return s.reckoner.tell(o) }

func (r *reckoner) tell(o *order) (any, error) {
	v, err := r.told(o)
	if err != nil {
		return nil, err
	}
	e, s := v.Statement(), r.state
	entry, err := r.fresh(e, v.ID())
	if err != nil {
		return nil, err
	}
	event, err := r.event(o, e, v.ID())
	if err != nil {
		return nil, err
	}
	r.remember(entry)
	m := s.members[e.Subject]
	effect := r.book.Apply(event, s.now)
	fallen := r.consequences(o, m, event)
	effect.Level = m.Level
	r.throttle(m)
	s.tellFallen(o, fallen, effect)
	return effect, nil
}

// mayTell refuses evidence that Apply could only refuse, or has counted: everybody who holds it may hand it in.
func mayTell(s *state, o *order) error {
	if err := s.speaks(o.Type, registry.TrustFeature); err != nil {
		return err
	}
	v, err := s.reckoner.told(o)
	if errors.Is(err, identity.ErrNotYet) {
		return nil // log time may lag
	}
	if err != nil {
		return err
	}
	_, err = s.reckoner.fresh(v.Statement(), v.ID())
	return err
}

// told reads the statement that an order hands in, and checks its time and signatures.
func (r *reckoner) told(o *order) (none wire.Verified[trust.Evidence], err error) {
	body, err := registry.Body[registry.Evidence](o.Command)
	if err != nil {
		return none, err
	}
	claimed, err := wire.ParseCosigned[trust.Evidence](body.Statement, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	author, err := r.state.member(claimed.Claim.Author)
	if err != nil {
		return none, fmt.Errorf("evidence's author: %w", err)
	}
	var attester wire.PublicKey
	if claimed.Claim.Act == trust.Outcome {
		m, err := r.state.member(claimed.Claim.Attester)
		if err != nil {
			return none, fmt.Errorf("evidence's attester: %w", err)
		}
		attester = m.Key
	}
	return trust.VerifyEvidence(body.Statement, r.state.authority.Realm, author.Key, attester, r.state.now)
}

// fresh returns the entry under which a statement will be remembered, and refuses what was counted before. A request is
// remembered for as long as evidence can live, whatever the life of the statement: one that is told again after a minute's
// life is the same request.
func (r *reckoner) fresh(e trust.Evidence, id wire.Digest) (testimony, error) {
	entry := testimony{ID: id, Operator: r.state.operatorOf(e.Author), Until: e.Expires + identity.Skew}
	if _, before := r.counted[id]; before {
		return entry, trust.ErrCounted
	}
	if asked, ok := e.Asked(); ok {
		if r.asked[asked] {
			return entry, fmt.Errorf("%w: what came of this request", trust.ErrCounted)
		}
		entry.Asked, entry.Until = asked, max(entry.Until, r.state.now+trust.MaxEvidenceLife)
	}
	if r.load[entry.Operator] >= maxCounted {
		return entry, fmt.Errorf("%w: %d", errManyCounted, maxCounted)
	}
	return entry, nil
}

func (r *reckoner) remember(c testimony) {
	r.counted[c.ID] = c
	if !c.Asked.IsZero() {
		r.asked[c.Asked] = true
	}
	r.load[c.Operator]++
}

// forget forgets statements that nobody can hand in any more.
func (r *reckoner) forget() {
	for id, c := range r.counted {
		if c.Until > r.state.now {
			continue
		}
		delete(r.counted, id)
		delete(r.asked, c.Asked)
		if r.load[c.Operator]--; r.load[c.Operator] == 0 {
			delete(r.load, c.Operator)
		}
	}
}

// event returns what the book counts, and refuses it by whoever may not say it.
func (r *reckoner) event(o *order, e trust.Evidence, id wire.Digest) (trust.Event, error) {
	s := r.state
	m, err := s.member(e.Subject)
	if err != nil {
		return trust.Event{}, fmt.Errorf("evidence's subject: %w", err)
	}
	var attester trust.Party
	author := r.party(e.Author)
	if e.Act == trust.Outcome {
		attester = r.party(e.Attester)
	}
	if err := e.Admit(r.subject(m), author, attester, r.solo()); err != nil {
		return trust.Event{}, err
	}
	if err := r.signed(o, e, m); err != nil {
		return trust.Event{}, err
	}
	by := author
	if e.Act == trust.Outcome {
		by = attester
	}
	event := trust.Event{
		Act: e.Act, Subject: e.Subject, By: by.ID, Operator: by.Operator, OK: e.OK, Value: e.Value, Severity: uint8(e.Severity),
		Amount: e.Amount, Statement: id, Index: o.leaf.Index,
		Rooted: by.ID.Role() == identity.Operator || (e.Act == trust.Outcome && by.Attests),
	}
	if class, known := s.policy.Base(e.Action); known {
		event.Class = uint8(class) // of what the policy does not know, class 0: nobody buys trust by an unknown name
	}
	return event, nil
}

// signed refuses what as many operators as loosen must sign: the gravest violations, which silence an agent, and pardons,
// of which nobody gives its own agents one.
func (r *reckoner) signed(o *order, e trust.Evidence, m *Member) error {
	switch {
	case e.Act == trust.Violation && e.Severity >= gravest:
		return r.state.loosen(o)
	case e.Act != trust.Pardon:
		return nil
	case r.solo():
		return r.state.loosen(o)
	}
	if err := r.state.loosen(o); err != nil {
		return err
	}
	return r.state.foreign(o, m)
}

// gravest is the severity of violations that take every level, and quarantine.
const gravest = 4

func (r *reckoner) solo() bool { return r.state.founded.Preset == policy.Solo }

// party returns what evidence is admitted by of who gives it. An agent whose operator is confined gives none.
func (r *reckoner) party(id identity.ID) trust.Party {
	m, ok := r.state.members[id]
	if !ok {
		return trust.Party{}
	}
	p := r.subject(m)
	if operator := r.state.members[m.Operator]; operator != nil && p.Status == trust.Active {
		p.Status = operator.Status
	}
	return p
}

// subject returns what evidence is admitted by of whom it is about. Only the exact names of the abilities count: who may
// serve whatever there is was not asked to judge others.
func (r *reckoner) subject(m *Member) trust.Party {
	return trust.Party{
		ID: m.ID, Operator: m.Operator, Status: m.Status, Level: m.Level,
		Attests: slices.Contains(m.Serves, trust.Attests), Detects: slices.Contains(m.Serves, trust.Detects),
	}
}

// settled counts a ballot whose decision was settled, and returns who falls by it.
func (r *reckoner) settled(o *order, d *Decision, b consensus.Ballot, right bool) []*Member {
	m, ok := r.state.members[b.Voter]
	if !ok || b.Vote == consensus.Recuse || b.Voter.Role() != identity.Agent {
		return nil
	}
	event := trust.Event{
		Act: trust.Settled, Subject: b.Voter, By: o.Author, Operator: o.Author, Rooted: true, Index: o.leaf.Index,
		Class: uint8(min(d.Opening.Class, consensus.R3)), Value: int64(errorOf(b, right) / 1000),
	}
	r.book.Apply(event, r.state.now)
	return r.consequences(o, m, event)
}

// equivocated counts a voter's contradicting itself, and returns who falls by it.
func (r *reckoner) equivocated(o *order, m *Member) []*Member {
	event := trust.Event{Act: trust.Violation, Subject: m.ID, Rooted: true, Severity: gravest, Index: o.leaf.Index}
	r.book.Apply(event, r.state.now)
	reason := m.Reason // names the decision
	fallen := r.take(o, wire.MaxCosigners, r.losses(m, identity.Quarantined, trust.Violated))
	m.Reason = reason
	return fallen
}
