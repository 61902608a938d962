package sdk

import (
	"context"
	"slices"
	"sync"
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
// what both subscriptions heard.
func (g *reading) resubscribe(to *session) error {
	for _, r := range g.all() {
		if err := r.attach(to); err != nil {
			return err
		}
	}
	return nil
}
