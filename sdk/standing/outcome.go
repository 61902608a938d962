package standing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Outcome is how something ended that this principal had an agent do.
//
// Request and Result name what was asked and what was answered. With an Exchange they are the ids of the two envelopes,
// which the statement takes from there: each is the digest of a salted, signed statement, so the ledger, which everybody
// reads, says nothing of the contents; who has the envelopes can show what they were; and two calls with the same content
// are two requests. For work that was not asked for by a call the author names what it likes, best the ids of messages
// (sdk.Delivery.ID), and the attester has to know what they stand for. One request of an author counts once.
type Outcome struct {
	Agent    string // who did it, by name or nkey; may be empty with an Exchange
	Action   string // kind of action; the policy gives it a class, and a kind that it does not know the lowest
	OK       bool   // it was right
	Detail   string // for people, at most [trust.MaxDetail] bytes
	Attester string // by name or nkey; empty: one that serves "conclave.attest" and neither side answers for

	Exchange *Exchange   // the call, for the attester
	Request  wire.Digest // without an Exchange
	Result   wire.Digest // without an Exchange; zero for no answer
}

var (
	// ErrNoAttester is returned when nobody is there who could attest an outcome.
	ErrNoAttester = fault.New(fault.NoResponder, "standing: nobody attests here whom neither you nor the agent's operator answers for").
			WithHint("an operator grants conclave.attest to an agent, beside what it serves: conclave agent grant NAME PATTERN... " +
			"conclave.attest; or a person attests: conclave trust report NAME --attester PERSON --out FILE")
	// ErrOtherwise is returned when the attester came to another result than this principal. Nothing was counted. Who is
	// convinced reports anew what the attester has found.
	ErrOtherwise = fault.New(fault.Rejected, "standing: the attester found otherwise")
	// ErrNothingAsked is returned for an outcome that names no request: the call that was followed has not left.
	ErrNothingAsked = fault.New(fault.InvalidInput, "standing: the outcome names no request").
			WithHint("give the Exchange of standing.Follow, or a Request")
	errForged = fault.New(fault.BadSignature, "standing: the attester returned another statement")
)

// attempts bounds how many attesters one report asks: others only where one does not answer.
const attempts = 3

// Report says how something ended. It signs the statement, has an attester look at the work and sign as well, and hands it to
// the ledger. Errors: [ErrNothingAsked]; [ErrNoAttester]; [ErrOtherwise]; too_large for an exchange that fits no
// message, 256 KiB with both contents twice; expired for a call of 12 hours ago; the attester's and the ledger's, with their codes.
func (b Box) Report(ctx context.Context, o Outcome) (trust.Effect, error) {
	e, err := b.evidence(ctx, &o)
	if err != nil {
		return trust.Effect{}, err
	}
	attesters, err := b.attesters(ctx, e.Subject, o.Attester)
	if err != nil {
		return trust.Effect{}, err
	}
	attesters = attesters[:min(len(attesters), attempts)]
	for i, a := range attesters {
		var statement []byte
		within, cancel := share(unfollowed(ctx), len(attesters)-i)
		statement, err = b.have(within, e, a.ID, o.Exchange)
		cancel()
		if err == nil {
			return b.Submit(ctx, statement)
		}
		switch fault.CodeOf(err) {
		case fault.NoResponder, fault.Unreachable, fault.Uncertain:
		default:
			return trust.Effect{}, err
		}
	}
	return trust.Effect{}, err
}

// share returns a context for the next of so many who may be asked: one that never answers leaves time for the others.
func share(ctx context.Context, of int) (context.Context, context.CancelFunc) {
	end, some := ctx.Deadline()
	if !some {
		return context.WithCancel(ctx) // each call has a time of its own
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(of))
}

// Draft signs the statement of an outcome for an attester who is not on the bus, as people are not: [Box.Countersign] by the
// one that the outcome names, then [Box.Submit] by anybody, within an hour.
func (b Box) Draft(ctx context.Context, o Outcome) ([]byte, error) {
	e, err := b.evidence(ctx, &o)
	if err != nil {
		return nil, err
	}
	who, err := b.registry.Who(ctx, o.Attester)
	if err != nil {
		return nil, fmt.Errorf("attester: %w", err)
	}
	e.Attester = who.ID
	return b.sign(e)
}

