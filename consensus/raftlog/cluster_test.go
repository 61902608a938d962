package raftlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

// cluster is nodes in one process, joined by an in-memory network that can be cut.
type cluster struct {
	t    testing.TB
	tune func(*raft.Config)

	mu    sync.Mutex
	nodes []*member
	cut   map[[2]int]bool // from, to
}

// member is a node of a cluster, running or not.
type member struct {
	cluster *cluster
	number  int
	key     string
	own     owner
	dir     string
	machine func() consensus.Machine // of the next start

	log     *Log // nil: it does not run
	current consensus.Machine
	wire    *raft.InmemTransport
}

var errCut = errors.New("the network is cut")

// newCluster makes the directories of n nodes that all vote; machine makes each one's machine at each start. Nothing
// runs yet.
func newCluster(t testing.TB, n int, machine func() consensus.Machine) *cluster {
	t.Helper()
	c := &cluster{t: t, cut: make(map[[2]int]bool)}
	for range n {
		c.add(machine)
	}
	var voters []raft.Server
	for _, m := range c.nodes {
		voters = append(voters, raft.Server{Suffrage: raft.Voter, ID: m.own.serverID(), Address: raft.ServerAddress(m.key)})
	}
	for _, m := range c.nodes {
		m.found(voters)
	}
	return c
}

// add makes a node without a directory.
func (c *cluster) add(machine func() consensus.Machine) *member {
	number := len(c.nodes)
	m := &member{
		cluster: c, number: number, key: "N" + strings.Repeat(string(rune('A'+number)), 55), dir: c.t.TempDir(),
		machine: machine,
	}
	m.own = owner{store: [storeIDSize]byte{1, byte(number)}, node: m.key}
	c.nodes = append(c.nodes, m)
	return m
}

// found makes the node's store with the members given.
func (m *member) found(members []raft.Server) {
	m.cluster.t.Helper()
	snaps, err := raft.NewFileSnapshotStoreWithLogger(m.dir, 1, newLogger(new(logSink)))
	if err != nil || snaps == nil {
		m.cluster.t.Fatal(err)
	}
	if err := found(m.dir, filepath.Join(m.dir, storeName), m.own, members); err != nil {
		m.cluster.t.Fatal(err)
	}
}

func (m *member) config() Config {
	c := m.cluster
	return Config{
		Dir: m.dir, NodeKey: m.key, Machine: m.current, transport: m.wire, tune: c.tune, Unsynced: true,
		Forward: func(ctx context.Context, leader string, entry []byte) (index uint64, err error) {
			to, err := c.reach(m, leader)
			if err != nil {
				return 0, fmt.Errorf("%w: %w", consensus.ErrNotLeader, err)
			}
			if index, err = to.AppendHere(ctx, entry); err != nil {
				return 0, err
			}
			_, err = c.reach(m, leader) // the answer must come back
			return index, err
		},
		AskBarrier: func(ctx context.Context, leader string) (uint64, error) {
			to, err := c.reach(m, leader)
			if err != nil {
				return 0, err
			}
			return to.BarrierHere(ctx)
		},
		Applied: func(node string) (uint64, bool) {
			to, err := c.reach(m, node)
			if err != nil {
				return 0, false
			}
			return to.Stats().Applied, true
		},
	}
}

// reach returns the running log of another node, if the network allows both ways.
func (c *cluster) reach(from *member, key string) (*Log, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, to := range c.nodes {
		if to.key == key && to.log != nil && !c.cut[[2]int{from.number, to.number}] && !c.cut[[2]int{to.number, from.number}] {
			return to.log, nil
		}
	}
	return nil, errCut
}

// start opens the node's log, with changes to its configuration.
func (m *member) start(changes ...func(*Config)) *Log {
	m.cluster.t.Helper()
	machine := m.machine()
	_, wire := raft.NewInmemTransport(raft.ServerAddress(m.key))
	m.cluster.mu.Lock()
	m.current, m.wire = machine, wire
	m.cluster.mu.Unlock()
	cfg := m.config()
	for _, change := range changes {
		change(&cfg)
	}
	log, err := Open(context.Background(), cfg)
	if err != nil {
		m.cluster.t.Fatalf("start %d: %v", m.number, err)
	}
	m.cluster.mu.Lock()
	m.log = log
	m.cluster.mu.Unlock()
	m.cluster.wire()
	return log
}

