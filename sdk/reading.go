package sdk

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
)

// reading is the topics that an agent is subscribed to.
type reading struct {
	link *link

	mu      sync.Mutex
	readers []*Subscription
}

func (g *reading) add(r *Subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readers = append(g.readers, r)
}

func (g *reading) remove(r *Subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readers = slices.DeleteFunc(g.readers, func(other *Subscription) bool { return other == r })
}

func (g *reading) all() []*Subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.readers)
}

// rejoin looks for publishers that came since.
func (g *reading) rejoin(ctx context.Context) {
	for _, r := range g.all() {
		if err := r.join(ctx); err != nil && g.link.crew.ctx.Err() == nil {
			g.link.options.logger.Debug("publishers not looked for", "error", err)
		}
	}
}

// resubscribe attaches every reader to a session. What it has joined stays joined, and the windows let through once
// what both subscriptions heard. Those that the agent's level does not allow any more stay behind until it does again.
func (g *reading) resubscribe(to *session) error {
	for _, r := range g.all() {
		err := r.attach(to)
		if errors.Is(err, bus.ErrDenied) {
			g.link.options.logger.Warn("topic not read any more", "pattern", r.pattern, "error", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
