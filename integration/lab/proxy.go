package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Weather is what happens to the bytes of one direction. The zero value lets everything pass at once.
type Weather struct {
	Delay  time.Duration // of every byte
	Jitter time.Duration // at most this much more, drawn for each piece; order is kept
	Stall  bool          // nothing passes; connections stay open and take what fits
	// Corrupt is how many bytes pass for each one that is changed, about; 0: none is.
	Corrupt int
}

// Way is one direction through a proxy.
type Way int

// The ways, as seen from who dialled.
const (
	Forth Way = iota // what who dialled says
	Back             // what is said to it
)

// Proxy passes TCP connections on to one place and does to their bytes what its weather says: this kernel can lose
// packets, but not delay or change them. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	dialer   net.Dialer
	to       string

	mu      sync.Mutex
	weather [2]Weather
	changed chan struct{} // closed when the weather changes
	conns   map[net.Conn]bool
	closed  bool

	touched [2]atomic.Uint64 // bytes that met weather
	ctx     context.Context  // ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

// NewProxy listens at one address and passes on to another. If from is valid, it dials from there.
func NewProxy(listen, to string, from netip.Addr) (*Proxy, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, to: to, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	if from.IsValid() {
		p.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.accept)
	return p, nil
}

// Address returns where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set changes the weather of one way, also for what is under way.
func (p *Proxy) Set(way Way, w Weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather[way] = w
	close(p.changed)
	p.changed = make(chan struct{})
}

// Touched returns how many bytes of one way have met weather.
func (p *Proxy) Touched(way Way) uint64 { return p.touched[way].Load() }

// Cut closes all connections, and returns how many ends there were. New ones may be made.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // it may have ended
	}
	return len(p.conns)
}

// Close ends everything and waits for it. It may be called again.
func (p *Proxy) Close() error {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	p.mu.Unlock()
	if again {
		return nil
	}
	p.cancel()
	err := p.listener.Close()
	p.Cut()
	p.work.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // who dialled has gone
		}
		p.work.Go(func() { p.pass(c) })
	}
}

// pass carries one connection until both ways have ended.
func (p *Proxy) pass(near net.Conn) {
	defer near.Close()
	if !p.keep(near) {
		return
	}
	defer p.forget(near)
	far, err := p.dialer.DialContext(p.ctx, "tcp", p.to)
	if err != nil {
		return // who dialled learns it by the end of its connection
	}
	defer far.Close()
	if !p.keep(far) {
		return
	}
	defer p.forget(far)
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(Forth, near, far) })
	ways.Go(func() { p.carry(Back, far, near) })
	ways.Wait()
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// piece is what one read gave, and when it may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

// inFlight is how many pieces of one way may be delayed at a time; then the sender has to wait.
const inFlight = 256

// carry passes one way on: a reader dates what comes, a writer lets it go when its time has come.
func (p *Proxy) carry(way Way, from, to net.Conn) {
	pieces, over := make(chan piece, inFlight), make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(pieces)
		p.read(way, from, pieces, over)
	})
	for c := range pieces {
		if !p.await(way, c.due) {
			break
		}
		if _, err := to.Write(c.bytes); err != nil {
			break
		}
	}
	close(over)
	if half, can := to.(interface{ CloseWrite() error }); can {
		_ = half.CloseWrite() // it may have ended
	}
	if half, can := from.(interface{ CloseRead() error }); can {
		_ = half.CloseRead() // so that the reader ends
	}
	reader.Wait()
}

func (p *Proxy) read(way Way, from net.Conn, pieces chan<- piece, over <-chan struct{}) {
	last := time.Time{}
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			w, _ := p.now(way)
			due := time.Now().Add(w.Delay)
			if w.Jitter > 0 {
				due = due.Add(rand.N(w.Jitter))
			}
			if due.Before(last) {
				due = last
			}
			last = due
			p.damage(way, w, buffer[:n])
			select {
			case pieces <- piece{buffer[:n], due}:
			case <-over:
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = from.Close() // a reset, or Cut: the other way ends too
			}
			return
		}
	}
}

// damage counts what meets weather and changes some of it.
func (p *Proxy) damage(way Way, w Weather, bytes []byte) {
	if w == (Weather{}) {
		return
	}
	touched := uint64(len(bytes))
	if w.Corrupt > 0 && w.Delay == 0 && !w.Stall {
		touched = 0
	}
	for i := range bytes {
		if w.Corrupt > 0 && rand.IntN(w.Corrupt) == 0 {
			bytes[i] ^= 1 << rand.IntN(8)
			touched++
		}
	}
	p.touched[way].Add(touched)
}

// await returns when a piece may go, or false when nothing more does.
func (p *Proxy) await(way Way, due time.Time) bool {
	for {
		w, changed := p.now(way)
		left := time.Until(due)
		switch {
		case p.ctx.Err() != nil:
			return false
		case w.Stall:
			select {
			case <-changed:
			case <-p.ctx.Done():
			}
		case left <= 0:
			return true
		default:
			if pause(p.ctx, left) != nil {
				return false
			}
		}
	}
}

func (p *Proxy) now(way Way) (Weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather[way], p.changed
}

// String tells where from and where to.
func (p *Proxy) String() string { return fmt.Sprintf("%s → %s", p.Address(), p.to) }
