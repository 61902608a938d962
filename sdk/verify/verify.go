// Package verify checks decisions' certificates offline: with the realm's id alone, and no bus, node or clock.
//
//	c, report, err := verify.Parse(raw, verify.TrustRoot{Realm: realm})
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
// Class, Ballots (how many) and Expires (Unix milliseconds) say what was decided; Raw returns its bytes. Verify makes the whole check again
// by another trust root, and for an action and a time.
type Certificate = proof.Certificate

// Parse reads a certificate and makes the whole check. The report names every check made; the error is that of the
// first that failed.
func Parse(raw []byte, t TrustRoot) (*Certificate, Report, error) {
	return proof.ParseCertificate(raw, t)
}
