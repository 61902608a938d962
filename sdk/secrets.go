package sdk

import (
	"container/list"
	"sync"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	sessionTime = 60 * 60 * 1000 // ms: life of a session key at the requester
	sessionUses = 1 << 20        // messages that a requester sends under one
	maxSessions = 16384          // processes or keys that are remembered
)

// keyring remembers keys by their ids: a bounded number, those looked at longest ago go first, none longer than its
// time. It is safe for concurrent use.
type keyring struct {
	limit int
	now   func() int64

	mu    sync.Mutex
	order *list.List // of *kept, newest use first
	keys  map[wire.Digest]*list.Element
}

type kept struct {
	key   *envelope.Key
	until int64 // Unix milliseconds
}

func newKeyring(limit int, now func() int64) *keyring {
	return &keyring{limit: limit, now: now, order: list.New(), keys: map[wire.Digest]*list.Element{}}
}

// keep remembers a key until the time given.
func (r *keyring) keep(key *envelope.Key, until int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.keys[key.ID()]; e != nil {
		r.order.MoveToFront(e)
		return
	}
	if r.order.Len() >= r.limit {
		r.drop(r.order.Back())
	}
	r.keys[key.ID()] = r.order.PushFront(&kept{key, until})
}

// drop forgets one. r.mu is held.
func (r *keyring) drop(e *list.Element) {
	delete(r.keys, e.Value.(*kept).key.ID())
	r.order.Remove(e)
}

// Key returns the key with the id, or nil. It implements what [envelope.Inbound] asks for keys.
func (r *keyring) Key(id wire.Digest) *envelope.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.keys[id]
	if e == nil {
		return nil
	}
	k := e.Value.(*kept)
	if r.now() >= k.until {
		r.drop(e)
		return nil
	}
	r.order.MoveToFront(e)
	return k.key
}

// understandings are the session keys that a session, as requester, has agreed with other processes. A process that
// was restarted is another process, with no key yet. They are safe for concurrent use.
type understandings struct {
	mu   sync.Mutex
	with map[wire.Digest]*understanding // by the other's credential
}

type understanding struct {
	key   *envelope.Key
	since int64 // Unix milliseconds
	until int64 // end of the other's credential
	uses  int
}

// use returns the key to write to a process with, and counts it as used; nil if there is none, or it is worn out.
func (u *understandings) use(process wire.Digest, now int64) *envelope.Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.with[process]
	if a == nil {
		return nil
	}
	if now < a.since || now-a.since >= sessionTime || now >= a.until || a.uses >= sessionUses {
		delete(u.with, process)
		return nil
	}
	a.uses++
	return a.key
}

// confirm notes that the process answers under the key. The first one that was confirmed stays.
func (u *understandings) confirm(process wire.Digest, key *envelope.Key, until, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.with == nil || len(u.with) >= maxSessions { // they can all be agreed anew
		u.with = map[wire.Digest]*understanding{}
	}
	if u.with[process] == nil {
		u.with[process] = &understanding{key: key, since: now, until: until}
	}
}

// forget drops the key, which the process does not know any more.
func (u *understandings) forget(process wire.Digest, key *envelope.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a := u.with[process]; a != nil && a.key == key {
		delete(u.with, process)
	}
}
