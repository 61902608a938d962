package replay

import (
	"errors"
	"math"
)

var (
	// ErrFull is returned when a table holds its limit of unexpired keys and a new one is opened.
	ErrFull = errors.New("replay: table is full")
	// ErrUnknown is returned when a key has no window, or one that has expired.
	ErrUnknown = errors.New("replay: key has no window")
	// ErrExpired is returned when a window would be opened with an expiry that is not in the future.
	ErrExpired = errors.New("replay: window would already have expired")
)

// A Table holds at most a fixed number of windows, one a key. A full table refuses new keys; it
// never gives up a live one, because forgetting a window is accepting its replays.
//
// For the same reason an expiry must not be earlier than the moment from which the caller refuses
// every message under that key for another reason: the end of the sender's credential plus the
// clock skew the caller tolerates.
//
// Times are Unix milliseconds. A Table is not safe for concurrent use: it has no lock inside.
type Table[K comparable] struct {
	limit    int
	share    int // of the limit, of one owner
	windows  map[K]*entry
	of       map[any]int // windows of each owner
	earliest int64       // no expiry in windows is below this
}

type entry struct {
	window  Window
	expires int64
	owner   any
}

// NewTable returns an empty table of at most limit keys. A limit below 1 makes a table that
// refuses every key.
func NewTable[K comparable](limit int) *Table[K] { return NewSharedTable[K](limit, limit) }

// NewSharedTable returns an empty table of at most limit keys, of which one owner has at most share: so that no owner
// leaves nothing to the others.
func NewSharedTable[K comparable](limit, share int) *Table[K] {
	return &Table[K]{
		limit: limit, share: share, windows: make(map[K]*entry), of: make(map[any]int), earliest: math.MaxInt64,
	}
}

// Open makes sure that key has a window which accepts counters from first upwards until expires.
//
// A key that has a window keeps what it has seen: Open only raises its lower bound and its expiry,
// never lowers either. Call it after the message or join that names the key was verified.
// Errors: ErrExpired if expires ≤ now, ErrFull if there is no room after removing expired keys.
func (t *Table[K]) Open(key K, first uint64, expires, now int64) error {
	return t.OpenFor(nil, key, first, expires, now)
}

// OpenFor does what Open does for a key of an owner, which must be comparable: the same at each call with that key.
func (t *Table[K]) OpenFor(owner any, key K, first uint64, expires, now int64) error {
	if expires <= now {
		return ErrExpired
	}
	if e, ok := t.windows[key]; ok {
		e.window.Advance(first)
		e.expires = max(e.expires, expires)
		return nil
	}
	if t.full(owner) && t.earliest <= now {
		t.Sweep(now)
	}
	if t.full(owner) {
		return ErrFull
	}
	t.windows[key] = &entry{window: New(first), expires: expires, owner: owner}
	t.of[owner]++
	t.earliest = min(t.earliest, expires)
	return nil
}

func (t *Table[K]) full(owner any) bool { return len(t.windows) >= t.limit || t.of[owner] >= t.share }

// Has reports whether the key has a window at now.
func (t *Table[K]) Has(key K, now int64) bool {
	_, err := t.live(key, now)
	return err == nil
}

// Check reports whether Commit(key, counter, now) would succeed. It changes nothing.
// Errors: ErrUnknown, and those of [Window.Check].
func (t *Table[K]) Check(key K, counter uint64, now int64) error {
	e, err := t.live(key, now)
	if err != nil {
		return err
	}
	return e.window.Check(counter)
}

// Commit records counter as used under key, or changes nothing and returns what Check returns.
func (t *Table[K]) Commit(key K, counter uint64, now int64) error {
	e, err := t.live(key, now)
	if err != nil {
		return err
	}
	return e.window.Commit(counter)
}

// CommitRun records the counters first, first+1 and so on under key, one for each verdict that is nil, or sets that
// verdict to what Commit returns. A verdict that is set already stands, and its counter is not recorded.
func (t *Table[K]) CommitRun(key K, first uint64, verdicts []error, now int64) {
	e, err := t.live(key, now)
	for i := range verdicts {
		switch {
		case verdicts[i] != nil:
		case err != nil:
			verdicts[i] = err
		default:
			verdicts[i] = e.window.Commit(first + uint64(i))
		}
	}
}

// Sweep removes the keys whose expiry is at or before now and returns how many it removed.
// It looks at every key.
func (t *Table[K]) Sweep(now int64) int {
	removed := 0
	t.earliest = math.MaxInt64
	for key, e := range t.windows {
		if e.expires <= now {
			delete(t.windows, key)
			if t.of[e.owner]--; t.of[e.owner] == 0 {
				delete(t.of, e.owner)
			}
			removed++
			continue
		}
		t.earliest = min(t.earliest, e.expires)
	}
	return removed
}

// Len returns the number of keys held, expired ones that were not swept yet included.
func (t *Table[K]) Len() int { return len(t.windows) }

func (t *Table[K]) live(key K, now int64) (*entry, error) {
	e, ok := t.windows[key]
	if !ok || e.expires <= now {
		return nil, ErrUnknown
	}
	return e, nil
}
