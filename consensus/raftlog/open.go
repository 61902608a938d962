package raftlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

const (
	storeName = "raft.db"
	snapsName = "snapshots" // chosen by raft.FileSnapshotStore
)

// Open opens the log in cfg.Dir, or makes one, and brings cfg.Machine up to date with everything that this node knows to
// be committed. A node that is the only voter then waits until it leads and every committed entry is applied, or ctx
// ends. A member of a cluster waits for nobody: [Log.Ready] does.
//
// Errors: [ErrConfig], [ErrInUse], [ErrCorrupt], [ErrWrongNode], [ErrFailed], the context's, or those of the file
// system. After one of them cfg.Streams is closed.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.validate(); err != nil {
		return nil, errors.Join(err, closeStreams(cfg))
	}
	st, err := prepare(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), closeStreams(cfg))
	}
	l, err := start(cfg, st)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), st.close(), closeStreams(cfg))
	}
	if !l.leadsAlone() {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), l.Close())
		}
		return l, nil
	}
	if err := awaitLeadership(ctx, l); err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), l.Close())
	}
	return l, nil
}

func closeStreams(cfg Config) error {
	if cfg.Streams == nil {
		return nil
	}
	if err := cfg.Streams.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// prepare makes the directory and the store if they are missing, and opens the store.
func prepare(cfg Config) (*store, error) {
	path := filepath.Join(cfg.Dir, storeName)
	if err := os.MkdirAll(filepath.Join(cfg.Dir, snapsName), dirMode); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := bootstrap(cfg, path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	st, err := openStore(path)
	if err != nil {
		return nil, err
	}
	st.db.NoSync = cfg.Unsynced
	if st.owner.node != cfg.NodeKey {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrWrongNode, st.owner.node), st.close())
	}
	return st, nil
}

// bootstrap makes the store of a new log, whose only voter is this node, or which is empty if the node joins. The first
// entry and the term are in the file from the beginning: raft's own bootstrap is two writes, and a crash between them
// leaves a node that is neither new nor able to lead.
func bootstrap(cfg Config, path string) error {
	own := owner{node: cfg.NodeKey}
	if _, err := rand.Read(own.store[:]); err != nil {
		return err
	}
	members := []raft.Server{{Suffrage: raft.Voter, ID: own.serverID(), Address: raft.ServerAddress(cfg.NodeKey)}}
	if cfg.Joins {
		members = nil
	}
	return found(cfg.Dir, path, own, members)
}

// found makes the store of own with the members given; none: it is empty.
func found(dir, path string, own owner, members []raft.Server) error {
	left, err := os.ReadDir(filepath.Join(dir, snapsName))
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s is missing, but there are snapshots", ErrCorrupt, storeName)
	}
	var first *raft.Log
	if len(members) > 0 {
		first = &raft.Log{
			Index: 1, Term: 1, Type: raft.LogConfiguration,
			Data: raft.EncodeConfiguration(raft.Configuration{Servers: members}),
		}
	}
	if err := createStore(path, own, first); err != nil {
		return err
	}
	for _, dir := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// start brings the machine up to date and starts raft on the store.
func start(cfg Config, st *store) (*Log, error) {
	cfg = cfg.complete()
	sink := &logSink{to: cfg.Logger}
	logger := newLogger(sink)
	files, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retainedSnapshots, logger)
	if err != nil {
		return nil, err
	}
	snapshots := &installs{SnapshotStore: files, stuck: st.fail}
	fsm := &machine{inner: cfg.Machine, store: st, own: snapshots.expectOwn, remember: cfg.networked()}
	if err := fsm.catchUp(snapshots); err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	e := &engine{
		cfg: cfg, store: st, machine: fsm, snapshots: snapshots, sink: sink, patience: drainLimit,
		transport: newTransport(&cfg, st.failed, newLogger(&logSink{to: cfg.Logger, quiet: true})),
		slots:     make(chan struct{}, maxInFlight),
		closing:   make(chan struct{}), changed: make(chan struct{}), life: life, end: end,
	}
	st.onFail, fsm.committed = e.abandon, e.transport.notices.committed
	if err := e.begin(!only(fsm.members, st.owner.serverID())); err != nil {
		end()
		e.transport.shut()
		return nil, err
	}
	return newLog(e), nil
}

// only reports whether id is the only one of the members.
func only(members []raft.Server, id raft.ServerID) bool {
	return len(members) == 1 && members[0].ID == id
}

// awaitLeadership returns once this node leads and has applied everything committed before.
func awaitLeadership(ctx context.Context, l *Log) error {
	for {
		changed := l.leaderChanged()
		if l.leads() {
			err := l.Barrier(ctx)
			if err == nil {
				l.sink.ready.Store(true)
				return nil
			}
			if !errors.Is(err, consensus.ErrNotLeader) {
				return err
			}
		}
		select {
		case <-changed:
		case <-l.store.failed:
			return l.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
