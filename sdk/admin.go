package sdk

import (
	"context"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Admin is what operators do besides voting: it invites, and changes who may do what. What tightens needs one
// operator's signature; what loosens needs as many as the policy says, collected with [Admin.Prepare] and
// [Admin.Countersign]. The registry checks all of it.
type Admin struct{ link *link }

// Admin returns the administration by this principal, which should be an operator: others are denied.
func (a *Agent) Admin() Admin { return Admin{link: a.link} }

// Members lists everybody in the realm, as the node tells it.
func (ad Admin) Members(ctx context.Context) ([]control.Member, error) {
	var m control.Members
	err := ad.link.ask(ctx, control.OpMembers, control.Nothing{}, &m)
	return m.Members, err
}

// Status says how the node is, as it tells it.
func (ad Admin) Status(ctx context.Context) (control.Status, error) {
	var s control.Status
	err := ad.link.ask(ctx, control.OpStatus, control.Nothing{}, &s)
	return s, err
}

// Policy returns the policy in force, verified by its digest in the genesis.
func (ad Admin) Policy() policy.Policy { return ad.link.lore.Load().policy }

// Invite makes an enrolment token for an agent: the text to hand over. It is a secret, good once, until life is over.
func (ad Admin) Invite(name string, level Level, serves []string, life time.Duration) (string, error) {
	l := ad.link
	now := l.now()
	i, err := identity.NewInvitation(l.known.Signer, l.realm, identity.Token{
		Version: 1, Operator: l.id(), Name: name, Level: level, Issued: now, Expires: now + life.Milliseconds(),
		Addresses: l.known.Addresses, Pins: l.known.Pins, Serves: serves, Roster: l.lore.Load().authority.Number,
	})
	if err != nil {
		return "", err
	}
	return i.Encode()
}

// Prepare signs a command of the type and body (see package registry) without handing it in, for others to
// countersign. It is good for 10 minutes. Expect, if not 0, is the index of the object's last change as seen.
func (ad Admin) Prepare(typ registry.Type, body any, expect uint64) ([]byte, error) {
	l := ad.link
	c, err := registry.New(l.id(), typ, body, newNonce(), l.now())
	if err != nil {
		return nil, err
	}
	c.Expect = expect
	return l.known.Signer.Cosign(l.realm, c)
}

// Countersign adds this operator's signature to a command that another one prepared.
func (ad Admin) Countersign(raw []byte) ([]byte, error) {
	return identity.AddTo[registry.Command](ad.link.known.Signer, ad.link.realm, raw)
}

// Submit hands in a signed command. The answer says what the registry did; its refusals are errors with their codes.
func (ad Admin) Submit(ctx context.Context, raw []byte) (registry.Answer, error) {
	if _, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement); err != nil {
		return registry.Answer{}, err
	}
	var out control.Submitted
	if err := ad.link.ask(ctx, control.OpSubmit, control.Submit{Command: raw}, &out); err != nil {
		return registry.Answer{}, err
	}
	return out.Answer, out.Answer.Err()
}