// Countersign attests an outcome that another principal has drafted, naming this one. Whoever calls it has checked the work.
// Errors: denied for a statement that could be handed in later than an hour from now; expired.
func (b Box) Countersign(statement []byte) ([]byte, error) {
	k := b.known()
	c, err := wire.ParseCosigned[trust.Evidence](statement, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	if c.Claim.Act != trust.Outcome || c.Claim.Attester != k.Signer.ID() {
		return nil, fmt.Errorf("%w: it names another attester", trust.ErrNoParty)
	}
	if err := soon(c.Claim); err != nil {
		return nil, err
	}
	return identity.AddTo[trust.Evidence](k.Signer, k.Realm, statement)
}

// evidence returns the statement of an outcome, but for the attester.
func (b Box) evidence(ctx context.Context, o *Outcome) (trust.Evidence, error) {
	e := trust.Evidence{
		Act: trust.Outcome, Action: o.Action, Request: o.Request, Result: o.Result, OK: o.OK, Detail: o.Detail,
	}
	if p, ok := o.Exchange.Parts(); ok {
		proof, err := b.registry.Prove(ctx, b.known().Signer.ID(), p)
		if err != nil {
			return e, err
		}
		e.Subject, e.Request, e.Result = p.Agent, proof.Request, proof.Result
	}
	if e.Request.IsZero() {
		return e, ErrNothingAsked
	}
	if o.Agent == "" && !e.Subject.IsZero() {
		return e, nil
	}
	who, err := b.registry.Who(ctx, o.Agent)
	if err != nil {
		return e, err
	}
	if !e.Subject.IsZero() && e.Subject != who.ID {
		return e, fmt.Errorf("%w: %s was not asked, %s was", trust.ErrNoParty, who.ID, e.Subject)
	}
	e.Subject = who.ID
	return e, nil
}

// attesters returns who may be asked to attest: the one named, or all that neither side answers for.
func (b Box) attesters(ctx context.Context, subject identity.ID, named string) ([]Party, error) {
	if named != "" {
		who, err := b.registry.Who(ctx, named)
		return []Party{who}, err
	}
	theirs, err := b.registry.Who(ctx, subject.String())
	if err != nil {
		return nil, err
	}
	own, err := b.registry.Who(ctx, b.known().Signer.ID().String())
	if err != nil {
		return nil, err
	}
	made, others, err := b.registry.Attesters(ctx)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]Party{made, others} { // a request counts once: not by a lesser word where there is a better one
		list = slices.DeleteFunc(slices.Clone(list), func(a Party) bool {
			return a.Operator == theirs.Operator || a.Operator == own.Operator
		})
		if len(list) > 0 {
			return list, nil
		}
	}
	return nil, ErrNoAttester
}

// have signs the statement for one attester and returns it with its signature.
func (b Box) have(ctx context.Context, e trust.Evidence, attester identity.ID, x *Exchange) ([]byte, error) {
	e.Attester = attester
	statement, err := b.sign(e)
	if err != nil {
		return nil, err
	}
	claimed := claimContent{Statement: statement}
	if p, ok := x.Parts(); ok {
		claimed.Parts = &p
	}
	content, err := wire.Encode(claimed)
	if err != nil {
		return nil, err
	}
	answer, err := b.registry.Ask(ctx, attester, content)
	if err != nil {
		return nil, fmt.Errorf("attester: %w", err)
	}
	var found findingContent
	if err := wire.Decode(answer, &found); err != nil {
		return nil, err
	}
	if len(found.Statement) == 0 {
		if found.OK == e.OK {
			return nil, errForged
		}
		return nil, fmt.Errorf("%w: right: %t", ErrOtherwise, found.OK)
	}
	return found.Statement, b.same(statement, found.Statement)
}

// same refuses what is not the statement that this principal has signed. Whose signature was added, the ledger sees.
func (b Box) same(sent, got []byte) error {
	realm := b.known().Realm
	one, err := wire.ParseCosigned[trust.Evidence](sent, wire.MaxStatement)
	if err != nil {
		return err
	}
	other, err := wire.ParseCosigned[trust.Evidence](got, wire.MaxStatement)
	if err != nil {
		return err
	}
	if one.ID(realm) != other.ID(realm) {
		return errForged
	}
	return nil
}
