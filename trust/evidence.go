package trust

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Act is what a piece of evidence tells. The zero value is none.
type Act uint8

// The acts.
const (
	Outcome     Act = 1 // how a request ended, by who asked and by an independent attester
	Rating      Act = 2 // an agent's or a person's opinion of an agent
	Violation   Act = 3 // a broken rule, by a person, or found by the ledger itself
	Alarm       Act = 4 // a detector's suspicion
	Endorsement Act = 5 // a person's word for an agent
	Pardon      Act = 6 // people take back part of what violations weigh
	Settled     Act = 7 // a vote whose decision was settled; made by the ledger, never handed in
)

// String returns the act's word.
func (a Act) String() string {
	words := [...]string{"none", "outcome", "rating", "violation", "alarm", "endorsement", "pardon", "vote"}
	if int(a) < len(words) {
		return words[a]
	}
	return fmt.Sprintf("act(%d)", uint8(a))
}

// Limits of evidence.
const (
	MaxEvidenceLife = day       // ms between issue and expiry
	MaxDetail       = 256       // bytes
	MaxPardon       = 32 * Unit // of one pardon
)

// Abilities that an agent's operator grants, and that give its word on others weight.
const (
	Attests = "conclave.attest" // attests outcomes as its operator would
	Detects = "conclave.detect" // raises alarms
)

// Evidence is a signed statement about an agent. Its author signs it, an outcome's attester too. It counts once.
type Evidence struct {
	Version  uint64      `cbor:"0,keyasint"` // 1
	Act      Act         `cbor:"1,keyasint"`
	Subject  identity.ID `cbor:"2,keyasint"` // an agent
	Author   identity.ID `cbor:"3,keyasint"` // who asked, rates, endorses, accuses, detects
	Attester identity.ID `cbor:"4,keyasint"` // of an outcome; otherwise nobody
	Nonce    [16]byte    `cbor:"5,keyasint"`
	Issued   int64       `cbor:"6,keyasint"` // Unix milliseconds
	Expires  int64       `cbor:"7,keyasint"` // at most [MaxEvidenceLife] later

	Action  string      `cbor:"8,keyasint,omitempty"`  // of an outcome: the kind of action; the policy gives it a class
	Request wire.Digest `cbor:"9,keyasint"`            // of an outcome: what was asked; one request counts once
	Result  wire.Digest `cbor:"10,keyasint"`           // of an outcome: what was answered; zero for no answer
	OK      bool        `cbor:"11,keyasint,omitempty"` // of an outcome: it was right

	Value    int64  `cbor:"12,keyasint,omitempty"` // of a rating −1000 to 1000, of an alarm 1 to 1000
	Severity uint64 `cbor:"13,keyasint,omitempty"` // of a violation: 1 to 4
	Amount   Micro  `cbor:"14,keyasint,omitempty"` // of an endorsement or a pardon
	Detail   string `cbor:"15,keyasint,omitempty"` // for people, at most [MaxDetail] bytes
}

// Kind implements [wire.Statement].
func (Evidence) Kind() wire.Kind { return wire.Evidence }

// Check implements [wire.Statement]. What the act does not use must be zero. Who may say it: see [Evidence.Admit].
func (e Evidence) Check() error {
	if e.Version != 1 {
		return wire.ErrVersion
	}
	if e.Subject.Role() != identity.Agent {
		return fmt.Errorf("%w: evidence about no agent", wire.ErrMalformed)
	}
	if err := e.Subject.Check(); err != nil {
		return err
	}
	if err := checkTeller(e.Author); err != nil {
		return fmt.Errorf("evidence's author: %w", err)
	}
	if e.Nonce == [16]byte{} {
		return fmt.Errorf("%w: evidence without a nonce", wire.ErrMalformed)
	}
	if e.Issued <= 0 || e.Expires <= e.Issued || e.Expires-e.Issued > MaxEvidenceLife {
		return fmt.Errorf("%w: evidence's life", wire.ErrMalformed)
	}
	if len(e.Detail) > MaxDetail {
		return fmt.Errorf("%w: detail of %d bytes, at most %d", wire.ErrTooLarge, len(e.Detail), MaxDetail)
	}
	return e.checkAct()
}

