// Package spent is an executor's own memory of the certificates it has used: on disk, so that a crash at any point
// cannot make it act twice.
//
// A decision, or each use of a permit, goes through claimed (the consumption may have been handed to the registry), started (the action may have
// begun) and finished. What is started and not finished when the store is opened again is uncertain: nobody knows how
// far the action came, and it is never run again.
package spent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

// Use names what is done at most once: a decision's action, or one use of a permit.
type Use struct {
	Decision wire.Digest
	Nonce    [16]byte // of a permit, the use's own; zero where the decision is for one action
}

// Record is what is kept of one use.
type Record struct {
	Version  uint64 `cbor:"0,keyasint,omitempty"` // [FormatVersion]; 0 in records from before there were permits
	State    State  `cbor:"1,keyasint"`
	OK       bool   `cbor:"2,keyasint,omitempty"`
	Reported bool   `cbor:"3,keyasint,omitempty"` // the registry knows the outcome
	Detail   string `cbor:"4,keyasint,omitempty"` // for people
	Number   uint64 `cbor:"5,keyasint,omitempty"` // of a permit, which of its uses the registry says this is, from Started on
	Command  []byte `cbor:"6,keyasint,omitempty"` // of a permit, the signed command that claims this use
}

// FormatVersion is the version of records.
const FormatVersion = 1

// maxRecord bounds a record's file, in bytes: it may hold one command.
const maxRecord = wire.MaxStatement + 4096

