package sdk

import (
	"maps"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// hints are the principals of whom a node said that something has changed, until that was followed up. One goroutine
// follows up, while there are any, so that none is lost however many come. It is safe for concurrent use.
type hints struct {
	circle *acquaintances

	mu      sync.Mutex
	changed map[identity.ID]bool
	own     map[*session]bool // that were told of this agent itself
	busy    bool
}

// take has what a session was told followed up.
func (h *hints) take(by *session, ids []identity.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed == nil {
		h.changed, h.own = map[identity.ID]bool{}, map[*session]bool{}
	}
	if slices.Contains(ids, h.circle.link.id()) {
		h.own[by] = true
	}
	for _, id := range ids {
		if len(h.changed) < maxPeers { // more than are known are of no use
			h.changed[id] = true
		}
	}
	if !h.busy {
		h.busy = h.circle.link.crew.keep(h.follow)
	}
}

// next returns what came since the last call; nothing ends the following up.
func (h *hints) next() (changed []identity.ID, own []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed, own = slices.Collect(maps.Keys(h.changed)), slices.Collect(maps.Keys(h.own))
	clear(h.changed)
	clear(h.own)
	h.busy = len(changed)+len(own) > 0
	return changed, own
}

func (h *hints) follow() {
	for h.circle.link.crew.ctx.Err() == nil {
		changed, own := h.next()
		if len(changed)+len(own) == 0 {
			return
		}
		h.circle.heard(changed)
		for _, s := range own {
			s.hearing.relevel()
		}
	}
}
