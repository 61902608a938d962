package sdk

import (
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// levels tells an agent's functions of changes of its own level. One goroutine does, while there are any, so that each
// function is called for one change after the other. It is safe for concurrent use.
type levels struct {
	crew *crew
	why  func(to identity.Level) trust.Why

	mu      sync.Mutex
	fns     []func(standing.Change)
	last    identity.Level
	known   bool
	changes []standing.Change
	busy    bool
}

// add registers a function, unless the agent is closing.
func (v *levels) add(fn func(standing.Change)) error {
	if v.crew.closing() {
		return ErrClosed
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fns = append(v.fns, fn)
	return nil
}

// now notes the level, as a verified ticket says it.
func (v *levels) now(level identity.Level) {
	v.mu.Lock()
	defer v.mu.Unlock()
	from, changed := v.last, v.known && v.last != level
	v.last, v.known = level, true
	if !changed || len(v.fns) == 0 {
		return
	}
	v.changes = append(v.changes, standing.Change{From: from, To: level, At: time.Now()})
	if !v.busy {
		v.busy = v.crew.keep(v.tell)
	}
}

// tell calls the functions until there is nothing to tell.
func (v *levels) tell() {
	for {
		v.mu.Lock()
		changes, fns := v.changes, v.fns[:len(v.fns):len(v.fns)]
		v.changes = nil
		if v.busy = len(changes) > 0; !v.busy {
			v.mu.Unlock()
			return
		}
		v.mu.Unlock()
		for _, c := range changes {
			c.Why = v.why(c.To)
			for _, fn := range fns {
				fn(c)
			}
		}
	}
}
