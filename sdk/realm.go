package sdk

import (
	"context"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// lore is what was verified of a realm: who runs it, by which policy, and the newest head shown.
type lore struct {
	authority *identity.Authority
	policy    policy.Policy
	head      wire.Verified[audit.Head] // zero before the first command
	node      identity.ID
}

var errPolicy = fault.New(fault.BadSignature, "sdk: the node's policy is not the one that the genesis names")

// learn asks a node for the realm's foundations and verifies them from the realm id.
func learn(ctx context.Context, client *control.Client, realm wire.Realm, leastRoster uint64) (lore, error) {
	var r control.Realm
	if err := client.Ask(ctx, control.OpRealm, control.Nothing{}, &r); err != nil {
		return lore{}, err
	}
	a, err := identity.VerifyChain(realm, r.Genesis, r.Rosters, leastRoster)
	if err != nil {
		return lore{}, fmt.Errorf("realm: %w", err)
	}
	l := lore{authority: a, node: r.Node}
	if wire.Hash(r.Policy) != a.Policy {
		return lore{}, errPolicy
	}
	if l.policy, err = policy.Parse(r.Policy); err != nil {
		return lore{}, err
	}
	if len(r.Head) > 0 {
		if l.head, err = audit.VerifyHead(r.Head, a); err != nil {
			return lore{}, fmt.Errorf("realm: %w", err)
		}
	}
	return l, nil
}

// follows refuses a realm that is older than what was verified before, which may be nil: a node must not take an agent
// back to a past that it has left.
func (l lore) follows(before *lore) error {
	if before == nil || before.head.IsZero() {
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

var errKeys = fault.New(fault.Superseded, "sdk: the succession of keys and the ticket name different keys")

// verifyPrincipal checks a ticket and that the chain of successions leads to the key that it names, and returns the
// card if it is the one the ticket grants.
func verifyPrincipal(p control.Principal, l lore, now int64) (wire.Verified[trust.Ticket], wire.Verified[discovery.Card], error) {
	var noCard wire.Verified[discovery.Card]
	v, err := trust.VerifyTicket(p.Ticket, l.authority, now)
	if err != nil {
		return v, noCard, err
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
