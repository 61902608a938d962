package ledger

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// enrol admits an agent: token by an active operator, unused, in time, at a level that one operator may give.
func enrol(s *state, o *order) (any, error) {
	enrolment, token, err := invitationOf(s, o)
	if err != nil {
		return nil, err
	}
	t := token.Statement()
	if err := admissible(s, o, enrolment.Statement(), t, token.ID()); err != nil {
		return nil, err
	}
	m := &Member{
		ID: o.Author, Name: t.Name, Operator: t.Operator, Key: o.Author.Key(), Status: trust.Active, Level: t.Level,
		Serves: t.Serves, Origin: enrolment.Raw(), Joined: s.now,
	}
	if t.Parent != nil {
		m.Parent = *t.Parent
	}
	s.tokens[token.ID()] = t.Expires
	s.put(m)
	if s.reckoner != nil {
		s.reckoner.enter(m)
	}
	return s.touch(m, o), nil
}

// maxEnrolment bounds an enrolment with its token, in bytes: certificates carry those of all voters.
const maxEnrolment = 8 << 10

// unchecked is a token as it can be read, whatever it says.
type unchecked identity.Token

// Kind implements [wire.Statement].
func (unchecked) Kind() wire.Kind { return wire.Token }

// Check implements [wire.Statement].
func (unchecked) Check() error { return nil }

// invitationOf checks all signatures of an enrolment, the active operator's included.
func invitationOf(s *state, o *order) (e wire.Verified[identity.Enrolment], t wire.Verified[identity.Token], err error) {
	body, err := registry.Body[registry.Enrol](o.Command)
	if err != nil {
		return e, t, err
	}
	claimed, err := wire.ParseCosigned[identity.Enrolment](body.Enrolment, maxEnrolment)
	if err != nil {
		return e, t, err
	}
	if read, err := wire.Parse[unchecked](claimed.Claim.Token, wire.MaxStatement); err == nil &&
		read.Claim.Parent != nil && s.feature < registry.TrustFeature { // builds before that cannot read it, to find what is wrong
		return e, t, fmt.Errorf("token: %w: a parent", errTooNew)
	}
	invitation, err := wire.Parse[identity.Token](claimed.Claim.Token, wire.MaxStatement)
	if err != nil {
		return e, t, err
	}
	operator, err := s.member(invitation.Claim.Operator)
	if err != nil {
		return e, t, fmt.Errorf("token's operator: %w", err)
	}
	if err := operator.Status.Check(); err != nil {
		return e, t, fmt.Errorf("token's operator: %w", err)
	}
	return identity.VerifyEnrolment(body.Enrolment, s.authority.Realm, operator.Key)
}

func admissible(s *state, o *order, e identity.Enrolment, t identity.Token, token wire.Digest) error {
	if e.Agent != o.Author {
		return fmt.Errorf("%w: enrolment of another agent", ErrDenied)
	}
	if t.Expires <= s.now {
		return fmt.Errorf("%w: token", ErrExpired)
	}
	if t.Issued > s.now+identity.Skew {
		return fmt.Errorf("token: %w", identity.ErrNotYet)
	}
	if _, used := s.tokens[token]; used {
		return fmt.Errorf("%w: token", ErrSpent)
	}
	if err := s.free(t.Name, e.Agent.Key()); err != nil {
		return err
	}
	if t.Level > s.policy.Enrol {
		return fmt.Errorf("%w: one operator's token gives at most %s here; enrol at that level and raise it with %d operators' signatures",
			ErrQuorum, s.policy.Enrol, s.policy.Loosen)
	}
	if err := s.owesNothing(t); err != nil {
		return err
	}
	return begettable(s, t)
}

// free refuses a name or an identity key that somebody has.
func (s *state) free(name string, key wire.PublicKey) error {
	if _, taken := s.names[name]; taken {
		return fmt.Errorf("%w: %s", ErrNameTaken, name)
	}
	if _, taken := s.keys[key]; taken {
		return fmt.Errorf("%w: the key is somebody's", ErrConflict)
	}
	return nil
}

