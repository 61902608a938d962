package sdk

import (
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// way is one connection, and what is asked of the node at which it stands. When that node goes away the connection goes
// to another one by itself, and so do the questions.
type way struct {
	conn    bus.Conn
	control *control.Client

	down *bell         // rung when the connection goes down
	up   *bell         // rung when it stands again
	cuts atomic.Uint64 // moves whenever it has gone down, before anything can be confirmed over the next one
}

func newWay() *way { return &way{down: newBell(), up: newBell()} }

// cut is told that the connection has gone down: whoever waits for an answer learns it.
func (w *way) cut(error) {
	w.cuts.Add(1)
	w.down.ring()
}

// redial is told that another connection is tried. That it went down may be told only later.
func (w *way) redial() { w.cuts.Add(1) }

// roaming is a connection that can be told of further nodes to come back at; those not among the pins it leaves.
type roaming interface {
	Extend(addresses []string, pins []identity.ID) error
}