// checkTeller refuses who is neither an agent nor a person.
func checkTeller(id identity.ID) error {
	if r := id.Role(); r != identity.Agent && r != identity.Operator {
		return fmt.Errorf("%w: neither an agent nor a person", wire.ErrMalformed)
	}
	return id.Check()
}

// checkAct checks the fields that the act uses, and that no other is set.
func (e Evidence) checkAct() error {
	rest := e // what is used is cleared from it; what is left must be what every act has
	rest.Version, rest.Act, rest.Subject, rest.Author, rest.Nonce = 0, 0, identity.ID{}, identity.ID{}, [16]byte{}
	rest.Issued, rest.Expires, rest.Detail = 0, 0, ""
	var ok bool
	switch e.Act {
	case Outcome:
		if err := e.checkOutcome(); err != nil {
			return err
		}
		rest.Attester, rest.Action, rest.Request, rest.Result = identity.ID{}, "", wire.Digest{}, wire.Digest{}
		rest.OK, ok = false, true
	case Rating:
		rest.Value, ok = 0, -1000 <= e.Value && e.Value <= 1000
	case Violation:
		rest.Severity, ok = 0, 1 <= e.Severity && e.Severity <= 4
	case Alarm:
		rest.Value, ok = 0, 1 <= e.Value && e.Value <= 1000
	case Endorsement:
		rest.Amount, ok = 0, e.Amount > 0
	case Pardon:
		rest.Amount, ok = 0, 0 < e.Amount && e.Amount <= MaxPardon
	default:
		return fmt.Errorf("%w: evidence of %s", wire.ErrMalformed, e.Act)
	}
	if !ok {
		return fmt.Errorf("%w: %s out of range", wire.ErrMalformed, e.Act)
	}
	if rest != (Evidence{}) {
		return fmt.Errorf("%w: a field that no %s has", wire.ErrMalformed, e.Act)
	}
	return nil
}

func (e Evidence) checkOutcome() error {
	if err := checkTeller(e.Attester); err != nil {
		return fmt.Errorf("outcome's attester: %w", err)
	}
	if err := identity.CheckCapability(e.Action); err != nil {
		return fmt.Errorf("outcome's action: %w", err)
	}
	if e.Request.IsZero() || (e.OK && e.Result.IsZero()) {
		return fmt.Errorf("%w: an outcome without its request, or a right one without its result", wire.ErrMalformed)
	}
	return nil
}

// Asked names the request that an outcome tells of, as its author made it: one request counts once, whatever is said about
// it. False for evidence of other acts.
func (e Evidence) Asked() (wire.Digest, bool) {
	if e.Act != Outcome {
		return wire.Digest{}, false
	}
	name := append([]byte("conclave evidence of a request\x00"), e.Author[:]...)
	return wire.Hash(append(name, e.Request[:]...)), true
}

// VerifyEvidence reads evidence and checks that it is current at now (Unix milliseconds), and signed by exactly those who
// should: the author's current key and, of an outcome, the attester's. Of other acts attester is the zero key. Whoever must
// first learn whose keys these are reads it by [wire.ParseCosigned]. Errors: what parsing says, [identity.ErrExpired],
// [identity.ErrNotYet], [ErrNoParty] for further signatures, [wire.ErrTooFew], [wire.ErrBadSignature].
func VerifyEvidence(
	raw []byte, realm wire.Realm, author, attester wire.PublicKey, now int64,
) (wire.Verified[Evidence], error) {
	var none wire.Verified[Evidence]
	c, err := wire.ParseCosigned[Evidence](raw, wire.MaxStatement)
	if err != nil {
		return none, err
	}
	if err := identity.CheckTime(c.Claim.Issued, c.Claim.Expires, now); err != nil {
		return none, fmt.Errorf("evidence: %w", err)
	}
	signers := []wire.PublicKey{author}
	if c.Claim.Act == Outcome {
		signers = append(signers, attester)
	}
	if n := len(c.Keys()); n > len(signers) {
		return none, fmt.Errorf("%w: %d signatures, not %d", ErrNoParty, n, len(signers))
	}
	return c.Verify(realm, len(signers), signers)
}

