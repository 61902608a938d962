package raftlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

const (
	storeName = "raft.db"
	snapsName = "snapshots" // chosen by raft.FileSnapshotStore
)

// Open opens the log in cfg.Dir, or makes one with this node as its only voter, brings cfg.Machine up to date and
// returns once this node leads and every committed entry is applied, or ctx ends.
//
// Errors: [ErrConfig], [ErrInUse], [ErrCorrupt], [ErrWrongNode], [ErrFailed], the context's, or those of the file
// system.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	st, err := prepare(cfg)
	if err != nil {
		return nil, fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err)
	}
	l, err := start(cfg, st)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), st.close())
	}
	if err := l.awaitLeadership(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: open %s: %w", cfg.Dir, err), l.Close())
	}
	return l, nil
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
	if st.owner.node != cfg.NodeKey {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrWrongNode, st.owner.node), st.close())
	}
	return st, nil
}

// bootstrap makes the store of a new log whose only voter is this node. The first entry and the term are in the
// file from the beginning: raft's own bootstrap is two writes, and a crash between them leaves a node that is
// neither new nor able to lead.
func bootstrap(cfg Config, path string) error {
	left, err := os.ReadDir(filepath.Join(cfg.Dir, snapsName))
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s is missing, but there are snapshots", ErrCorrupt, storeName)
	}
	own := owner{node: cfg.NodeKey}
	if _, err := rand.Read(own.store[:]); err != nil {
		return err
	}
	members := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: own.serverID(), Address: raft.ServerAddress(cfg.NodeKey),
	}}}
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members)}
	if err := createStore(path, own, first); err != nil {
		return err
	}
	for _, dir := range []string{cfg.Dir, filepath.Dir(cfg.Dir)} {
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
	sink := &logSink{to: cfg.Logger}
	if sink.to == nil {
		sink.to = slog.New(slog.DiscardHandler)
	}
	conf := raftConfig(st.owner.serverID(), sink)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retainedSnapshots, conf.Logger)
	if err != nil {
		return nil, err
	}
	fsm := &machine{inner: cfg.Machine, store: st}
	if err := fsm.catchUp(snapshots); err != nil {
		return nil, err
	}
	cache, err := raft.NewLogCache(cachedEntries, st)
	if err != nil {
		return nil, err
	}
	l := newLog(st, sink)
	st.onFail = l.abandon
	// A lone voter speaks with nobody: this transport reaches no address. A cluster will bring its own, with
	// MaxRPCsInFlight 1: pipelining has open defects (hashicorp/raft#681, grafana/pyroscope#5518).
	_, transport := raft.NewInmemTransport(raft.ServerAddress(cfg.NodeKey))
	node, err := raft.NewRaft(conf, fsm, cache, st, snapshots, transport)
	if err != nil {
		return nil, err
	}
	l.attach(node)
	return l, nil
}

// awaitLeadership returns once this node leads and has applied everything committed before.
func (l *Log) awaitLeadership(ctx context.Context) error {
	for {
		select {
		case leads := <-l.raft.LeaderCh():
			if !leads {
				continue
			}
		case <-l.store.failed:
			return l.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		err := l.Barrier(ctx)
		if err == nil {
			l.sink.ready.Store(true)
			return nil
		}
		if lost := errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrUncertain); !lost {
			return err
		}
	}
}
