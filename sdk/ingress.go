package sdk

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
)

const (
	maxHeld    = 16 << 20 // bytes that one subscription holds; beyond it the bus has to wait, and drops
	maxWaiting = 4 << 20  // bytes that it holds of one sender of whom something must be learned first
)

// delivery is one thing that came from the bus for a subscription: an envelope, a batch's member or a frame.
type delivery struct {
	session *session
	line    *line
	subject string
	topic   string
	data    []byte

	claimed atomic.Bool   // somebody checks it
	done    chan struct{} // closed when it was checked
	checked *envelope.Checked
	err     error
	known   int64 // line.learned when the check began
}

// check makes all checks that change nothing. Of several callers one does it; when it returns to that one, or done is
// closed, the outcome is known.
func (d *delivery) check() {
	if d.claimed.CompareAndSwap(false, true) {
		d.again()
		close(d.done)
	}
}

// again checks anew, after something was learned. Only who has claimed the delivery calls it, or its line after that.
func (d *delivery) again() {
	d.known = d.line.learned.Load()
	d.checked, d.err = d.session.check(d.data, envelope.Inbound{
		Subject: d.subject, Topic: d.topic, Keys: d.session.agent.circle.senders,
	})
}

// line is what one sender sent to a subscription, in order.
type line struct {
	from    identity.ID
	learned atomic.Int64 // how often something was learned of the sender

	queue   []*delivery // under ingress.mu
	bytes   int
	waiting bool // for something to be learned of the sender
}

// ingress is what a subscription has received and not handled. Each sender has a line of its own, whose deliveries are
// handled in order by one goroutine, which runs only while there are some; those behind the first are checked
// meanwhile on all processors. It is bounded in bytes. It is safe for concurrent use.
type ingress struct {
	crew   *crew
	pool   *pool
	handle func(d *delivery)
	losing func() // told when losing begins

	mu    sync.Mutex
	room  *bell // rung when there is room again
	lines map[identity.ID]*line
	bytes int
	ended bool
	lost  uint64
	told  bool // that it loses
}

func newDelivery(s *session, subject, topic string, data []byte) *delivery {
	return &delivery{session: s, subject: subject, topic: topic, data: data, done: make(chan struct{})}
}

func newIngress(c *crew, p *pool, handle func(d *delivery), losing func()) *ingress {
	return &ingress{crew: c, pool: p, handle: handle, losing: losing, room: newBell(), lines: map[identity.ID]*line{}}
}

// take queues a delivery of the sender that its subject names. It blocks while there is no room.
func (g *ingress) take(from identity.ID, d *delivery) {
	g.mu.Lock()
	fits := g.await(from, len(d.data))
	if fits {
		g.push(from, d)
	}
	begins := !fits && !g.ended && !g.told
	if begins {
		g.told = true
	}
	g.mu.Unlock()
	if begins {
		g.losing()
	}
}

// push queues a delivery in its sender's line. g.mu is held.
func (g *ingress) push(from identity.ID, d *delivery) {
	l := g.lines[from]
	if l == nil {
		l = &line{from: from}
		if !g.crew.keep(func() { g.run(from, l) }) {
			return // the agent closes
		}
		g.lines[from] = l
	}
	d.line = l
	l.queue = append(l.queue, d)
	l.bytes += len(d.data)
	g.bytes += len(d.data)
	if len(l.queue) > 1 {
		g.pool.add(d)
	}
}

// await returns true when there is room for so many bytes of a sender, and false if they are lost. g.mu is held, and
// let go meanwhile.
func (g *ingress) await(from identity.ID, size int) bool {
	for !g.ended {
		if l := g.lines[from]; l != nil && l.waiting && l.bytes+size > maxWaiting {
			g.lost++
			return false
		}
		if g.bytes == 0 || g.bytes+size <= maxHeld {
			return true
		}
		room := g.room.next()
		g.mu.Unlock()
		select {
		case <-room:
		case <-g.crew.ctx.Done():
			g.end()
		}
		g.mu.Lock()
	}
	return false
}

// run handles what one sender sent until there is nothing.
func (g *ingress) run(from identity.ID, l *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(l.queue) > 0 && !g.ended {
		d := l.queue[0]
		g.mu.Unlock()
		d.check()
		<-d.done
		g.handle(d)
		g.mu.Lock()
		l.queue[0] = nil
		l.queue = l.queue[1:]
		g.drop(l, len(d.data))
	}
	g.drop(l, l.bytes)
	delete(g.lines, from)
}

// drop makes room. g.mu is held.
func (g *ingress) drop(l *line, size int) {
	full := g.bytes
	l.bytes -= size
	g.bytes -= size
	g.told = g.told && g.bytes > maxWaiting/2
	if full > maxHeld-2*envelope.DefaultLimit {
		g.room.ring()
	}
}

// waiting says that a line waits for something to be learned, or not any more.
func (g *ingress) waiting(l *line, yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.waiting = yes
}

// end handles nothing further.
func (g *ingress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.room.ring()
}

func (g *ingress) dropped() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// pool checks deliveries on as many processors as there are, before their lines come to them. Its goroutines run only
// while there is something to check. It is safe for concurrent use.
type pool struct {
	crew *crew

	mu      sync.Mutex
	queue   []*delivery
	workers int
}

// add has a delivery checked soon. If it is not, its line does it.
func (p *pool) add(d *delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, d)
	if p.workers < runtime.GOMAXPROCS(0) && p.crew.keep(p.work) {
		p.workers++
	}
}

func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && p.crew.ctx.Err() == nil {
		d := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		d.check()
		p.mu.Lock()
	}
	p.workers--
}
