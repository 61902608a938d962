package raftlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// engine runs raft on a store, one generation after the other, and passes requests to it.
type engine struct {
	cfg       Config
	store     *store
	machine   *machine
	snapshots *installs
	transport *transport
	sink      *logSink
	patience  time.Duration // how long Close waits for entries in flight

	slots   chan struct{} // one for each request in flight; Close takes them all and keeps them
	closing chan struct{} // closed when Close begins
	life    context.Context
	end     context.CancelFunc // ends life: requests to other nodes stop

	lifecycle sync.Mutex // held while a generation ends: one of rebuild and Close at a time

	mu  sync.Mutex // orders begin and abandon
	gen *generation

	watch   sync.Mutex // guards changed
	changed chan struct{}
}

// generation is one run of raft.
type generation struct {
	raft      *raft.Raft
	clustered bool          // with the timers of a cluster
	stopped   chan struct{} // closed when raft has stopped: futures that are open now stay open
	shutdown  raft.Future   // of the first Shutdown, guarded by engine.mu: a second one would not wait
}

// begin starts raft on the store.
func (e *engine) begin(clustered bool) error {
	conf := e.cfg.raftConfig(e.store.owner.serverID(), e.sink, clustered)
	cache, err := raft.NewLogCache(cachedEntries, e.store)
	if err != nil {
		return err
	}
	e.sink.ready.Store(false)
	if clustered {
		e.store.idle.begin(idleCommit)
	}
	logs := trackedLog{cache, e.store}
	node, err := raft.NewRaft(conf, e.machine, logs, e.store, e.snapshots, e.transport)
	if err != nil {
		return err
	}
	node.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch seen := o.Data.(type) {
		case raft.LeaderObservation:
			if seen.LeaderID != "" && clustered {
				e.sink.ready.Store(true)
			}
			e.announce()
		case raft.RaftState:
			e.announce()
		}
		return false
	}))
	e.mu.Lock()
	e.gen = &generation{raft: node, clustered: clustered, stopped: make(chan struct{})}
	e.mu.Unlock()
	if e.store.failure() != nil {
		e.abandon()
	}
	e.announce()
	return nil
}

// now returns the generation that runs.
func (e *engine) now() *generation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gen
}

// leads reports whether this node takes itself for the leader.
func (e *engine) leads() bool { return e.now().raft.State() == raft.Leader }

// leader returns the key of the node that leads, as far as this node knows.
func (e *engine) leader() (node string, known bool) {
	address, id := e.now().raft.LeaderWithID()
	return string(address), id != ""
}

// announce tells whoever waits that the leader may have changed. Raft calls it and must not be blocked.
func (e *engine) announce() {
	e.watch.Lock()
	defer e.watch.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// leaderChanged returns a channel that is closed at the next change.
func (e *engine) leaderChanged() <-chan struct{} {
	e.watch.Lock()
	defer e.watch.Unlock()
	return e.changed
}

// abandon tells raft to stop and does not wait. The store calls it inside the write that failed, before raft can
// act on the failure.
func (e *engine) abandon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gen != nil && e.gen.shutdown == nil {
		e.gen.shutdown = e.gen.raft.Shutdown()
	}
}

// finish stops raft and waits until it has.
func (e *engine) finish() error {
	e.abandon()
	gen := e.now()
	err := gen.shutdown.Error()
	close(gen.stopped)
	return err
}

// rebuild ends the generation that runs, once it has answered everything, and begins one with the timers of a
// cluster. Requests that come meanwhile wait. It does nothing if there are such timers already.
func (e *engine) rebuild(ctx context.Context) error {
	e.lifecycle.Lock()
	defer e.lifecycle.Unlock()
	if e.now().clustered {
		return nil
	}
	taken, err := e.drain(ctx.Done(), e.closing)
	defer func() {
		for range taken {
			<-e.slots
		}
	}()
	if err != nil {
		return fmt.Errorf("%w: entries in flight do not end", consensus.ErrNotLeader)
	}
	if err := e.ended(); err != nil {
		return err
	}
	if err := e.finish(); err != nil {
		return err
	}
	if err := e.begin(true); err != nil {
		e.store.fail(fmt.Errorf("%w: start raft again: %w", ErrFailed, err))
		return e.ended()
	}
	return nil
}

