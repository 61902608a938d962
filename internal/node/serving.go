package node

import (
	"context"
	"time"
)

// lookEvery is how often a node that waits looks whether it serves.
const lookEvery = 20 * time.Millisecond

// Serving returns nil once agents are let in, or once it is known that they are not yet meant to be because this node is
// still joining. A node of several waits here until a majority runs. Errors: ctx's, and why the node cannot go on.
func (n *Node) Serving(ctx context.Context) error {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	told := false
	for {
		if n.registrar.Ready() == nil || n.registrar.Joining() {
			return nil
		}
		select {
		case <-every.C:
		case <-n.Done():
			return n.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		if !told {
			n.config.Logger.Info("waiting for a majority of the realm's nodes")
			told = true
		}
	}
}
