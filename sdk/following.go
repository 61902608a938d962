package sdk

import (
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// following wakes those who wait for one decision. It is safe for concurrent use; the zero value is ready.
type following struct {
	mu     sync.Mutex
	bells  map[Digest]*followed
	opened []Digest // decisions that began to wait for votes, until they are taken
	all    bool     // nobody knows which else did
}

// followed is a bell with how many wait for it.
type followed struct {
	*bell
	waiting int
}

// maxOpened bounds the opened decisions that are remembered one by one.
const maxOpened = 1024

// follow returns the bell of a decision. The caller unfollows it.
func (f *following) follow(id Digest) *bell {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bells == nil {
		f.bells = map[Digest]*followed{}
	}
	b, ok := f.bells[id]
	if !ok {
		b = &followed{bell: newBell()}
		f.bells[id] = b
	}
	b.waiting++
	return b.bell
}

func (f *following) unfollow(id Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.bells[id]; b != nil {
		if b.waiting--; b.waiting == 0 {
			delete(f.bells, id)
		}
	}
}

// told wakes those whom a hint concerns.
func (f *following) told(h control.Hint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range [][]Digest{h.Decisions, h.Revealing} {
		for _, id := range list {
			if b := f.bells[id]; b != nil {
				b.ring()
			}
		}
	}
	f.opened = append(f.opened, h.Opened...)
	if h.More || len(f.opened) > maxOpened {
		f.lost()
	}
}

// missed wakes everybody: hints may have been lost.
func (f *following) missed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost()
}

// lost is missed; f.mu is held.
func (f *following) lost() {
	f.opened, f.all = nil, true
	for _, b := range f.bells {
		b.ring()
	}
}

// take returns the decisions that have opened since the last take, or that any may have.
func (f *following) take() (opened []Digest, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	opened, all = slices.Clone(f.opened), f.all
	f.opened, f.all = nil, false
	return opened, all
}
