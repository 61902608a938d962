package raftlog

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Config says where a Log lives and what it drives. It is not changed by Open and may be reused.
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
	aloneTimeout  = 50 * time.Millisecond
	commitTimeout = 5 * time.Millisecond

	// drainLimit is how long Close waits for entries in flight before it drops them.
	drainLimit = 2 * time.Second
)

func (c *Config) validate() error {
	switch {
	case c.Dir == "":
		return fmt.Errorf("%w: no directory", ErrConfig)
	case c.NodeKey == "" || strings.Trim(c.NodeKey, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "":
		return fmt.Errorf("%w: node key %q is not the text of an nkey", ErrConfig, c.NodeKey)
	case c.Machine == nil:
		return fmt.Errorf("%w: no machine", ErrConfig)
	}
	return nil
}

// raftConfig returns the settings of a lone voter.
func raftConfig(id raft.ServerID, sink *logSink) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = id
	conf.Logger = newLogger(sink)
	conf.HeartbeatTimeout = aloneTimeout
	conf.ElectionTimeout = aloneTimeout
	conf.LeaderLeaseTimeout = aloneTimeout
	conf.CommitTimeout = commitTimeout
	conf.TrailingLogs = trailingLogs
	conf.SnapshotThreshold = snapshotEntries
	conf.SnapshotInterval = snapshotInterval
	conf.NoLegacyTelemetry = true        // node keys must not become names of metrics
	conf.NoSnapshotRestoreOnStart = true // machine.catchUp does it
	conf.ShutdownOnRemove = false        // nobody could wait for a shutdown that raft begins itself
	return conf
}
