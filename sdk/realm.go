package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// lore is what was verified of a realm: who runs it, by which policy, and the newest head shown.
type lore struct {
	authority *identity.Authority
	policy    policy.Policy                 // in force
	policies  []wire.Digest                 // of all policies since the genesis, oldest first
	rules     map[wire.Digest]policy.Policy // the same, by digest
	changes   [][]byte                      // the commands that replaced one by the next, verified
	head      wire.Verified[audit.Head]     // zero before the first command
	addresses []string                      // of its nodes, as the node asked believes: unsigned
}

var errPolicy = fault.New(fault.BadSignature, "sdk: the node's policy is not the one that the genesis names, nor has it followed that one")

// ungoverned is the refusal of a realm whose policies do not lead back to its genesis.
func ungoverned(err error) error { return fmt.Errorf("realm: %w: %w", errPolicy, err) }

// govern takes the policies that a node has shown to follow the genesis.
func (l *lore) govern(policies []policy.Policy) {
	l.rules = map[wire.Digest]policy.Policy{}
	for _, p := range policies {
		digest := p.Digest()
		l.policy, l.policies, l.rules[digest] = p, append(l.policies, digest), p
	}
}

// inForce names the policy in force.
func (l lore) inForce() wire.Digest {
	if len(l.policies) == 0 {
		return wire.Digest{}
	}
	return l.policies[len(l.policies)-1]
}

var errNewPolicy = fault.New(fault.Superseded, "sdk: by a policy that this process has not heard of")

// ruledBy returns the policy that an opening names.
func (l lore) ruledBy(digest wire.Digest) (policy.Policy, error) {
	p, ok := l.rules[digest]
	if !ok {
		return policy.Policy{}, otherNodes{errNewPolicy}
	}
	return p, nil
}

// learn asks a node for the realm's foundations and verifies them from the realm id, and that they follow what was
// verified before, which may be nil.
func learn(ctx context.Context, client *control.Client, realm wire.Realm, before *lore, leastRoster uint64) (lore, error) {
	var r control.Realm
	if err := client.Ask(ctx, control.OpRealm, control.Nothing{}, &r); err != nil {
		return lore{}, err
	}
	a, err := identity.VerifyChain(realm, r.Genesis, r.Rosters, leastRoster)
	if err != nil {
		return lore{}, fmt.Errorf("realm: %w", err)
	}
	l := lore{authority: a, addresses: addressesOf(r.Nodes, a)}
	policies, err := proof.FollowPolicies(a, r.Policy, r.Policies, r.Operators, r.Keys)
	if err != nil {
		return lore{}, ungoverned(err)
	}
	l.govern(policies)
	l.changes = r.Policies
	if len(r.Head) > 0 {
		if l.head, err = audit.VerifyHead(r.Head, a); err != nil {
			return lore{}, fmt.Errorf("realm: %w", err)
		}
	}
	if before == nil {
		return l, nil
	}
	if err := continues(r, before.authority); err != nil {
		return lore{}, err
	}
	if l.head.IsZero() && a.Number > before.authority.Number {
		l.head = before.head // the new nodes have not signed one yet; nothing is to come before that one
	}
	return l, l.follows(before)
}

// continues refuses rosters that do not go through the newest one known: nodes that have lost their place could make
// others of the same numbers.
func continues(r control.Realm, known *identity.Authority) error {
	if uint64(len(r.Rosters)) < known.Number {
		return fmt.Errorf("realm: %w: roster %d, seen %d", identity.ErrRollback, len(r.Rosters), known.Number)
	}
	then, err := identity.VerifyChain(known.Realm, r.Genesis, r.Rosters[:known.Number], known.Number)
	if err != nil {
		return fmt.Errorf("realm: %w", err)
	}
	if then.Latest() != known.Latest() {
		return fmt.Errorf("realm: %w: another roster %d was seen", identity.ErrRollback, known.Number)
	}
	return nil
}

// follows refuses a head or a policy that is older than what was verified before: a node must not take an agent back to a
// past that it has left.
func (l lore) follows(before *lore) error {
	known := len(before.policies)
	if len(l.policies) < known || !slices.Equal(l.policies[:known], before.policies) {
		return fmt.Errorf("realm: %w: policy %d was seen", identity.ErrRollback, known)
	}
	if before.head.IsZero() {
		return nil
	}
	old := before.head.Statement()
	if l.head.IsZero() || l.head.Statement().Size < old.Size {
		return fmt.Errorf("realm: %w: head of %d commands was seen", identity.ErrRollback, old.Size)
	}
	if h := l.head.Statement(); h.Size == old.Size && h.Root != old.Root {
		return fmt.Errorf("realm: %w: two heads of %d commands", identity.ErrRollback, old.Size)
	}
	return nil
}

// otherNodes is the refusal of a statement that other nodes have signed than a majority of the newest roster known, or that
// is by another policy than those known.
type otherNodes struct{ error }

// Unwrap returns why.
func (o otherNodes) Unwrap() error { return o.error }

// byOthers marks the error of a check of the nodes' signatures where the nodes may have changed.
func byOthers(err error) error {
	switch {
	case errors.Is(err, trust.ErrSuperseded), errors.Is(err, audit.ErrOldRoster), errors.Is(err, identity.ErrRollback),
		errors.Is(err, wire.ErrTooFew):
		return otherNodes{err}
	}
	return err
}

var errKeys = fault.New(fault.Superseded, "sdk: the succession of keys and the ticket name different keys")

// verifyPrincipal checks a ticket and that the chain of successions leads to the key that it names, and returns the
// card if it is the one the ticket grants.
func verifyPrincipal(p control.Principal, l lore, now int64) (wire.Verified[trust.Ticket], wire.Verified[discovery.Card], error) {
	var noCard wire.Verified[discovery.Card]
	v, err := trust.VerifyTicket(p.Ticket, l.authority, now)
	if err != nil {
		return v, noCard, byOthers(err)
	}
	t := v.Statement()
	key, err := identity.VerifySuccessions(l.authority.Realm, t.Principal, p.Successions)
	if err != nil {
		return wire.Verified[trust.Ticket]{}, noCard, err
	}
	if key != t.Key {
		return wire.Verified[trust.Ticket]{}, noCard, errKeys
	}
	if len(p.Card) == 0 || t.Card.IsZero() {
		return v, noCard, nil
	}
	card, err := discovery.VerifyCard(p.Card, l.authority.Realm, t.Principal, t.Key)
	if err != nil || card.ID() != t.Card {
		return v, noCard, err
	}
	return v, card, nil
}

// instance is one live process, verified.
type instance struct {
	credential wire.Verified[identity.Credential]
	ticket     wire.Verified[trust.Ticket]
	presence   wire.Verified[discovery.Presence]
	card       wire.Verified[discovery.Card]
}

// verifyInstance checks everything that a node says of one process. A process without a presence has none here.
func verifyInstance(v control.Vouched, l lore, now int64) (instance, error) {
	var i instance
	var err error
	if i.ticket, i.card, err = verifyPrincipal(v.Principal, l, now); err != nil {
		return instance{}, err
	}
	t := i.ticket.Statement()
	if i.credential, err = identity.VerifyCredential(v.Credential, l.authority.Realm, t.Key, now); err != nil {
		return instance{}, err
	}
	if err := t.Allow(i.credential.Statement()); err != nil {
		return instance{}, err
	}
	if len(v.Presence) > 0 {
		if i.presence, err = discovery.VerifyPresence(v.Presence, l.authority.Realm, i.credential, now); err != nil {
			return instance{}, err
		}
	}
	return i, nil
}
