// Package sealed is an agent's memory of the ballots that it has committed to, until their decisions have ended: on disk, so
// that a crash at any point neither loses a ballot that was committed to nor lets the agent sign two of one sequence, which
// anybody could show as a contradiction.
package sealed

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Ballot is one ballot that is, or may be, committed to.
type Ballot struct {
	Sequence   uint64 `cbor:"1,keyasint"`
	Ballot     []byte `cbor:"2,keyasint"` // signed
	Salt       []byte `cbor:"3,keyasint"`
	Commitment []byte `cbor:"4,keyasint"` // signed
}

// FormatVersion is the version of the files.
const FormatVersion = 1

// MostOfOne bounds how often an agent changes its mind about one decision.
const MostOfOne = 8

type record struct {
	Version uint64   `cbor:"0,keyasint"`
	Ballots []Ballot `cbor:"1,keyasint"` // by rising sequence
}

var (
	// ErrSequence is returned by Keep for a sequence that does not rise.
	ErrSequence = fault.New(fault.Internal, "sealed: a ballot's sequence must be above those before it")
	// ErrMany is returned by Keep for too many ballots on one decision.
	ErrMany = fault.New(fault.Rate, "sealed: too many ballots on one decision")
	// ErrKept is returned by Take for a store that is on disk.
	ErrKept = fault.New(fault.Internal, "sealed: the store has a directory")
)

const (
	extension = ".sealed"
	maxRecord = MostOfOne * 2 * wire.MaxStatement
)

// Store keeps sealed ballots. One process holds a directory at a time; see [Store.Take] for who comes second. It is safe for
// concurrent use.
type Store struct {
	mu   sync.Mutex
	dir  *datadir.Dir // nil: in memory only
	held map[wire.Digest][]Ballot
}

// Open opens the store in dir, or makes it, and locks it. Errors: datadir's, among them one for a store in use, and
// malformed or version for a file that cannot be read: what it says was signed is then not known, so nothing may be.
func Open(dir string) (*Store, error) {
	d, err := datadir.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("sealed ballots: %w", err)
	}
	s := &Store{dir: d, held: map[wire.Digest][]Ballot{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

// InMemory returns a store that ends with the process.
func InMemory() *Store { return &Store{held: map[wire.Digest][]Ballot{}} }

// Take has a store in memory go on in dir, as [Open] opens it: with its own ballots, which are on disk then, and with those
// that an earlier process has left. Errors: those of Open, [ErrKept], the disk's; the store stays in memory then.
func (s *Store) Take(dir string) error {
	d, err := Open(dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != nil {
		return errors.Join(ErrKept, d.Close())
	}
	for id, own := range s.held {
		d.held[id] = merged(d.held[id], own)
		if err := d.write(id, d.held[id]); err != nil {
			return errors.Join(err, d.Close())
		}
	}
	s.dir, s.held = d.dir, d.held
	return nil
}

// merged returns the newest ballots of two processes on one decision, by rising sequence.
func merged(a, b []Ballot) []Ballot {
	list := slices.Concat(a, b)
	slices.SortStableFunc(list, func(x, y Ballot) int { return cmp.Compare(x.Sequence, y.Sequence) })
	return list[max(0, len(list)-MostOfOne):]
}

func (s *Store) load() error {
	entries, err := os.ReadDir(s.dir.Path())
	if err != nil {
		return fmt.Errorf("sealed ballots: %w", err)
	}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), extension)
		id, err := wire.ParseDigest(name)
		if !ours || err != nil {
			continue
		}
		raw, err := datadir.ReadPrivate(s.path(id), maxRecord)
		if err != nil {
			return err
		}
		var r record
		if err := wire.Decode(raw, &r); err != nil {
			return fmt.Errorf("sealed ballots: %s: %w", s.path(id), err)
		}
		if r.Version != FormatVersion {
			return fmt.Errorf("sealed ballots: %s: %w", s.path(id), wire.ErrVersion)
		}
		s.held[id] = r.Ballots
	}
	return nil
}

// Close releases the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return nil
	}
	return s.dir.Close()
}

func (s *Store) path(decision wire.Digest) string {
	return filepath.Join(s.dir.Path(), decision.String()+extension)
}

// Sequence returns a number for a ballot that no other ballot of the voter has, and below that of one that is signed a second
// later, or more. Nobody knows what the voter's other processes have signed, or this one before its disk was put back, or what
// became of a ballot that was not answered: two of one sequence would contradict each other. The time is Unix milliseconds.
func Sequence(now int64) uint64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return uint64(now/1000)<<20 | uint64(binary.BigEndian.Uint32(b[:])>>12)
}

// Next returns the sequence for the next ballot on a decision: a [Sequence], above those kept here.
func (s *Store) Next(decision wire.Digest, now int64) uint64 {
	own := Sequence(now)
	if list := s.Of(decision); len(list) > 0 {
		return max(own, list[len(list)-1].Sequence+1)
	}
	return own
}

// Keep keeps a ballot; it returns when a loss of power cannot undo it. Errors: [ErrSequence], [ErrMany], the disk's.
func (s *Store) Keep(decision wire.Digest, b Ballot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.held[decision]
	if len(list) > 0 && list[len(list)-1].Sequence >= b.Sequence {
		return ErrSequence
	}
	if len(list) >= MostOfOne {
		return ErrMany
	}
	list = append(slices.Clone(list), b)
	if s.dir != nil {
		if err := s.write(decision, list); err != nil {
			return err
		}
	}
	s.held[decision] = list
	return nil
}

func (s *Store) write(decision wire.Digest, list []Ballot) error {
	raw, err := wire.Encode(record{Version: FormatVersion, Ballots: list})
	if err != nil {
		return err
	}
	return datadir.WritePrivate(s.path(decision), raw)
}

// Of returns the ballots on a decision, by rising sequence.
func (s *Store) Of(decision wire.Digest) []Ballot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held[decision])
}

// Decisions returns the decisions that there are ballots on.
func (s *Store) Decisions() []wire.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []wire.Digest
	for id := range s.held {
		ids = append(ids, id)
	}
	return ids
}

// Drop forgets a decision that has ended: never one on which the agent could still vote.
func (s *Store) Drop(decision wire.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, decision)
	if s.dir == nil {
		return nil
	}
	if err := os.Remove(s.path(decision)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sealed ballots: %w", err)
	}
	return nil
}