// Party is one who has a part in a piece of evidence, as the ledger knows it. The zero Party is nobody.
type Party struct {
	ID       identity.ID
	Operator identity.ID // who answers for it; a person answers for itself
	Status   Status
	Level    identity.Level
	Attests  bool // its operator granted it [Attests]
	Detects  bool // its operator granted it [Detects]
}

// person reports whether the party is a person.
func (p Party) person() bool { return p.ID.Role() == identity.Operator }

// speaks refuses who is not active, and agents of the lowest level.
func (p Party) speaks() error {
	if err := p.Status.Check(); err != nil {
		return err
	}
	if !p.person() && p.Level == identity.Quarantined {
		return ErrQuarantined
	}
	return nil
}

// Admit refuses evidence by somebody who may not give it. The parties are those that the evidence names, as the ledger knows
// them; attester is the zero Party unless it is an outcome. In a solo realm, which one person governs, that person may
// attest, accuse and endorse its own agents. How severe a violation may be told by how many, and how many must sign a pardon,
// the ledger checks. Errors: [ErrNoParty], [ErrOwn], [ErrQuarantined], [ErrRevoked].
func (e Evidence) Admit(subject, author, attester Party, solo bool) error {
	if subject.ID != e.Subject || author.ID != e.Author || attester.ID != e.Attester || subject.ID.Role() != identity.Agent {
		return fmt.Errorf("%w: other parties than the evidence names", ErrNoParty)
	}
	if err := subject.Status.Check(); err != nil {
		return fmt.Errorf("evidence's subject: %w", err)
	}
	if err := author.speaks(); err != nil {
		return fmt.Errorf("evidence's author: %w", err)
	}
	if author.ID == subject.ID {
		return fmt.Errorf("%w: by its subject", ErrOwn)
	}
	switch e.Act {
	case Outcome:
		return admitOutcome(subject, author, attester, solo)
	case Rating:
		return foreign(author, subject)
	case Alarm:
		return admitAlarm(subject, author)
	case Violation, Endorsement, Pardon:
		return e.admitPerson(subject, author, solo)
	}
	return fmt.Errorf("%w: nobody hands in evidence of %s", ErrNoParty, e.Act)
}

// admitOutcome wants an attester who answers neither to the subject's operator nor to the author's.
func admitOutcome(subject, author, attester Party, solo bool) error {
	if err := attester.speaks(); err != nil {
		return fmt.Errorf("evidence's attester: %w", err)
	}
	if attester.ID == subject.ID || attester.ID == author.ID {
		return fmt.Errorf("%w: the attester is the subject or the author", ErrOwn)
	}
	if solo && attester.person() {
		return nil
	}
	if err := foreign(attester, subject); err != nil {
		return err
	}
	return foreign(attester, author)
}

func admitAlarm(subject, author Party) error {
	if author.person() {
		return nil
	}
	if !author.Detects {
		return fmt.Errorf("%w: only agents that were granted %s raise alarms", ErrNoParty, Detects)
	}
	return foreign(author, subject)
}

func (e Evidence) admitPerson(subject, author Party, solo bool) error {
	if !author.person() {
		return fmt.Errorf("%w: only a person gives evidence of %s", ErrNoParty, e.Act)
	}
	if solo || e.Act == Pardon {
		return nil
	}
	return foreign(author, subject)
}

// foreign refuses two of the same operator, and parties whose operator is not known.
func foreign(a, b Party) error {
	if a.Operator == b.Operator || a.Operator.IsZero() || b.Operator.IsZero() {
		return fmt.Errorf("%w: both answer to one operator", ErrOwn)
	}
	return nil
}

var (
	// ErrNoParty is returned for evidence by somebody who had no part in what it tells, or may not tell it.
	ErrNoParty = fault.New(fault.Denied, "trust: not a party to this")
	// ErrOwn is returned for evidence by the subject, or by somebody of the same operator.
	ErrOwn = fault.New(fault.Denied, "trust: nobody testifies for their own")
	// ErrCounted is returned for evidence that was counted before.
	ErrCounted = fault.New(fault.Spent, "trust: this evidence was counted before")
)
