package proof

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// Allows refuses every use of the certificate but one: exactly this action, by this executor with this spent store,
// inside the execution window at now (Unix milliseconds).
func (v *Verified) Allows(a consensus.Action, executor identity.ID, store [16]byte, now int64) error {
	p := v.proposal.Statement()
	if p.Action.Digest() != a.Digest() {
		return ErrAction
	}
	if p.Executor != executor || p.Store != store {
		return ErrAudience
	}
	return identity.CheckTime(v.certificate.Verdict.At, v.certificate.Verdict.Until, now)
}

// VerifyConsumption checks that a majority-signed head, not older than the certificate's, shows the registry's answer
// that this executor and store were the first to consume the certificate, inside its execution window.
func (v *Verified) VerifyConsumption(c consensus.Consumption, r audit.Receipt) error {
	p := v.proposal.Statement()
	if c.Proposal != v.proposal.ID() || c.Executor != p.Executor || c.Store != p.Store || c.Use != 1 {
		return ErrMismatch
	}
	if c.At < v.certificate.Verdict.At || c.At >= v.certificate.Verdict.Until {
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