func addOperator(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.AddOperator](o.Command)
	if err != nil {
		return nil, err
	}
	if err := o.operator(); err != nil {
		return nil, err
	}
	if err := s.loosen(o); err != nil {
		return nil, err
	}
	if body.Operator.Role() != identity.Operator {
		return nil, fmt.Errorf("%w: not an operator's name", wire.ErrMalformed)
	}
	if err := body.Operator.Check(); err != nil {
		return nil, err
	}
	if err := identity.CheckName(body.Name); err != nil {
		return nil, err
	}
	if _, known := s.members[body.Operator]; known {
		return nil, fmt.Errorf("%w: already an operator", ErrConflict)
	}
	if err := s.free(body.Name, body.Operator.Key()); err != nil {
		return nil, err
	}
	m := &Member{
		ID: body.Operator, Name: body.Name, Operator: body.Operator, Key: body.Operator.Key(), Status: trust.Active,
		Origin: o.raw, Joined: s.now,
	}
	s.put(m)
	return s.touch(m, o), nil
}

func setStatus(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.SetStatus](o.Command)
	if err != nil {
		return nil, err
	}
	m, err := targetOf(s, o, body.Principal, body.Reason)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Status == trust.Revoked:
		return nil, trust.ErrRevoked
	case body.Status == trust.Active:
		if err := s.loosen(o); err != nil {
			return nil, err
		}
	case body.Status != trust.Quarantined && body.Status != trust.Revoked:
		return nil, fmt.Errorf("%w: no such status", wire.ErrMalformed)
	case m.ID.Role() == identity.Operator && lastOperators(s, m):
		return nil, fmt.Errorf("%w: too few operators would remain to release anybody", ErrDenied)
	}
	signers := uint64(len(o.signers))
	if m.Status != body.Status {
		m.Status, m.StatusAt, m.StatusSigners = body.Status, s.now, signers
	}
	m.StatusSigners = max(m.StatusSigners, signers)
	m.Reason = body.Reason
	s.noteStatus(m, o)
	fallen := s.pulled(o, m)
	change := s.touch(m, o)
	s.withdraw(o, m, change)
	s.tellFallen(o, fallen, change)
	return change, nil
}

// lastOperators reports whether, without m, fewer active operators remain than loosening needs.
func lastOperators(s *state, m *Member) bool {
	var rest uint64
	for _, other := range s.members {
		if other != m && other.ID.Role() == identity.Operator && other.Status == trust.Active {
			rest++
		}
	}
	return rest < s.policy.Loosen
}

func setLevel(s *state, o *order) (any, error) {
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
	if body.Level > m.Level {
		if err := s.raisable(o, m, body.Level); err != nil {
			return nil, err
		}
		if most := s.ceiling(m); body.Level > most {
			return nil, fmt.Errorf("%w: at most %s", errAboveParent, most)
		}
		m.Raised = append(m.Raised[:len(m.Raised):len(m.Raised)], Signed{o.raw, o.leaf.Index})
	}
	s.noteLevel(m, o, body.Level)
	s.noteBefore(m, uint64(len(o.signers)), body.Level)
	from := m.Level
	m.Level, m.Reason = body.Level, body.Reason
	if s.reckoner != nil && from != m.Level {
		s.reckoner.moved(m, o, from, trust.Appointed)
	}
	fallen := s.pulled(o, m)
	change := s.touch(m, o)
	s.withdraw(o, m, change)
	s.tellFallen(o, fallen, change)
	return change, nil
}

// targetOf finds the member that an operator wants to change.
func targetOf(s *state, o *order, id identity.ID, reason string) (*Member, error) {
	if err := o.operator(); err != nil {
		return nil, err
	}
	if len(reason) > registry.MaxDetail {
		return nil, fmt.Errorf("%w: reason over %d bytes", wire.ErrTooLarge, registry.MaxDetail)
	}
	m, err := s.member(id)
	if err != nil {
		return nil, err
	}
	return m, o.unchanged(m)
}

func grant(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Grant](o.Command)
	if err != nil {
		return nil, err
	}
	if body.Make != nil && s.feature < registry.TrustFeature {
		return nil, fmt.Errorf("grant: %w: a capability digest", errTooNew)
	}
	m, err := targetOf(s, o, body.Principal, "")
	if err != nil {
		return nil, err
	}
	if m.Operator != o.Author || m.ID.Role() != identity.Agent {
		return nil, fmt.Errorf("%w: only the agent's operator grants what it serves", ErrDenied)
	}
	if err := identity.CheckCapabilities(body.Serves); err != nil {
		return nil, err
	}
	if body.Family != "" {
		if err := checkFamily(body.Family); err != nil {
			return nil, err
		}
		m.Family = body.Family
	}
	m.Serves = body.Serves
	if body.Make == nil {
		return s.touch(m, o), nil
	}
	before := m.Make
	m.Make = *body.Make
	if before.IsZero() || before == m.Make {
		return s.touch(m, o), nil
	}
	fallen := s.reckoner.remade(o, m)
	change := s.touch(m, o)
	s.withdraw(o, m, change)
	s.tellFallen(o, fallen, change)
	return change, nil
}

