// Package contexts keeps the named realms that a command line or an SDK user works with: where the nodes are, which
// keys they must show, which key is ours, and the newest state of the realm that we have seen.
//
// Each context is one strict YAML file NAME.yaml of mode 0600 in a directory of mode 0700. The file "selected" beside
// them names the one used when nothing else is said:
//
//	store, err := contexts.Open(contexts.DefaultDir())
//	name, err := store.Resolve(flag, os.Getenv(contexts.EnvVar))
//	c, err := store.Load(name)
//
// What was seen never goes back: [Store.Advance] refuses an older roster or head, so that a node restored from a
// backup, or one that lies, cannot show us a past realm. Changes are written whole or not at all, under a lock that
// all processes of this user share.
package contexts

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// EnvVar is the environment variable that names the context to use, unless a flag does.
const EnvVar = "CONCLAVE_CONTEXT"

const (
	extension    = ".yaml"
	selectedName = "selected"
	lockName     = ".lock"
	maxBytes     = 64 << 10 // of one file
)

// MaxAddresses is how many addresses a context learns at most. One that was saved with more keeps them.
const MaxAddresses = 16

var (
	// ErrName is returned for a name that is not 1 to 63 characters of a-z, 0-9 and "-".
	ErrName = fault.New(fault.Usage, "contexts: bad name")
	// ErrNotFound is returned when there is no context of that name.
	ErrNotFound = fault.New(fault.NotFound, "contexts: no such context")
	// ErrNoneSelected is returned when neither flag, environment nor selection names a context.
	ErrNoneSelected = fault.New(fault.Usage, "contexts: no context selected").
			WithHint("name one with --context or " + EnvVar + ", or select one")
	// ErrLooseMode is returned when a file allows more than 0600, or the directory more than 0700.
	ErrLooseMode = fault.New(fault.LooseMode, "contexts: others have access")
	// ErrInvalid is returned when a context's content is not what this package would have written, or misses a
	// field. The text names the line or the field.
	ErrInvalid = fault.New(fault.InvalidInput, "contexts: invalid context")
	// ErrRollback is returned when a roster number or a head is older than one already seen.
	ErrRollback = fault.New(fault.Superseded, "contexts: older than what was seen before")
	// ErrFork is returned when a head has the size of the one seen before and another root: the nodes that signed
	// the two have shown different histories.
	ErrFork = fault.New(fault.Conflict, "contexts: another head of the same size was seen before")
)

// A Context is one realm as seen by one principal.
type Context struct {
	Realm     string   // realm id
	Addresses []string // nodes, "host:port", at least one
	Pins      []string // the nodes' nkeys, N…, at least one
	Key       string   // path of the file with the principal's key
	Principal string   // the principal's nkey: U…, O… or N…
	Seen      Seen
}

// Seen is the newest state of a realm that was verified here.
type Seen struct {
	Roster   uint64 // roster number, 0 at first
	HeadSize uint64 // leaves under the newest head, 0 before the first
	HeadRoot string // its root, 64 lower-case hexadecimal characters; empty while HeadSize is 0
}

// A Store is a directory of contexts. Its methods are safe for concurrent use, also by several processes.
type Store struct {
	dir string
}

// DefaultDir returns $XDG_CONFIG_HOME/conclave/contexts, by default under .config in the home directory. It is "" if
// neither is known.
func DefaultDir() string {
	if base := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "conclave", "contexts")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "conclave", "contexts")
}

// Open returns the store in dir and makes the directory, of mode 0700, if it is missing. Errors: ErrLooseMode, or
// those of the file system.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, fmt.Errorf("%w: no directory: neither XDG_CONFIG_HOME nor HOME is set", ErrInvalid)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("contexts: make directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("contexts: open: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o; run chmod 0700 on it", ErrLooseMode, dir, info.Mode().Perm())
	}
	return &Store{dir: dir}, nil
}

// List returns the names of all contexts, sorted. It does not read them.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("contexts: list: %w", err)
	}
	names := []string{}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), extension)
		if ok && checkName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load returns the context of the given name. Errors: ErrName, ErrNotFound, ErrLooseMode, ErrInvalid.
