package envelope

import (
	"crypto/sha256"
	"encoding"
	"hash"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// leafAndID returns the leaf hash and the id of one envelope, by its payload.
func leafAndID(realm wire.Realm, payload []byte) (merkle.Hash, wire.Digest) {
	data := append(make([]byte, 0, 256+len(payload)), merkle.LeafPrefix)
	data = append(wire.AppendSigHead(data, wire.Envelope, realm, len(payload)), payload...)
	return sha256.Sum256(data), wire.Hash(data[1:])
}

// leafHasher hashes the leaves of one frame. What they all begin with, as long as their payloads have one length and
// the same fields, it hashes once. It is not safe for concurrent use.
type leafHasher struct {
	realm  wire.Realm
	common *Envelope
	shared []byte // fields 0 to 8 of every payload, encoded
	hash   hash.Hash

	length int    // of the payload that state is for
	pairs  int    // of the payload that state is for
	state  []byte // of hash after prefix, the Sig_structure's head and shared
	own    []byte // reused
	key    []byte // what stands after the body
	least  int    // fields of a payload without content type and trace
}

func newLeafHasher(realm wire.Realm, common *Envelope) *leafHasher {
	h := &leafHasher{
		realm: realm, common: common, shared: appendShared(make([]byte, 0, 512), common), hash: sha256.New(),
		key: appendKey(nil, common), least: fields(common, &part{}),
	}
	if common.Encryption != Plain {
		h.least++ // the digest
	}
	return h
}

// leaf sets the leaf hash of the envelope that the common fields, a counter and a part make.
func (h *leafHasher) leaf(leaf *merkle.Hash, counter uint64, p *part) {
	h.own = appendOwn(h.own[:0], h.common, counter, p)
	pairs := h.least
	if p.kind != "" {
		pairs++
	}
	if p.trace != "" {
		pairs++
	}
	length := 1 + len(h.shared) + len(h.own) + len(p.body) + len(h.key) // up to 23 pairs have a head of one byte
	if length != h.length || pairs != h.pairs {
		h.begin(length, pairs)
	} else if err := h.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(h.state); err != nil {
		panic("envelope: SHA-256 refuses its own state: " + err.Error())
	}
	h.hash.Write(h.own)
	h.hash.Write(p.body)
	h.hash.Write(h.key)
	h.hash.Sum(leaf[:0])
}

// begin hashes what leaves with payloads of this length and number of fields begin with, and keeps the state.
func (h *leafHasher) begin(length, pairs int) {
	h.hash.Reset()
	head := append(make([]byte, 0, 512), merkle.LeafPrefix)
	head = wire.AppendMapHead(wire.AppendSigHead(head, wire.Envelope, h.realm, length), pairs)
	h.hash.Write(append(head, h.shared...))
	state, err := h.hash.(encoding.BinaryAppender).AppendBinary(h.state[:0])
	if err != nil {
		panic("envelope: SHA-256 does not give its state: " + err.Error())
	}
	h.state, h.length, h.pairs = state, length, pairs
}
