package virtual

import (
	"context"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
)

// door admits processes to a life's bus as a broker does: it asks the registrar, and again at every change. What they
// publish reaches the other nodes over the wires. Admitting and changing exclude each other.
type door struct {
	life *life

	mu    sync.Mutex
	links map[*link]struct{}
}

var _ registrar.Enforcer = (*door)(nil)

// link is one connection to a life's bus: a process that was admitted, or the node's own.
type link struct {
	*membus.Conn
	life    *life
	process *identity.Process // nil: the node's
}

// admit connects a process, if the registrar lets it in.
func (d *door) admit(p *identity.Process) (*link, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.judge(p)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: d.life.network.Join(a.Permissions, bus.Observer{}), life: d.life, process: p}
	d.links[l] = struct{}{}
	return l, nil
}

func (d *door) judge(p *identity.Process) (registrar.Admission, error) {
	now := d.life.clock.now().UnixMilli()
	return d.life.registrar.Admit(p.Credential().Raw(), p.Connect().Public(), now)
}

// cut takes everything from those for whom match says so, and returns how many there were. d.mu is held.
func (d *door) cut(match func(*link) bool) (n int) {
	for l := range d.links {
		if match(l) {
			delete(d.links, l)
			d.life.network.Permit(l.Conn, bus.Permissions{})
			d.life.network.Expel(l.Conn, bus.ErrDenied)
			n++
		}
	}
	return n
}

func (d *door) Revoke(id identity.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cut(func(l *link) bool { return l.process.Principal() == id })
}

func (d *door) Refresh(id identity.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut(func(l *link) bool {
		if l.process.Principal() != id {
			return false
		}
		a, err := d.judge(l.process)
		if err == nil {
			d.life.network.Permit(l.Conn, a.Permissions)
		}
		return err != nil
	})
}

func (d *door) Live(id identity.ID) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.links {
		if l.process.Principal() == id {
			n++
		}
	}
	return n
}

func (d *door) Suspend(error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut(func(*link) bool { return true })
}

// Restrict does what Suspend does: the policy of these realms lets nobody go on.
func (d *door) Restrict(why error) { d.Suspend(why) }

func (d *door) Resume() {}

// Publish implements [bus.Conn]: on this node's bus, and on those of the others that the wires reach.
func (l *link) Publish(ctx context.Context, subject string, data []byte) error {
	if err := l.Conn.Publish(ctx, subject, data); err != nil {
		return err
	}
	from := l.life
	for _, n := range from.realm.nodes {
		if n == from.node {
			continue
		}
		way := route{from.number, n.number}
		held, _ := from.wires.look(way)
		takes, lost := from.wires.pass(way)
		if held || lost > 0 {
			continue
		}
		time.AfterFunc(takes, func() {
			if there := n.life(); there != nil {
				_ = there.own.Conn.Publish(context.Background(), subject, data) // it may just have stopped
			}
		})
	}
	return nil
}
