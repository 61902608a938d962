package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// progress is how far a node was when it was heard.
type progress struct {
	Size    uint64 `cbor:"1,keyasint"` // commands applied
	Applied uint64 `cbor:"2,keyasint"` // log entries applied
}

// acquaintance is what this node knows of another one.
type acquaintance struct {
	record
	progress
	own   bool                   // the record is the node's own word, now or before the start, not what another says
	heard time.Time              // when it last answered or asked, by the monotonic clock; zero if never since the start
	moved time.Time              // when its own word last changed the record
	told  map[identity.ID]string // where others say that it takes connections of nodes, by who says so
	tries int                    // how often it was looked up while it was not heard
}

// hearsay is for how long a node that was heard is looked for where it said that it is, and nowhere else.
const hearsay = 10 * time.Second

// settling is how long a node's own word stays before another one changes it: one that says something new all the time
// keeps the others busy with little.
const settling = 300 * time.Millisecond

// maxRecords bounds the book: the nodes of a roster and those that were.
const maxRecords = 2 * wire.MaxCosigners

// book holds the addresses of the realm's nodes and keeps them on disk, so that a node finds the others after a restart.
// It is safe for concurrent use.
type book struct {
	path    string
	changed func() // an address is new

	mu    sync.Mutex
	known map[identity.ID]*acquaintance
}

func openBook(dir string, changed func()) (*book, error) {
	b := &book{path: filepath.Join(dir, bookFile), changed: changed, known: map[identity.ID]*acquaintance{}}
	raw, err := datadir.ReadPrivate(b.path, maxChain)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	var records []record
	if err := wire.Decode(raw, &records); err != nil {
		return nil, fmt.Errorf("%s: %w", bookFile, err)
	}
	for _, r := range records {
		if r.check() == nil {
			b.known[r.Node] = &acquaintance{record: r, own: true}
		}
	}
	return b, nil
}

// locate returns where a node takes connections of other nodes. One that has not been heard for a while is looked for
// in turn where it said itself and where each of the others says that it is, so that none of them can hide it.
func (b *book) locate(id identity.ID) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.known[id]
	if !ok {
		return "", false
	}
	if !a.heard.IsZero() && time.Since(a.heard) <= hearsay || len(a.told) == 0 {
		return a.Cluster, true
	}
	places := []string{a.Cluster}
	for _, teller := range slices.SortedFunc(maps.Keys(a.told), identity.ID.Compare) {
		if at := a.told[teller]; !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	a.tries++
	return places[(a.tries-1)%len(places)], true
}

// hear takes what a node says of itself.
func (b *book) hear(r record, p progress) error {
	if err := r.check(); err != nil {
		return err
	}
	b.mu.Lock()
	a := b.meet(r.Node)
	if a == nil {
		b.mu.Unlock()
		return nil
	}
	now, old := time.Now(), a.record
	a.progress, a.heard = p, now
	old.Stamp = r.Stamp // a new stamp alone is no news
	news := old != r
	if news && now.Sub(a.moved) < settling {
		b.mu.Unlock()
		return nil // it says so again
	}
	a.record, a.own = r, true
	if news {
		a.moved = now
	}
	b.mu.Unlock()
	return b.note(news)
}

// overhear takes what a node says of others. Their own word goes before it: it is where else to look for them.
func (b *book) overhear(teller identity.ID, records []record) error {
	if len(records) > maxRecords {
		return fmt.Errorf("%w: %d records", wire.ErrTooLarge, len(records))
	}
	news, now := false, time.Now()
	b.mu.Lock()
	for _, r := range records {
		if r.check() != nil || !r.timely(now) {
			continue
		}
		a := b.meet(r.Node)
		if a == nil {
			continue
		}
		if a.told == nil {
			a.told = map[identity.ID]string{}
		}
		a.told[teller] = r.Cluster
		if !a.own && r.Stamp > a.Stamp {
			news = news || a.Cluster != r.Cluster
			a.record = r
		}
	}
	b.mu.Unlock()
	return b.note(news)
}

// meet returns what is known of a node, nothing at first, or nil if the book is full. The lock is held.
func (b *book) meet(id identity.ID) *acquaintance {
	a, ok := b.known[id]
	if !ok {
		if len(b.known) >= maxRecords {
			return nil
		}
		a = &acquaintance{record: record{Node: id}}
		b.known[id] = a
	}
	return a
}

// note says that an address is new, if it is, and keeps it.
func (b *book) note(news bool) error {
	if !news {
		return nil
	}
	b.changed()
	return b.save()
}

// records returns all of them, sorted by node.
func (b *book) records() []record {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]record, 0, len(b.known))
	for _, a := range b.known {
		list = append(list, a.record)
	}
	slices.SortFunc(list, func(x, y record) int { return x.Node.Compare(y.Node) })
	return list
}

// save writes the book. Two at once write the same, or the newer one last, or the next change mends it.
func (b *book) save() error {
	raw, err := wire.Encode(b.records())
	if err != nil {
		return err
	}
	return datadir.WritePrivate(b.path, raw)
}

// of returns what is known of a node.
func (b *book) of(id identity.ID) acquaintance {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := b.known[id]; ok {
		return *a
	}
	return acquaintance{record: record{Node: id}}
}

// keep forgets those that are not among the members.
func (b *book) keep(members []identity.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, a := range b.known {
		if !slices.Contains(members, id) {
			delete(b.known, id)
		}
		maps.DeleteFunc(a.told, func(teller identity.ID, _ string) bool { return !slices.Contains(members, teller) })
	}
}
