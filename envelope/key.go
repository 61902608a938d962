package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	secretSize   = 32
	nonceSize    = 12
	sessionLabel = "conclave/1 session"    // exporter context of HPKE
	senderDomain = "conclave/1 sender key" // of a sender key's id
	bodyDomain   = "conclave/1 body key"   // of a line's key
)

// ErrNoKey is returned when a session or sender key is not known here, or is not one of this sender and destination.
// The sender is authentic: the signature was checked before. See [UnknownKey].
var ErrNoKey = fault.New(fault.Unknown, "envelope: the key of this body is not known here")

// UnknownKey is the [ErrNoKey] of a delivery: what its receiver needs to join the sender again, or to answer that the
// session is not known.
type UnknownKey struct {
	Envelope Envelope    // signed; of a frame the first one's, without its body
	ID       wire.Digest // the envelope's

	uses Uses // of all envelopes of the delivery
	size int  // how many there are
}

// Spend uses up the counters of the delivery, so that its sender may be told that nothing of it was handled: a key may
// have been known when the same delivery came before, and forgotten since. The error says why nobody can promise that:
// [ErrReplayed] for what was accepted before, and what else windows say. Now is in Unix milliseconds.
func (u *UnknownKey) Spend(windows Windows, now int64) error {
	if windows == nil {
		return errNoGuard
	}
	verdicts := make([]error, u.size)
	windows.Commit(u.uses, verdicts, now)
	for _, err := range verdicts {
		if err != nil {
			return err
		}
	}
	return nil
}

// Error names the key.
func (u *UnknownKey) Error() string { return fmt.Sprintf("%v: %s", ErrNoKey, u.Envelope.Key) }

// Unwrap returns [ErrNoKey].
func (u *UnknownKey) Unwrap() error { return ErrNoKey }

// Protection says how a body is protected. The zero value is none, which Seal refuses.
type Protection struct {
	encryption Encryption
	sealingKey []byte
	key        *Key
}

// Unencrypted leaves the body readable: for topics that the policy leaves plain, and no other destination.
func Unencrypted() Protection { return Protection{encryption: Plain} }

// SealedTo encrypts for one process or inbox by HPKE. The sealingKey is the recipient's encoded public key, which the
// caller has matched with the digest that the recipient's credential or inbox statement gives. It is kept.
func SealedTo(sealingKey []byte) Protection {
	return Protection{encryption: Sealed, sealingKey: sealingKey}
}

// Under encrypts under a session's key, for the other process of the session, or under a sender key, for a topic. Each
// counter must be used once; see [Counters]. A nil key is refused by Seal.
func Under(k *Key) Protection {
	if k == nil {
		return Protection{}
	}
	return Protection{encryption: k.encryption, key: k}
}

// Keys finds keys by their ids. It must be safe for concurrent use.
type Keys interface {
	// Key returns the key of that id, or nil if it is not known.
	Key(id wire.Digest) *Key
}

// Key is a secret that several envelopes are encrypted under: a session's, of two processes, or a sender key, of a
// topic's publisher and readers. It does not change and is safe for concurrent use. It prints as its id.
type Key struct {
	id         wire.Digest
	encryption Encryption
	ends       [2]wire.Digest // of a session: both processes' credentials, the opener's first
	// secret is a function, so that no way of printing a Key prints what it returns.
	secret func() []byte

	mu    sync.Mutex
	lines [2]cipherLine // those used last
	next  int           // which is replaced
}

// line is what one AEAD key serves: one process's envelopes to one destination.
type line struct {
	realm      wire.Realm
	from       identity.ID
	credential wire.Digest
	to         Destination
}

type cipherLine struct {
	line line
	aead cipher.AEAD
}

// lineContext is the info of the key derivation, as a deterministic CBOR array.
type lineContext struct {
	_          struct{} `cbor:",toarray"`
	Domain     string
	Realm      wire.Realm
	From       identity.ID
	Credential wire.Digest
	To         Destination
}

// NewSenderKey makes a fresh sender key from random, or from crypto/rand if random is nil.
func NewSenderKey(random io.Reader) (*Key, error) {
	if random == nil {
		random = rand.Reader
	}
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("envelope: sender key: %w", err)
	}
	return ParseSenderKey(secret)
}

// ParseSenderKey returns the sender key with what [Key.Secret] returned, 32 bytes. It keeps a copy. Errors:
// [wire.ErrMalformed].
func ParseSenderKey(secret []byte) (*Key, error) {
	if len(secret) != secretSize {
		return nil, fmt.Errorf("%w: a sender key has %d bytes", wire.ErrMalformed, secretSize)
	}
	named := wire.AppendBytes(wire.AppendText(wire.AppendArrayHead(nil, 2), senderDomain), secret)
	return newKey(SenderKey, wire.Hash(named), [2]wire.Digest{}, secret), nil
}

// newSession returns the key that a Sealed envelope gave to both its ends.
func newSession(e *Envelope, id wire.Digest, secret []byte) *Key {
	return newKey(Session, id, [2]wire.Digest{e.Credential, e.To.Instance}, secret)
}

func newKey(encryption Encryption, id wire.Digest, ends [2]wire.Digest, secret []byte) *Key {
	kept := [secretSize]byte(secret)
	return &Key{id: id, encryption: encryption, ends: ends, secret: func() []byte { return kept[:] }}
}

// ID names the key: what envelopes under it carry.
func (k *Key) ID() wire.Digest { return k.id }

// Secret returns a copy of a sender key's 32 bytes, to be given in an encrypted reply; nil for a session's.
func (k *Key) Secret() []byte {
	if k.encryption != SenderKey {
		return nil
	}
	return append([]byte(nil), k.secret()...)
}

// Format prints the id and nothing else.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key %s", k.id) }

// serves reports whether the key may be used for e: its kind, and for a session, whether its ends are e's.
func (k *Key) serves(e *Envelope) bool {
	if k.encryption != e.Encryption || k.id != e.Key {
		return false
	}
	ends := [2]wire.Digest{e.Credential, e.To.Instance}
	return k.encryption == SenderKey || ends == k.ends || ends == [2]wire.Digest{k.ends[1], k.ends[0]}
}

// aead returns what encrypts the bodies of e's line.
func (k *Key) aead(realm wire.Realm, e *Envelope) (cipher.AEAD, error) {
	l := line{realm: realm, from: e.From, credential: e.Credential, to: e.To}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.lines {
		if k.lines[i].aead != nil && k.lines[i].line == l {
			return k.lines[i].aead, nil
		}
	}
	aead, err := newAEAD(k.secret(), l)
	if err != nil {
		return nil, err
	}
	k.lines[k.next] = cipherLine{l, aead}
	k.next = 1 - k.next
	return aead, nil
}

func newAEAD(secret []byte, l line) (cipher.AEAD, error) {
	info, err := wire.Encode(lineContext{
		Domain: bodyDomain, Realm: l.realm, From: l.from, Credential: l.credential, To: l.to,
	})
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Expand(sha256.New, secret, string(info), secretSize)
	if err != nil {
		return nil, fmt.Errorf("envelope: body key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("envelope: body key: %w", err)
	}
	return cipher.NewGCM(block)
}

// nonce is the counter in 12 bytes, most significant first.
func nonce(counter uint64) (n [nonceSize]byte) {
	binary.BigEndian.PutUint64(n[4:], counter)
	return n
}
