package sdk

import (
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
)

type receipt = audit.Receipt

// TrustRoot is what somebody who verifies a certificate brings along: the realm's id, and the newest roster number
// known or demanded, 0 for none.
type TrustRoot struct {
	Realm  Realm
	Roster uint64
}

// CertificateReport names each check of a certificate, up to the first that failed.
type CertificateReport = proof.Report

// Certificate is a verified certificate: a decision that anybody can check who knows the realm's id.
type Certificate struct {
	raw      []byte
	verified *proof.Verified
}

// ParseCertificate reads a certificate and makes the whole check, with no bus, node or clock. The report names every
// check made; the error is that of the first that failed.
func ParseCertificate(raw []byte, t TrustRoot) (*Certificate, CertificateReport, error) {
	v, report, err := proof.VerifyCertificate(raw, proof.Trust{Realm: t.Realm, Roster: t.Roster})
	if err != nil {
		return nil, report, err
	}
	return &Certificate{raw: raw, verified: v}, report, nil
}

// ID returns the decision's id.
func (c *Certificate) ID() Digest { return c.verified.Proposal().ID() }

// Raw returns the certificate's bytes, to keep or hand on. The caller must not change them.
func (c *Certificate) Raw() []byte { return c.raw }

// Action returns what was decided.
func (c *Certificate) Action() Action { return c.verified.Proposal().Statement().Action }

// Class returns the action's class.
func (c *Certificate) Class() Class { return c.verified.Opening().Class }

// Ballots returns how many ballots it carries.
func (c *Certificate) Ballots() int { return len(c.verified.Certificate().Ballots) }

// Expires returns the end of the execution window.
func (c *Certificate) Expires() time.Time { return time.UnixMilli(c.verified.Verdict().Until) }

// Verify makes the whole check again by the caller's own trust root, and that the certificate is for exactly this
// action and still in its execution window at now. It needs no bus. It does not say that nobody has used it: that is
// the registry's to say, in [Agent.Execute].
func (c *Certificate) Verify(t TrustRoot, action Action, now time.Time) error {
	v, _, err := proof.VerifyCertificate(c.raw, proof.Trust{Realm: t.Realm, Roster: t.Roster})
	if err != nil {
		return err
	}
	p := v.Proposal().Statement()
	return v.Allows(action, p.Executor, p.Store, now.UnixMilli())
}
