package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A snapshot is a sequence of records, each a kind byte, a big-endian length of four bytes and CBOR (leaves: their
// hashes joined), in this order. Records of one kind stand in the order of their names, so equal states have equal
// snapshots. The SHA-256 of all of them stands at the end.
const (
	recordHeader   = 'h'
	recordMember   = 'm'
	recordToken    = 't'
	recordDecision = 'd'
	recordAnswer   = 'a'
	recordLeaves   = 'l'
)

type snapshotHeader struct {
	Format  uint64        `cbor:"1,keyasint"` // 1
	Realm   wire.Realm    `cbor:"2,keyasint"`
	Now     int64         `cbor:"3,keyasint"`
	Chain   wire.Digest   `cbor:"4,keyasint"`
	SweepAt int64         `cbor:"5,keyasint"`
	Open    []wire.Digest `cbor:"6,keyasint,omitempty"`
}

type usedToken struct {
	ID      wire.Digest `cbor:"1,keyasint"`
	Expires int64       `cbor:"2,keyasint"`
}

func (s *state) encode() ([]byte, error) {
	var out bytes.Buffer
	header := snapshotHeader{
		Format: 1, Realm: s.authority.Realm, Now: s.now, Chain: s.chain, SweepAt: s.sweepAt, Open: s.open,
	}
	if err := writeRecord(&out, recordHeader, header); err != nil {
		return nil, err
	}
	for _, id := range sortedKeys(s.members, identity.ID.Compare) {
		if err := writeRecord(&out, recordMember, s.members[id]); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(s.tokens, compareDigests) {
		if err := writeRecord(&out, recordToken, usedToken{ID: id, Expires: s.tokens[id]}); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(s.decisions, compareDigests) {
		if err := writeRecord(&out, recordDecision, s.decisions[id]); err != nil {
			return nil, err
		}
	}
	for _, key := range sortedKeys(s.answers, compareAnswerKeys) {
		if err := writeRecord(&out, recordAnswer, s.answers[key]); err != nil {
			return nil, err
		}
	}
	leaves := s.tree.Leaves()
	joined := make([]byte, 0, len(leaves)*len(merkle.Hash{}))
	for _, leaf := range leaves {
		joined = append(joined, leaf[:]...)
	}
	appendRecord(&out, recordLeaves, joined)
	sum := wire.Hash(out.Bytes())
	out.Write(sum[:])
	return out.Bytes(), nil
}

func compareDigests(a, b wire.Digest) int { return bytes.Compare(a[:], b[:]) }

func compareAnswerKeys(a, b answerKey) int {
	if c := a.Author.Compare(b.Author); c != 0 {
		return c
	}
	return bytes.Compare(a.Nonce[:], b.Nonce[:])
}

func writeRecord(out *bytes.Buffer, kind byte, v any) error {
	b, err := wire.Encode(v)
	if err != nil {
		return err
	}
	appendRecord(out, kind, b)
	return nil
}

func appendRecord(out *bytes.Buffer, kind byte, body []byte) {
	out.WriteByte(kind)
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(body)))
	out.Write(length[:])
	out.Write(body)
}

var errSnapshot = fmt.Errorf("ledger: snapshot: %w", wire.ErrMalformed)

// decodeState builds a new state from a snapshot; realm, genesis and policy are those of the old one. It takes only
// what encode writes.
func decodeState(old *state, snapshot []byte) (*state, error) {
	s := newState(old.authority, old.genesis, old.policy)
	clear(s.members)
	clear(s.names)
	clear(s.keys)
	records := len(snapshot) - len(wire.Digest{})
	if records < 0 || wire.Hash(snapshot[:records]) != wire.Digest(snapshot[records:]) {
		return nil, fmt.Errorf("%w: checksum", errSnapshot)
	}
	if err := readRecords(s, snapshot[:records]); err != nil {
		return nil, err
	}
	for _, id := range s.open {
		if _, ok := s.decisions[id]; !ok {
			return nil, fmt.Errorf("%w: open decision missing", errSnapshot)
		}
	}
	if s.chain != chainOf(s.tree.Leaves()) {
		return nil, fmt.Errorf("%w: leaves and chain differ", errSnapshot)
	}
	if again, err := s.encode(); err != nil || !bytes.Equal(again, snapshot) {
		return nil, fmt.Errorf("%w: re-encoding differs", errSnapshot)
	}
	return s, nil
}

// chainOf returns the chained digest of the leaves, as record makes it.
func chainOf(leaves []merkle.Hash) (chain wire.Digest) {
	for _, leaf := range leaves {
		chain = wire.Hash(append(chain[:], leaf[:]...))
	}
	return chain
}

func readRecords(s *state, records []byte) error {
	for len(records) > 0 {
		if len(records) < 5 {
			return errSnapshot
		}
		kind, length := records[0], uint64(binary.BigEndian.Uint32(records[1:5]))
		records = records[5:]
		if uint64(len(records)) < length {
			return errSnapshot
		}
		if err := readRecord(s, kind, records[:length]); err != nil {
			return fmt.Errorf("%w: record %q: %w", errSnapshot, kind, err)
		}
		records = records[length:]
	}
	return nil
}

func readRecord(s *state, kind byte, body []byte) error {
	switch kind {
	case recordHeader:
		return readHeader(s, body)
	case recordMember:
		var m Member
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		s.put(&m)
	case recordToken:
		var t usedToken
		if err := wire.Decode(body, &t); err != nil {
			return err
		}
		s.tokens[t.ID] = t.Expires
	case recordDecision:
		var d Decision
		if err := wire.Decode(body, &d); err != nil {
			return err
		}
		claimed, err := wire.Parse[consensus.Proposal](d.Proposal, wire.MaxStatement)
		if err != nil {
			return err
		}
		s.decisions[d.ID] = &d
		s.proposals[answerKey{Author: claimed.Claim.Proposer, Nonce: claimed.Claim.Nonce}] = d.ID
	case recordAnswer:
		var r remembered
		if err := wire.Decode(body, &r); err != nil {
			return err
		}
		s.answers[answerKey{Author: r.Author, Nonce: r.Nonce}] = r
	case recordLeaves:
		return readLeaves(s, body)
	default:
		return wire.ErrVersion
	}
	return nil
}

func readHeader(s *state, body []byte) error {
	var h snapshotHeader
	if err := wire.Decode(body, &h); err != nil {
		return err
	}
	if h.Format != 1 {
		return wire.ErrVersion
	}
	if h.Realm != s.authority.Realm {
		return identity.ErrWrongRealm
	}
	s.now, s.chain, s.sweepAt, s.open = h.Now, h.Chain, h.SweepAt, h.Open
	return nil
}

func readLeaves(s *state, body []byte) error {
	const size = len(merkle.Hash{})
	if len(body)%size != 0 {
		return wire.ErrMalformed
	}
	leaves := make([]merkle.Hash, len(body)/size)
	for i := range leaves {
		leaves[i] = merkle.Hash(body[i*size : (i+1)*size])
	}
	tree, err := merkle.Restore(leaves)
	if err != nil {
		return err
	}
	s.tree = tree
	return nil
}
