// Package spent is an executor's own memory of the certificates it has used: on disk, so that a crash at any point
// cannot make it act twice.
//
// A decision goes through claimed (the consumption may have been handed to the registry), started (the action may have
// begun) and finished. What is started and not finished when the store is opened again is uncertain: nobody knows how
// far the action came, and it is never run again.
package spent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// State is how far a decision has come here. The zero value is not at all.
type State uint8

// The states.
const (
	Claimed  State = 1
	Started  State = 2
	Finished State = 3
)

// Record is what is kept of one decision.
type Record struct {
	State    State  `cbor:"1,keyasint"`
	OK       bool   `cbor:"2,keyasint,omitempty"`
	Reported bool   `cbor:"3,keyasint,omitempty"` // the registry knows the outcome
	Detail   string `cbor:"4,keyasint,omitempty"` // for people
}

var (
	// ErrStarted is returned by Start for a decision whose action has begun before.
	ErrStarted = fault.New(fault.Spent, "spent: this decision's action was begun before and is never run again")
	// ErrOrder is returned when a decision skips a state.
	ErrOrder = fault.New(fault.Internal, "spent: a decision is claimed, started, finished, in this order")
)

// Store is one executor's store. One process holds it at a time. It is not safe for concurrent use.
type Store struct {
	dir *datadir.Dir
	id  [16]byte
}

const (
	idFile    = "store.id"
	extension = ".spent"
)

// Open opens the store in dir, or makes it, and locks it. Errors: datadir's, among them one for a store in use.
func Open(dir string) (*Store, error) {
	d, err := datadir.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("spent store: %w", err)
	}
	s := &Store{dir: d}
	if err := s.identify(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

func (s *Store) identify() error {
	path := filepath.Join(s.dir.Path(), idFile)
	raw, err := datadir.ReadPrivate(path, int64(len(s.id)))
	if err == nil && len(raw) == len(s.id) {
		s.id = [16]byte(raw)
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s", wire.ErrMalformed, path), err)
	}
	if _, err := rand.Read(s.id[:]); err != nil {
		return fmt.Errorf("spent: id: %w", err)
	}
	return datadir.WritePrivate(path, s.id[:])
}

// ID names the store. Proposals carry it, so a certificate is good for this store alone.
func (s *Store) ID() [16]byte { return s.id }

// Close releases the store.
func (s *Store) Close() error { return s.dir.Close() }

func (s *Store) path(decision wire.Digest) string {
	return filepath.Join(s.dir.Path(), decision.String()+extension)
}

// Record returns how far a decision has come; the zero Record if it is not known.
func (s *Store) Record(decision wire.Digest) (Record, error) {
	raw, err := datadir.ReadPrivate(s.path(decision), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := wire.Decode(raw, &r); err != nil {
		return Record{}, fmt.Errorf("spent store: %w", err)
	}
	if r.State < Claimed || r.State > Finished {
		return Record{}, fmt.Errorf("spent store: %w", wire.ErrVersion)
	}
	return r, nil
}

func (s *Store) put(decision wire.Digest, r Record) error {
	raw, err := wire.Encode(r)
	if err != nil {
		return err
	}
	return datadir.WritePrivate(s.path(decision), raw)
}

// Claim notes, durably, that the consumption will be handed to the registry. Claiming again changes nothing.
func (s *Store) Claim(decision wire.Digest) error {
	r, err := s.Record(decision)
	if err != nil || r.State != 0 {
		return err
	}
	return s.put(decision, Record{State: Claimed})
}

// Start notes, durably, that the action begins now. It is the last thing before the act. Error: [ErrStarted].
func (s *Store) Start(decision wire.Digest) error {
	r, err := s.Record(decision)
	switch {
	case err != nil:
		return err
	case r.State >= Started:
		return ErrStarted
	case r.State != Claimed:
		return ErrOrder
	}
	return s.put(decision, Record{State: Started})
}

// Finish notes how the action ended.
func (s *Store) Finish(decision wire.Digest, ok bool, detail string) error {
	r, err := s.Record(decision)
	if err != nil {
		return err
	}
	if r.State != Started {
		return ErrOrder
	}
	return s.put(decision, Record{State: Finished, OK: ok, Detail: detail})
}

// Forfeit notes that another copy of this store has used a decision that was claimed here: it is never begun here, and
// how it ended is the other's to report.
func (s *Store) Forfeit(decision wire.Digest) error {
	r, err := s.Record(decision)
	if err != nil {
		return err
	}
	if r.State != Claimed {
		return ErrOrder
	}
	return s.put(decision, Record{State: Finished, Reported: true, Detail: "used by a copy of this store"})
}

// Reported notes that the registry knows the outcome.
func (s *Store) Reported(decision wire.Digest) error {
	r, err := s.Record(decision)
	if err != nil {
		return err
	}
	if r.State < Started {
		return ErrOrder
	}
	r.Reported = true
	return s.put(decision, r)
}

// Unsettled returns the decisions whose action was begun and whose outcome the registry does not know.
func (s *Store) Unsettled() (map[wire.Digest]Record, error) {
	entries, err := os.ReadDir(s.dir.Path())
	if err != nil {
		return nil, fmt.Errorf("spent store: %w", err)
	}
	found := map[wire.Digest]Record{}
	for _, e := range entries {
		name := e.Name()
		if filepath.Ext(name) != extension {
			continue
		}
		id, err := wire.ParseDigest(name[:len(name)-len(extension)])
		if err != nil {
			continue
		}
		r, err := s.Record(id)
		if err != nil {
			return nil, err
		}
		if r.State >= Started && !r.Reported {
			found[id] = r
		}
	}
	return found, nil
}
