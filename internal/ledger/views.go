package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Authority returns who runs the realm.
func (l *Ledger) Authority() *identity.Authority {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.authority
}

// Genesis returns the signed genesis. The caller must not change it.
func (l *Ledger) Genesis() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.genesis
}

// Policy returns the policy in force. The caller must not change it.
func (l *Ledger) Policy() policy.Policy {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.policy
}

// Now returns log time in Unix milliseconds.
func (l *Ledger) Now() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.now
}

// Size returns how many leaves the tree has: one for each command applied, and those of ticks that ended decisions.
func (l *Ledger) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.tree.Size()
}

// Admissible says whether the ledger would look at a command at all: well-formed, signed by an author that may take
// part by a command of this type or that an unused token invites, not over by log time (which may lag, so a command from the future passes). A
// node asks before it appends, so that strangers cannot fill the log. Apply asks again.
func (l *Ledger) Admissible(raw []byte) error {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	_, _ = c.Verify(l.realm, 1, c.Keys()) // once, before the lock; what is wrong with it is said below
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c.Claim.Type == registry.TypeTick {
		_, err := l.state.timeTold(c)
		return err
	}
	s, id := l.state, c.ID(l.state.authority.Realm)
	if before, ok := s.answers[answerKey{Author: c.Claim.Author, Nonce: c.Claim.Nonce}]; ok && before.answers(id, raw) {
		return nil // it will get its old answer
	}
	o, err := s.admit(c, id, raw)
	if err != nil {
		return err
	}
	if o.Expires <= s.now && o.Type != registry.TypeTick {
		return fmt.Errorf("%w: command", ErrExpired)
	}
	if _, err := doorOf(o); err != nil {
		return err
	}
	switch o.Type {
	case registry.TypeEnrol:
		return invited(s, o)
	case registry.TypePropose:
		return mayPropose(s, o)
	case registry.TypeRoster:
		return maySucceed(s, o)
	case registry.TypeRemind:
		return mayRemind(s, o)
	case registry.TypeEvidence:
		return mayTell(s, o)
	}
	return nil
}

// invited refuses enrolments that Apply could only refuse: whoever holds a token, used or not, must not fill the log.
func invited(s *state, o *order) error {
	e, t, err := invitationOf(s, o)
	if err != nil {
		return err
	}
	err = admissible(s, o, e.Statement(), t.Statement(), t.ID())
	if errors.Is(err, identity.ErrNotYet) {
		return nil // log time may lag
	}
	return err
}

// Member returns what is known of a principal, or [ErrUnknown]. The slices in it must not be changed.
func (l *Ledger) Member(id identity.ID) (Member, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m, err := l.state.member(id)
	if err != nil {
		return Member{}, err
	}
	return *m, nil
}

// Named returns the principal with the name, or [ErrUnknown].
func (l *Ledger) Named(name string) (Member, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	id, ok := l.state.names[name]
	if !ok {
		return Member{}, fmt.Errorf("%w: nobody is named %.64q", ErrUnknown, name)
	}
	return *l.state.members[id], nil
}

// Members returns everybody, sorted by name.
func (l *Ledger) Members() []Member {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]Member, 0, len(l.state.members))
	for _, name := range sortedKeys(l.state.names, strings.Compare) {
		all = append(all, *l.state.members[l.state.names[name]])
	}
	return all
}

// Ticket returns what a ticket on the principal says, issued at now by the node's clock. The node signs it.
func (l *Ledger) Ticket(id identity.ID, now int64) (trust.Ticket, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	m, err := s.member(id)
	if err != nil {
		return trust.Ticket{}, err
	}
	return trust.Ticket{
		Version: 1, Principal: m.ID, Name: m.Name, Operator: m.Operator, Status: m.Status, Level: m.Level, Key: m.Key,
		Epoch: m.Epoch, Card: m.CardID, Serves: m.Serves, Policy: s.policy.Digest(), Roster: s.authority.Number,
		Index: s.tree.Size(), Issued: now, Expires: now + trust.MaxTicketLife,
	}, nil
}

// Inclusion returns the proof that a leaf stands under the head of the size.
func (l *Ledger) Inclusion(leaf audit.Leaf, size uint64) (audit.Inclusion, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.inclusion(leaf, size)
}

func (s *state) inclusion(leaf audit.Leaf, size uint64) (audit.Inclusion, error) {
	path, err := s.tree.Inclusion(leaf.Index-1, size)
	if err != nil {
		return audit.Inclusion{}, fmt.Errorf("ledger: inclusion: %w", err)
	}
	return audit.Inclusion{Leaf: leaf, Path: path}, nil
}

// Decision returns what is known of a proposal, or [ErrUnknown]. The slices in it must not be changed.
func (l *Ledger) Decision(id wire.Digest) (Decision, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d, err := l.state.decision(id)
	if err != nil {
		return Decision{}, err
	}
	return d.clone(), nil
}

// DecisionBy returns what is known of the proposal that the proposer made with the nonce, or [ErrUnknown].
func (l *Ledger) DecisionBy(proposer identity.ID, nonce [16]byte) (Decision, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d, err := l.state.decision(l.state.proposals[answerKey{Author: proposer, Nonce: nonce}])
	if err != nil {
		return Decision{}, err
	}
	return d.clone(), nil
}

func (d *Decision) clone() Decision {
	c := *d
	c.Ballots, c.Commitments, c.Uses = slices.Clone(d.Ballots), slices.Clone(d.Commitments), slices.Clone(d.Uses)
	c.Void, c.Contradicted = slices.Clone(d.Void), slices.Clone(d.Contradicted)
	c.urn = nil
	return c
}

