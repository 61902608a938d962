package raftlog

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Streams carries connections between the nodes of a cluster. It must pin both ends of each to the keys of member
// nodes before a byte of raft's passes: a raft node that belongs to no cluster yet takes votes and entries from
// anybody who can connect. Addr returns an address whose text is the node's own key. A closed Streams ends dials
// that are under way.
type Streams interface {
	net.Listener
	// Dial connects to the node with the given key.
	Dial(node string, timeout time.Duration) (net.Conn, error)
}

const (
	poolSize   = 3
	rpcTimeout = 5 * time.Second // of a call between nodes; longer for large snapshots
)

// transport is what raft speaks through. It hides Close, so that raft can be stopped and started again on it, and
// the pipeline, which has open defects (hashicorp/raft#681, grafana/pyroscope#5518).
//
// Once the store has failed it sends nothing: raft cannot be stopped while a write of its main loop hangs, and the
// heartbeats that it would go on sending keep the others from an election (hashicorp/raft#503).
type transport struct {
	raft.Transport
	preVote raft.WithPreVote
	failed  <-chan struct{}
	shut    func()

	mu   sync.Mutex
	last map[raft.ServerID]*repeat

	notices notices
}

// repeat is the last request that a follower has agreed to, while nothing else was sent to it.
type repeat struct {
	term, entry, entryTerm, commit uint64
	response                       raft.AppendEntriesResponse
	at                             time.Time
}

// repeatAfter is after how long a request is sent again that tells nothing new. It is short against the leader's lease,
// which counts from answers, also from those given here.
const repeatAfter = 20 * time.Millisecond

var _ raft.WithPreVote = (*transport)(nil)

// silent returns why nothing is sent any more, or nil.
func (t *transport) silent() error {
	select {
	case <-t.failed:
		return ErrFailed
	default:
		return nil
	}
}

// newTransport returns the way to other nodes that cfg names, or one that reaches nobody. It falls silent when failed is
// closed.
func newTransport(cfg *Config, failed <-chan struct{}, logger hclog.Logger) *transport {
	switch {
	case cfg.transport != nil:
		return wrapTransport(cfg.transport, failed, func() {})
	case cfg.Streams == nil:
		_, nowhere := raft.NewInmemTransport(raft.ServerAddress(cfg.NodeKey))
		return wrapTransport(nowhere, failed, func() {})
	}
	layer := &layer{Streams: cfg.Streams, open: make(map[*conn]struct{})}
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, Logger: logger, MaxPool: poolSize, MaxRPCsInFlight: 1, Timeout: rpcTimeout,
	})
	return wrapTransport(network, failed, func() {
		_ = network.Close()
		network.CloseStreams()
		layer.wait()
	})
}

func wrapTransport(inner raft.Transport, failed <-chan struct{}, shut func()) *transport {
	preVote, _ := inner.(raft.WithPreVote)
	t := &transport{Transport: inner, preVote: preVote, failed: failed, last: make(map[raft.ServerID]*repeat)}
	t.notices.send, t.notices.ears = t.notify, make(map[raft.ServerID]*ear)
	t.shut = func() { t.notices.end(shut) }
	return t
}

// notify sends a notice of a commit, so that raft's own request that tells the same need not be sent.
func (t *transport) notify(id raft.ServerID, target raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse,
) error {
	if err := t.silent(); err != nil {
		return err
	}
	return t.tell(id, target, request, response)
}

// AppendEntries implements [raft.Transport].
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse,
) error {
	if err := t.silent(); err != nil {
		return err
	}
	if len(request.Entries) == 0 && request.PrevLogEntry > 0 {
		if err := t.tell(id, target, request, response); err != nil || !response.Success {
			return err
		}
		t.notices.agreed(id, target, request)
		return nil
	}
	t.forget(id, request)
	err := t.Transport.AppendEntries(id, target, request, response)
	if err == nil && response.Success && len(request.Entries) > 0 {
		t.notices.agreed(id, target, request)
	}
	return err
}

