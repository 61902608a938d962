// Package raftlog is the durable consensus.Log: hashicorp/raft over a checksummed store on bbolt.
//
// A log begins with one voter, its node, which needs no network, and grows at run time: the leader admits servers
// ([Members.Admit]), which follow the log without a vote, and promotes them ([Members.Promote]) once they have caught
// up. A node appends wherever it stands: one that does not lead hands the entry to the leader and takes the answer
// from its own machine, so that a leader can refuse an entry or lose it but cannot answer falsely.
//
// An entry is acknowledged when a majority of the voters has synced it to the disk and the local machine has applied
// it. Concurrent appends share one transaction and one sync. Whatever the store cannot read back exactly it refuses
// when it is opened; a write that fails ends the log for good (see [Log.Failed]), since what a failed sync left behind
// is unknown.
//
// Raft survives crashes, not lies: entries must prove themselves to the machine. Its open defects are dodged, each
// with a test named after it: a server's id dies with its directory, a ballot is written in one transaction, the
// entries in flight are fewer than those that a leader keeps, a hanging disk counts as failed, nothing is pipelined, and
// raft's VerifyLeader, which may let a deposed leader pass, is not used.
package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

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
	// ErrStuck is what Err wraps when the leader has sent the same snapshot again and again: it does not take hold.
	ErrStuck = fault.New(fault.Conflict, "raftlog: the leader's snapshot does not take hold").
			WithHint("remove this node's log directory and let the node join again")
)

// Log is a [consensus.Log] on the local disk. Its methods are safe for concurrent use, and so are those of the
// [Members] in it.
type Log struct {
	*engine
	*Members
	barriers *barriers

	close    sync.Once
	closeErr error
}

var _ consensus.Log = (*Log)(nil)

func newLog(e *engine) *Log {
	return &Log{engine: e, Members: &Members{engine: e}, barriers: newBarriers(e)}
}