// errBusy is why drain gave up.
var errBusy = errors.New("requests in flight")

// drain takes every slot. It gives up when the time is up, the store has failed, or one of the channels is closed (nil:
// never); then too it returns how many it has taken.
func (e *engine) drain(canceled, closing <-chan struct{}) (taken int, err error) {
	limit := time.NewTimer(e.patience)
	defer limit.Stop()
	for taken < maxInFlight {
		select {
		case e.slots <- struct{}{}:
			taken++
		case <-limit.C:
			return taken, errBusy
		case <-e.store.failed:
			return taken, errBusy
		case <-canceled:
			return taken, errBusy
		case <-closing:
			return taken, errBusy
		}
	}
	return taken, nil
}

// submit runs request, which may block for long, and returns its error, or an earlier end: the context's, or that
// of the log. The goroutine of a request that nobody waits for any more keeps its slot until it ends; raft answers
// each one, but for those that its shutdown drops. The context that request gets ends with ctx and with the log.
func (e *engine) submit(ctx context.Context, request func(context.Context, *raft.Raft) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	gen := e.now()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(e.life, cancel)
	done := make(chan error, 1)
	go func() {
		defer func() { <-e.slots }()
		defer cancel()
		defer stop()
		done <- request(ctx, gen.raft)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return e.interrupted(ctx, done)
	case <-e.store.failed:
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, e.store.failure())
	case <-gen.stopped:
		return consensus.ErrUncertain
	}
}

// interrupted returns why a request has no answer although ctx has ended: the request has just ended, the log has, or
// nobody waits any more.
func (e *engine) interrupted(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	default:
	}
	if e.life.Err() != nil {
		return consensus.ErrUncertain
	}
	return ctx.Err()
}

// enter takes a slot, unless the context or the log has ended.
func (e *engine) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.ended(); err != nil {
		return err
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closing:
		return e.ended()
	case <-e.store.failed:
		return e.ended()
	}
	if err := e.ended(); err != nil {
		<-e.slots
		return err
	}
	return nil
}

// ended returns why the log accepts nothing any more, or nil.
func (e *engine) ended() error {
	select {
	case <-e.store.failed:
		return fmt.Errorf("%w: %w", consensus.ErrClosed, e.store.failure())
	case <-e.closing:
		return consensus.ErrClosed
	default:
		return nil
	}
}

// translate gives raft's errors the meaning of the port.
func (e *engine) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		if ended := e.ended(); ended != nil {
			return ended
		}
		return consensus.ErrNotLeader
	case e.store.failure() != nil: // raft.LogCache does not wrap the store's error
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, e.store.failure())
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// patiently runs try again while it returns consensus.ErrNotLeader, each time that something may have changed, until
// the patience ends.
func (e *engine) patiently(ctx context.Context, try func() error) error {
	var limit *time.Timer
	for {
		changed := e.leaderChanged()
		err := try()
		if !errors.Is(err, consensus.ErrNotLeader) {
			return err
		}
		if limit == nil {
			limit = time.NewTimer(e.cfg.Patience)
			defer limit.Stop()
		}
		pause := time.NewTimer(50*time.Millisecond + rand.N(100*time.Millisecond))
		select {
		case <-changed:
		case <-pause.C:
		case <-limit.C:
			pause.Stop()
			return err
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-e.closing:
			pause.Stop()
			return e.ended()
		case <-e.store.failed:
			pause.Stop()
			return e.ended()
		}
		pause.Stop()
	}
}

// reach waits until the local machine has applied index.
func (e *engine) reach(ctx context.Context, index uint64) error {
	reached, leave := e.machine.progress.wait(index)
	defer leave()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closing:
		return consensus.ErrClosed
	case <-e.store.failed:
		return e.ended()
	}
}