// tell sends a request without entries, which tells a follower how far the log is committed, unless it has agreed to the
// same one just now: raft makes one every one to two [commitTimeout], so that followers hear of a commit at once.
func (t *transport) tell(id raft.ServerID, target raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse,
) error {
	now := repeat{
		term: request.Term, entry: request.PrevLogEntry, entryTerm: request.PrevLogTerm,
		commit: request.LeaderCommitIndex, at: time.Now(),
	}
	t.mu.Lock()
	before := t.last[id]
	t.mu.Unlock()
	if before != nil && before.same(now) && now.at.Sub(before.at) < repeatAfter {
		*response = before.response
		return nil
	}
	if err := t.Transport.AppendEntries(id, target, request, response); err != nil || !response.Success {
		t.drop(id)
		return err
	}
	now.response = *response
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last[id] = &now
	return nil
}

func (r *repeat) same(other repeat) bool {
	return r.term == other.term && r.entry == other.entry && r.entryTerm == other.entryTerm && r.commit == other.commit
}

// forget drops what is remembered of a follower that is sent something else than a heartbeat.
func (t *transport) forget(id raft.ServerID, request *raft.AppendEntriesRequest) {
	if len(request.Entries) > 0 {
		t.drop(id)
	}
}

func (t *transport) drop(id raft.ServerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, id)
}

// RequestVote implements [raft.Transport].
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, request *raft.RequestVoteRequest,
	response *raft.RequestVoteResponse,
) error {
	if err := t.silent(); err != nil {
		return err
	}
	return t.Transport.RequestVote(id, target, request, response)
}

// RequestPreVote implements [raft.WithPreVote].
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, request *raft.RequestPreVoteRequest,
	response *raft.RequestPreVoteResponse,
) error {
	if err := t.silent(); err != nil {
		return err
	}
	return t.preVote.RequestPreVote(id, target, request, response)
}

// AppendEntriesPipeline refuses: every request waits for its answer.
func (t *transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// layer is Streams as raft's network transport wants it. The transport itself leaves connections that it has
// accepted open when it is closed; layer closes them and waits for those who serve them.
type layer struct {
	Streams
	mu      sync.Mutex
	open    map[*conn]struct{}
	closed  bool
	serving sync.WaitGroup // one for each accepted connection that its goroutine has not closed
}

var _ raft.StreamLayer = (*layer)(nil)

func (l *layer) Accept() (net.Conn, error) {
	inner, err := l.Streams.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &conn{Conn: inner, layer: l}
	if l.closed {
		_ = inner.Close() // and its reader will notice
		return c, nil
	}
	c.served = true
	l.serving.Add(1)
	l.open[c] = struct{}{}
	return c, nil
}

func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	inner, err := l.Streams.Dial(string(address), timeout)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = inner.Close()
		return nil, net.ErrClosed
	}
	c := &conn{Conn: inner, layer: l}
	l.open[c] = struct{}{}
	return c, nil
}

// Close closes the streams and every connection.
func (l *layer) Close() error {
	l.mu.Lock()
	l.closed = true
	open := l.open
	l.open = nil
	l.mu.Unlock()
	err := l.Streams.Close()
	for c := range open {
		_ = c.Conn.Close()
	}
	return err
}

// wait returns when nobody serves an accepted connection any more.
func (l *layer) wait() { l.serving.Wait() }

// conn is a connection that its layer knows.
type conn struct {
	net.Conn
	layer  *layer
	served bool // accepted here
	once   sync.Once
}

// Close closes the connection. Calling it again does nothing.
func (c *conn) Close() (err error) {
	c.once.Do(func() {
		err = c.Conn.Close()
		c.layer.mu.Lock()
		delete(c.layer.open, c)
		c.layer.mu.Unlock()
		if c.served {
			c.layer.serving.Done()
		}
	})
	return err
}
