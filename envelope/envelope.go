package envelope

import (
	"fmt"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Limits. Lives in milliseconds, sizes in bytes.
const (
	MaxLiveLife  = 5 * 60 * 1000       // to a process or topic
	MaxMailLife  = 24 * 60 * 60 * 1000 // to an inbox
	DefaultLimit = 256 << 10           // of what is delivered: an envelope, a member or a frame, as signed
)

const (
	maxSubject     = 512
	maxContentType = 128
	saltSize       = 16
	encSize        = 1120 // encapsulated key of X25519 and ML-KEM-768
	tagSize        = 16   // of AES-256-GCM
)

// Purpose says what an envelope is for. The zero value is none.
type Purpose uint8

// The purposes. The list is append-only.
const (
	Request Purpose = 1 // to a process, or to an inbox: durable mail
	Reply   Purpose = 2 // to a process: the answer to a request or join
	Event   Purpose = 3 // to a topic
	Join    Purpose = 4 // to a process: asks to hear its topic
	Fault   Purpose = 5 // to a process: a reply that carries an error
)

// Answers reports whether an envelope of this purpose names what it is in reply to.
func (p Purpose) Answers() bool { return p == Reply || p == Fault }

// fits reports whether an envelope of this purpose may go to the place.
func (p Purpose) fits(place Place) bool {
	switch p {
	case Request:
		return place == AtProcess || place == AtInbox
	case Reply, Join, Fault:
		return place == AtProcess
	case Event:
		return place == AtTopic
	}
	return false
}

// Encryption says how the body is protected. It is signed; nothing falls back to a lower one. The zero value is none.
type Encryption uint8

// The levels of encryption.
const (
	Plain     Encryption = 1 // not encrypted: topics only
	Sealed    Encryption = 2 // HPKE, one encapsulation a message: processes and inboxes
	Session   Encryption = 3 // a key agreed once between two processes, by a Sealed envelope: processes
	SenderKey Encryption = 4 // a sender's key, given to those who joined: topics
)

// ErrPlain is returned when a direct message is not encrypted.
var ErrPlain = fault.New(fault.Denied, "envelope: a direct message must be encrypted")

// Envelope is the statement that a process signs for one message. The realm is in the signed bytes as external data.
type Envelope struct {
	Version     uint64      `cbor:"0,keyasint"` // 1
	From        identity.ID `cbor:"1,keyasint"` // an agent
	Credential  wire.Digest `cbor:"2,keyasint"` // id of the sender's credential: names its process
	To          Destination `cbor:"3,keyasint"`
	Subject     string      `cbor:"4,keyasint"` // the whole subject, as published
	Purpose     Purpose     `cbor:"5,keyasint"`
	InReplyTo   wire.Digest `cbor:"6,keyasint,omitzero"` // id of the request: replies and faults only
	Issued      int64       `cbor:"7,keyasint"`          // Unix milliseconds
	Expires     int64       `cbor:"8,keyasint"`          // at most 5 min later, for an inbox 24 h
	Counter     uint64      `cbor:"9,keyasint"`          // from 1 up, for each credential and destination
	ContentType string      `cbor:"10,keyasint,omitzero"`
	Trace       string      `cbor:"11,keyasint,omitzero"` // W3C traceparent, version 00
	Encryption  Encryption  `cbor:"12,keyasint"`
	Enc         []byte      `cbor:"13,keyasint,omitempty"` // HPKE's encapsulated key: Sealed only
	Digest      wire.Digest `cbor:"14,keyasint,omitzero"`  // SHA-256(salt ‖ content): all but Plain
	Body        []byte      `cbor:"15,keyasint"`           // Plain: the content; else the ciphertext of salt ‖ content
	Key         wire.Digest `cbor:"16,keyasint,omitzero"`  // Session: the Sealed envelope that gave it; SenderKey: its id
}

// Kind implements [wire.Statement].
func (Envelope) Kind() wire.Kind { return wire.Envelope }

// part is what the members of a frame have each for themselves, the counter apart.
type part struct {
	kind, trace string
	digest      wire.Digest
	body        []byte
}

// Check implements [wire.Statement]. Errors: [wire.ErrVersion], [ErrPlain], [wire.ErrMalformed].
func (e Envelope) Check() error {
	if err := checkShared(&e); err != nil {
		return err
	}
	p := partOf(&e)
	return checkPart(&e, &p)
}

func partOf(e *Envelope) part {
	return part{kind: e.ContentType, trace: e.Trace, digest: e.Digest, body: e.Body}
}

// checkShared checks what envelopes of one frame have in common.
func checkShared(e *Envelope) error {
	if e.Version != 1 {
		return wire.ErrVersion
	}
	if e.From.Role() != identity.Agent || e.Credential.IsZero() {
		return fmt.Errorf("%w: envelope without agent or credential", wire.ErrMalformed)
	}
	if err := e.To.Check(); err != nil {
		return err
	}
	for _, check := range []func(*Envelope) error{checkSubject, checkPurpose, checkLife, checkCounter, checkEncryption} {
		if err := check(e); err != nil {
			return err
		}
	}
	return nil
}

// checkPart checks what each envelope of a frame has for itself.
func checkPart(e *Envelope, p *part) error {
	if err := checkContentType(p.kind); err != nil {
		return err
	}
	if err := checkTrace(p.trace); err != nil {
		return err
	}
	return checkBody(e, p)
}

// checkSubject refuses what no NATS client may publish on: empty tokens, wildcards, spaces and what is not ASCII.
func checkSubject(e *Envelope) error {
	ok := len(e.Subject) > 0 && len(e.Subject) <= maxSubject
	last := byte('.')
	for i := 0; ok && i < len(e.Subject); i++ {
		c := e.Subject[i]
		ok = c > ' ' && c <= '~' && c != '*' && c != '>' && (c != '.' || last != '.')
		last = c
	}
	if !ok || last == '.' {
		return fmt.Errorf("%w: subject %.64q", wire.ErrMalformed, e.Subject)
	}
	return nil
}

func checkPurpose(e *Envelope) error {
	if !e.Purpose.fits(e.To.Place) {
		return fmt.Errorf("%w: purpose %d for place %d", wire.ErrMalformed, e.Purpose, e.To.Place)
	}
	if e.Purpose.Answers() == e.InReplyTo.IsZero() {
		return fmt.Errorf("%w: replies, and only they, name what they answer", wire.ErrMalformed)
	}
	return nil
}

func checkLife(e *Envelope) error {
	longest := int64(MaxLiveLife)
	if e.To.Place == AtInbox {
		longest = MaxMailLife
	}
	if e.Issued <= 0 || e.Expires <= e.Issued || e.Expires-e.Issued > longest {
		return fmt.Errorf("%w: issued at %d, expires at %d", wire.ErrMalformed, e.Issued, e.Expires)
	}
	return nil
}

func checkCounter(e *Envelope) error {
	if e.Counter == 0 {
		return fmt.Errorf("%w: counters start at 1", wire.ErrMalformed)
	}
	return nil
}

func checkContentType(t string) error {
	ok := len(t) <= maxContentType
	for i := 0; ok && i < len(t); i++ {
		ok = t[i] >= ' ' && t[i] <= '~'
	}
	if !ok {
		return fmt.Errorf("%w: content type %.64q", wire.ErrMalformed, t)
	}
	return nil
}

// checkTrace takes version 00 of a traceparent: 00-{32 hex digits}-{16 hex digits}-{2 hex digits}, lower case, neither
// id all zeros (W3C Trace Context §3.2).
func checkTrace(t string) error {
	if t == "" {
		return nil
	}
	ok := len(t) == 55 && t[:3] == "00-" && t[35] == '-' && t[52] == '-'
	if !ok || !traceID(t[3:35]) || !traceID(t[36:52]) || !lowerHex(t[53:]) {
		return fmt.Errorf("%w: traceparent %.64q", wire.ErrMalformed, t)
	}
	return nil
}

func traceID(s string) bool { return lowerHex(s) && strings.Trim(s, "0") != "" }

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// checkEncryption checks that the destination may be written to so, and what belongs to the encryption besides a body.
func checkEncryption(e *Envelope) error {
	var fits bool
	switch e.Encryption {
	case Plain:
		if e.To.Direct() {
			return ErrPlain
		}
		fits = true
	case Sealed:
		fits = e.To.Direct()
	case Session:
		fits = e.To.Place == AtProcess
	case SenderKey:
		fits = e.To.Place == AtTopic
	}
	keyed := e.Encryption == Session || e.Encryption == SenderKey
	if !fits || keyed == e.Key.IsZero() {
		return fmt.Errorf("%w: encryption %d for place %d, or its key", wire.ErrMalformed, e.Encryption, e.To.Place)
	}
	return nil
}

// checkBody checks that the body, its digest and its encapsulated key are what the encryption makes.
func checkBody(e *Envelope, p *part) error {
	enc, least := 0, saltSize+tagSize
	switch e.Encryption {
	case Plain:
		least = 0
	case Sealed:
		enc = encSize
	}
	if len(e.Enc) != enc || len(p.body) < least || (e.Encryption == Plain) != p.digest.IsZero() {
		return fmt.Errorf("%w: body, digest or encapsulated key", wire.ErrMalformed)
	}
	return nil
}
