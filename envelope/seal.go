package envelope

import (
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Draft is what its author decides about an envelope; the process adds who sends it.
type Draft struct {
	To          Destination
	Subject     string // the whole subject, as it will be published
	Purpose     Purpose
	InReplyTo   wire.Digest // of replies and faults
	Issued      int64       // Unix milliseconds
	Expires     int64       // at most MaxLiveLife later, to an inbox MaxMailLife
	Counter     uint64      // from Counters
	ContentType string      // may be empty
	Trace       string      // W3C traceparent, may be empty
	Content     []byte      // not changed, not kept
	Limit       int         // bytes of the result; 0 stands for DefaultLimit
	Protection  Protection  // of the body; the zero value is refused
}

// Signed is a signed envelope, at the sender.
type Signed struct {
	Raw     []byte      // what travels
	ID      wire.Digest // the envelope's
	Session *Key        // that this and later envelopes between the two processes may use; nil unless SealedTo a process
}

// errProtection is returned when a draft does not say how its body is protected.
var errProtection = fault.New(fault.Denied, "envelope: the draft does not say how its body is protected")

// Seal protects the body as the draft says, and signs. Salts are read from random, or from crypto/rand if random is nil.
// Errors: [ErrPlain] for a direct message that is not encrypted, the code denied without a protection, [ErrNoKey] for a
// session of other processes, [wire.ErrBadKey], [wire.ErrTooLarge], and what [Envelope.Check] says. It is safe for
// concurrent use if random is.
func Seal(p *identity.Process, draft Draft, random io.Reader) (Signed, error) {
	e, secret, err := compose(p, &draft, random)
	if err != nil {
		return Signed{}, err
	}
	raw, id, err := p.SignNamed(e)
	if err != nil {
		return Signed{}, err
	}
	if len(raw) > orDefault(draft.Limit) {
		return Signed{}, wire.ErrTooLarge
	}
	return Signed{Raw: raw, ID: id, Session: opened(&e, id, secret)}, nil
}

// opened returns the session that a Sealed envelope opens, nil if there is no secret.
func opened(e *Envelope, id wire.Digest, secret []byte) *Key {
	if secret == nil {
		return nil
	}
	return newSession(e, id, secret)
}

func orDefault(limit int) int {
	if limit == 0 {
		return DefaultLimit
	}
	return limit
}

// statement makes the statement of a draft without digest and body.
func statement(p *identity.Process, d *Draft) (Envelope, error) {
	e := Envelope{
		Version: 1, From: p.Principal(), Credential: p.Credential().ID(), To: d.To, Subject: d.Subject,
		Purpose: d.Purpose, InReplyTo: d.InReplyTo, Issued: d.Issued, Expires: d.Expires, Counter: d.Counter,
		ContentType: d.ContentType, Trace: d.Trace, Encryption: d.Protection.encryption,
	}
	if e.Encryption == 0 {
		return Envelope{}, errProtection
	}
	if k := d.Protection.key; k != nil {
		if e.Key = k.id; !k.serves(&e) {
			return Envelope{}, fmt.Errorf("seal: session of other processes: %w", ErrNoKey)
		}
	}
	if err := checkShared(&e); err != nil {
		return Envelope{}, fmt.Errorf("seal: %w", err)
	}
	return e, nil
}

// compose makes the statement of a draft, body included, and checks it. The secret is the session's that a Sealed
// envelope to a process gives, nil for others.
func compose(p *identity.Process, d *Draft, random io.Reader) (e Envelope, secret []byte, err error) {
	if e, err = statement(p, d); err != nil {
		return Envelope{}, nil, err
	}
	if secret, err = protect(p.Realm(), &e, d, random); err != nil {
		return Envelope{}, nil, err
	}
	if err := e.Check(); err != nil {
		return Envelope{}, nil, fmt.Errorf("seal: %w", err)
	}
	return e, secret, nil
}

// protect sets the body, its digest and its encapsulated key.
func protect(realm wire.Realm, e *Envelope, d *Draft, random io.Reader) (secret []byte, err error) {
	if e.Encryption == Plain {
		e.Body = append([]byte{}, d.Content...)
		return nil, nil
	}
	salted := make([]byte, saltSize, saltSize+len(d.Content)+tagSize)
	if err := readSalt(random, salted); err != nil {
		return nil, err
	}
	salted = append(salted, d.Content...)
	e.Digest = wire.Hash(salted)
	if e.Encryption == Sealed {
		e.Enc, e.Body, secret, err = encrypt(realm, e, d.Protection.sealingKey, salted)
		return secret, err
	}
	aead, err := d.Protection.key.aead(realm, e)
	if err != nil {
		return nil, err
	}
	n := nonce(e.Counter)
	e.Body = aead.Seal(salted[:0], n[:], salted, nil)
	return nil, nil
}

// readSalt fills dst from random, or from crypto/rand if it is nil.
func readSalt(random io.Reader, dst []byte) error {
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, dst); err != nil {
		return fmt.Errorf("seal: read salt: %w", err)
	}
	return nil
}

// sealContext is what HPKE binds a ciphertext to, as a deterministic CBOR array. Taken out of its envelope it opens
// nowhere else.
type sealContext struct {
	_          struct{} `cbor:",toarray"`
	Domain     string
	Realm      wire.Realm
	From       identity.ID
	Credential wire.Digest
	To         Destination
	Subject    string
	Counter    uint64
}

// sealInfo returns the info parameter of HPKE for e.
func sealInfo(realm wire.Realm, e *Envelope) ([]byte, error) {
	return wire.Encode(sealContext{
		Domain: "conclave/1 seal", Realm: realm, From: e.From, Credential: e.Credential, To: e.To, Subject: e.Subject,
		Counter: e.Counter,
	})
}

// encrypt returns the encapsulated key, the ciphertext and, of an envelope to a process, the session's secret.
func encrypt(realm wire.Realm, e *Envelope, sealingKey, salted []byte) (enc, body, secret []byte, err error) {
	info, err := sealInfo(realm, e)
	if err != nil {
		return nil, nil, nil, err
	}
	key, err := identity.SealingKEM().NewPublicKey(sealingKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("seal: %w: %w", wire.ErrBadKey, err)
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("seal: %w", err)
	}
	if body, err = sender.Seal(nil, salted); err != nil {
		return nil, nil, nil, fmt.Errorf("seal: %w", err)
	}
	if e.To.Place == AtProcess {
		if secret, err = sender.Export(sessionLabel, secretSize); err != nil {
			return nil, nil, nil, fmt.Errorf("seal: session: %w", err)
		}
	}
	return enc, body, secret, nil
}

// decrypt returns salt and content and, of an envelope to a process, the session's secret; or errBody.
func decrypt(realm wire.Realm, e *Envelope, key hpke.PrivateKey) (salted, secret []byte, err error) {
	if key == nil {
		return nil, nil, fmt.Errorf("%w: no key", errBody)
	}
	info, err := sealInfo(realm, e)
	if err != nil {
		return nil, nil, err
	}
	recipient, err := hpke.NewRecipient(e.Enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errBody, err)
	}
	if salted, err = recipient.Open(nil, e.Body); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errBody, err)
	}
	if e.To.Place == AtProcess {
		if secret, err = recipient.Export(sessionLabel, secretSize); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errBody, err)
		}
	}
	return salted, secret, nil
}
