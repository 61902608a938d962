package proof

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// Early is the error of acting on a certificate before its time. It wraps [ErrEarly].
type Early struct {
	From int64 // Unix milliseconds: from then on
}

// Error names the time.
func (e *Early) Error() string { return fmt.Sprintf("%v: not before %d (Unix ms)", ErrEarly, e.From) }

// Unwrap returns [ErrEarly].
func (e *Early) Unwrap() error { return ErrEarly }

// Allows refuses every use of the certificate but one: exactly this action, or one that its permit covers, by this
// executor with this spent store, inside the execution window at now (Unix milliseconds), give or take [identity.Skew].
// Errors: [ErrAction], [ErrAudience], [*Early], [identity.ErrExpired]. How often a permit was used before is the registry's
// to say.
func (v *Verified) Allows(a consensus.Action, executor identity.ID, store [16]byte, now int64) error {
	p := v.proposal.Statement()
	if !p.Covers(a) {
		return ErrAction
	}
	if p.Executor != executor || p.Store != store {
		return ErrAudience
	}
	from, until := v.certificate.Verdict.From, v.certificate.Verdict.Until
	if now < from-identity.Skew {
		return &Early{From: from}
	}
	return identity.CheckTime(from, until, now)
}

// VerifyConsumption checks that a majority-signed head, not older than the certificate's, shows the registry's answer
// that this executor and store consumed the certificate for this action, inside its execution window: once, or, of a
// permit, as one of its uses. No two consumptions that a head shows have the same use.
func (v *Verified) VerifyConsumption(c consensus.Consumption, a consensus.Action, r audit.Receipt) error {
	p, uses := v.proposal.Statement(), uint64(1)
	if p.Permit != nil {
		uses = p.Permit.Uses
	}
	if c.Proposal != v.proposal.ID() || c.Executor != p.Executor || c.Store != p.Store || c.Use < 1 || c.Use > uses {
		return ErrMismatch
	}
	if !p.Covers(a) || c.Action != a.Digest() {
		return ErrAction
	}
	if c.At < v.certificate.Verdict.From || c.At >= v.certificate.Verdict.Until {
		return identity.ErrExpired
	}
	head, err := r.Verify(v.authority, c)
	if err != nil {
		return err
	}
	if head.Statement().Size < v.head.Statement().Size {
		return identity.ErrRollback
	}
	return nil
}
