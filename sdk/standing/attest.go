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

// claimContent is what an attester is asked with.
type claimContent struct {
	Statement []byte `cbor:"1,keyasint"` // the author has signed it
	Parts     *Parts `cbor:"2,keyasint,omitempty"`
}

// findingContent is what it answers.
type findingContent struct {
	Statement []byte `cbor:"1,keyasint,omitempty"` // with its signature, if it agrees
	OK        bool   `cbor:"2,keyasint,omitempty"` // what it has found, if it does not
}

// Claim is an outcome that somebody asks an attester to sign.
type Claim struct {
	Author   Party          // who asks, verified
	Subject  Party          // whose work it is, as the nodes vouch for it
	Evidence trust.Evidence // what the author says

	// Of a call, what its two sides have signed; nothing of it is the author's word alone. That no answer came is: who
	// attests a failure because of that, or where nothing was Called, signs what the author says. A Failure is not always
	// the agent's: an author may ask what has to be refused.
	Called     bool
	Capability string
	Request    []byte
	Answered   bool
	Answer     []byte
	Failure    error // what the handler answered instead of an Answer, with its code
}

// errAttester is returned to who asks the wrong agent to attest.
var errAttester = fault.New(fault.Denied, "standing: this agent does not attest that").
	WithHint("ask one whom neither your operator nor the agent's answers for: leave Outcome.Attester empty")

// Attest serves "conclave.attest": fn is called for each outcome that somebody asks this agent to attest, and checks the work
// itself, by what it knows and can do. It returns whether the work was right: where the author says the same, the agent signs
// the statement; where not, it only says so. An error goes to the author, with its code, and nothing is signed.
//
// kinds are the kinds of action, or patterns of them, that fn can judge; all where none are given. The kind says in which class
// the work counts and is the author's word, like Detail: fn must make sure that the work was of that kind. Calls are of the last
// 12 hours. Of other work fn must know itself who did it for whom, and refuse what is as old: the ledger forgets after a day
// which requests it has counted. Errors: denied where the agent was not granted the capability.
func (b Box) Attest(fn func(ctx context.Context, c Claim) (ok bool, err error), kinds ...string) error {
	if len(kinds) == 0 {
		kinds = []string{"*"}
	}
	if err := identity.CheckCapabilities(slices.Sorted(slices.Values(kinds))); err != nil {
		return err
	}
	return b.registry.Serve(func(ctx context.Context, from Party, content []byte) ([]byte, error) {
		claim, statement, err := b.read(ctx, from, content)
		if err != nil {
			return nil, err
		}
		if !identity.MatchCapability(kinds, claim.Evidence.Action) {
			return nil, fmt.Errorf("%w: actions of kind %.64q", errAttester, claim.Evidence.Action)
		}
		ok, err := fn(ctx, claim)
		if err != nil {
			return nil, err
		}
		if ok != claim.Evidence.OK {
			return wire.Encode(findingContent{OK: ok})
		}
		if statement, err = b.Countersign(statement); err != nil {
			return nil, err
		}
		return wire.Encode(findingContent{Statement: statement})
	})
}

// read checks a claim: that its author asks, that this agent is the attester and of neither side, and that the call
// is what the statement says.
func (b Box) read(ctx context.Context, from Party, content []byte) (Claim, []byte, error) {
	var in claimContent
	if err := wire.Decode(content, &in); err != nil {
		return Claim{}, nil, err
	}
	c, err := wire.ParseCosigned[trust.Evidence](in.Statement, wire.MaxStatement)
	if err != nil {
		return Claim{}, nil, err
	}
	claim := Claim{Author: from, Evidence: c.Claim}
	if err := b.mine(ctx, &claim); err != nil || in.Parts == nil {
		return claim, in.Statement, err
	}
	return claim, in.Statement, b.prove(ctx, &claim, *in.Parts)
}

var errLater = fault.New(fault.Denied, "standing: the statement is good for longer than an hour").
	WithHint("draft it anew, and have it attested and handed in within an hour")

// soon refuses statements that are over, and those that could be handed in later than an hour from now: the ledger forgets
// after [trust.MaxEvidenceLife] which requests it has counted, and one call would count again.
func soon(e trust.Evidence) error {
	now := time.Now().UnixMilli()
	if err := identity.CheckTime(e.Issued, e.Expires, now); err != nil {
		return fmt.Errorf("standing: the statement: %w", err)
	}
	if e.Expires > now+evidenceLife.Milliseconds()+identity.Skew {
		return errLater
	}
	return nil
}

// mine refuses claims that this agent's signature is of no use for.
func (b Box) mine(ctx context.Context, claim *Claim) error {
	e, me := claim.Evidence, b.known().Signer.ID()
	if err := soon(e); err != nil {
		return err
	}
	if e.Act != trust.Outcome || e.Author != claim.Author.ID || e.Attester != me {
		return fmt.Errorf("%w: it names others", errAttester)
	}
	own, err := b.registry.Who(ctx, me.String())
	if err != nil {
		return err
	}
	if claim.Subject, err = b.registry.Who(ctx, e.Subject.String()); err != nil {
		return err
	}
	if own.Operator == claim.Subject.Operator || own.Operator == claim.Author.Operator {
		return fmt.Errorf("%w: its operator answers for one of the two", errAttester)
	}
	return nil
}

// prove completes a claim by what the two sides of the call have signed.
func (b Box) prove(ctx context.Context, claim *Claim, p Parts) error {
	proof, err := b.registry.Prove(ctx, claim.Author.ID, p)
	if err != nil {
		return err
	}
	e := claim.Evidence
	if p.Agent != e.Subject || proof.Request != e.Request || proof.Result != e.Result {
		return fmt.Errorf("%w: the call shown is another one", errAttester)
	}
	claim.Called, claim.Capability, claim.Request = true, proof.Capability, proof.Content
	claim.Answered, claim.Answer, claim.Failure = p.Answered, proof.Answer, proof.Failure
	return nil
}