var (
	// ErrStarted is returned by Start for a decision whose action has begun before.
	ErrStarted = fault.New(fault.Spent, "spent: this decision's action was begun before and is never run again")
	// ErrNumber is returned by Start for a permit's use whose number another use here has: the registry does not count.
	ErrNumber = fault.New(fault.Spent, "spent: another use of this permit had that number")
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
	birthFile = "store.birth" // of idFile, which a copy of it does not have
	extension = ".spent"
	taken     = ".use" // of a file that says which use a number of a permit went to
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

// identify reads the store's id, or makes one. It makes a new one in a copy of a store, or in what was restored from a
// backup: what the other one may have used, this one must not.
func (s *Store) identify() error {
	raw, err := datadir.ReadPrivate(s.file(idFile), int64(len(s.id)))
	if errors.Is(err, fs.ErrNotExist) {
		return s.rename()
	}
	if err != nil || len(raw) != len(s.id) {
		return errors.Join(fmt.Errorf("%w: %s", wire.ErrMalformed, s.file(idFile)), err)
	}
	s.id = [16]byte(raw)
	born, err := datadir.BirthOf(s.file(idFile))
	if err != nil {
		return err
	}
	noted, err := datadir.ReadPrivate(s.file(birthFile), int64(len(born)))
	switch {
	case errors.Is(err, fs.ErrNotExist): // from before births were noted, or a crash before this one was
		return datadir.WritePrivate(s.file(birthFile), born[:])
	case err == nil && !bytes.Equal(noted, born[:]):
		return s.rename()
	}
	return err
}

// rename gives the store a new id, and notes the birth of its file. A crash between the two comes to the same, or to
// another id, which nothing has been signed for yet.
func (s *Store) rename() error {
	if _, err := rand.Read(s.id[:]); err != nil {
		return fmt.Errorf("spent: id: %w", err)
	}
	if err := datadir.WritePrivate(s.file(idFile), s.id[:]); err != nil {
		return err
	}
	born, err := datadir.BirthOf(s.file(idFile))
	if err != nil {
		return err
	}
	return datadir.WritePrivate(s.file(birthFile), born[:])
}

func (s *Store) file(name string) string { return filepath.Join(s.dir.Path(), name) }

// ID names the store. Proposals carry it, so a certificate is good for this store alone. A copy of the store has another as
// soon as it is opened, where the file system tells when a file was made; a copied disk or machine is not noticed.
func (s *Store) ID() [16]byte { return s.id }

// Close releases the store.
func (s *Store) Close() error { return s.dir.Close() }

func (s *Store) path(u Use) string {
	name := u.Decision.String()
	if u.Nonce != [16]byte{} {
		name += "-" + hex.EncodeToString(u.Nonce[:])
	}
	return filepath.Join(s.dir.Path(), name+extension)
}

// parse reads what path made of a use, without the extension.
func parse(name string) (Use, bool) {
	decision, nonce, permit := strings.Cut(name, "-")
	id, err := wire.ParseDigest(decision)
	if err != nil {
		return Use{}, false
	}
	u := Use{Decision: id}
	if permit {
		b, err := hex.DecodeString(nonce)
		if err != nil || len(b) != len(u.Nonce) {
			return Use{}, false
		}
		u.Nonce = [16]byte(b)
	}
	return u, true
}

// Record returns how far a use has come; the zero Record if it is not known.
func (s *Store) Record(u Use) (Record, error) {
	raw, err := datadir.ReadPrivate(s.path(u), maxRecord)
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
	if r.Version > FormatVersion || r.State < Claimed || r.State > Finished {
		return Record{}, fmt.Errorf("spent store: %w", wire.ErrVersion)
	}
	return r, nil
}

func (s *Store) put(u Use, r Record) error {
	r.Version = FormatVersion
	raw, err := wire.Encode(r)
	if err != nil {
		return err
	}
	return datadir.WritePrivate(s.path(u), raw)
}

// Claim notes, durably, that the consumption will be handed to the registry: of a permit, by this signed command. Claiming
// again changes nothing but the command, which is another one once the registry can never take the first any more.
func (s *Store) Claim(u Use, command []byte) error {
	r, err := s.Record(u)
	if err != nil || r.State > Claimed || r.State == Claimed && bytes.Equal(r.Command, command) {
		return err
	}
	return s.put(u, Record{State: Claimed, Command: command})
}

// Start notes, durably, that the action begins now: of a permit, as its use of this number, which no other use here has
// had, whatever the registry says. It is the last thing before the act. Errors: [ErrStarted], [ErrNumber].
func (s *Store) Start(u Use, number uint64) error {
	r, err := s.Record(u)
	switch {
	case err != nil:
		return err
	case r.State >= Started:
		return ErrStarted
	case r.State != Claimed:
		return ErrOrder
	}
	if err := s.take(u, number); err != nil {
		return err
	}
	return s.put(u, Record{State: Started, Number: number})
}

// take gives a permit's use its number, for good.
func (s *Store) take(u Use, number uint64) error {
	if u.Nonce == [16]byte{} {
		return nil
	}
	path := filepath.Join(s.dir.Path(), fmt.Sprintf("%s.%d%s", u.Decision, number, taken))
	raw, err := datadir.ReadPrivate(path, int64(len(u.Nonce)))
	if errors.Is(err, fs.ErrNotExist) {
		return datadir.WritePrivate(path, u.Nonce[:])
	}
	if err == nil && !bytes.Equal(raw, u.Nonce[:]) {
		return fmt.Errorf("%w: %d", ErrNumber, number)
	}
	return err
}

// Finish notes how the action ended.
func (s *Store) Finish(u Use, ok bool, detail string) error {
	r, err := s.Record(u)
	if err != nil {
		return err
	}
	if r.State != Started {
		return ErrOrder
	}
	return s.put(u, Record{State: Finished, OK: ok, Detail: detail, Number: r.Number})
}

// Forfeit notes that another copy of this store has used what was claimed here: it is never begun here, and how it ended
// is the other's to report.
func (s *Store) Forfeit(u Use) error {
	r, err := s.Record(u)
	if err != nil {
		return err
	}
	if r.State != Claimed {
		return ErrOrder
	}
	return s.put(u, Record{State: Finished, Reported: true, Detail: "used by a copy of this store"})
}

// Reported notes that the registry knows the outcome.
func (s *Store) Reported(u Use) error {
	r, err := s.Record(u)
	if err != nil {
		return err
	}
	if r.State < Started {
		return ErrOrder
	}
	r.Reported = true
	return s.put(u, r)
}

// Unsettled returns the uses whose action was begun and whose outcome the registry does not know.
func (s *Store) Unsettled() (map[Use]Record, error) {
	entries, err := os.ReadDir(s.dir.Path())
	if err != nil {
		return nil, fmt.Errorf("spent store: %w", err)
	}
	found := map[Use]Record{}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), extension)
		if !ours {
			continue
		}
		u, ok := parse(name)
		if !ok {
			continue
		}
		r, err := s.Record(u)
		if err != nil {
			return nil, err
		}
		if r.State >= Started && !r.Reported {
			found[u] = r
		}
	}
	return found, nil
}
