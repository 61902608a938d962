package broker

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// errMoved says that rights have changed since a judgement was asked for.
var errMoved = errors.New("broker: the revision moved")

// client is one live connection. Its mutable fields belong to the table's lock.
type client struct {
	id      uint64
	handle  server.ClientAuthentication
	shown   presented
	address string

	admission Admission
	narrowed  bool  // it may publish what its admission leaves it under a restriction
	seen      int64 // messages it had published when last looked at
}

func (c *client) event(kind EventKind, code fault.Code) Event {
	return Event{
		Kind: kind, Client: c.id, Address: c.address, Code: code,
		Principal: c.admission.Principal, Process: c.admission.Process,
	}
}

// party is what the connections of one principal share.
type party struct {
	clients map[uint64]*client
	bucket  *bucket
}

// table is who is connected. All permissions are given and taken under its lock, so admission and revocation exclude
// each other, and a rate window never gives back what a revocation took.
type table struct {
	mu       sync.Mutex
	revision uint64
	barred   error // why nobody is admitted; nil if clients are
	limited  bool  // clients that were there when it was barred go on with less
	clients  map[uint64]*client
	parties  map[identity.ID]*party
}

func newTable() *table {
	return &table{clients: map[uint64]*client{}, parties: map[identity.ID]*party{}}
}

// current returns the revision. Ask for it before the gate is asked.
func (t *table) current() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.revision
}

// enter registers a judged connection as user, unless the revision has moved. An older connection of the same process
// is replaced: it is silenced and returned. Errors: errMoved, errLogin, errTooMany, why nobody is admitted.
func (t *table) enter(revision uint64, c *client, user *server.User, now int64) (replaced []*client, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.barred != nil {
		return nil, t.barred
	}
	if t.revision != revision {
		return nil, errMoved
	}
	if t.clients[c.id] != nil { // a second CONNECT
		return nil, errLogin
	}
	p := t.parties[c.admission.Principal]
	if p == nil {
		p = &party{clients: map[uint64]*client{}, bucket: newBucket(c.admission.Rate, now)}
	}
	for _, older := range p.clients {
		if older.admission.Process == c.admission.Process {
			t.silence(older)
			replaced = append(replaced, older)
		}
	}
	if len(p.clients) >= MaxPerPrincipal {
		return replaced, errTooMany
	}
	p.bucket.setRate(c.admission.Rate)
	p.clients[c.id], t.clients[c.id], t.parties[c.admission.Principal] = c, c, p
	c.handle.RegisterUser(user)
	if p.bucket.closed {
		t.apply(p, c)
	}
	return replaced, nil
}

// silence takes all permissions from a connection and forgets it. The lock is held.
func (t *table) silence(c *client) {
	c.handle.RegisterUser(swap(bus.Permissions{}))
	t.forget(c)
}

func (t *table) forget(c *client) {
	delete(t.clients, c.id)
	p := t.parties[c.admission.Principal]
	delete(p.clients, c.id)
	if len(p.clients) == 0 && p.bucket.units >= p.bucket.most() {
		delete(t.parties, c.admission.Principal)
	}
}

// revoke silences all connections of the principal and returns them.
func (t *table) revoke(id identity.ID) []*client {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision++
	return t.silenceAll(t.of(id))
}

// begin moves the revision and returns the connections of the principal.
func (t *table) begin(id identity.ID) []*client {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revision++
	return t.of(id)
}

// of returns the connections of the principal. The lock is held.
func (t *table) of(id identity.ID) []*client {
	p := t.parties[id]
	if p == nil {
		return nil
	}
	return slices.Collect(maps.Values(p.clients))
}

// drop silences one connection, if it is still there, and returns it.
func (t *table) drop(c *client) []*client {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[c.id] != c {
		return nil
	}
	return t.silenceAll([]*client{c})
}

func (t *table) silenceAll(clients []*client) []*client {
	for _, c := range clients {
		t.silence(c)
	}
	return clients
}

// change gives a live connection what it was judged to have now, unless the revision has moved. Errors: errMoved,
// errFewer if that is less than before.
func (t *table) change(revision uint64, c *client, a Admission) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revision != revision {
		return errMoved
	}
	if t.clients[c.id] != c {
		return nil // gone
	}
	old := c.admission
	if a.Principal != old.Principal || a.Process != old.Process || a.Expires < old.Expires ||
		!old.Permissions.Within(a.Permissions) {
		return errFewer
	}
	if t.limited && len(a.Restricted) == 0 {
		return errFewer
	}
	a.Expires = old.Expires // the server's timer stands; a longer life begins with the next connection
	c.admission, c.narrowed = a, t.limited
	p := t.parties[a.Principal]
	p.bucket.setRate(a.Rate)
	t.apply(p, c)
	return nil
}

// apply gives a connection its permissions, without publishing while its principal's rate window is closed.
func (t *table) apply(p *party, c *client) {
	now := c.admission.Permissions
	if c.narrowed {
		now.Publish = c.admission.Restricted
	}
	if p.bucket.closed {
		now.Publish = nil
	}
	c.handle.RegisterUser(swap(now))
}

func (t *table) live(id identity.ID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.of(id))
}

// prune forgets those of the principal's connections that have gone, and says so.
func (t *table) prune(id identity.ID, gone func(client uint64) bool) []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []Event
	for _, c := range t.of(id) {
		if gone(c.id) {
			t.forget(c)
			events = append(events, c.event(Left, ""))
		}
	}
	return events
}

// count charges what was published since the last call. published is asked without the lock; a connection that was
// known before and is not in its answer has gone.
func (t *table) count(published func() map[uint64]int64, now int64) []Event {
	t.mu.Lock()
	known := maps.Clone(t.clients)
	t.mu.Unlock()
	counts := published()
	if counts == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []Event
	news := map[*party]int64{}
	for id, c := range known {
		if t.clients[id] != c {
			continue
		}
		total, there := counts[id]
		if there {
			news[t.parties[c.admission.Principal]] += total - c.seen
			c.seen = total
			continue
		}
		t.forget(c)
		events = append(events, c.event(Left, ""))
	}
	for id, p := range t.parties {
		was := p.bucket.closed
		is := p.bucket.count(news[p], now)
		if len(p.clients) == 0 && p.bucket.units >= p.bucket.most() {
			delete(t.parties, id)
		}
		if was == is {
			continue
		}
		kind := RateOpened
		if is {
			kind = RateClosed
		}
		for _, c := range p.clients {
			t.apply(p, c)
			events = append(events, c.event(kind, ""))
		}
	}
	return events
}
