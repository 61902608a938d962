package node

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"errors"
	"io/fs"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// record is where a node can be reached and what it is, by its own word. It proves nothing: who connects there demands
// the node's key.
type record struct {
	Node    identity.ID `cbor:"1,keyasint"`
	Cluster string      `cbor:"2,keyasint"`           // host:port for nodes
	Client  string      `cbor:"3,keyasint,omitempty"` // host:port for agents
	Routes  string      `cbor:"4,keyasint,omitempty"` // host:port of the broker for other brokers
	Server  string      `cbor:"5,keyasint,omitempty"` // name of its log: its key and the id of its directory
	Version string      `cbor:"6,keyasint,omitempty"`
	Feature uint64      `cbor:"7,keyasint,omitempty"` // what its program speaks
	Stamp   int64       `cbor:"8,keyasint"`           // when it said so, by its clock, Unix milliseconds
}

// progress is how far a node was when it was heard.
type progress struct {
	Size    uint64 `cbor:"1,keyasint"` // commands applied
	Applied uint64 `cbor:"2,keyasint"` // log entries applied
}

// acquaintance is what this node knows of another one.
type acquaintance struct {
	record
	progress
	heard time.Time // when it last answered or asked, by the monotonic clock; zero if never since the start
}

// hearsay is for how long what a node has said of itself holds against what others say of it.
const hearsay = 10 * time.Second

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
		b.known[r.Node] = &acquaintance{record: r}
	}
	return b, nil
}

// locate returns where a node takes connections of other nodes.
func (b *book) locate(id identity.ID) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.known[id]
	if !ok || a.Cluster == "" {
		return "", false
	}
	return a.Cluster, true
}

// hear takes what a node says of itself.
func (b *book) hear(r record, p progress) error { return b.put(r, &p) }

// overhear takes what a node says of others, unless they have spoken for themselves lately.
func (b *book) overhear(records []record) error {
	var err error
	for _, r := range records {
		err = errors.Join(err, b.put(r, nil))
	}
	return err
}

func (b *book) put(r record, said *progress) error {
	b.mu.Lock()
	a, ok := b.known[r.Node]
	if !ok {
		if len(b.known) >= maxRecords {
			b.mu.Unlock()
			return nil
		}
		a = &acquaintance{}
		b.known[r.Node] = a
	}
	old := a.record
	switch {
	case said != nil:
		a.record, a.progress, a.heard = r, *said, time.Now()
	case r.Stamp > a.Stamp && time.Since(a.heard) > hearsay:
		a.record = r
	}
	old.Stamp = a.Stamp // a new stamp alone is no news
	news := old != a.record
	b.mu.Unlock()
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
	for id := range b.known {
		if _, found := slices.BinarySearchFunc(members, id, identity.ID.Compare); !found {
			delete(b.known, id)
		}
	}
}
