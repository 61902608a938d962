package envelope

import (
	"fmt"
	"slices"
	"sync/atomic"

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
	// errBody is returned when the body does not open with the recipient's key for this sender, destination, subject and
	// counter, or with the key of this sender and destination for this counter.
	errBody = fault.New(fault.Malformed, "envelope: encrypted body does not open")
	// errContent is returned when salt and content do not have the digest that was signed.
	errContent = fault.New(fault.Malformed, "envelope: content has another digest than was signed")
)

// Opened is one envelope of a delivery: either the message, or why it was refused.
type Opened struct {
	Message *Message // nil if refused
	Err     error    // nil if not
}

// Open checks everything about one delivered envelope and returns it as a message, or refuses it. The order of the
// checks is that of the package comment; windows are touched last. It keeps raw. Now is in Unix milliseconds;
// [identity.Skew] is tolerated.
//
// Every error has a code of internal/fault. Sentinels: [wire.ErrTooLarge], [wire.ErrMalformed], [wire.ErrWrongKind],
// [wire.ErrVersion], [ErrPlain], [identity.ErrWrongRealm], [ErrMisaddressed], what the authority says,
// [identity.ErrExpired], [identity.ErrNotYet], [wire.ErrBadSignature], [ErrNoKey], what the windows say. Codes alone:
// denied without a guard to check by, unknown for a credential that is not the sender's, quarantined at level L0,
// malformed for a body that does not open or has another digest. It is safe for concurrent use if the authority and the
// windows are.
func Open(raw []byte, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	return openLone(parseSingle, raw, in, authority, windows, now)
}

// OpenMember does what [Open] does for one member of a batch. What is not the member it claims to be has the code
// bad_signature.
func OpenMember(raw []byte, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	return openLone(parseMember, raw, in, authority, windows, now)
}

type parser func(raw []byte, limit int) (form, error)

func openLone(parse parser, raw []byte, in Inbound, authority Authority, windows Windows, now int64) (*Message, error) {
	c, err := check(parse, raw, in, authority, now)
	if err != nil {
		return nil, err
	}
	one := c.Commit(windows, now)[0]
	return one.Message, one.Err
}

// OpenAny opens a delivery in whichever of the three forms it has: it is [Check] and [Checked.Commit].
func OpenAny(raw []byte, in Inbound, authority Authority, windows Windows, now int64) ([]Opened, error) {
	c, err := Check(raw, in, authority, now)
	if err != nil {
		return nil, err
	}
	return c.Commit(windows, now), nil
}

// Check makes every check of [Open] but replay, for a delivery in whichever of the three forms it has: an envelope, a
// batch's member, or a frame with all of a batch's members. It changes nothing and may run in parallel. The error
// concerns the delivery as a whole; of a frame, bodies that do not open are refused one by one, at [Checked.Commit]. It
// keeps raw.
func Check(raw []byte, in Inbound, authority Authority, now int64) (*Checked, error) {
	return check(parseAny, raw, in, authority, now)
}

func check(parse parser, raw []byte, in Inbound, authority Authority, now int64) (*Checked, error) {
	f, err := parse(raw, orDefault(in.Limit))
	if err != nil {
		return nil, err
	}
	if in.Process == nil || authority == nil {
		return nil, errNoGuard
	}
	if err := checkRealm(in); err != nil {
		return nil, err
	}
	e := f.first()
	if err := checkAddress(e, in); err != nil {
		return nil, err
	}
	sender, err := checkSender(e, authority, now)
	if err != nil {
		return nil, err
	}
	if err := f.verify(in.Realm, sender.Credential.Statement().Signing, in.Roots); err != nil {
		return nil, err
	}
	c := &Checked{
		delivered: delivered{form: f, realm: in.Realm, from: fromOf(e, sender)},
		authority: authority,
		until:     until(e, sender),
	}
	if err := c.unseal(in); err != nil {
		return nil, err
	}
	if err := checkRights(e, authority, sender); err != nil {
		return nil, err
	}
	return c, nil
}

// Checked is a delivery that passed every check but replay. Only [Check] makes one.
type Checked struct {
	delivered
	authority Authority
	until     int64
	messages  []Message
	verdicts  []error
	committed atomic.Bool
}

// Envelope returns what the delivery's first envelope says. It is authentic, but may be a replay.
func (c *Checked) Envelope() Envelope { return envelopeAt(c.form, 0) }

// Commit asks the authority given to Check once more, because a delivery may have waited: sender, time and rights are
// those of now, in Unix milliseconds. Then it makes the last check, replay, for each envelope in order, and returns them
// all: of a frame, members that were opened before are refused as replayed and the others opened. Without windows
// everything is refused. A second call returns nothing.
func (c *Checked) Commit(windows Windows, now int64) []Opened {
	if c.committed.Swap(true) {
		return nil
	}
	if windows == nil {
		refuseAll(c.verdicts, errNoGuard)
	} else if err := c.again(now); err != nil {
		refuseAll(c.verdicts, err)
	} else if slices.Contains(c.verdicts, nil) {
		windows.Commit(c.uses(), c.verdicts, now)
	}
	all := make([]Opened, len(c.messages))
	for i := range all {
		if all[i].Err = c.verdicts[i]; all[i].Err == nil {
			all[i].Message = &c.messages[i]
		}
	}
	return all
}

