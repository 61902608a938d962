package envelope

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	// errNoGuard is returned when the receiver, the authority or the windows are absent: then nothing is accepted.
	errNoGuard = fault.New(fault.Denied, "envelope: no receiver, authority or windows to check by")
	// ErrMisaddressed is returned when an envelope names another recipient, process, inbox, topic, subject or request.
	ErrMisaddressed = fault.New(fault.Misaddressed, "envelope: not addressed to this receiver")
	// errSender is returned when the credential found is not the one named, or not the named sender's.
	errSender = fault.New(fault.Unknown, "envelope: credential is not the sender's")
	// errSilenced is returned when the sender's level is L0, which sends nothing.
	errSilenced = fault.New(fault.Quarantined, "envelope: the sender's level is L0")
	// errSealedBody is returned when the body does not open with the recipient's key for this sender, destination,
	// subject and counter.
	errSealedBody = fault.New(fault.Malformed, "envelope: sealed body does not open")
	// errContent is returned when salt and content do not have the digest that was signed.
	errContent = fault.New(fault.Malformed, "envelope: content has another digest than was signed")
)

// Open checks everything about one delivered envelope and returns it as a message, or refuses it. The order of the
// checks is that of the package comment; windows are touched last. It keeps raw. Now is in Unix milliseconds;
// [identity.Skew] is tolerated.
//
// Every error has a code of internal/fault. Sentinels: [wire.ErrTooLarge], [wire.ErrMalformed], [wire.ErrWrongKind],
// [wire.ErrVersion], [ErrPlain], [identity.ErrWrongRealm], [ErrMisaddressed], what the authority says,
// [identity.ErrExpired], [identity.ErrNotYet], [wire.ErrBadSignature], what the windows say. Codes alone: denied
// without a guard to check by, unknown for a credential that is not the sender's, quarantined at level L0, malformed
// for a body that does not open or has another digest. It is safe for concurrent use if the authority and the windows
// are.
func Open(raw []byte, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	c, err := wire.Parse[Envelope](raw, orDefault(in.Limit))
	if err != nil {
		return nil, err
	}
	return admit(single{claim: c, raw: raw}, in, authority, windows, now)
}

// form is a way in which a signed envelope travels: alone, as a batch's member with its path, or in a frame.
type form interface {
	// claimed returns what it says, not verified.
	claimed() Envelope
	// verify checks that key, the signing key of the credential claimed, has signed it, and returns its id.
	verify(realm wire.Realm, key wire.PublicKey) (wire.Digest, error)
	// evidence returns bytes that Attest accepts. It is called on verified forms only.
	evidence(realm wire.Realm) []byte
}

// single is an envelope with a signature of its own.
type single struct {
	claim wire.Claimed[Envelope]
	raw   []byte
}

func (s single) claimed() Envelope { return s.claim.Claim }

func (s single) verify(realm wire.Realm, key wire.PublicKey) (wire.Digest, error) {
	v, err := s.claim.Verify(realm, key)
	return v.ID(), err
}

func (s single) evidence(wire.Realm) []byte { return s.raw }

// admit makes every check that follows parsing, for each form alike.
func admit(f form, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	e := f.claimed()
	if in.Process == nil || authority == nil || windows == nil {
		return nil, errNoGuard
	}
	if err := checkRealm(in); err != nil {
		return nil, err
	}
	if err := checkAddress(e, in); err != nil {
		return nil, err
	}
	sender, err := checkSender(e, authority, now)
	if err != nil {
		return nil, err
	}
	if err := identity.CheckTime(e.Issued, e.Expires, now); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	id, err := f.verify(in.Realm, sender.Credential.Statement().Signing)
	if err != nil {
		return nil, err
	}
	salted, err := unseal(e, in)
	if err != nil {
		return nil, err
	}
	if err := checkContent(e, salted); err != nil {
		return nil, err
	}
	if err := authority.Authorise(sender, e); err != nil {
		return nil, fmt.Errorf("envelope: authorise: %w", err)
	}
	if err := windows.Commit(use(e, id, sender), now); err != nil {
		return nil, fmt.Errorf("envelope: replay: %w", err)
	}
	return &Message{
		id: id, envelope: e, salted: salted, evidence: func() []byte { return f.evidence(in.Realm) },
		from: From{ID: e.From, Name: sender.Name, Operator: sender.Operator, Level: sender.Level},
	}, nil
}

// checkRealm refuses receivers of another realm than the delivery's. Senders of another realm fail at the signature,
// which covers the realm.
func checkRealm(in Inbound) error {
	if in.Process.Realm() != in.Realm {
		return identity.ErrWrongRealm
	}
	return nil
}

// checkAddress refuses what is not for this receiver, on this subject, in answer to what it asked.
func checkAddress(e Envelope, in Inbound) error {
	mine := in.destination()
	if e.To.Place != mine.Place {
		return fmt.Errorf("%w: place", ErrMisaddressed)
	}
	if e.To.Agent != mine.Agent {
		return fmt.Errorf("%w: agent", ErrMisaddressed)
	}
	if e.To.Instance != mine.Instance {
		return fmt.Errorf("%w: process or inbox", ErrMisaddressed)
	}
	if e.To.Topic != mine.Topic {
		return fmt.Errorf("%w: topic", ErrMisaddressed)
	}
	if e.Subject != in.Subject {
		return fmt.Errorf("%w: subject", ErrMisaddressed)
	}
	if e.InReplyTo != in.InReplyTo {
		return fmt.Errorf("%w: request", ErrMisaddressed)
	}
	if e.Purpose.Answers() && e.From != in.ReplyFrom {
		return fmt.Errorf("%w: reply of somebody else", ErrMisaddressed)
	}
	return nil
}

// checkSender asks the authority and checks that the answer fits the question.
func checkSender(e Envelope, authority Authority, now int64) (Sender, error) {
	s, err := authority.Sender(e.From, e.Credential, now)
	if err != nil {
		return Sender{}, fmt.Errorf("envelope: sender: %w", err)
	}
	if s.Credential.ID() != e.Credential {
		return Sender{}, fmt.Errorf("%w: another credential", errSender)
	}
	c := s.Credential.Statement()
	if c.Principal != e.From {
		return Sender{}, fmt.Errorf("%w: another principal's", errSender)
	}
	if err := identity.CheckTime(c.Issued, c.Expires, judgedAt(e, now)); err != nil {
		return Sender{}, fmt.Errorf("envelope: credential: %w", err)
	}
	if s.Level == identity.Quarantined {
		return Sender{}, errSilenced
	}
	return s, nil
}

// judgedAt returns when the sender's credential must be valid: now, but for mail when it was issued.
func judgedAt(e Envelope, now int64) int64 {
	if e.To.Place == AtInbox {
		return e.Issued
	}
	return now
}

// unseal returns salt and content.
func unseal(e Envelope, in Inbound) ([]byte, error) {
	if e.Encryption == Plain {
		return e.Body, nil
	}
	return decrypt(in.Realm, e, in.key())
}

func checkContent(e Envelope, salted []byte) error {
	if wire.Hash(salted) != e.Digest {
		return errContent
	}
	return nil
}

// use returns what the windows are to remember of e.
func use(e Envelope, id wire.Digest, s Sender) Use {
	until := s.Credential.Statement().Expires + identity.Skew
	if e.To.Place == AtInbox {
		until = e.Expires + identity.Skew
	}
	return Use{Stream: Stream{Credential: e.Credential, To: e.To}, Counter: e.Counter, ID: id, Until: until}
}
