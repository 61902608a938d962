package metrics

import (
	"net"
	"sync"
)

// limited is a listener with at most so many connections at a time; further ones wait. Whoever is on the machine could
// take all descriptors of the node else.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

var _ net.Listener = (*limited)(nil)

func newLimited(l net.Listener, most int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements [net.Listener].
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements [net.Listener].
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotted is a connection that gives its place back.
type slotted struct {
	net.Conn
	free func()
}

// Close implements [net.Conn].
func (s *slotted) Close() error {
	defer s.free()
	return s.Conn.Close()
}
