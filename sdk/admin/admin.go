// Package admin is what operators do besides voting: they invite agents and nodes, and change who may do what.
//
//	token, err := operator.Admin().Invite("summariser", identity.Journeyer, []string{"text.*"}, time.Hour)
//
// An operator connects as an agent does, with sdk.Connect, and has it from sdk.Agent.Admin.
package admin

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Admin is what operators do besides voting: it invites, and changes who may do what. What tightens needs one
// operator's signature; what loosens needs as many as the policy says, collected with [Admin.Prepare] and
// [Admin.Countersign]. The registry checks all of it.
type Admin struct {
	registry Registry
	known    func() Known
}

// Registry is what an [Admin] asks; package sdk implements it. It is safe for concurrent use.
type Registry interface {
	Nodes
	Members(ctx context.Context) ([]Member, error)
	Status(ctx context.Context) (Status, error)
	// Plan says what the newest decisions would have come to by another policy, as the node tells it.
	Plan(ctx context.Context, p policy.Policy, most int) ([]Planned, error)
	// Submit hands in a signed command. The answer may be a refusal.
	Submit(ctx context.Context, raw []byte) (registry.Answer, error)
	// Remembered returns the tightenings that this principal keeps, as signed commands.
	Remembered() ([][]byte, error)
}

// Known is as whom an operator acts, and what it has verified of the realm.
type Known struct {
	Signer    identity.Signer
	Realm     wire.Realm
	Addresses []string      // host:port of nodes
	Pins      []identity.ID // their keys
	Roster    uint64        // the number of the newest one
	Policy    policy.Policy
	Authority *identity.Authority // who runs the realm by the newest roster
	Changes   [][]byte            // the commands that replaced the policy since the genesis, oldest first
}

// By returns the administration by an operator. known says what is so at the moment of a call; users call sdk.Agent.Admin.
func By(r Registry, known func() Known) Admin { return Admin{registry: r, known: known} }

// Members lists everybody in the realm, as the node tells it.
func (ad Admin) Members(ctx context.Context) ([]Member, error) { return ad.registry.Members(ctx) }

// Status says how the node is, as it tells it.
func (ad Admin) Status(ctx context.Context) (Status, error) { return ad.registry.Status(ctx) }

// Plan says of the newest decisions, at most so many and 200, what they would have come to by another policy, as the node
// tells it, the newest first. It changes nothing.
func (ad Admin) Plan(ctx context.Context, p policy.Policy, most int) ([]Planned, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return ad.registry.Plan(ctx, p, most)
}

// Govern signs a command that replaces the policy, for as many operators to [Admin.Countersign] as the policy in force asks
// for, and then to [Admin.Submit]. Decisions that are open then end as superseded.
func (ad Admin) Govern(p policy.Policy) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return ad.Prepare(registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}, 0)
}

// Policy returns the policy in force, verified from the one that the genesis names through all that replaced it.
func (ad Admin) Policy() policy.Policy { return ad.known().Policy }

// Invite makes an enrolment token for an agent: the text to hand over. It is a secret, good once, until life is over.
func (ad Admin) Invite(name string, level identity.Level, serves []string, life time.Duration) (string, error) {
	return ad.invite(identity.Token{Name: name, Level: level, Serves: serves}, life)
}

// InviteChild is [Admin.Invite] for an agent that acts on behalf of another one of this operator: its level stays below the
// parent's, and falls with it.
func (ad Admin) InviteChild(
	parent identity.ID, name string, level identity.Level, serves []string, life time.Duration,
) (string, error) {
	return ad.invite(identity.Token{Name: name, Level: level, Serves: serves, Parent: &parent}, life)
}

func (ad Admin) invite(t identity.Token, life time.Duration) (string, error) {
	k := ad.known()
	t.Version, t.Operator, t.Issued = 1, k.Signer.ID(), time.Now().UnixMilli()
	t.Expires = t.Issued + life.Milliseconds()
	t.Addresses, t.Pins, t.Roster = k.Addresses, k.Pins, k.Roster
	i, err := identity.NewInvitation(k.Signer, k.Realm, t)
	if err != nil {
		return "", err
	}
	return i.Encode()
}

// Prepare signs a command of the type and body (see package registry) without handing it in, for others to
// countersign. It is good for 10 minutes. Expect, if not 0, is the index of the object's last change as seen.
func (ad Admin) Prepare(typ registry.Type, body any, expect uint64) ([]byte, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	k := ad.known()
	c, err := registry.New(k.Signer.ID(), typ, body, nonce, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	c.Expect = expect
	return k.Signer.Cosign(k.Realm, c)
}

// Countersign adds this operator's signature to a command that another one prepared.
func (ad Admin) Countersign(raw []byte) ([]byte, error) {
	k := ad.known()
	return identity.AddTo[registry.Command](k.Signer, k.Realm, raw)
}

// Submit hands in a signed command. The answer says what the registry did; its refusals are errors with their codes.
func (ad Admin) Submit(ctx context.Context, raw []byte) (registry.Answer, error) {
	if _, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement); err != nil {
		return registry.Answer{}, err
	}
	answer, err := ad.registry.Submit(ctx, raw)
	if err != nil {
		return registry.Answer{}, err
	}
	return answer, answer.Err()
}
