package raftlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Barrier implements [consensus.Log]. On a node that does not lead it asks the leader, and waits until the local
// machine has applied what the leader's had. Concurrent barriers share one entry of the log. While no leader is known
// it waits for one, as long as Config.Patience, and then returns [consensus.ErrNotLeader].
func (l *Log) Barrier(ctx context.Context) error {
	return l.patiently(ctx, func() error {
		if l.leads() || l.cfg.AskBarrier == nil {
			_, err := l.barriers.join(ctx, &l.barriers.here)
			return err
		}
		index, err := l.barriers.join(ctx, &l.barriers.asked)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, l.cfg.Patience)
		defer cancel()
		if err := l.reach(limited, index); err == nil || ctx.Err() != nil || limited.Err() == nil {
			return err
		}
		return fmt.Errorf("%w: entry %d does not come", consensus.ErrNotLeader, index)
	})
}

// BarrierHere makes a barrier for another node and returns the index that its machine must reach: every entry that was
// committed before the call is at or below it. Errors: as of Barrier; [consensus.ErrNotLeader], at once, if this node
// does not lead.
func (l *Log) BarrierHere(ctx context.Context) (index uint64, err error) {
	return l.barriers.join(ctx, &l.barriers.here)
}

// AtLeast returns once the local machine has applied the entry at index, which [Log.Append] or [Log.BarrierHere]
// returned somewhere. Errors: the context's, [consensus.ErrClosed].
func (l *Log) AtLeast(ctx context.Context, index uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.ended(); err != nil {
		return err
	}
	return l.reach(ctx, index)
}

// Ready returns once a barrier has passed: the local machine has all that was committed when it was called. It waits
// as long as ctx allows. A node that has just started must not decide anything before.
func (l *Log) Ready(ctx context.Context) error {
	for {
		if err := l.Barrier(ctx); !errors.Is(err, consensus.ErrNotLeader) {
			return err
		}
	}
}

// barriers makes the barriers of a log, each for all who wait for one.
type barriers struct {
	*engine
	here  rounds // of this node, as the leader
	asked rounds // that another node, the leader, is asked for
}

func newBarriers(e *engine) *barriers {
	b := &barriers{engine: e}
	b.here.run, b.asked.run = b.make, b.ask
	return b
}

// end waits until no barrier is under way. The log has ended.
func (b *barriers) end() {
	b.here.end()
	b.asked.end()
}

// join takes part in the next of the rounds. The context ends the caller's wait only.
func (b *barriers) join(ctx context.Context, r *rounds) (index uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := b.ended(); err != nil {
		return 0, err
	}
	next := r.next()
	select {
	case <-next.done:
		return next.index, next.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// make passes a barrier through raft and returns the machine's index after it. It changes nothing, so whether it
// took effect does not matter: it was passed, or this node may not lead.
func (b *barriers) make() (index uint64, err error) {
	err = b.submit(b.life, func(_ context.Context, node *raft.Raft) error { return b.translate(node.Barrier(0).Error()) })
	return b.machine.progress.now(), b.harmless(err)
}

// ask asks the leader for a barrier.
func (b *barriers) ask() (index uint64, err error) {
	leader, known := b.leader()
	if !known || leader == b.cfg.NodeKey {
		return 0, consensus.ErrNotLeader
	}
	replied := make(chan uint64, 1)
	err = b.submit(b.life, func(ctx context.Context, _ *raft.Raft) error {
		ctx, cancel := context.WithTimeout(ctx, b.cfg.Patience)
		defer cancel()
		index, err := b.cfg.AskBarrier(ctx, leader)
		if err != nil {
			return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
		}
		replied <- index
		return nil
	})
	if err != nil {
		return 0, b.harmless(err)
	}
	return <-replied, nil
}

// harmless turns the errors of a barrier whose fate is unknown into consensus.ErrNotLeader, unless the log has ended.
func (b *barriers) harmless(err error) error {
	if err == nil || !errors.Is(err, consensus.ErrUncertain) {
		return err
	}
	if ended := b.ended(); ended != nil {
		return ended
	}
	return fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
}

// rounds runs one function for many callers. Who comes while it runs waits for the next run: only a barrier that was
// submitted after a caller came says anything to that caller.
type rounds struct {
	run func() (index uint64, err error)

	mu      sync.Mutex
	coming  *round // gathers callers; nil: nobody waits
	running bool
	closed  bool
	runner  sync.WaitGroup
}

// round is one run, and its outcome once done is closed.
type round struct {
	done  chan struct{}
	index uint64
	err   error
}

// next returns the round that the caller takes part in.
func (r *rounds) next() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		over := &round{done: make(chan struct{}), err: consensus.ErrClosed}
		close(over.done)
		return over
	}
	if r.coming == nil {
		r.coming = &round{done: make(chan struct{})}
	}
	joined := r.coming
	if !r.running {
		r.running = true
		r.runner.Go(r.loop)
	}
	return joined
}

// loop runs rounds while somebody waits.
func (r *rounds) loop() {
	for {
		r.mu.Lock()
		current := r.coming
		r.coming = nil
		if current == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		current.index, current.err = r.run()
		close(current.done)
	}
}

// end lets no round begin any more and returns when none runs.
func (r *rounds) end() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.runner.Wait()
}