func (s *Store) Load(name string) (Context, error) {
	if err := checkName(name); err != nil {
		return Context{}, err
	}
	content, err := s.read(name + extension)
	if errors.Is(err, fs.ErrNotExist) {
		return Context{}, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	if err != nil {
		return Context{}, err
	}
	c, err := parse(content)
	if err != nil {
		return Context{}, fmt.Errorf("%s: %w", s.path(name+extension), err)
	}
	return c, nil
}

// Save writes a context, new or in place of the one of that name. It refuses to lower what was seen of the same realm;
// another realm under the same name starts anew. Errors: ErrName, ErrInvalid, ErrLooseMode, ErrRollback, ErrFork.
func (s *Store) Save(name string, c Context) error {
	if err := errors.Join(checkName(name), c.check()); err != nil {
		return err
	}
	return s.locked(func() error {
		old, err := s.Load(name)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case old.Realm == c.Realm:
			if err := c.Seen.follows(old.Seen); err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
		}
		return s.write(name, c)
	})
}

// Advance records that a roster number and a head were verified, and returns only when that is on disk. Either may
// stand still; nothing is written if both do. Errors: ErrRollback if either is older than what was seen, ErrFork,
// ErrInvalid if headRoot has not the form of [Seen], and those of Load.
func (s *Store) Advance(name string, roster, headSize uint64, headRoot string) error {
	return s.Follow(name, Seen{Roster: roster, HeadSize: headSize, HeadRoot: headRoot}, nil, nil)
}

// Follow records what Advance does and, where a realm's nodes have changed, how to reach them. Pins are the keys of the
// newest roster's nodes: they replace those known, unless there are none. Addresses are added to those known; beyond
// [MaxAddresses] the oldest go that are not among them. Errors: those of Advance; ErrInvalid for a pin or an address
// that is none.
func (s *Store) Follow(name string, seen Seen, addresses, pins []string) error {
	if err := seen.check(); err != nil {
		return err
	}
	return s.locked(func() error {
		c, err := s.Load(name)
		if err != nil {
			return err
		}
		if err := seen.follows(c.Seen); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		old := c
		c.Seen, c.Addresses = seen, join(c.Addresses, addresses)
		if len(pins) > 0 {
			c.Pins = pins
		}
		if seen == old.Seen && slices.Equal(c.Addresses, old.Addresses) && slices.Equal(c.Pins, old.Pins) {
			return nil
		}
		if err := c.check(); err != nil {
			return err
		}
		return s.write(name, c)
	})
}

// Forget makes a context take any state of its realm for the newest: what nodes show next is what was seen from then on.
// That is for a realm whose nodes were all restored from an older backup, where somebody knows that they were. Errors:
// those of Load.
func (s *Store) Forget(name string) error {
	return s.locked(func() error {
		c, err := s.Load(name)
		if err != nil {
			return err
		}
		c.Seen = Seen{}
		return s.write(name, c)
	})
}

// join adds addresses to those known, and forgets the oldest others where they become too many.
func join(known, learned []string) []string {
	all := slices.Clone(known)
	for _, address := range learned {
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	for i := 0; i < len(all) && len(all) > max(MaxAddresses, len(known)); {
		if slices.Contains(learned, all[i]) {
			i++
			continue
		}
		all = slices.Delete(all, i, i+1)
	}
	return all[:min(len(all), max(MaxAddresses, len(known)))]
}

// Remove deletes a context, and the selection if it names that context. What was seen of its realm is forgotten.
// Errors: ErrName, ErrNotFound, or those of the file system.
func (s *Store) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return s.locked(func() error {
		err := os.Remove(s.path(name + extension))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %q", ErrNotFound, name)
		}
		if err != nil {
			return fmt.Errorf("contexts: remove: %w", err)
		}
		if selected, err := s.Selected(); err != nil || selected != name {
			return nil // nothing selected, or not this one
		}
		return os.Remove(s.path(selectedName))
	})
}

// Select makes a context the one that is used when nothing else is said. Errors: those of Load.
func (s *Store) Select(name string) error {
	return s.locked(func() error {
		if _, err := s.Load(name); err != nil {
			return err
		}
		return datadir.WritePrivate(s.path(selectedName), []byte(name+"\n"))
	})
}

