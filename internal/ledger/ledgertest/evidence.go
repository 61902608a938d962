package ledgertest

import (
	"encoding/binary"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Evidence returns evidence as its author would make it now, valid for an hour; what the act needs is the caller's to set.
func (w *World) Evidence(act trust.Act, subject, author identity.ID) trust.Evidence {
	w.nonce++
	e := trust.Evidence{Version: 1, Act: act, Subject: subject, Author: author, Issued: w.Now, Expires: w.Now + 60*Minute}
	binary.BigEndian.PutUint64(e.Nonce[:], w.nonce)
	return e
}

// Outcome returns an outcome of a fresh request of the author, attested by the attester.
func (w *World) Outcome(subject, author, attester identity.ID, action string, ok bool) trust.Evidence {
	e := w.Evidence(trust.Outcome, subject, author)
	e.Attester, e.Action, e.OK = attester, action, ok
	e.Request, e.Result = wire.Hash(e.Nonce[:]), wire.Hash([]byte("result"))
	return e
}

// Tell has the first of the signers hand in evidence that all of them sign.
func (w *World) Tell(e trust.Evidence, signers ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.HandIn(signers[0], w.Sign(e, signers...))
}

// HandIn hands in signed evidence, with the signatures of further operators under the command.
func (w *World) HandIn(by identity.Signer, statement []byte, further ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.Do(by, registry.TypeEvidence, registry.Evidence{Statement: statement}, further...)
}

// SignOff has operators sign a promotion, or the renewal of a lease.
func (w *World) SignOff(agent identity.ID, level identity.Level, signers ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.Do(signers[0], registry.TypePromote, registry.SetLevel{Principal: agent, Level: level}, signers[1:]...)
}

// Enrol hands in an agent's enrolment by a token that the operator signs, and returns the agent.
func (w *World) Enrol(operator identity.Signer, t identity.Token) (identity.Signer, registry.Answer) {
	w.tb.Helper()
	agent := w.Signer(identity.Agent)
	token, once := w.Invite(operator, t)
	return agent, w.Do(agent, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(agent, token, once)})
}
