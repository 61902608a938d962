package spec_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// sealedFile keeps what was sealed, because sealing is random: the vectors are made of it again and again. With
// -update, what is missing is sealed and what nobody uses goes.
const sealedFile = "sealed.json"

// ciphertext is one HPKE encapsulation with what was sealed under it.
type ciphertext struct {
	Enc  hexBytes `json:"enc"`
	Body hexBytes `json:"body"`
}

// seals are the ciphertexts by SHA-256 of recipient, info and plaintext.
type seals struct {
	kept map[string]ciphertext
	used map[string]ciphertext
}

var sealing = readSeals()

func readSeals() *seals {
	s := &seals{kept: map[string]ciphertext{}, used: map[string]ciphertext{}}
	content, err := os.ReadFile(sealedFile)
	if err != nil {
		return s // TestVectorsAreGenerated says what is missing
	}
	if err := json.Unmarshal(content, &s.kept); err != nil {
		panic(err)
	}
	return s
}

// seal returns what was sealed for the recipient under the info.
func (s *seals) seal(recipient hpke.PublicKey, info, plaintext []byte) ciphertext {
	digest := wire.Hash(encode([]any{recipient.Bytes(), info, plaintext}))
	name := hex.EncodeToString(digest[:8])
	c, have := s.kept[name]
	if !have && !*update {
		panic("nothing kept for these bytes in " + sealedFile + ": run go test ./spec -run Generated -update")
	}
	if !have {
		enc, sender, err := hpke.NewSender(recipient, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			panic(err)
		}
		body, err := sender.Seal(nil, plaintext)
		if err != nil {
			panic(err)
		}
		c = ciphertext{enc, body}
		s.kept[name] = c
	}
	s.used[name] = c
	return c
}

// save writes what the generators have used.
func (s *seals) save(t *testing.T) {
	t.Helper()
	content, err := json.MarshalIndent(s.used, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, sealedFile, append(content, '\n'))
}

// sealingSeed is the private sealing key of the number: as for signing keys, the byte and 31 zeros.
func sealingSeed(n byte) hexBytes { return append([]byte{n}, make([]byte, 31)...) }

func sealingKey(n byte) hpke.PublicKey {
	k, err := identity.SealingKEM().NewPrivateKey(sealingSeed(n))
	if err != nil {
		panic(err)
	}
	return k.PublicKey()
}

// sealInfo is HPKE's info of an envelope, as envelope.md has it.
func sealInfo(realm wire.Realm, e envelope.Envelope) []byte {
	return encode([]any{"conclave/1 seal", realm[:], e.From[:], e.Credential[:], e.To, e.Subject, e.Counter})
}

// salted is the content that every envelope of the vectors carries, after its salt.
var salted = append([]byte("sixteen bytes !!"), "hello"...)

// filled is e with digest and body: sealed for the key of the number, or plain if there is none.
func filled(realm wire.Realm, e envelope.Envelope, to byte) envelope.Envelope {
	if to == 0 {
		e.Encryption, e.Body = envelope.Plain, salted[16:]
		return e
	}
	c := sealing.seal(sealingKey(to), sealInfo(realm, e), salted)
	e.Encryption, e.Enc, e.Body, e.Digest = envelope.Sealed, c.Enc, c.Body, wire.Hash(salted)
	return e
}

// exported is the secret of the session that e, sealed for the key of the number, opens.
func exported(realm wire.Realm, e envelope.Envelope, to byte) []byte {
	k, err := identity.SealingKEM().NewPrivateKey(sealingSeed(to))
	if err != nil {
		panic(err)
	}
	r, err := hpke.NewRecipient(e.Enc, k, hpke.HKDFSHA256(), hpke.AES256GCM(), sealInfo(realm, e))
	if err != nil {
		panic(err)
	}
	secret, err := r.Export("conclave/1 session", 32)
	if err != nil {
		panic(err)
	}
	return secret
}

// secretOf is a session's or sender key's secret: 32 times the byte.
func secretOf(n byte) hexBytes { return bytes.Repeat([]byte{n}, 32) }

// senderKeyID names the sender key, as envelope.md has it.
func senderKeyID(secret []byte) wire.Digest {
	return wire.Hash(encode([]any{"conclave/1 sender key", secret}))
}

// locked is e with digest and body under the secret, as envelope.md has it.
func locked(realm wire.Realm, e envelope.Envelope, id wire.Digest, secret []byte) envelope.Envelope {
	return lockedAs(realm, e, e, id, secret, salted)
}

// lockedAs is e with the body that another envelope would have.
func lockedAs(realm wire.Realm, e, as envelope.Envelope, id wire.Digest, secret, content []byte) envelope.Envelope {
	info := encode([]any{"conclave/1 body key", realm[:], as.From[:], as.Credential[:], as.To})
	key, err := hkdf.Expand(sha256.New, secret, string(info), 32)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4), as.Counter)
	e.Key, e.Digest, e.Body = id, wire.Hash(content), aead.Seal(nil, nonce, content, nil)
	e.Encryption = envelope.Session
	if e.To.Place == envelope.AtTopic {
		e.Encryption = envelope.SenderKey
	}
	return e
}
