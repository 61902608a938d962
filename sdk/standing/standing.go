// Package standing is what an agent's work earns it: who reports how requests ended, who attests it, and what follows.
//
// Who has had something done says how it ended, and an attester whom neither side answers for says so too, once it has
// checked the work itself:
//
//	ctx, exchange := standing.Follow(ctx)
//	sum, err := sdk.Call[Sum](ctx, agent, sdk.Any("file.hash"), file)
//	effect, err := agent.Standing().Report(ctx, standing.Outcome{
//		Action: "file.hash", Exchange: exchange, OK: err == nil && sum.Text == known,
//	})
//
// The attester is another agent, whom its operator has granted "conclave.attest":
//
//	err := agent.Standing().Attest(func(ctx context.Context, c standing.Claim) (bool, error) {
//		if c.Capability != "file.hash" || !c.Answered || c.Failure != nil {
//			return false, sdk.Errorf(code.NotFound, "no answer to check") // "wrong" would be the author's word alone
//		}
//		return bytes.Equal(c.Answer, hashOf(c.Request)), nil // c.Request and c.Answer are what both sides have signed
//	}, "file.hash")
//
// The realm's ledger counts the statement that both have signed, once, and moves the agent's score and its level by it.
// A [Box], which sdk.Agent.Standing returns, also rates, raises alarms, and shows where an agent stands. What people do
// besides, they do by package admin.
package standing

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Box is where a principal tells how others work, and sees where they stand. It is safe for concurrent use.
type Box struct {
	registry Registry
	known    func() Known
}

// Registry is what a [Box] asks; package sdk implements it. It is safe for concurrent use.
type Registry interface {
	// Who returns what the realm says now of a principal, by name or nkey, verified.
	Who(ctx context.Context, nameOrKey string) (Party, error)
	// Submit hands in a signed command. The answer may be a refusal.
	Submit(ctx context.Context, raw []byte) (registry.Answer, error)
	// Standing returns an agent's standing, as the node tells it.
	Standing(ctx context.Context, id identity.ID) (View, error)
	// Ranking returns all agents, as the node tells it.
	Ranking(ctx context.Context) ([]Rank, error)
	// OnChange has fn called when the principal's own level has changed.
	OnChange(fn func(Change)) error
	Bench
}

// Bench is the part of a [Registry] by which outcomes are attested.
type Bench interface {
	// Attesters returns who serves [trust.Attests] now, verified: those whom their operators have made attesters, and others,
	// whose word weighs what they have received themselves.
	Attesters(ctx context.Context) (made, others []Party, err error)
	// Ask has an attester look at a claim.
	Ask(ctx context.Context, attester identity.ID, claim []byte) (finding []byte, err error)
	// Serve has fn called for each claim that somebody asks this agent to look at.
	Serve(fn func(ctx context.Context, from Party, claim []byte) (finding []byte, err error)) error
	// Prove checks what the two sides of a call have signed, and reads it.
	Prove(ctx context.Context, author identity.ID, p Parts) (Proof, error)
}

// Known is as whom a [Box] acts.
type Known struct {
	Signer identity.Signer
	Realm  wire.Realm
}

// Party is a principal as the realm's nodes vouch for it.
type Party struct {
	ID       identity.ID    `json:"id"`
	Name     string         `json:"name"`
	Operator identity.ID    `json:"operator"` // who answers for it
	Level    identity.Level `json:"level"`
	Status   string         `json:"status"` // active, quarantined or revoked
}

// By returns the box of a principal. known says what is so at the moment of a call; users call sdk.Agent.Standing.
func By(r Registry, known func() Known) Box { return Box{registry: r, known: known} }

// Of returns where an agent stands, by its name or nkey, as the node reckons it.
func (b Box) Of(ctx context.Context, nameOrKey string) (View, error) {
	who, err := b.registry.Who(ctx, nameOrKey)
	if err != nil {
		return View{}, err
	}
	return b.registry.Standing(ctx, who.ID)
}

// Own returns where the agent itself stands, as the node reckons it.
func (b Box) Own(ctx context.Context) (View, error) {
	return b.registry.Standing(ctx, b.known().Signer.ID())
}

// Ranking lists all agents: the highest level first, then the highest score, then by name.
func (b Box) Ranking(ctx context.Context) ([]Rank, error) { return b.registry.Ranking(ctx) }

// OnLevelChange has fn called each time that the agent's own level has changed, one call after the other. Changes that follow
// each other at once may come as one, and those of the time before the call do not come. fn must not close the agent. An
// agent that is quarantined hears nothing: it is disconnected.
func (b Box) OnLevelChange(fn func(Change)) error { return b.registry.OnChange(fn) }

// Rate says what this principal thinks of an agent: value from −1000 to 1000, in per mille. What an agent's word weighs is
// what it has received itself: see docs/trust.md. Errors: denied for an agent of the same operator.
func (b Box) Rate(ctx context.Context, nameOrKey string, value int, reason string) (trust.Effect, error) {
	return b.tell(ctx, nameOrKey, trust.Evidence{Act: trust.Rating, Value: int64(value), Detail: reason})
}

// Alarm tells a suspicion of an agent: from 1 to 1000, in per mille. Errors: denied for who was not granted
// "conclave.detect".
func (b Box) Alarm(ctx context.Context, nameOrKey string, suspicion int, reason string) (trust.Effect, error) {
	return b.tell(ctx, nameOrKey, trust.Evidence{Act: trust.Alarm, Value: int64(suspicion), Detail: reason})
}

// tell signs evidence that needs no attester, and hands it in.
func (b Box) tell(ctx context.Context, nameOrKey string, e trust.Evidence) (trust.Effect, error) {
	subject, err := b.registry.Who(ctx, nameOrKey)
	if err != nil {
		return trust.Effect{}, err
	}
	e.Subject = subject.ID
	raw, err := b.sign(e)
	if err != nil {
		return trust.Effect{}, err
	}
	return b.Submit(ctx, raw)
}

// evidenceLife is for how long a statement may be handed in.
const evidenceLife = time.Hour

// sign completes and signs a statement.
func (b Box) sign(e trust.Evidence) ([]byte, error) {
	k, now := b.known(), time.Now().UnixMilli()
	e.Version, e.Author, e.Issued, e.Expires = 1, k.Signer.ID(), now, now+evidenceLife.Milliseconds()
	_, _ = rand.Read(e.Nonce[:]) // never fails: crypto/rand ends the process instead
	return k.Signer.Cosign(k.Realm, e)
}

// Submit hands a signed statement to the ledger. Anybody may, whoever has signed it. Errors: what the ledger refuses, with
// its code: spent where the statement or its request was counted before.
func (b Box) Submit(ctx context.Context, statement []byte) (trust.Effect, error) {
	k := b.known()
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	c, err := registry.New(k.Signer.ID(), registry.TypeEvidence, registry.Evidence{Statement: statement}, nonce, time.Now().UnixMilli())
	if err != nil {
		return trust.Effect{}, err
	}
	raw, err := k.Signer.Cosign(k.Realm, c)
	if err != nil {
		return trust.Effect{}, err
	}
	answer, err := b.registry.Submit(ctx, raw)
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		return trust.Effect{}, err
	}
	return registry.Result[trust.Effect](answer)
}
