package mesh

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// maxOpen is how many connections one node may have open with another, both ways.
const maxOpen = 64

// socket is a raw connection below TLS. It knows how much it sent and whether it was cut.
type socket struct {
	net.Conn
	peer identity.ID // who is at the other end, once known; of [Join] nobody. Guarded by sockets.mu until named
	sent atomic.Uint64
	gone atomic.Bool // cut: what TLS still holds of it is not to be read
}

// Write counts the bytes handed to the network.
func (s *socket) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.sent.Add(uint64(n))
	return n, err
}

// cut closes the connection at once, without the farewell of TLS, which could wait for the other end.
func (s *socket) cut() {
	s.gone.Store(true)
	_ = s.Conn.Close() // nothing to do about it
}

// sockets is everything that a mesh has open. It is safe for concurrent use.
type sockets struct {
	mu     sync.Mutex
	closed bool
	open   map[*socket]struct{}
}

// track notes a connection. If the table is closed, it closes the connection and reports false.
func (t *sockets) track(s *socket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		s.cut()
		return false
	}
	t.open[s] = struct{}{}
	return true
}

// name notes who is at the other end, and returns how many connections with that node were open before.
func (t *sockets) name(s *socket, id identity.ID) (before int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.open {
		if other.peer == id {
			before++
		}
	}
	s.peer = id
	return before
}

func (t *sockets) forget(s *socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, s)
}

// cut closes and forgets the connections that which picks by the node at the other end, zero if it has no name.
func (t *sockets) cut(which func(peer identity.ID) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.open {
		if which(s.peer) {
			s.cut()
			delete(t.open, s)
		}
	}
}

// close cuts everything, and whatever comes later.
func (t *sockets) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cut(func(identity.ID) bool { return true })
}
