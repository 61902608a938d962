package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Report is what a directory holds.
type Report struct {
	ServerID  string
	LastIndex uint64 // of the last entry, committed or not
	LastTerm  uint64 // its term: of several survivors the one with the highest term, then index, has most
	Committed uint64 // at least so far it is committed
	Servers   []Server
}

// Inspect reports what the log in dir holds, and changes nothing. Errors: [ErrInUse], [ErrCorrupt], [ErrWrongNode], or
// those of the file system.
func Inspect(dir, nodeKey string) (Report, error) {
	report, st, _, err := survey(dir, nodeKey)
	if err != nil {
		return Report{}, fmt.Errorf("raftlog: inspect %s: %w", dir, err)
	}
	return report, st.close()
}

// Recover makes this node the only voter of the log in dir, for a cluster that has lost its majority for good. It
// reports what it found. It commits everything in the log, also what was never acknowledged, and loses what only the
// others had. No node of the old configuration may run again with the directory it had: together they could go on
// without this one. Remove their directories and admit them anew. machine is empty and not to be used afterwards.
//
// Errors: as of [Inspect].
func Recover(dir, nodeKey string, m consensus.Machine, logger *slog.Logger) (Report, error) {
	report, st, files, err := survey(dir, nodeKey)
	if err != nil {
		return Report{}, fmt.Errorf("raftlog: recover %s: %w", dir, err)
	}
	cfg := Config{NodeKey: nodeKey, Logger: logger}.complete()
	own := st.owner.serverID()
	_, nowhere := raft.NewInmemTransport(raft.ServerAddress(nodeKey))
	members := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: own, Address: raft.ServerAddress(nodeKey),
	}}}
	err = raft.RecoverCluster(cfg.raftConfig(own, &logSink{to: cfg.Logger}, false), &machine{inner: m, store: st}, st, st,
		files, nowhere, members)
	if err = errors.Join(err, st.close()); err != nil {
		return report, fmt.Errorf("raftlog: recover %s: %w", dir, err)
	}
	return report, nil
}

// survey opens the directory and checks all of it. The caller closes the store.
func survey(dir, nodeKey string) (Report, *store, raft.SnapshotStore, error) {
	path := filepath.Join(dir, storeName)
	if _, err := os.Stat(path); err != nil {
		return Report{}, nil, nil, err
	}
	st, err := openStore(path)
	if err != nil {
		return Report{}, nil, nil, err
	}
	report, files, err := surveyStore(st, dir, nodeKey)
	if err != nil {
		return Report{}, nil, nil, errors.Join(err, st.close())
	}
	return report, st, files, nil
}

// surveyStore fills a report from the store and the snapshots beside it.
func surveyStore(s *store, dir, nodeKey string) (Report, raft.SnapshotStore, error) {
	if s.owner.node != nodeKey {
		return Report{}, nil, fmt.Errorf("%w: %s", ErrWrongNode, s.owner.node)
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, newLogger(&logSink{to: slog.New(slog.DiscardHandler)}))
	if err != nil {
		return Report{}, nil, err
	}
	probe := &machine{inner: discarding{}, store: s}
	if err := probe.catchUp(files); err != nil {
		return Report{}, nil, err
	}
	report := Report{
		ServerID: string(s.owner.serverID()), LastIndex: s.span.last, Committed: max(s.span.committed, probe.applied),
		Servers: servers(probe.members),
	}
	if s.span.last > 0 {
		var last raft.Log
		if err := s.GetLog(s.span.last, &last); err != nil {
			return Report{}, nil, err
		}
		report.LastTerm = last.Term
	}
	list, err := files.List()
	if err != nil {
		return Report{}, nil, err
	}
	if len(list) > 0 && list[0].Index > report.LastIndex {
		report.LastIndex, report.LastTerm = list[0].Index, list[0].Term
	}
	return report, files, nil
}

// discarding is a machine without state.
type discarding struct{}

func (discarding) Apply(uint64, []byte) []byte { return nil }
func (discarding) Snapshot() ([]byte, error)   { return nil, nil }
func (discarding) Restore([]byte) error        { return nil }
