// Package proof is the whole check of a certificate: what the guard does before it acts, and what anybody can do
// afterwards who knows the realm id and nothing else. It is pure: bytes in, a list of named checks out.
package proof

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
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
	ErrPolicy    = fault.New(fault.Denied, "proof: not the policy that the genesis names")
	ErrClass     = fault.New(fault.Denied, "proof: class, rule or electorate is not what the policy says")
	ErrNoQuorum  = fault.New(fault.NoQuorum, "proof: the ballots do not meet the rule")
	ErrUnvouched = fault.New(fault.Unknown, "proof: nobody vouches for a party's key")
	ErrMismatch  = fault.New(fault.Misaddressed, "proof: the parts are not of one decision")
	ErrAction    = fault.New(fault.Misaddressed, "proof: certificate for another action")
	ErrAudience  = fault.New(fault.Misaddressed, "proof: certificate for another executor or spent store")
)

// examination carries what the steps find out, in their order.
type examination struct {
	trust    Trust
	raw      []byte
	c        consensus.Certificate
	a        *identity.Authority
	policy   policy.Policy
	proposal wire.Verified[consensus.Proposal]
	head     wire.Verified[audit.Head]
}

type step struct {
	name string
	run  func(*examination) error
}

// steps is the whole check of a certificate, in order.
var steps = []step{
	{"format", (*examination).format},
	{"realm and rosters", (*examination).chain},
	{"policy", (*examination).readPolicy},
	{"head", (*examination).verifyHead},
	{"opening recorded", (*examination).openingRecorded},
	{"proposal", (*examination).verifyProposal},
	{"class and rule", (*examination).recomputeClass},
	{"electorate", (*examination).electorate},
	{"parties vouched for", (*examination).vouched},
	{"ballots", (*examination).ballots},
	{"verdict recorded", (*examination).verdictRecorded},
}

// VerifyCertificate checks a certificate from its bytes and the realm id. The report names each check; the error is
// that of the first that failed.
func VerifyCertificate(raw []byte, t Trust) (*Verified, Report, error) {
	e := &examination{trust: t, raw: raw}
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
	return &Verified{certificate: e.c, proposal: e.proposal, authority: e.a, head: e.head}, report, nil
}

func (e *examination) format() (err error) {
	e.c, err = consensus.ParseCertificate(e.raw)
	if err == nil && e.c.Realm != e.trust.Realm {
		return identity.ErrWrongRealm
	}
	return err
}

func (e *examination) chain() (err error) {
	e.a, err = identity.VerifyChain(e.trust.Realm, e.c.Genesis, e.c.Rosters, e.trust.Roster)
	return err
}

func (e *examination) readPolicy() (err error) {
	if wire.Hash(e.c.Policy) != e.a.Policy {
		return ErrPolicy
	}
	if e.policy, err = policy.Parse(e.c.Policy); err != nil {
		return err
	}
	if e.policy.Preset == policy.Solo && !e.a.Solo {
		return fmt.Errorf("%w: one person governs by it, and the realm is not solo", ErrPolicy)
	}
	return nil
}

func (e *examination) verifyHead() (err error) {
	e.head, err = audit.VerifyHead(e.c.Head, e.a)
	return err
}

// openingRecorded checks that the registry recorded exactly this opening.
func (e *examination) openingRecorded() error {
	return e.shows(e.c.Opened, e.c.Opening)
}

func (e *examination) shows(inclusion wire.Raw, result any) error {
	var i audit.Inclusion
	if err := wire.Decode(inclusion, &i); err != nil {
		return err
	}
	return i.Shows(e.head, result)
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
	if o.Proposal != v.ID() || o.Action != v.Statement().Action.Digest() || o.Policy != e.a.Policy {
		return ErrMismatch
	}
	e.proposal = v
	return nil
}

// CheckOpening computes from the policy what a proposal needs and who may vote on it, and refuses an opening that says
// otherwise, whatever head it stands under. It says nothing about signatures, nor about who its parties are.
func CheckOpening(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	if err := checkClass(rules, p, o); err != nil {
		return err
	}
	return checkElectorate(rules, p, o)
}

func (e *examination) recomputeClass() error {
	return checkClass(e.policy, e.proposal.Statement(), e.c.Opening)
}

func (e *examination) electorate() error {
	return checkElectorate(e.policy, e.proposal.Statement(), e.c.Opening)
}

// checkClass computes class, rule and deadline from the action and the policy, whatever the registry said.
func checkClass(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	class, err := rules.Classify(p.Action, p.Class, o.Sum)
	if err != nil {
		return err
	}
	if class != o.Class || rules.Rule(class) != o.Rule {
		return fmt.Errorf("%w: %s, not %s", ErrClass, class, o.Class)
	}
	if o.Opened <= 0 || o.Deadline <= o.Opened || o.Deadline != min(o.Opened+o.Rule.Deadline, p.Expires) {
		return fmt.Errorf("%w: deadline", ErrClass)
	}
	return nil
}

// checkElectorate checks who could vote, or that the proposer's level decides alone.
func checkElectorate(rules policy.Policy, p consensus.Proposal, o consensus.Opening) error {
	if o.Alone {
		alone := rules.Alone(level(o.Level), o.Class)
		if p.Proposer.Role() != identity.Agent || !alone || len(o.Voters) != 0 {
			return fmt.Errorf("%w: L%d does not decide %s alone", ErrClass, o.Level, o.Class)
		}
		return nil
	}
	for _, v := range o.Voters {
		weight := uint64(1)
		if !v.Person() {
			weight = rules.Rights(level(v.Level)).Weight
		}
		if v.Weight != weight || v.ID == p.Executor && !v.Person() {
			return fmt.Errorf("%w: weight of %s", ErrClass, v.ID)
		}
	}
	return consensus.CheckElectorate(o, p.Proposer)
}

// level returns the level of a number, the lowest for one above the ladder: cut to a byte, it could be any.
func level(n uint64) identity.Level {
	if n > uint64(identity.Steward) {
		return identity.Quarantined
	}
	return identity.Level(n)
}

// ballots verifies every ballot and counts them again.
func (e *examination) ballots() error {
	if e.c.Opening.Alone {
		if len(e.c.Ballots) != 0 {
			return ErrMismatch
		}
		return nil
	}
	ballots := make([]wire.Verified[consensus.Ballot], len(e.c.Ballots))
	for i, raw := range e.c.Ballots {
		v, err := consensus.VerifyBallot(raw, e.a.Realm, e.c.Opening)
		if err != nil {
			return err
		}
		ballots[i] = v
	}
	state, err := consensus.Tally(e.c.Opening, consensus.Poll{Ballots: ballots}, e.c.Opening.RevealsUntil())
	if err != nil {
		return err
	}
	if state != consensus.Approved {
		return fmt.Errorf("%w: %s", ErrNoQuorum, state)
	}
	return nil
}

// verdictRecorded checks that the registry recorded the approval, in time, and how long it holds.
func (e *examination) verdictRecorded() error {
	o, v := e.c.Opening, e.c.Verdict
	if v.Proposal != o.Proposal || v.State != consensus.Approved || v.Until != v.At+o.Rule.Window {
		return ErrMismatch
	}
	if o.Alone {
		if v.At != o.Opened {
			return ErrMismatch
		}
		return e.shows(e.c.Decided, o)
	}
	if v.At < o.Opened || v.At >= o.Deadline {
		return identity.ErrExpired
	}
	return e.shows(e.c.Decided, v)
}