// Decisions returns all decisions, the newest first.
func (l *Ledger) Decisions() []Decision {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]Decision, 0, len(l.state.decisions))
	for _, d := range l.state.decisions {
		all = append(all, d.clone())
	}
	slices.SortFunc(all, func(a, b Decision) int { return int(b.Opened.Index) - int(a.Opened.Index) })
	return all
}

// Certificate assembles the certificate of an approved decision under a signed head of the size, with the rosters up to
// the one that the head names. Errors: [ErrUnknown], [ErrPending], [ErrRejected], those of bytes that are no head.
func (l *Ledger) Certificate(id wire.Digest, head []byte, size uint64) (consensus.Certificate, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	d, err := s.decision(id)
	if err != nil {
		return consensus.Certificate{}, err
	}
	switch d.Verdict.State {
	case consensus.Approved:
	case consensus.Open:
		return consensus.Certificate{}, ErrPending
	default:
		return consensus.Certificate{}, fmt.Errorf("%w: %s", ErrRejected, d.Verdict.State)
	}
	under, err := wire.ParseCosigned[audit.Head](head, wire.MaxStatement)
	if err != nil {
		return consensus.Certificate{}, err
	}
	p, policies, err := s.lineage(d.Opening.Index)
	if err != nil {
		return consensus.Certificate{}, err
	}
	rosters := s.rosters[:min(under.Claim.Roster, uint64(len(s.rosters)))]
	c := consensus.Certificate{
		Version: consensus.FormatVersion, Realm: s.authority.Realm, Genesis: s.genesis, Rosters: slices.Clone(rosters),
		Policy: p.Encode(), Policies: policies, Proposal: d.Proposal, Opening: d.Opening, Ballots: d.counted(),
		Verdict: d.Verdict, Head: head,
	}
	if len(policies) > 0 {
		c.Before = s.founded.Encode()
	}
	if c.Opened, err = encodedInclusion(s, d.Opened, size); err != nil {
		return consensus.Certificate{}, err
	}
	if c.Decided, err = encodedInclusion(s, d.Decided, size); err != nil {
		return consensus.Certificate{}, err
	}
	parties := []identity.ID{d.claim.Proposer}
	for _, v := range d.Opening.Voters {
		parties = append(parties, v.ID)
	}
	for _, command := range policies {
		parties = append(parties, sponsorsOf(s, command)...)
	}
	vouchFor(s, &c, parties, d.Opening.Index)
	return c, nil
}

// counted returns the signed ballots that were counted when the decision ended.
func (d *Decision) counted() [][]byte {
	return slices.DeleteFunc(slices.Clone(d.Ballots), func(raw []byte) bool {
		b, err := wire.Parse[consensus.Ballot](raw, wire.MaxStatement)
		return err != nil || d.void(b.Claim.Voter)
	})
}

func encodedInclusion(s *state, leaf audit.Leaf, size uint64) (wire.Raw, error) {
	i, err := s.inclusion(leaf, size)
	if err != nil {
		return nil, err
	}
	return wire.Encode(i)
}

// vouchFor adds what shows the parties to be who they are: enrolments of agents, the commands that made operators, the
// successions of keys, and the same for the operators behind them; of the commands that raised an agent, the one in force at
// an index.
func vouchFor(s *state, c *consensus.Certificate, parties []identity.ID, index uint64) {
	done := map[identity.ID]bool{}
	for len(parties) > 0 {
		id := parties[0]
		parties = parties[1:]
		m, ok := s.members[id]
		if !ok || done[id] {
			continue
		}
		done[id] = true
		c.Keys = append(c.Keys, m.Successions...)
		if m.ID.Role() == identity.Agent {
			c.Enrolments = append(c.Enrolments, m.Origin)
			parties = append(parties, m.Operator)
			if raise, ok := newestBefore(m.Raised, index); ok {
				c.Levels = append(c.Levels, raise.Command)
				parties = append(parties, sponsorsOf(s, raise.Command)...)
			}
		} else if m.Origin != nil {
			c.Operators = append(c.Operators, m.Origin)
			parties = append(parties, sponsorsOf(s, m.Origin)...)
		}
	}
}

// sponsorsOf returns the operators who signed a command, by whatever key they had then; sorted.
func sponsorsOf(s *state, command []byte) []identity.ID {
	c, err := wire.ParseCosigned[registry.Command](command, wire.MaxStatement)
	if err != nil {
		return nil
	}
	signed := c.Keys()
	var ids []identity.ID
	for _, id := range sortedKeys(s.members, identity.ID.Compare) {
		if id.Role() == identity.Operator && s.members[id].had(signed) {
			ids = append(ids, id)
		}
	}
	return ids
}

// had reports whether one of the keys is, or once was, the member's identity key.
func (m *Member) had(keys []wire.PublicKey) bool {
	if slices.Contains(keys, m.ID.Key()) {
		return true
	}
	for _, raw := range m.Successions {
		c, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
		if err == nil && slices.Contains(keys, c.Claim.New) {
			return true
		}
	}
	return false
}

// RootAt returns the root over the first size commands.
func (l *Ledger) RootAt(size uint64) (wire.Digest, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	root, err := l.state.tree.RootAt(size)
	if err != nil {
		return wire.Digest{}, fmt.Errorf("ledger: root: %w", err)
	}
	return wire.Digest(root), nil
}
