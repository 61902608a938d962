package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// reminding is the feature level from which tightenings are noted and reminders are heard (ADR 19). Before it nothing
// is noted, so that replicas of different builds have the same state.
const reminding = registry.RemindFeature

// Tightened is what is noted of a member's tightenings: for reminders, and to show them.
type Tightened struct {
	StatusIssued int64  `cbor:"31,keyasint,omitempty"` // the latest issue of any command that set its status
	Released     int64  `cbor:"32,keyasint,omitempty"` // StatusIssued as the last release left it
	LevelIssued  int64  `cbor:"33,keyasint,omitempty"` // the latest issue of any command that set its level
	Lifted       int64  `cbor:"34,keyasint,omitempty"` // LevelIssued as the last raise left it
	Confined     []byte `cbor:"35,keyasint,omitempty"` // signed command that quarantined or revoked it, while that is so
	Lowered      []byte `cbor:"36,keyasint,omitempty"` // signed command that last lowered its level, if nothing raised it since
	Ended        []byte `cbor:"37,keyasint,omitempty"` // signed command that last raised its epoch
}

// ErrNoNews is returned by [Ledger.Admissible] for a reminder of what the ledger knows already, or knows to be over.
// Handing it in again changes nothing.
var ErrNoNews = fault.New(fault.Superseded, "ledger: the reminder is no news")

func (s *state) noteStatus(m *Member, o *order) {
	if s.feature < reminding {
		return
	}
	s.inForce.Store(nil)
	m.StatusIssued = max(m.StatusIssued, o.Issued)
	if m.Status == trust.Active {
		m.Released, m.Confined = m.StatusIssued, nil
		return
	}
	m.Confined = o.raw
}

// noteLevel is called before the level changes.
func (s *state) noteLevel(m *Member, o *order, level identity.Level) {
	if s.feature < reminding {
		return
	}
	s.inForce.Store(nil)
	m.LevelIssued = max(m.LevelIssued, o.Issued)
	switch {
	case level < m.Level:
		m.Lowered = o.raw
	case level > m.Level:
		m.Lifted, m.Lowered = m.LevelIssued, nil
	}
}

func (s *state) noteEpoch(m *Member, o *order) {
	if s.feature < reminding {
		return
	}
	s.inForce.Store(nil)
	m.Ended = o.raw
}

// remind executes a tightening that was accepted once, in a past that this ledger has lost. Its author must be allowed
// to give it now; only that it has expired, and what its author had seen before, does not count.
func remind(s *state, o *order) (any, error) {
	r, err := reminderOf(s, o)
	if err != nil {
		return nil, err
	}
	if !r.news(s) {
		return registry.Reminded{Change: r.member.change()}, nil
	}
	in, err := r.admit(s)
	if err != nil {
		return nil, err
	}
	in.leaf, in.Expect = o.leaf, 0
	result, err := tightening[in.Type](s, in)
	if err != nil {
		return nil, err
	}
	change := result.(registry.Change)
	s.answered(in, change)
	reminded := registry.Reminded{News: true, Change: change}
	for _, id := range s.change.Decisions { // those that ended by it: what shows that is the reminder's leaf
		if d := s.decisions[id]; d.Decided == leafOf(in, change) {
			d.Decided = leafOf(o, reminded)
		}
	}
	return reminded, nil
}

// tightening are the types that a reminder may show, with what executes them.
var tightening = map[registry.Type]executor{
	registry.TypeStatus: setStatus, registry.TypeLevel: setLevel, registry.TypeEpoch: raiseEpoch,
}

// reminder is a command that a reminder shows, as read: nobody has looked at its signatures.
type reminder struct {
	claimed wire.Cosigned[registry.Command]
	raw     []byte
	says    registry.Tightening
	member  *Member // whom it concerns
}

