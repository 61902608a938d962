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
	maxParked  = 16 << 20 // bytes that it holds beside them of all senders of whom something must be learned first
	maxWaiting = 4 << 20  // of these, bytes of one sender from when it waits

	deliveryCost = 512     // bytes that a delivery counts beside its own, about
	lineCost     = 4 << 10 // bytes that a sender's line counts, about
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
	bytes   int         // with what it costs to hold them
	waiting bool        // for something to be learned of the sender
}

// ingress is what a subscription has received and not handled. Each sender has a line of its own, whose deliveries are
// handled in order by one goroutine, which runs only while there are some; those behind the first are checked
// meanwhile on all processors. It is bounded in bytes; senders of whom something must be learned first, which takes as
// long as they please, have bytes of their own, so that they do not hold up the others. It is safe for concurrent use.
type ingress struct {
	crew   *crew
	pool   *pool
	handle func(d *delivery)
	losing func() // told when losing begins

	mu     sync.Mutex
	room   *bell // rung when there is room again
	lines  map[identity.ID]*line
	bytes  int // of lines that do not wait
	parked int // of those that do
	ended  bool
	lost   uint64
	told   bool // that it loses
}

func newDelivery(s *session, subject, topic string, data []byte) *delivery {
	return &delivery{session: s, subject: subject, topic: topic, data: data, done: make(chan struct{})}
}

func newIngress(c *crew, p *pool, handle func(d *delivery), losing func()) *ingress {
	return &ingress{crew: c, pool: p, handle: handle, losing: losing, room: newBell(), lines: map[identity.ID]*line{}}
}

// cost is about what a delivery takes in memory until it is handled, in bytes.
func (d *delivery) cost() int { return len(d.data) + deliveryCost }

// take queues a delivery of the sender that its subject names. It blocks while there is no room.
func (g *ingress) take(from identity.ID, d *delivery) {
	g.mu.Lock()
	fits := g.await(from, d.cost())
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
		if !g.crew.keep(func() { g.run(l) }) {
			return // the agent closes
		}
		g.lines[from] = l
		g.count(l, lineCost)
	}
	d.line = l
	l.queue = append(l.queue, d)
	g.count(l, d.cost())
	if len(l.queue) > 1 {
		g.pool.add(d)
	}
}

// await returns true when there is room for so many bytes of a sender, and false if they are lost. g.mu is held, and
// let go meanwhile.
func (g *ingress) await(from identity.ID, size int) bool {
	for !g.ended {
		if l := g.lines[from]; l != nil && l.waiting {
			if l.bytes+size <= maxWaiting && g.parked+size <= maxParked {
				return true
			}
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

// run handles what one sender sent until there is nothing, or the handler ends the goroutine.
func (g *ingress) run(l *line) {
	defer g.leave(l)
	for d := g.next(l, nil); d != nil; d = g.next(l, d) {
		d.check()
		<-d.done
		g.handle(d)
	}
}

// next forgets what was handled, which may be nil, and returns the first of a line; nil if there is none, and then the
// line is not one of the ingress any more.
func (g *ingress) next(l *line, handled *delivery) *delivery {
	g.mu.Lock()
	defer g.mu.Unlock()
	if handled != nil {
		l.queue[0] = nil
		l.queue = l.queue[1:]
		g.count(l, -handled.cost())
	}
	if len(l.queue) == 0 || g.ended {
		g.remove(l)
		return nil
	}
	return l.queue[0]
}

func (g *ingress) leave(l *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lines[l.from] == l {
		g.remove(l)
	}
}

// remove forgets a line with all that it holds. g.mu is held.
func (g *ingress) remove(l *line) {
	g.count(l, -l.bytes)
	delete(g.lines, l.from)
}

// count takes or makes room for so many bytes of a line. g.mu is held.
func (g *ingress) count(l *line, bytes int) {
	l.bytes += bytes
	if l.waiting {
		g.parked += bytes
	} else {
		g.hold(bytes)
	}
	g.told = g.told && g.bytes+g.parked > maxWaiting/2
}

// hold takes or makes room for lines that do not wait. g.mu is held.
func (g *ingress) hold(bytes int) {
	full := g.bytes > maxHeld-2*envelope.DefaultLimit
	g.bytes += bytes
	if full && bytes < 0 {
		g.room.ring()
	}
}

// park sets a line apart that waits for something to be learned: while it does it takes no room from those that do not.
// Where there is none for it, the longest of those that wait lose their newest deliveries. It returns false if that is
// not enough.
func (g *ingress) park(l *line) bool {
	g.mu.Lock()
	before := g.lost
	l.waiting = true
	g.hold(-l.bytes)
	g.parked += l.bytes
	for g.parked > maxParked && g.shorten() {
		continue
	}
	fits := g.parked <= maxParked
	if !fits {
		g.unparked(l)
	}
	begins := g.lost > before && !g.told
	g.told = g.told || begins
	g.mu.Unlock()
	if begins {
		g.losing()
	}
	return fits
}

// shorten has the longest line that waits lose its newest delivery, if it has more than the one that it waits with.
// g.mu is held.
func (g *ingress) shorten() bool {
	var longest *line
	for _, l := range g.lines {
		if l.waiting && len(l.queue) > 1 && (longest == nil || l.bytes > longest.bytes) {
			longest = l
		}
	}
	if longest == nil {
		return false
	}
	last := len(longest.queue) - 1
	g.count(longest, -longest.queue[last].cost())
	longest.queue[last] = nil
	longest.queue = longest.queue[:last]
	g.lost++
	return true
}

// unpark ends what park began.
func (g *ingress) unpark(l *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unparked(l)
}

func (g *ingress) unparked(l *line) {
	l.waiting = false
	g.parked -= l.bytes
	g.hold(l.bytes)
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
