package raftlog

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Config says where a Log lives, what it drives and how it reaches the other nodes. It is not changed by Open and
// may be reused. Nodes are named by the text of their nkeys everywhere.
type Config struct {
	// Dir is the directory of the log and its snapshots. It is made, with mode 0700, if it is missing.
	Dir string
	// NodeKey is the text of the node's nkey (capital letters and the digits 2 to 7). A directory belongs to the
	// node that made it.
	NodeKey string
	// Machine is what the log drives. Open restores it; nobody else may change it.
	Machine consensus.Machine
	// Logger receives raft's messages; nil drops them.
	Logger *slog.Logger

	// Streams carries raft's connections to other nodes. Close closes it. nil: the node stays alone.
	Streams Streams
	// Joins makes a new log start empty: the node waits until the leader of a cluster admits it. False: a new log
	// has this node as its only voter. It means nothing to a log that exists.
	Joins bool
	// Forward hands an entry to the node that leads, which must answer with [Log.AppendHere], and returns the index
	// at which it was appended. An error that wraps [consensus.ErrNotLeader] or [consensus.ErrTooLarge] says that
	// nothing was appended; any other leaves that open. It must return when ctx ends. nil: only the leader appends.
	Forward func(ctx context.Context, leader string, entry []byte) (index uint64, err error)
	// AskBarrier asks the node that leads for [Log.BarrierHere]. It must return when ctx ends. nil: only the leader
	// has barriers.
	AskBarrier func(ctx context.Context, leader string) (index uint64, err error)
	// Applied returns how far another node has applied the log, by what that node has told lately ([Log.Stats],
	// Applied), and whether it has. Raft does not tell. nil: nobody can be promoted.
	Applied func(node string) (index uint64, ok bool)

	// Patience is how long Append and Barrier wait for a leader to appear while nothing has been sent, and then
	// again for its answer. 0: 5 seconds.
	Patience time.Duration
	// Pace multiplies every timer by which nodes of a cluster judge one another, for slow machines and networks; all
	// nodes need the same. 0: 1, a heartbeat and election timeout of 400 ms and a leader's lease of 200 ms.
	Pace int
	// Unsynced has nothing wait for the disk: what was acknowledged is lost with the machine, though not with the
	// process. It is for tests that end neither.
	Unsynced bool

	transport raft.Transport     // of a test, in place of Streams; it is not closed
	tune      func(*raft.Config) // of a test: the last word about raft's settings; nil: none
}

// Limits and periods; raft.Config says what those of raft do.
const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700

	// maxInFlight bounds the entries that wait for their answer. With trailingLogs it also keeps a deposed leader's
	// uncommitted tail shorter than the log that its successor holds (hashicorp/raft#697).
	maxInFlight  = 256
	trailingLogs = 10240

	cachedEntries     = 512
	retainedSnapshots = 3
	snapshotEntries   = 4096
	snapshotInterval  = time.Minute

	// aloneTimeout is every timer of a lone voter: it waits for nobody, and a start lasts one to two of these.
	aloneTimeout = 50 * time.Millisecond
	aloneCommit  = 5 * time.Millisecond

	// Timers of a cluster, before Pace. The lease is half of the heartbeat timeout, as in raft's own defaults.
	heartbeatTimeout = 400 * time.Millisecond
	leaseTimeout     = 200 * time.Millisecond
	// commitTimeout is how long a follower waits to hear that an entry is committed: up to twice as long. Raft sends an
	// empty request every time, so the transport passes over those that tell nothing new (see repeat). It is not
	// multiplied: it judges nobody.
	commitTimeout = 2 * time.Millisecond

	// defaultPatience is Config.Patience if that is 0.
	defaultPatience = 5 * time.Second
	// drainLimit is how long Close waits for entries in flight before it drops them.
	drainLimit = 2 * time.Second
)

func (c *Config) validate() error {
	switch {
	case c.Dir == "":
		return fmt.Errorf("%w: no directory", ErrConfig)
	case !isNodeKey(c.NodeKey):
		return fmt.Errorf("%w: node key %q is not the text of an nkey", ErrConfig, c.NodeKey)
	case c.Machine == nil:
		return fmt.Errorf("%w: no machine", ErrConfig)
	case c.Patience < 0 || c.Pace < 0:
		return fmt.Errorf("%w: patience %v, pace %d", ErrConfig, c.Patience, c.Pace)
	case c.Joins && !c.networked():
		return fmt.Errorf("%w: a node that joins needs streams", ErrConfig)
	case c.Streams != nil && c.Streams.Addr().String() != c.NodeKey:
		return fmt.Errorf("%w: the streams' address is %q, not the node key", ErrConfig, c.Streams.Addr())
	}
	return nil
}

// networked reports whether the node can reach others.
func (c *Config) networked() bool { return c.Streams != nil || c.transport != nil }

// complete returns c with its defaults filled in.
func (c Config) complete() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	c.Pace = max(c.Pace, 1)
	return c
}

func isNodeKey(text string) bool {
	return text != "" && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// raftConfig returns raft's settings: those of a lone voter, or those of a member of a cluster.
func (c *Config) raftConfig(id raft.ServerID, sink *logSink, clustered bool) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = id
	conf.Logger = newLogger(sink)
	conf.HeartbeatTimeout, conf.LeaderLeaseTimeout, conf.CommitTimeout = aloneTimeout, aloneTimeout, aloneCommit
	if clustered {
		pace := time.Duration(max(c.Pace, 1))
		conf.HeartbeatTimeout, conf.LeaderLeaseTimeout = pace*heartbeatTimeout, pace*leaseTimeout
		conf.CommitTimeout = commitTimeout
	}
	conf.ElectionTimeout = conf.HeartbeatTimeout
	conf.TrailingLogs = trailingLogs
	conf.SnapshotThreshold = snapshotEntries
	conf.SnapshotInterval = snapshotInterval
	conf.NoLegacyTelemetry = true        // node keys must not become names of metrics
	conf.NoSnapshotRestoreOnStart = true // machine.catchUp does it
	conf.RestoreCommittedLogs = true     // only so that raft tells commit indexes: see trackedLog
	conf.ShutdownOnRemove = false        // nobody could wait for a shutdown that raft begins itself
	if c.tune != nil {
		c.tune(conf)
	}
	return conf
}