// Selected returns the name of the selected context. Errors: ErrNoneSelected, ErrLooseMode, ErrInvalid.
func (s *Store) Selected() (string, error) {
	content, err := s.read(selectedName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoneSelected
	}
	if err != nil {
		return "", err
	}
	name, ok := strings.CutSuffix(string(content), "\n")
	if !ok || checkName(name) != nil {
		return "", fmt.Errorf("%w: %s does not hold a name", ErrInvalid, s.path(selectedName))
	}
	return name, nil
}

// Resolve returns the name of the context to use: flag if it is not empty, else env, the value of $CONCLAVE_CONTEXT,
// if it is not empty, else the selected one. It does not look whether the context exists.
// Errors: ErrName, and those of Selected.
func (s *Store) Resolve(flag, env string) (string, error) {
	for _, name := range []string{flag, env} {
		if name != "" {
			return name, checkName(name)
		}
	}
	return s.Selected()
}

func (s *Store) path(file string) string { return filepath.Join(s.dir, file) }

func (s *Store) read(file string) ([]byte, error) {
	content, err := datadir.ReadPrivate(s.path(file), maxBytes)
	switch {
	case errors.Is(err, datadir.ErrLooseMode):
		return nil, fmt.Errorf("%w: %w", ErrLooseMode, err)
	case errors.Is(err, datadir.ErrTooLarge), errors.Is(err, datadir.ErrNotRegular):
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return content, err
}

func (s *Store) write(name string, c Context) error {
	content, err := format(c)
	if err != nil {
		return err
	}
	if len(content) > maxBytes {
		return fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxBytes)
	}
	return datadir.WritePrivate(s.path(name+extension), content)
}

// locked runs change while no other process or goroutine changes the store.
func (s *Store) locked(change func() error) error {
	lock, err := os.OpenFile(s.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("contexts: lock: %w", err)
	}
	defer func() { _ = lock.Close() }() // ends the lock; nothing was written
	if err := lockFile(lock); err != nil {
		return fmt.Errorf("contexts: lock: %w", err)
	}
	return change()
}

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%w: %q is not 1 to 63 characters of a-z, 0-9 and -", ErrName, name)
	}
	return nil
}

// nkeyPattern is the form of a public nkey. Whether it is one is checked by whoever uses it.
var nkeyPattern = regexp.MustCompile(`^[UON][A-Z2-7]{55}$`)

func (c Context) check() error {
	bad := func(field, why string) error { return fmt.Errorf("%w: %s: %s", ErrInvalid, field, why) }
	switch {
	case c.Realm == "":
		return bad("realm", "missing")
	case c.Key == "":
		return bad("key", "missing")
	case len(c.Addresses) == 0:
		return bad("addresses", "missing")
	case len(c.Pins) == 0:
		return bad("pins", "missing: a connection without a pin is refused")
	case !nkeyPattern.MatchString(c.Principal):
		return bad("principal", "not a public nkey")
	}
	for _, address := range c.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return bad("addresses", fmt.Sprintf("%q is not host:port", address))
		}
	}
	for _, pin := range c.Pins {
		if !nkeyPattern.MatchString(pin) || pin[0] != 'N' {
			return bad("pins", fmt.Sprintf("%q is not a node's nkey", pin))
		}
	}
	return c.Seen.check()
}

func (s Seen) check() error {
	if s.HeadSize == 0 {
		if s.HeadRoot != "" {
			return fmt.Errorf("%w: seen.head_root: set, but head_size is 0", ErrInvalid)
		}
		return nil
	}
	root, err := hex.DecodeString(s.HeadRoot)
	if err != nil || len(root) != 32 || hex.EncodeToString(root) != s.HeadRoot {
		return fmt.Errorf("%w: seen.head_root: not 64 lower-case hexadecimal characters", ErrInvalid)
	}
	return nil
}

// follows says whether s may come after old.
func (s Seen) follows(old Seen) error {
	switch {
	case s.Roster < old.Roster:
		return fmt.Errorf("%w: roster %d, seen %d", ErrRollback, s.Roster, old.Roster)
	case s.HeadSize < old.HeadSize:
		return fmt.Errorf("%w: head of size %d, seen %d", ErrRollback, s.HeadSize, old.HeadSize)
	case s.HeadSize == old.HeadSize && s.HeadRoot != old.HeadRoot:
		return fmt.Errorf("%w: size %d", ErrFork, s.HeadSize)
	}
	return nil
}
