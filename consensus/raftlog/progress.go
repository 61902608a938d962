package raftlog

import (
	"bytes"
	"crypto/sha256"
	"sync"
)

// progress is how far the machine has come, and who waits for it to come further.
type progress struct {
	mu      sync.Mutex
	index   uint64
	waiting map[*waiter]struct{}
}

type waiter struct {
	index   uint64
	reached chan struct{}
}

// set makes index the machine's, and wakes those who wait for it or less. After a restart it may be lower than before.
func (p *progress) set(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	for w := range p.waiting {
		if w.index <= index {
			close(w.reached)
			delete(p.waiting, w)
		}
	}
}

// now returns the machine's index.
func (p *progress) now() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index
}

// wait returns a channel that is closed once the machine has reached index, and a function that ends the wait.
func (p *progress) wait(index uint64) (reached <-chan struct{}, leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter{index, make(chan struct{})}
	if p.index >= index {
		close(w.reached)
		return w.reached, func() {}
	}
	if p.waiting == nil {
		p.waiting = make(map[*waiter]struct{})
	}
	p.waiting[w] = struct{}{}
	return w.reached, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, w)
	}
}

// recentAnswers is how many of its newest answers a machine remembers.
const recentAnswers = 4096

// answers is what the local machine answered to its newest entries: who had an entry forwarded to the leader takes
// the answer from here, and believes the leader nothing but the index.
type answers struct {
	mu   sync.Mutex
	ring []answer // by index modulo its length; nil until the first
}

type answer struct {
	index uint64
	entry [sha256.Size]byte
	data  []byte
}

func (a *answers) put(index uint64, entry, data []byte) {
	digest := sha256.Sum256(entry)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ring == nil {
		a.ring = make([]answer, recentAnswers)
	}
	a.ring[index%recentAnswers] = answer{index, digest, data}
}

// get returns a copy of the answer to entry at index, and whether there is one.
func (a *answers) get(index uint64, entry []byte) (data []byte, ok bool) {
	digest := sha256.Sum256(entry)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ring == nil {
		return nil, false
	}
	if at := a.ring[index%recentAnswers]; at.index == index && at.entry == digest {
		return bytes.Clone(at.data), true
	}
	return nil, false
}
