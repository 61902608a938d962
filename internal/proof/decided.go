package proof

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Certificate is a verified certificate: a decision that anybody can check who knows the realm's id.
type Certificate struct{ verified *Verified }

// ParseCertificate reads a certificate, its encoding or its file, and makes the whole check. The report names every check
// made; the error is that of the first that failed.
func ParseCertificate(raw []byte, t Trust) (*Certificate, Report, error) {
	return (*Verifier)(nil).Parse(raw, t)
}

// Parse is [ParseCertificate].
func (v *Verifier) Parse(raw []byte, t Trust) (*Certificate, Report, error) {
	verified, report, err := v.Verify(raw, t)
	if err != nil {
		return nil, report, err
	}
	return &Certificate{verified: verified}, report, nil
}

// ID returns the decision's id.
func (c *Certificate) ID() wire.Digest { return c.verified.Proposal().ID() }

// Raw returns the certificate's one encoding, whatever it was read from. The caller must not change it.
func (c *Certificate) Raw() []byte { return c.verified.raw }

// File returns the certificate packed, to keep or hand on: what reads a certificate reads both. See [Pack].
func (c *Certificate) File() []byte { return Pack(c.verified.raw) }

// Action returns what was decided.
func (c *Certificate) Action() consensus.Action { return c.verified.Proposal().Statement().Action }

// Class returns the action's class.
func (c *Certificate) Class() consensus.Class { return c.verified.Opening().Class }

// Ballots returns how many ballots it carries.
func (c *Certificate) Ballots() int { return len(c.verified.Certificate().Ballots) }

// NotBefore returns the begin of the execution window, in Unix milliseconds.
func (c *Certificate) NotBefore() int64 { return c.verified.Verdict().From }

// Expires returns the end of the execution window, in Unix milliseconds.
func (c *Certificate) Expires() int64 { return c.verified.Verdict().Until }

// Verified returns what was proved, for who acts on it.
func (c *Certificate) Verified() *Verified { return c.verified }

// Verify makes the whole check again by the caller's own trust root, and that the certificate is for exactly this action,
// or a permit that covers it, and in its execution window at now, in Unix milliseconds. It needs no bus. It does not say
// that nobody has used it: that is the registry's to say, when an agent executes the decision.
func (c *Certificate) Verify(t Trust, action consensus.Action, now int64) error {
	v, _, err := VerifyCertificate(c.verified.raw, t)
	if err != nil {
		return err
	}
	p := v.Proposal().Statement()
	return v.Allows(action, p.Executor, p.Store, now)
}
