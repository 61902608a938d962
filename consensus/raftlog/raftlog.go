// Package raftlog is the durable consensus.Log: hashicorp/raft over a checksummed store on bbolt.
//
// Today a log has one voter, this node, and needs no network. What a cluster will need is in place: a server id
// that dies with its directory, a ballot written in one transaction, a cap on entries in flight, and a machine that
// a restarting node brings up to date before it hears from anybody.
//
// An entry is acknowledged when it is synced to the disk and applied. Concurrent appends share one transaction and
// one sync. Whatever the store cannot read back exactly it refuses when it is opened; a write that fails ends the
// log for good (see [Log.Failed]), since what a failed sync left behind is unknown.
package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	// ErrConfig is returned by Open when the configuration cannot work.
	ErrConfig = fault.New(fault.Usage, "raftlog: unusable configuration")
	// ErrInUse is returned by Open when another process, or another Log of this one, has the directory open.
	ErrInUse = fault.New(fault.InUse, "raftlog: log in use")
	// ErrCorrupt is returned by Open when the log or its newest snapshot is not as it was written.
	ErrCorrupt = fault.New(fault.Malformed, "raftlog: damaged log")
	// ErrWrongNode is returned by Open when another node has made the directory.
	ErrWrongNode = fault.New(fault.Denied, "raftlog: log belongs to another node")
	// ErrFailed is what Err wraps once a write has failed. The process should end; what was acknowledged is safe.
	ErrFailed = fault.New(fault.DiskFull, "raftlog: store failed")
)

// Log is a [consensus.Log] on the local disk. Its methods are safe for concurrent use.
type Log struct {
	store    *store
	sink     *logSink
	patience time.Duration // how long Close waits for entries in flight

	slots   chan struct{} // one for each request in flight; Close takes them all and keeps them
	closing chan struct{} // closed when Close begins
	stopped chan struct{} // closed when raft has stopped: futures that are open now stay open

	mu       sync.Mutex  // orders attach and abandon
	raft     *raft.Raft  // set by attach, before Open returns
	shutdown raft.Future // of the first Shutdown: a second one would not wait

	close    sync.Once
	closeErr error
}

var _ consensus.Log = (*Log)(nil)

func newLog(st *store, sink *logSink) *Log {
	return &Log{
		store:    st,
		sink:     sink,
		patience: drainLimit,
		slots:    make(chan struct{}, maxInFlight),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
}

// Append implements [consensus.Log]. After a failed write it returns [consensus.ErrClosed] and [ErrFailed], both
// wrapped; the entries in flight then get [consensus.ErrUncertain] and [ErrFailed].
func (l *Log) Append(ctx context.Context, entry []byte) (result []byte, index uint64, err error) {
	if len(entry) > consensus.MaxEntry {
		return nil, 0, fmt.Errorf("%w: %d bytes", consensus.ErrTooLarge, len(entry))
	}
	entry = bytes.Clone(entry) // raft's cache keeps it, longer than the caller must
	var future raft.ApplyFuture
	err = l.submit(ctx, func() error {
		future = l.raft.Apply(entry, 0)
		return l.translate(future.Error())
	})
	if err != nil {
		return nil, 0, err
	}
	result, _ = future.Response().([]byte)
	return result, future.Index(), nil
}

// Barrier implements [consensus.Log]. Concurrent barriers share one sync.
func (l *Log) Barrier(ctx context.Context) error {
	return l.submit(ctx, func() error { return l.translate(l.raft.Barrier(0).Error()) })
}

// Snapshot writes the machine's state to the disk now, instead of when raft finds it worthwhile. It does nothing
// if nothing was applied since the last one.
func (l *Log) Snapshot(ctx context.Context) error {
	return l.submit(ctx, func() error {
		if err := l.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return fmt.Errorf("raftlog: take a snapshot: %w", err)
		}
		return nil
	})
}

// Failed returns a channel that is closed when a write has failed or hung: the log accepts nothing any more, and
// the process should end.
func (l *Log) Failed() <-chan struct{} { return l.store.failed }

// Err returns the reason, wrapping [ErrFailed], once Failed is closed, and nil before.
func (l *Log) Err() error { return l.store.failure() }

// Close implements [consensus.Log]. It gives entries in flight two seconds to finish; those that raft drops after
// that get [consensus.ErrUncertain]. It returns only when the disk has answered every write.
func (l *Log) Close() error {
	l.close.Do(func() {
		close(l.closing)
		l.drain()
		l.abandon()
		l.mu.Lock()
		shutdown := l.shutdown
		l.mu.Unlock()
		l.closeErr = errors.Join(shutdown.Error(), l.store.close())
		close(l.stopped)
	})
	return l.closeErr
}

// drain waits until no request is in flight, the time is up or the store has failed.
func (l *Log) drain() {
	limit := time.NewTimer(l.patience)
	defer limit.Stop()
	for range maxInFlight {
		select {
		case l.slots <- struct{}{}:
		case <-limit.C:
			return
		case <-l.store.failed:
			return
		}
	}
}

// submit runs request, which may block for long, and returns its error, or an earlier end: the context's, or that
// of the log. The goroutine of a request that nobody waits for any more keeps its slot until it ends; raft answers
// each one, but for those that its shutdown drops.
func (l *Log) submit(ctx context.Context, request func() error) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-l.slots }()
		done <- request()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.store.failed:
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, l.Err())
	case <-l.stopped:
		return consensus.ErrUncertain
	}
}

// enter takes a slot, unless the context or the log has ended.
func (l *Log) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.ended(); err != nil {
		return err
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closing:
		return l.ended()
	case <-l.store.failed:
		return l.ended()
	}
	if err := l.ended(); err != nil {
		<-l.slots
		return err
	}
	return nil
}

// ended returns why the log accepts nothing any more, or nil.
func (l *Log) ended() error {
	select {
	case <-l.store.failed:
		return fmt.Errorf("%w: %w", consensus.ErrClosed, l.Err())
	case <-l.closing:
		return consensus.ErrClosed
	default:
		return nil
	}
}

// translate gives raft's errors the meaning of the port.
func (l *Log) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		if ended := l.ended(); ended != nil {
			return ended
		}
		return consensus.ErrNotLeader
	case l.Err() != nil: // raft.LogCache does not wrap the store's error
		return fmt.Errorf("%w: %w", consensus.ErrUncertain, l.Err())
	}
	return fmt.Errorf("%w: %w", consensus.ErrUncertain, err)
}

// attach makes node the raft of the log, and stops it if the store has failed meanwhile.
func (l *Log) attach(node *raft.Raft) {
	l.mu.Lock()
	l.raft = node
	l.mu.Unlock()
	if l.Err() != nil {
		l.abandon()
	}
}

// abandon tells raft to stop and does not wait. The store calls it inside the write that failed, before raft can
// act on the failure.
func (l *Log) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raft != nil && l.shutdown == nil {
		l.shutdown = l.raft.Shutdown()
	}
}