// again checks what may have changed since Check.
func (c *Checked) again(now int64) error {
	e := c.form.first()
	sender, err := checkSender(e, c.authority, now)
	if err != nil {
		return err
	}
	c.from = fromOf(e, sender)
	return checkRights(e, c.authority, sender)
}

// uses returns what the windows are asked to record.
func (c *Checked) uses() Uses {
	e := c.form.first()
	uses := Uses{From: e.From, Stream: Stream{Credential: e.Credential, To: e.To}, First: e.Counter, Until: c.until}
	if c.form.len() == 1 {
		uses.ID = c.form.id(c.realm, 0)
	}
	return uses
}

// unseal makes the messages: it decrypts bodies and checks the digests of their contents.
func (c *Checked) unseal(in Inbound) error {
	n := c.form.len()
	c.messages, c.verdicts = make([]Message, n), make([]error, n)
	for i := range c.messages {
		c.messages[i] = Message{delivered: &c.delivered, index: i, body: c.form.part(i).body}
	}
	switch e := c.form.first(); e.Encryption {
	case Plain:
		return nil
	case Sealed:
		return c.unsealOne(e, in)
	default:
		return c.unlock(e, in)
	}
}

func (c *Checked) unsealOne(e *Envelope, in Inbound) error {
	salted, secret, err := decrypt(in.Realm, e, in.key())
	if err != nil {
		return err
	}
	if err := checkContent(salted, e.Digest); err != nil {
		return err
	}
	c.messages[0].body = salted
	c.session = opened(e, c.form.id(in.Realm, 0), secret)
	return nil
}

// unlock decrypts bodies under a session's or sender key, all into one arena. Of a frame, those that fail are refused
// each by itself.
func (c *Checked) unlock(e *Envelope, in Inbound) error {
	var key *Key
	if in.Keys != nil {
		key = in.Keys.Key(e.Key)
	}
	if key == nil || !key.serves(e) {
		claim := envelopeAt(c.form, 0)
		claim.Body = nil
		return &UnknownKey{Envelope: claim, ID: c.form.id(in.Realm, 0), uses: c.uses(), size: c.form.len()}
	}
	aead, err := key.aead(in.Realm, e)
	if err != nil {
		return err
	}
	size := 0
	for i := range c.messages {
		size += len(c.messages[i].body) - tagSize
	}
	arena := make([]byte, 0, size)
	n := new([nonceSize]byte)
	for i := range c.messages {
		m, start := &c.messages[i], len(arena)
		*n = nonce(e.Counter + uint64(i))
		longer, err := aead.Open(arena, n[:], m.body, nil)
		if err != nil {
			c.verdicts[i] = errBody
			continue
		}
		arena, m.body = longer, longer[start:len(longer):len(longer)]
		c.verdicts[i] = checkContent(m.body, c.form.part(i).digest)
	}
	if len(c.verdicts) == 1 {
		return c.verdicts[0]
	}
	return nil
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
func checkAddress(e *Envelope, in Inbound) error {
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

// checkSender asks the authority who the sender is, checks that the answer fits the question, and that sender and
// envelopes are of now.
func checkSender(e *Envelope, authority Authority, now int64) (Sender, error) {
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
	if err := identity.CheckTime(e.Issued, e.Expires, now); err != nil {
		return Sender{}, fmt.Errorf("envelope: %w", err)
	}
	return s, nil
}

func checkRights(e *Envelope, authority Authority, s Sender) error {
	if err := authority.Authorise(s, shared(e)); err != nil {
		return fmt.Errorf("envelope: authorise: %w", err)
	}
	return nil
}

// shared returns what the envelopes of a delivery have in common. Rights, which are judged once, depend on nothing else.
func shared(e *Envelope) Envelope {
	s := *e
	s.ContentType, s.Trace, s.Enc, s.Digest, s.Body = "", "", nil, wire.Digest{}, nil
	return s
}

// judgedAt returns when the sender's credential must be valid: now, but for mail when it was issued.
func judgedAt(e *Envelope, now int64) int64 {
	if e.To.Place == AtInbox {
		return e.Issued
	}
	return now
}

func checkContent(salted []byte, digest wire.Digest) error {
	if wire.Hash(salted) != digest {
		return errContent
	}
	return nil
}

// until returns when the windows may forget e.
func until(e *Envelope, s Sender) int64 {
	if e.To.Place == AtInbox {
		return e.Expires + identity.Skew
	}
	return s.Credential.Statement().Expires + identity.Skew
}