func reminderOf(s *state, o *order) (r reminder, err error) {
	body, err := registry.Body[registry.Remind](o.Command)
	if err != nil {
		return r, err
	}
	r.raw = body.Command
	if r.claimed, r.says, err = registry.ParseTightening(r.raw); err != nil {
		return r, fmt.Errorf("reminder: %w", err)
	}
	r.member, err = s.member(r.says.Principal)
	return r, err
}

// admit checks the command's signatures, and that its author may take part now.
func (r reminder) admit(s *state) (*order, error) {
	o, err := s.admit(r.claimed, r.claimed.ID(s.authority.Realm), r.raw)
	if err == nil && o.Issued > s.now+identity.Skew {
		err = identity.ErrNotYet
	}
	if err != nil {
		return nil, fmt.Errorf("reminder: %w", err)
	}
	return o, nil
}

// news reports whether a tightening is one that this ledger has not heard of and that nothing has lifted since. Clocks
// of operators differ, so it must be issued later than every command that set the same until it was last loosened: none
// of those can come back, in whichever order they were issued and applied. What only tightened since then lifts nothing.
// An epoch never goes down, and needs no such note.
func (r reminder) news(s *state) bool {
	c, m := r.claimed.Claim, r.member
	if _, before := s.answers[answerKey{Author: c.Author, Nonce: c.Nonce}]; before {
		return false
	}
	switch c.Type {
	case registry.TypeStatus:
		return r.says.Status > m.Status && c.Issued > max(s.since, m.Released)
	case registry.TypeLevel:
		return r.says.Level < m.Level && c.Issued > max(s.since, m.Lifted)
	}
	return r.says.Epoch > m.Epoch
}

// answered remembers that a reminder has executed a command, so that the command itself does not do it once more.
func (s *state) answered(o *order, change registry.Change) {
	if o.Expires <= s.now {
		return // it can do nothing any more
	}
	s.answers[answerKey{Author: o.Author, Nonce: o.Nonce}] = remembered{
		Author: o.Author, Nonce: o.Nonce, Expires: o.Expires, Answer: s.answer(o.leaf.Index, o.id, change, nil),
		Signed: wire.Hash(o.raw),
	}
}

// mayRemind refuses reminders that Apply could only refuse, or take for no news: everybody who holds one hands it in.
func mayRemind(s *state, o *order) error {
	r, err := reminderOf(s, o)
	if err != nil {
		return err
	}
	if !r.news(s) {
		return ErrNoNews
	}
	_, err = r.admit(s)
	if errors.Is(err, identity.ErrNotYet) {
		return nil // log time may lag
	}
	return err
}

// InForce is one tightening that holds.
type InForce struct {
	ID      wire.Digest // of the command
	Issued  int64       // Unix milliseconds, by the author's clock
	Command []byte      // as it was signed
}

// Tightenings are all that hold, in the order in which they were issued.
type Tightenings struct {
	Digest wire.Digest // of the set: equal for equal ones
	All    []InForce
}

// Tightenings returns the tightenings in force: of who is quarantined or revoked, the command that did it; of each
// lowered level and each raised epoch, the newest. They are collected anew only after a change. The caller must not
// change them.
func (l *Ledger) Tightenings() Tightenings {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if t := l.state.inForce.Load(); t != nil {
		return *t
	}
	t := l.state.tightenings()
	l.state.inForce.Store(&t)
	return t
}

func (s *state) tightenings() Tightenings {
	var t Tightenings
	for _, m := range s.members {
		for _, raw := range [][]byte{m.Confined, m.Lowered, m.Ended} {
			if raw == nil {
				continue
			}
			if c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement); err == nil {
				t.All = append(t.All, InForce{ID: c.ID(s.authority.Realm), Issued: c.Claim.Issued, Command: raw})
			}
		}
	}
	slices.SortFunc(t.All, func(a, b InForce) int {
		return cmp.Or(cmp.Compare(a.Issued, b.Issued), compareDigests(a.ID, b.ID))
	})
	var names []byte
	for _, one := range t.All {
		names = append(names, one.ID[:]...)
	}
	t.Digest = wire.Hash(names)
	return t
}
