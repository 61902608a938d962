package raftlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A snapshot is: magic (8 bytes, the last one the format version), index of the last entry in it (8, big endian),
// length of the machine's state (8), the state, SHA-256 of everything before.
const snapshotMagic = "CNCLSNP\x01"

const (
	snapshotHead = len(snapshotMagic) + 8 + 8
	snapshotTail = sha256.Size
)

// snapshot is a machine's state after the entry at index.
type snapshot struct {
	index   uint64
	state   []byte
	written func(size uint64) // is told once all of it is in the sink; nil of one that was read
}

// size returns the length of the whole snapshot in bytes.
func (s *snapshot) size() uint64 { return uint64(snapshotHead + len(s.state) + snapshotTail) }

var _ raft.FSMSnapshot = (*snapshot)(nil)

// Persist writes the snapshot to sink. The caller closes or cancels the sink.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.writeTo(sink); err != nil {
		return err
	}
	s.written(s.size())
	return nil
}

// Release does nothing: the state is a copy of its own.
func (s *snapshot) Release() {}

func (s *snapshot) writeTo(w io.Writer) error {
	head := append(make([]byte, 0, snapshotHead), snapshotMagic...)
	head = binary.BigEndian.AppendUint64(head, s.index)
	head = binary.BigEndian.AppendUint64(head, uint64(len(s.state)))
	digest := sha256.New()
	both := io.MultiWriter(w, digest)
	for _, part := range [][]byte{head, s.state} {
		if _, err := both.Write(part); err != nil {
			return fmt.Errorf("raftlog: write snapshot: %w", err)
		}
	}
	if _, err := w.Write(digest.Sum(nil)); err != nil {
		return fmt.Errorf("raftlog: write snapshot: %w", err)
	}
	return nil
}

// readSnapshot reads r to its end and returns the snapshot that it holds, or ErrCorrupt.
func readSnapshot(r io.Reader) (*snapshot, error) {
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("raftlog: read snapshot: %w", err)
	}
	if len(all) < snapshotHead+snapshotTail {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", ErrCorrupt, len(all))
	}
	body, tail := all[:len(all)-snapshotTail], all[len(all)-snapshotTail:]
	if !bytes.HasPrefix(body, []byte(snapshotMagic)) {
		return nil, fmt.Errorf("%w: not a snapshot of this version", ErrCorrupt)
	}
	if digest := sha256.Sum256(body); !bytes.Equal(digest[:], tail) {
		return nil, fmt.Errorf("%w: snapshot has a wrong digest", ErrCorrupt)
	}
	s := &snapshot{
		index: binary.BigEndian.Uint64(body[len(snapshotMagic):]),
		state: body[snapshotHead:],
	}
	if binary.BigEndian.Uint64(body[len(snapshotMagic)+8:]) != uint64(len(s.state)) {
		return nil, fmt.Errorf("%w: snapshot has a wrong length", ErrCorrupt)
	}
	return s, nil
}
