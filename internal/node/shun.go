package node

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
)

// Raft keeps a leader for as long as it sends signs of life, whether it appends what it is given or not. A node whose
// lease has ended for [unservedRounds] greetings, while one leader stood all that time, therefore takes nothing of the
// log's from that leader for a while, longer each time. Where a majority does, another one is elected.
const (
	unservedRounds = 3
	shunAtFirst    = 5 * time.Second
	shunAtMost     = 5 * time.Minute
	shunMemory     = 30 * time.Minute // after which a node is as good as any other

	// reach is for how long after an exile a leader is not judged anew: raft waits up to 10 s before it tries a follower
	// again that did not answer.
	reach = 12 * time.Second
)

var errShunned = fault.New(fault.Denied, "node: this node led, and appended nothing").
	WithHint("see its log; if it does not serve, remove it from the roster")

// shun is whose log this node takes nothing from. It is safe for concurrent use; judge is for one goroutine.
type shun struct {
	unserved int    // rounds without a lease under one leader
	leader   string // that one
	ready    bool   // there was a lease since the start
	applied  uint64 // entries, at the last round

	mu  sync.Mutex
	out map[identity.ID]exile
}

type exile struct {
	begun  time.Time
	length time.Duration
}

func newShun() *shun { return &shun{out: map[identity.ID]exile{}} }

// judge notes one round: who leads, if anybody but this node does, and whether this node is served. It returns a leader
// that is to be shunned from now on.
func (s *shun) judge(leader string, served bool, now time.Time) (identity.ID, bool) {
	id, err := identity.ParseID(leader)
	if served || err != nil || leader != s.leader {
		s.leader, s.unserved = leader, 0
		return identity.ID{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.out[id]
	if ok && now.Sub(before.begun) < before.length+reach {
		s.unserved = 0 // it could not have served this node yet
		return identity.ID{}, false
	}
	if s.unserved++; s.unserved < unservedRounds {
		return identity.ID{}, false
	}
	s.unserved = 0
	length := shunAtFirst
	if ok && now.Sub(before.begun) < shunMemory {
		length = min(2*before.length, shunAtMost)
	}
	s.out[id] = exile{begun: now, length: length}
	return id, true
}

// has reports whether nothing is taken from a node's log now.
func (s *shun) has(id identity.ID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.out[id]
	return ok && now.Sub(e.begun) < e.length
}

// had reports whether a node was shunned not long ago: nobody is asked to have it lead again.
func (s *shun) had(id identity.ID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.out[id]
	return ok && now.Sub(e.begun) < shunMemory
}

// backlog is how many entries a node applies between two greetings that is still being told what it missed.
const backlog = 64

// judgeLeader shuns a leader under which this node has no lease any more, though it counts, had one since its start, is
// not catching up and has applied what it knows to be committed: a node that was itself held up blames nobody.
func (c steward) judgeLeader() {
	leader, known := c.node.log.Leader()
	if !known || leader == c.node.ID().String() {
		leader = ""
	}
	stats := c.node.log.Stats()
	ready, applied := c.node.registrar.Ready() == nil, stats.Applied
	fed := applied > c.shun.applied+backlog || stats.Committed > applied
	c.shun.ready, c.shun.applied = c.shun.ready || ready, applied
	served := ready || fed || !c.shun.ready || !slices.Contains(c.node.registrar.Authority().Nodes, c.node.ID())
	if id, out := c.shun.judge(leader, served, time.Now()); out {
		c.node.config.Logger.Warn("the node that leads appends nothing: its log is not followed for a while", "node", leader)
		c.mesh.Drop(id)
	}
}

// raftStreams are the mesh's streams as raftlog wants them, without those of nodes that are shunned.
type raftStreams struct {
	*mesh.Streams
	shun *shun
}

var _ raftlog.Streams = raftStreams{}

// Dial implements [raftlog.Streams].
func (s raftStreams) Dial(node string, timeout time.Duration) (net.Conn, error) {
	if id, err := identity.ParseID(node); err == nil && s.shun.has(id, time.Now()) {
		return nil, fmt.Errorf("%s: %w", node, errShunned)
	}
	return s.DialNode(node, timeout)
}

// Accept implements [raftlog.Streams].
func (s raftStreams) Accept() (net.Conn, error) {
	for {
		conn, err := s.Streams.Accept()
		if err != nil {
			return nil, err
		}
		if id, ok := mesh.Peer(conn); !ok || !s.shun.has(id, time.Now()) {
			return conn, nil
		}
		_ = conn.Close() // it may come back later
	}
}