// Append implements [consensus.Log]. On a node that does not lead it hands the entry to the leader, once, and waits
// until the local machine has applied it. While no leader is known and nothing was sent it waits for one, as long as
// Config.Patience. After a failed write it returns [consensus.ErrClosed] and [ErrFailed], both wrapped; the entries in
// flight then get [consensus.ErrUncertain] and [ErrFailed].
func (l *Log) Append(ctx context.Context, entry []byte) (result []byte, index uint64, err error) {
	if len(entry) > consensus.MaxEntry {
		return nil, 0, fmt.Errorf("%w: %d bytes", consensus.ErrTooLarge, len(entry))
	}
	entry = bytes.Clone(entry) // raft's cache keeps it, longer than the caller must
	err = l.patiently(ctx, func() (err error) {
		if l.leads() || l.cfg.Forward == nil {
			result, index, err = l.append(ctx, entry)
		} else {
			result, index, err = l.forward(ctx, entry)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return result, index, nil
}

// AppendHere appends an entry that another node has forwarded, and returns its index: Append without a second hop.
// It answers once the entry is committed and applied here. Errors: as of Append; [consensus.ErrNotLeader], at once,
// if this node does not lead.
func (l *Log) AppendHere(ctx context.Context, entry []byte) (index uint64, err error) {
	if len(entry) > consensus.MaxEntry {
		return 0, fmt.Errorf("%w: %d bytes", consensus.ErrTooLarge, len(entry))
	}
	_, index, err = l.append(ctx, bytes.Clone(entry))
	return index, err
}

// append gives entry to raft, which keeps it.
func (l *Log) append(ctx context.Context, entry []byte) (result []byte, index uint64, err error) {
	var future raft.ApplyFuture
	err = l.submit(ctx, func(_ context.Context, node *raft.Raft) error {
		future = node.Apply(entry, 0)
		return l.translate(future.Error())
	})
	if err != nil {
		return nil, 0, err
	}
	result, _ = future.Response().([]byte)
	return result, future.Index(), nil
}

// forward hands entry to the leader and waits for the local machine's answer.
func (l *Log) forward(ctx context.Context, entry []byte) (result []byte, index uint64, err error) {
	leader, known := l.Leader()
	if !known || leader == l.cfg.NodeKey {
		return nil, 0, l.translate(raft.ErrNotLeader)
	}
	type reply struct {
		result []byte
		index  uint64
	}
	replied := make(chan reply, 1)
	err = l.submit(ctx, func(ctx context.Context, _ *raft.Raft) error {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Patience)
		defer cancel()
		before := l.machine.progress.now()
		index, err := l.handTo(ctx, leader, entry)
		switch {
		case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrTooLarge):
			return err
		case err != nil:
			return fmt.Errorf("%w: forwarded: %w", consensus.ErrUncertain, err)
		case index <= before:
			return fmt.Errorf("%w: the leader appended it at %d, in the past", consensus.ErrUncertain, index)
		}
		if err := l.reach(ctx, index); err != nil {
			return fmt.Errorf("%w: entry %d: %w", consensus.ErrUncertain, index, err)
		}
		result, ok := l.machine.recent.get(index, entry)
		if !ok {
			return fmt.Errorf("%w: another entry is at %d", consensus.ErrUncertain, index)
		}
		replied <- reply{result, index}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	r := <-replied
	return r.result, r.index, nil
}

// handTo calls Config.Forward, and gives up when another node is known to lead: the one that was asked may have stopped
// without a word, and what it answers later is worth nothing.
func (l *Log) handTo(ctx context.Context, leader string, entry []byte) (index uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for {
			changed := l.leaderChanged()
			if now, known := l.Leader(); known && now != leader {
				cancel()
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return l.cfg.Forward(ctx, leader, entry)
}

// Snapshot writes the machine's state to the disk now, instead of when raft finds it worthwhile. It does nothing
// if nothing was applied since the last one.
func (l *Log) Snapshot(ctx context.Context) error {
	return l.submit(ctx, func(_ context.Context, node *raft.Raft) error {
		if err := node.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return fmt.Errorf("raftlog: take a snapshot: %w", err)
		}
		return nil
	})
}

// Leader returns the key of the node that leads, as far as this node knows: it may have been deposed already.
func (l *Log) Leader() (node string, known bool) {
	return l.leader()
}

// Leads reports whether this node takes itself for the leader. It may have been deposed already; what it appends then
// is not committed.
func (l *Log) Leads() bool { return l.leads() }

// LeaderChanged returns a channel that is closed when the leader, or what this node is, may have changed. Take it before
// asking for the leader, and again after each time.
func (l *Log) LeaderChanged() <-chan struct{} { return l.leaderChanged() }

// ServerID returns this node's name in the configuration, "<nkey>.<16 hex digits>"; [Members.Admit] takes it. It dies
// with the directory.
func (l *Log) ServerID() string { return string(l.store.owner.serverID()) }

// Failed returns a channel that is closed when a write has failed or hung, or the log cannot follow the leader: it
// accepts nothing any more, and the process should end.
func (l *Log) Failed() <-chan struct{} { return l.store.failed }

// Err returns the reason, wrapping [ErrFailed] or [ErrStuck], once Failed is closed, and nil before.
func (l *Log) Err() error { return l.store.failure() }

// Close implements [consensus.Log]. It gives entries in flight two seconds to finish; those that raft drops after
// that get [consensus.ErrUncertain]. It returns only when the disk has answered every write and nothing runs any more.
func (l *Log) Close() error {
	l.close.Do(func() {
		close(l.closing)
		l.lifecycle.Lock()
		defer l.lifecycle.Unlock()
		_, _ = l.drain(nil, nil) // what is left gets ErrUncertain
		l.end()
		l.abandon()
		l.transport.shut() // raft may wait for an answer
		l.closeErr = errors.Join(l.finish(), l.store.close())
		l.barriers.end()
	})
	return l.closeErr
}
