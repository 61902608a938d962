package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// Everything that the store keeps is a record: CRC-32C of key and body (4 bytes, big endian), then the body. The
// key is part of the sum so that a record found under another key is as damaged as one with another body.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// seal returns the record that holds body under key.
func seal(key, body []byte) []byte {
	record := make([]byte, sumSize, sumSize+len(body))
	binary.BigEndian.PutUint32(record, sum(key, body))
	return append(record, body...)
}

// unseal returns the body of the record under key. It is a part of record, not a copy. A nil record is a missing
// one.
func unseal(key, record []byte) ([]byte, error) {
	if len(record) < sumSize {
		return nil, fmt.Errorf("%w: record %x is missing or short", ErrCorrupt, key)
	}
	body := record[sumSize:]
	if sum(key, body) != binary.BigEndian.Uint32(record) {
		return nil, fmt.Errorf("%w: record %x has a wrong checksum", ErrCorrupt, key)
	}
	return body, nil
}

func sum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// entryKey returns the key of the log entry with the given index; keys sort as indexes do.
func entryKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// entryHead is the length of an entry's fixed part: term (8), appended-at (8, Unix nanoseconds or 0), type (1),
// length of the extensions (4). Extensions and data follow.
const entryHead = 8 + 8 + 1 + 4

// encodeEntry returns the record of a log entry.
func encodeEntry(entry *raft.Log) []byte {
	body := make([]byte, 0, entryHead+len(entry.Extensions)+len(entry.Data))
	body = binary.BigEndian.AppendUint64(body, entry.Term)
	var appended int64
	if !entry.AppendedAt.IsZero() {
		appended = entry.AppendedAt.UnixNano()
	}
	body = binary.BigEndian.AppendUint64(body, uint64(appended))
	body = append(body, byte(entry.Type))
	body = binary.BigEndian.AppendUint32(body, uint32(len(entry.Extensions)))
	body = append(body, entry.Extensions...)
	body = append(body, entry.Data...)
	return seal(entryKey(entry.Index), body)
}

// decodeEntry fills entry from the record under key. Nothing in entry aliases record.
func decodeEntry(key, record []byte, entry *raft.Log) error {
	body, err := unseal(key, record)
	if err != nil {
		return err
	}
	if len(key) != 8 || len(body) < entryHead {
		return fmt.Errorf("%w: entry %x is short", ErrCorrupt, key)
	}
	extensions := uint64(binary.BigEndian.Uint32(body[17:]))
	payload := bytes.Clone(body[entryHead:])
	if extensions > uint64(len(payload)) {
		return fmt.Errorf("%w: entry %x is short", ErrCorrupt, key)
	}
	*entry = raft.Log{
		Index:      binary.BigEndian.Uint64(key),
		Term:       binary.BigEndian.Uint64(body),
		Type:       raft.LogType(body[16]),
		Extensions: payload[:extensions:extensions],
		Data:       payload[extensions:],
	}
	if appended := int64(binary.BigEndian.Uint64(body[8:])); appended != 0 {
		entry.AppendedAt = time.Unix(0, appended)
	}
	return nil
}

// span says which entries the log holds, how many (there may be a gap before a snapshot that came from elsewhere),
// and how far they are known to be committed. Zero means none.
type span struct{ first, last, count, committed uint64 }

func (s span) encode() []byte {
	body := binary.BigEndian.AppendUint64(nil, s.first)
	body = binary.BigEndian.AppendUint64(body, s.last)
	body = binary.BigEndian.AppendUint64(body, s.count)
	return binary.BigEndian.AppendUint64(body, s.committed)
}

func decodeSpan(body []byte) (span, error) {
	if len(body) != 32 {
		return span{}, fmt.Errorf("%w: log span of %d bytes", ErrCorrupt, len(body))
	}
	s := span{
		first:     binary.BigEndian.Uint64(body),
		last:      binary.BigEndian.Uint64(body[8:]),
		count:     binary.BigEndian.Uint64(body[16:]),
		committed: binary.BigEndian.Uint64(body[24:]),
	}
	if s.first > s.last || s.committed > s.last || (s.count == 0) != (s.last == 0) || (s.first == 0) != (s.last == 0) {
		return span{}, fmt.Errorf("%w: impossible log span %+v", ErrCorrupt, s)
	}
	return s, nil
}

// ballot is what raft's safety rests on: the current term, and the last vote with its term.
type ballot struct {
	term, voteTerm uint64
	candidate      []byte
}

func (b ballot) encode() []byte {
	body := binary.BigEndian.AppendUint64(nil, b.term)
	body = binary.BigEndian.AppendUint64(body, b.voteTerm)
	return append(body, b.candidate...)
}

func decodeBallot(body []byte) (ballot, error) {
	if len(body) < 16 {
		return ballot{}, fmt.Errorf("%w: ballot of %d bytes", ErrCorrupt, len(body))
	}
	return ballot{
		term:      binary.BigEndian.Uint64(body),
		voteTerm:  binary.BigEndian.Uint64(body[8:]),
		candidate: bytes.Clone(body[16:]),
	}, nil
}

// storeIDSize is the length in bytes of a store id, the random name of one raft directory.
const storeIDSize = 8

// owner names the node that made the store, and this store among all that the node ever makes.
type owner struct {
	store [storeIDSize]byte
	node  string
}

func (o owner) encode() []byte { return append(o.store[:], o.node...) }

func decodeOwner(body []byte) (owner, error) {
	if len(body) <= storeIDSize {
		return owner{}, fmt.Errorf("%w: owner of %d bytes", ErrCorrupt, len(body))
	}
	return owner{store: [storeIDSize]byte(body), node: string(body[storeIDSize:])}, nil
}

// serverID is the store's name in raft configurations: "<nkey>.<16 hex digits>". It dies with the directory, so
// that a node that lost its log can never vote again as the one that had it.
func (o owner) serverID() raft.ServerID {
	return raft.ServerID(fmt.Sprintf("%s.%x", o.node, o.store))
}
