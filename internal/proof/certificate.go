// Package proof is the whole check of a certificate: what the guard does before it acts, and what anybody can do
// afterwards who knows the realm id and nothing else. It is pure: bytes in, a list of named checks out.
package proof

import (
	"bytes"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Check is one named step of a verification.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

// Report is the outcome of a verification: the checks in order, up to and including the first that failed.
type Report struct {
	Valid  bool       `json:"valid"`
	Code   fault.Code `json:"code"` // "" if valid
	Roster uint64     `json:"roster"`
	Checks []Check    `json:"checks"`
}

// Verified is a certificate that passed every check. Only [VerifyCertificate] makes one.
type Verified struct {
	raw         []byte
	certificate consensus.Certificate
	proposal    wire.Verified[consensus.Proposal]
	authority   *identity.Authority
	head        wire.Verified[audit.Head]
}

// Proposal returns what was decided.
func (v *Verified) Proposal() wire.Verified[consensus.Proposal] { return v.proposal }

// Opening returns class, rule and electorate.
func (v *Verified) Opening() consensus.Opening { return v.certificate.Opening }

// Verdict returns when it was approved and until when it may be consumed.
func (v *Verified) Verdict() consensus.Verdict { return v.certificate.Verdict }

// Head returns the majority-signed head that it stands under.
func (v *Verified) Head() wire.Verified[audit.Head] { return v.head }

// Certificate returns the parts. They must not be changed.
func (v *Verified) Certificate() consensus.Certificate { return v.certificate }

// Trust is what the verifier brings along: the realm id, and the newest roster number it has seen or demands.
type Trust struct {
	Realm  wire.Realm
	Roster uint64
}

// Errors that only a whole check finds.
var (
	ErrPolicy    = fault.New(fault.Denied, "proof: not the policy that the genesis names, nor one that replaced it")
	ErrClass     = fault.New(fault.Denied, "proof: class, rule or electorate is not what the policy says")
	ErrNoQuorum  = fault.New(fault.NoQuorum, "proof: the ballots do not meet the rule")
	ErrUnvouched = fault.New(fault.Unknown, "proof: nobody vouches for a party's key")
	ErrMismatch  = fault.New(fault.Misaddressed, "proof: the parts are not of one decision")
	ErrAction    = fault.New(fault.Misaddressed, "proof: certificate for another action")
	ErrAudience  = fault.New(fault.Misaddressed, "proof: certificate for another executor or spent store")
	ErrEarly     = fault.New(fault.NotYet, "proof: too early to act on the certificate").
			WithHint("wait until the time that it names, by the executor's clock")
)

// examination carries what the steps find out, in their order.
type examination struct {
	trust     Trust
	raw       []byte    // as it came, and from the first step on the encoding
	known     *Verifier // nil: remembers nothing
	parts               // read by the first step
	a         *identity.Authority
	governed  reign
	witnesses *witnesses // nil until a step needs them
	proposal  wire.Verified[consensus.Proposal]
	head      wire.Verified[audit.Head]

	room                 *name // for names, one after the other; nil without memory
	chainID, governingID wire.Digest
}

// step is one predicate, with what it means in a sentence that begins with its name.
type step struct {
	name  string
	means string
	run   func(*examination) error
}

// steps is the whole check of a certificate, in order.
var steps = []step{
	{
		"format",
		"the one encoding of a certificate, as it is or packed, of the realm that the verifier trusts",
		(*examination).format,
	},
	{
		"realm and rosters",
		"the genesis has the realm's id, and each roster follows the one before with the signatures it needs",
		(*examination).readChain,
	},
	{
		"policy",
		"the policy is the genesis's, or each that replaced it was signed by as many operators as the one before asks for",
		(*examination).readPolicy,
	},
	{"head", "a majority of the roster's nodes signed one state of the log", (*examination).verifyHead},
	{"opening recorded", "exactly this opening stands in the log under that head", (*examination).openingRecorded},
	{"proposal", "the proposer signed the proposal that the opening is of", (*examination).verifyProposal},
	{"class", "the policy gives the action, with the sum that the opening names, this class", (*examination).recomputeClass},
	{"rule", "the policy gives the class this rule and deadline", (*examination).recomputeRule},
	{
		"electorate",
		"nobody votes who may not, weights are the policy's, and the rule can be met",
		(*examination).checkVoters,
	},
	{
		"parties vouched for",
		"operators that the genesis leads to vouch for every party's key and level",
		(*examination).vouched,
	},
	{
		"ballots",
		"every ballot is signed by its voter for this opening, and together they meet the rule",
		(*examination).ballots,
	},
	{
		"verdict recorded",
		"the approval stands in the log under that head, in time, with this window",
		(*examination).verdictRecorded,
	},
}

// VerifyCertificate checks a certificate from its encoding or its file, see [Unpack], and the realm id. The report names each check; the error is
// that of the first that failed.
func VerifyCertificate(raw []byte, t Trust) (*Verified, Report, error) {
	return (*Verifier)(nil).Verify(raw, t)
}

func (e *examination) verify() (*Verified, Report, error) {
	report := Report{Checks: make([]Check, 0, len(steps))}
	for _, s := range steps {
		err := s.run(e)
		report.Checks = append(report.Checks, Check{Name: s.name, OK: err == nil})
		if err != nil {
			report.Code = fault.CodeOf(err)
			return nil, report, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	report.Valid, report.Roster = true, e.a.Number
	return &Verified{raw: e.raw, certificate: e.c, proposal: e.proposal, authority: e.a, head: e.head}, report, nil
}

func (e *examination) format() (err error) {
	if e.raw, err = Unpack(e.raw); err != nil {
		return err
	}
	e.raw = bytes.Clone(e.raw) // whatever the caller does with its bytes afterwards
	e.parts, err = read(e.raw)
	if err == nil && e.c.Realm != e.trust.Realm {
		return identity.ErrWrongRealm
	}
	return err
}

func (e *examination) readChain() (err error) {
	if e.a, err = e.authority(); err != nil {
		return err
	}
	if e.a.Number < e.trust.Roster {
		return fmt.Errorf("%w: roster %d, seen %d", identity.ErrRollback, e.a.Number, e.trust.Roster)
	}
	return nil
}

func (e *examination) verifyHead() (err error) {
	e.head, err = e.signedHead()
	return err
}

// openingRecorded checks that the registry recorded exactly this opening.
func (e *examination) openingRecorded() error {
	return e.opened.Shows(e.head, e.opening)
}

// verifyProposal checks that the proposer signed the proposal, and that the opening is of it.
func (e *examination) verifyProposal() error {
	claimed, err := wire.Parse[consensus.Proposal](e.c.Proposal, wire.MaxStatement)
	if err != nil {
		return err
	}
	v, err := claimed.Verify(e.a.Realm, e.c.Opening.Key)
	if err != nil {
		return err
	}
	o := e.c.Opening
	if o.Proposal != v.ID() || o.Action != v.Statement().Action.Digest() || o.Policy != wire.Hash(e.c.Policy) {
		return ErrMismatch
	}
	e.proposal = v
	return nil
}

func (e *examination) recomputeClass() error {
	return checkClass(e.governed.policy, e.proposal.Statement(), e.c.Opening)
}

func (e *examination) recomputeRule() error {
	return checkRule(e.governed.policy, e.proposal.Statement(), e.c.Opening)
}

func (e *examination) checkVoters() error {
	return checkElectorate(e.governed.policy, e.proposal.Statement(), e.c.Opening)
}

// ballots verifies every ballot and counts them again.
func (e *examination) ballots() error {
	if e.c.Opening.Alone {
		if len(e.c.Ballots) != 0 {
			return ErrMismatch
		}
		return nil
	}
	frozen := e.c.Opening.FreezeRead(e.opening)
	ballots := make([]wire.Verified[consensus.Ballot], len(e.c.Ballots))
	for i, raw := range e.c.Ballots {
		v, err := frozen.VerifyBallot(raw, e.a.Realm)
		if err != nil {
			return err
		}
		ballots[i] = v
	}
	state, err := frozen.Tally(consensus.Poll{Ballots: ballots}, e.c.Opening.RevealsUntil())
	if err != nil {
		return err
	}
	if state != consensus.Approved {
		return fmt.Errorf("%w: %s", ErrNoQuorum, state)
	}
	return nil
}

// verdictRecorded checks that the registry recorded the approval, in time, and from when and how long it holds.
func (e *examination) verdictRecorded() error {
	o, v := e.c.Opening, e.c.Verdict
	if v != consensus.NewVerdict(e.proposal.Statement(), o, consensus.Approved, v.At) {
		return ErrMismatch
	}
	if o.Alone {
		if v.At != o.Opened {
			return ErrMismatch
		}
		return e.decided.Shows(e.head, e.opening)
	}
	if v.At < o.Opened || v.At >= o.Deadline {
		return identity.ErrExpired
	}
	return e.decided.Shows(e.head, e.verdict)
}
