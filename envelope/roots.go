package envelope

import (
	"sync"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Roots remembers which heads of batches were verified, so that several members of one batch cost one check of a
// signature. Heads that do not verify are not remembered. It is safe for concurrent use. Make it with [NewRoots]; a nil
// *Roots remembers nothing.
type Roots struct {
	limit int

	mu    sync.Mutex
	known map[wire.Digest]struct{}
	ring  []wire.Digest // in the order in which they came; grows to limit
	next  int           // in ring, once it is full: the oldest
}

// NewRoots returns a memory of at most limit heads, 64 bytes or so each: the oldest goes first. A limit below 1 is none.
func NewRoots(limit int) *Roots {
	return &Roots{limit: limit, known: map[wire.Digest]struct{}{}}
}

// verify does what [wire.Claimed.Verify] does for the head that raw was read as.
func (r *Roots) verify(head wire.Claimed[Batch], raw []byte, realm wire.Realm, key wire.PublicKey) error {
	if r == nil || r.limit < 1 {
		_, err := head.Verify(realm, key)
		return err
	}
	name := rootName(raw, realm, key)
	r.mu.Lock()
	_, known := r.known[name]
	r.mu.Unlock()
	if known {
		return nil
	}
	if _, err := head.Verify(realm, key); err != nil {
		return err
	}
	r.remember(name)
	return nil
}

func (r *Roots) remember(name wire.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.known[name]; known {
		return // by another goroutine, meanwhile
	}
	r.known[name] = struct{}{}
	if len(r.ring) < r.limit {
		r.ring = append(r.ring, name)
		return
	}
	delete(r.known, r.ring[r.next])
	r.ring[r.next] = name
	r.next = (r.next + 1) % len(r.ring)
}

// rootName is the digest of everything that the outcome of the check depends on. Realm and key have fixed lengths.
func rootName(raw []byte, realm wire.Realm, key wire.PublicKey) wire.Digest {
	all := make([]byte, 0, 512)
	all = append(append(append(all, realm[:]...), key[:]...), raw...)
	return wire.Hash(all)
}
