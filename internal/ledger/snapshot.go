package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// A snapshot is a sequence of records, each a kind byte, a big-endian length of four bytes and CBOR (leaves: their
// hashes joined), in this order. Records of one kind stand in the order of their names, so equal states have equal
// snapshots. The SHA-256 of all of them stands at the end.
const (
	recordHeader   = 'h'
	recordRoster   = 'r'
	recordPolicy   = 'p'
	recordClock    = 'c'
	recordMember   = 'm'
	recordAccount  = 'b' // an agent's in the book
	recordOperator = 'o' // an operator's
	recordEvidence = 'e' // that was counted
	recordToken    = 't'
	recordDecision = 'd'
	recordUse      = 'u' // behind its decision
	recordAnswer   = 'a'
	recordLeaves   = 'l'
)

// The formats that are written and read: format 5 from feature level 4 on, when there are accounts; format 4 below, so that
// nodes of older builds read it. Format 1 had one clock and no rosters, format 2 decisions of formats before version 1, format 3
// no reminders.
const (
	plainFormat     = 4
	reckoningFormat = 5
)

// formatAt returns the format in which a state of the feature level is written.
func formatAt(feature uint64) uint64 {
	if feature < registry.TrustFeature {
		return plainFormat
	}
	return reckoningFormat
}

type snapshotHeader struct {
	Format  uint64      `cbor:"1,keyasint"` // 4 or 5
	Realm   wire.Realm  `cbor:"2,keyasint"`
	Now     int64       `cbor:"3,keyasint"`
	Chain   wire.Digest `cbor:"4,keyasint"`
	SweepAt int64       `cbor:"5,keyasint"`
	Head    int64       `cbor:"7,keyasint"` // log time at the newest leaf
	Feature uint64      `cbor:"8,keyasint"`
	Open    uint64      `cbor:"9,keyasint"`            // how many decisions are open
	Since   int64       `cbor:"10,keyasint,omitempty"` // see state.since
}

type usedToken struct {
	ID      wire.Digest `cbor:"1,keyasint"`
	Expires int64       `cbor:"2,keyasint"`
}

func (s *state) encode() ([]byte, error) {
	var out bytes.Buffer
	header := snapshotHeader{
		Format: formatAt(s.feature), Realm: s.authority.Realm, Now: s.now, Chain: s.chain, SweepAt: s.sweepAt,
		Head: s.headTime, Feature: s.feature, Open: uint64(len(s.open)), Since: s.since,
	}
	if err := writeRecord(&out, recordHeader, header); err != nil {
		return nil, err
	}
	for _, roster := range s.rosters {
		appendRecord(&out, recordRoster, roster)
	}
	for _, d := range s.policies {
		if err := writeRecord(&out, recordPolicy, d); err != nil {
			return nil, err
		}
	}
	for _, node := range sortedKeys(s.clocks, identity.ID.Compare) {
		if err := writeRecord(&out, recordClock, s.clocks[node]); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(s.members, identity.ID.Compare) {
		if err := writeRecord(&out, recordMember, s.members[id]); err != nil {
			return nil, err
		}
	}
	if s.reckoner != nil {
		if err := s.reckoner.encode(&out); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(s.tokens, compareDigests) {
		if err := writeRecord(&out, recordToken, usedToken{ID: id, Expires: s.tokens[id]}); err != nil {
			return nil, err
		}
	}
	for _, id := range sortedKeys(s.decisions, compareDigests) {
		if err := writeDecision(&out, s.decisions[id]); err != nil {
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

// writeDecision writes a decision and its uses, each its own record: a permit may have more than one record holds.
func writeDecision(out *bytes.Buffer, d *Decision) error {
	if err := writeRecord(out, recordDecision, d); err != nil {
		return err
	}
	for _, u := range d.Uses {
		if err := writeRecord(out, recordUse, u); err != nil {
			return err
		}
	}
	return nil
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
	s := newState(old.authority, old.genesis, old.founded)
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
	if err := s.seat(); err != nil {
		return nil, err
	}
	if err := s.govern(); err != nil {
		return nil, err
	}
	if err := s.reckoner.restore(); err != nil {
		return nil, err
	}
	s.resum()
	if s.chain != chainOf(s.tree.Leaves()) {
		return nil, fmt.Errorf("%w: leaves and chain differ", errSnapshot)
	}
	if again, err := s.encode(); err != nil || !bytes.Equal(again, snapshot) {
		return nil, fmt.Errorf("%w: re-encoding differs", errSnapshot)
	}
	return s, nil
}

// seat makes out of what a snapshot told who the nodes are, and checks that clocks and head are of them.
func (s *state) seat() (err error) {
	if s.authority, err = identity.VerifyChain(s.authority.Realm, s.genesis, s.rosters, 0); err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	for node, t := range s.clocks {
		if !slices.Contains(s.authority.Nodes, node) || t.Time <= 0 || t.Time > maxTime {
			return fmt.Errorf("%w: clock of %s", errSnapshot, node)
		}
	}
	size := s.tree.Size()
	if s.headTime > s.now || (size == 0 && s.headTime != 0) {
		return fmt.Errorf("%w: time at the newest leaf", errSnapshot)
	}
	if size > 0 {
		s.marks[size] = mark{time: s.headTime, roster: s.authority.Number, chain: s.chain}
	}
	return nil
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
	case recordRoster:
		s.rosters = append(s.rosters, bytes.Clone(body))
	case recordPolicy:
		var d Signed
		if err := wire.Decode(body, &d); err != nil {
			return err
		}
		s.policies = append(s.policies, d)
	case recordClock:
		var t told
		if err := wire.Decode(body, &t); err != nil {
			return err
		}
		s.clocks[t.Node] = t
	case recordMember:
		var m Member
		if err := wire.Decode(body, &m); err != nil {
			return err
		}
		s.put(&m)
	case recordAccount, recordOperator, recordEvidence:
		return s.reckoner.read(kind, body)
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
		d.claim = &claimed.Claim
		s.enter(&d)
	case recordUse:
		return readUse(s, body)
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

func readUse(s *state, body []byte) error {
	var u Use
	if err := wire.Decode(body, &u); err != nil {
		return err
	}
	d, ok := s.decisions[u.Consumption.Proposal]
	if !ok {
		return fmt.Errorf("%w: use of no decision", wire.ErrMalformed)
	}
	d.Uses = append(d.Uses, u)
	return nil
}

func readHeader(s *state, body []byte) error {
	var h snapshotHeader
	if err := wire.Decode(body, &h); err != nil {
		return err
	}
	if h.Format != formatAt(h.Feature) {
		return wire.ErrVersion
	}
	if h.Realm != s.authority.Realm {
		return identity.ErrWrongRealm
	}
	s.now, s.chain, s.sweepAt, s.feature = h.Now, h.Chain, h.SweepAt, h.Feature
	s.headTime, s.since = h.Head, h.Since
	if h.Format == reckoningFormat && s.reckoner == nil {
		s.reckoner = newReckoner(s)
	}
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