// stop closes the node's log.
func (m *member) stop() {
	m.cluster.mu.Lock()
	log := m.log
	m.log = nil
	m.cluster.mu.Unlock()
	m.cluster.wire()
	if log == nil {
		return
	}
	if err := log.Close(); err != nil {
		m.cluster.t.Errorf("stop %d: %v", m.number, err)
	}
}

// crash ends the node's log as far as a process can do that to itself: nothing is waited for and nothing more written.
func (m *member) crash() {
	if m.log != nil {
		m.log.patience = 0
		m.log.store.idle.end()
	}
	m.stop()
}

// wire connects what runs and is not cut.
func (c *cluster) wire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, from := range c.nodes {
		for j, to := range c.nodes {
			if i == j || from.wire == nil {
				continue
			}
			if from.log == nil || to.log == nil || c.cut[[2]int{i, j}] {
				from.wire.Disconnect(raft.ServerAddress(to.key))
			} else {
				from.wire.Connect(raft.ServerAddress(to.key), to.wire)
			}
		}
	}
}

// isolate cuts the nodes given from all others, both ways.
func (c *cluster) isolate(numbers ...int) {
	c.mu.Lock()
	for i := range c.nodes {
		for j := range c.nodes {
			if slices.Contains(numbers, i) != slices.Contains(numbers, j) {
				c.cut[[2]int{i, j}] = true
			}
		}
	}
	c.mu.Unlock()
	c.wire()
}

// heal mends every cut.
func (c *cluster) heal() {
	c.mu.Lock()
	clear(c.cut)
	c.mu.Unlock()
	c.wire()
}

// run starts every node, and stops them when the test ends.
func (c *cluster) run() *cluster {
	c.t.Helper()
	for _, m := range c.nodes {
		m.start()
	}
	return c
}

func (c *cluster) close() {
	for _, m := range c.nodes {
		m.stop()
	}
}

// leader waits until one of the running nodes given (all, if none is) leads and has passed a barrier.
func (c *cluster) leader(among ...int) *member {
	c.t.Helper()
	for {
		for _, m := range c.nodes {
			if m.log == nil || len(among) > 0 && !slices.Contains(among, m.number) || !m.log.Leads() {
				continue
			}
			if _, err := m.log.BarrierHere(context.Background()); err == nil {
				return m
			}
		}
		var any *Log
		for _, m := range c.nodes {
			if m.log != nil {
				any = m.log
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		select {
		case <-any.LeaderChanged():
		case <-ctx.Done():
		}
		cancel()
	}
}

// follower returns a running node that does not lead.
func (c *cluster) follower() *member {
	leader := c.leader()
	for _, m := range c.nodes {
		if m != leader && m.log != nil {
			return m
		}
	}
	c.t.Fatal("no follower")
	return nil
}

// level waits until all running nodes have applied what the leader has, and fails the test unless all their recorders
// hold the same.
func (c *cluster) level() []logtest.Entry {
	c.t.Helper()
	index, err := c.leader().log.BarrierHere(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	var all []logtest.Entry
	for _, m := range c.nodes {
		if m.log == nil {
			continue
		}
		if err := m.log.AtLeast(context.Background(), index); err != nil {
			c.t.Fatalf("node %d: %v", m.number, err)
		}
		recorder := m.current.(*logtest.Recorder)
		recorder.Check(c.t)
		entries := recorder.Entries()
		if all == nil {
			all = entries
		}
		if fmt.Sprint(entries) != fmt.Sprint(all) {
			c.t.Fatalf("node %d holds %d entries, another %d, and not the same", m.number, len(entries), len(all))
		}
	}
	return all
}

func recorders() consensus.Machine { return new(logtest.Recorder) }

func add(t testing.TB, log *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, _, err := log.Append(context.Background(), padded(n)); err != nil {
			t.Fatalf("Append %d: %v", n, err)
		}
	}
}