// maxFamily bounds the name of a model family, in bytes: it stands in every opening that its agents vote on.
const maxFamily = 64

func checkFamily(name string) error {
	if len(name) > maxFamily {
		return fmt.Errorf("%w: model family over %d bytes", wire.ErrTooLarge, maxFamily)
	}
	if err := identity.CheckCapability(name); err != nil {
		return fmt.Errorf("model family: %w", err)
	}
	return nil
}

func putCard(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.PutCard](o.Command)
	if err != nil {
		return nil, err
	}
	m := o.author
	if err := o.unchanged(m); err != nil {
		return nil, err
	}
	card, err := discovery.VerifyCard(body.Card, s.authority.Realm, m.ID, m.Key)
	if err != nil {
		return nil, err
	}
	c := card.Statement()
	if c.Sequence <= m.CardNumber {
		return nil, fmt.Errorf("%w: card %d, have %d", ErrConflict, c.Sequence, m.CardNumber)
	}
	for _, name := range c.Names() {
		if !identity.MatchCapability(m.Serves, name) {
			return nil, fmt.Errorf("%w: %s is not granted to %s; its operator can: agent grant", ErrDenied, name, m.Name)
		}
	}
	m.Card, m.CardID, m.CardNumber = body.Card, card.ID(), c.Sequence
	return s.touch(m, o), nil
}

// maxSuccessions bounds how often one principal changes its key: certificates carry all of them.
const maxSuccessions = 32

// maxEpoch bounds epochs, so that raising one never wraps around. Unix milliseconds fit.
const maxEpoch = 1 << 53

func succeed(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.Succeed](o.Command)
	if err != nil {
		return nil, err
	}
	m := o.author
	if err := o.unchanged(m); err != nil {
		return nil, err
	}
	if len(m.Successions) >= maxSuccessions {
		return nil, fmt.Errorf("%w: %s has changed its key %d times; revoke it and enrol it anew",
			wire.ErrTooLarge, m.Name, maxSuccessions)
	}
	chain := append(m.Successions[:len(m.Successions):len(m.Successions)], body.Succession)
	key, err := identity.VerifySuccessions(s.authority.Realm, m.ID, chain)
	if err != nil {
		return nil, err
	}
	if _, taken := s.keys[key]; taken {
		return nil, fmt.Errorf("%w: the key is somebody's", ErrConflict)
	}
	newest, err := wire.ParseCosigned[identity.Succession](body.Succession, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	delete(s.keys, m.Key)
	s.keys[key] = m.ID
	m.Key, m.Successions, m.Succession = key, chain, newest.ID(s.authority.Realm)
	m.Card, m.CardID, m.CardNumber = nil, wire.Digest{}, 0 // the old key's word: the new one signs its own
	m.Epoch++
	return s.touch(m, o), nil
}

func raiseEpoch(s *state, o *order) (any, error) {
	body, err := registry.Body[registry.RaiseEpoch](o.Command)
	if err != nil {
		return nil, err
	}
	m, err := s.member(body.Principal)
	if err != nil {
		return nil, err
	}
	if o.Author != m.ID && o.Author != m.Operator {
		return nil, fmt.Errorf("%w: only the principal or its operator ends its credentials", ErrDenied)
	}
	if err := o.unchanged(m); err != nil {
		return nil, err
	}
	if body.Epoch > maxEpoch {
		return nil, fmt.Errorf("%w: epoch above 2^53", wire.ErrMalformed)
	}
	if body.Epoch <= m.Epoch {
		return nil, fmt.Errorf("%w: epoch %d, have %d", ErrConflict, body.Epoch, m.Epoch)
	}
	m.Epoch = body.Epoch
	s.noteEpoch(m, o)
	return s.touch(m, o), nil
}
