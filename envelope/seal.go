package envelope

import (
	"crypto/hpke"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/seed-3e86d5b2/conclave/identity"
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
}

// Seal encrypts, if the destination is a process or inbox, and signs. It returns the signed form and its id.
//
// The sealingKey is the recipient's encoded HPKE public key, which the caller has matched with the digest that the
// recipient's credential or inbox statement gives; it is nil for topics, and only for them. The salt is read from
// random, or from crypto/rand if random is nil. Errors: [ErrPlain] without a key, [wire.ErrBadKey], [wire.ErrTooLarge],
// and what [Envelope.Check] says. It is safe for concurrent use if random is.
func Seal(p *identity.Process, draft Draft, sealingKey []byte, random io.Reader) ([]byte, wire.Digest, error) {
	e, err := compose(p, draft, sealingKey, random)
	if err != nil {
		return nil, wire.Digest{}, err
	}
	raw, err := p.Sign(e)
	if err != nil {
		return nil, wire.Digest{}, err
	}
	if len(raw) > orDefault(draft.Limit) {
		return nil, wire.Digest{}, wire.ErrTooLarge
	}
	id, err := wire.IDOf(p.Realm(), e)
	return raw, id, err
}

func orDefault(limit int) int {
	if limit == 0 {
		return DefaultLimit
	}
	return limit
}

// compose makes the statement of a draft, body included, and checks it.
func compose(p *identity.Process, draft Draft, sealingKey []byte, random io.Reader) (Envelope, error) {
	e := Envelope{
		Version: 1, From: p.Principal(), Credential: p.Credential().ID(), To: draft.To, Subject: draft.Subject,
		Purpose: draft.Purpose, InReplyTo: draft.InReplyTo, Issued: draft.Issued, Expires: draft.Expires,
		Counter: draft.Counter, ContentType: draft.ContentType, Trace: draft.Trace, Encryption: Plain,
	}
	salted, err := salt(draft.Content, random)
	if err != nil {
		return Envelope{}, err
	}
	e.Digest, e.Body = wire.Hash(salted), salted
	if sealingKey != nil {
		e.Encryption = Sealed
		if e.Enc, e.Body, err = encrypt(p.Realm(), e, sealingKey, salted); err != nil {
			return Envelope{}, err
		}
	}
	if err := e.Check(); err != nil {
		return Envelope{}, fmt.Errorf("seal: %w", err)
	}
	return e, nil
}

// salt returns saltSize random bytes and the content.
func salt(content []byte, random io.Reader) ([]byte, error) {
	if random == nil {
		random = rand.Reader
	}
	salted := make([]byte, saltSize+len(content))
	if _, err := io.ReadFull(random, salted[:saltSize]); err != nil {
		return nil, fmt.Errorf("seal: read salt: %w", err)
	}
	copy(salted[saltSize:], content)
	return salted, nil
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
func sealInfo(realm wire.Realm, e Envelope) ([]byte, error) {
	return wire.Encode(sealContext{
		Domain: "conclave/1 seal", Realm: realm, From: e.From, Credential: e.Credential, To: e.To, Subject: e.Subject,
		Counter: e.Counter,
	})
}

func encrypt(realm wire.Realm, e Envelope, sealingKey, salted []byte) (enc, body []byte, err error) {
	info, err := sealInfo(realm, e)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.SealingKEM().NewPublicKey(sealingKey)
	if err != nil {
		return nil, nil, fmt.Errorf("seal: %w: %w", wire.ErrBadKey, err)
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	if body, err = sender.Seal(nil, salted); err != nil {
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	return enc, body, nil
}

// decrypt returns salt and content, or errSealedBody.
func decrypt(realm wire.Realm, e Envelope, key hpke.PrivateKey) ([]byte, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no key", errSealedBody)
	}
	info, err := sealInfo(realm, e)
	if err != nil {
		return nil, err
	}
	recipient, err := hpke.NewRecipient(e.Enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSealedBody, err)
	}
	salted, err := recipient.Open(nil, e.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSealedBody, err)
	}
	return salted, nil
}
