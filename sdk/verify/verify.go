// Package verify checks decisions' certificates offline: with the realm's id alone, and no bus, node or clock.
//
//	c, report, err := verify.Parse(raw, verify.TrustRoot{Realm: realm})
//
// Whoever checks many certificates of one realm keeps a [Verifier]. Whoever trusts no program has [Explain] write down
// each signature with the exact bytes that it is over, for another tool to check.
//
// It links nothing that connects anywhere, so that an auditor's program need not.
package verify

import "github.com/seed-3e86d5b2/conclave/internal/proof"

// TrustRoot is what somebody who verifies a certificate brings along: Realm, the realm's id, and Roster, the newest
// roster number known or demanded, 0 for none.
type TrustRoot = proof.Trust

// Report names each check of a certificate, up to the first that failed.
type Report = proof.Report

// Certificate is a verified certificate: a decision that anybody can check who knows the realm's id. Its ID, Action,
// Class, Ballots (how many), NotBefore and Expires (Unix milliseconds) say what was decided; Raw returns its one encoding, and
// File that packed, to keep or hand on. Verify makes the whole check again by another trust root, and for an action and a time.
type Certificate = proof.Certificate

// Early is the error of [Certificate.Verify] before the time from which the action may be done: its From, in Unix
// milliseconds.
type Early = proof.Early

// Parse reads a certificate, its encoding or its file, and makes the whole check. The report names every check made; the
// error is that of the first that failed.
func Parse(raw []byte, t TrustRoot) (*Certificate, Report, error) {
	return proof.ParseCertificate(raw, t)
}

// Verifier makes the same checks and remembers, within bounds, what of a realm it has verified before: genesis, rosters,
// policies, heads and who vouches for voters. Its Parse is [Parse]. It is safe for concurrent use.
type Verifier = proof.Verifier

// NewVerifier returns a Verifier that remembers nothing yet.
func NewVerifier() *Verifier { return proof.NewVerifier() }

// Explanation is a certificate taken apart: every signature with who made it, the exact bytes it is over and what it proves,
// each check with what it means, and what the certificate does not prove. It marshals to JSON.
type Explanation = proof.Explanation

// Signature is one signature in an [Explanation]. Key, message and signature are lower-case hexadecimal; any Ed25519 tool
// checks them.
type Signature = proof.Signature

// Explain takes a certificate apart, whether it verifies or not.
func Explain(raw []byte, t TrustRoot) Explanation { return proof.Explain(raw, t) }

// Unpack returns a certificate's one encoding from its file, and checks nothing else of it. [Parse] and [Explain] read both.
// It refuses with the codes malformed and too_large, and never makes more than 1 MiB of what it is given.
func Unpack(file []byte) ([]byte, error) { return proof.Unpack(file) }
