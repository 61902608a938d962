package raftlog

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	// ErrMember is returned when a change of members would leave the cluster unsafe, or names no such server.
	ErrMember = fault.New(fault.InvalidInput, "raftlog: change of members refused")
	// ErrBehind is returned by Promote when a server has not caught up yet; nothing was changed. Try again later.
	ErrBehind = fault.New(fault.Pending, "raftlog: server has not caught up")
)

const (
	// nearEnough is how many entries a server may lack to be promoted.
	nearEnough = 250
	// changeTimeout is how long a change of members waits for the one before it.
	changeTimeout = rpcTimeout
)

// Server is a member of the cluster.
type Server struct {
	ID    string // "<nkey>.<16 hex digits>": one directory of one node
	Node  string // key of the node
	Voter bool   // false: it follows the log and counts for nothing
}

// Members changes who belongs to the cluster. All changes are the leader's to make: elsewhere they return
// [consensus.ErrNotLeader]. They are idempotent, so one that ended with [consensus.ErrUncertain] can be tried again.
// Each passes the index of the configuration that it changes, so that two leaders cannot cross.
//
// There is no way to add a voter that is not a member yet: with a node that cannot be reached, or an address that is
// wrong, nothing could be committed ever again.
type Members struct {
	engine *engine
	mu     sync.Mutex // one change at a time
}

// Servers returns the latest configuration that this node has, committed or not. It is empty until a node that joins
// was admitted.
func (m *Members) Servers() []Server {
	found, _ := m.latest()
	return servers(found)
}

// servers returns what raft's are called here.
func servers(of []raft.Server) []Server {
	out := make([]Server, len(of))
	for i, s := range of {
		out[i] = Server{ID: string(s.ID), Node: string(s.Address), Voter: s.Suffrage == raft.Voter}
	}
	return out
}

// latest returns the configuration and its index.
func (m *Members) latest() ([]raft.Server, uint64) {
	future := m.engine.now().raft.GetConfiguration()
	if future.Error() != nil { // never, in this version of raft
		return nil, 0
	}
	return future.Configuration().Servers, future.Index()
}

// Admit adds a server without a vote: it receives the log from now on. If it is a member already, nothing happens. If
// its node is one with another id, because it has lost its directory, that one is removed first, with its vote. The
// node must be able to reach its Streams.
//
// A leader that was alone until now stops raft and starts it again with the timers of a cluster; entries that come
// meanwhile wait.
func (m *Members) Admit(ctx context.Context, serverID string) error {
	node, err := nodeOf(serverID)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mayChange(); err != nil {
		return err
	}
	servers, _ := m.latest()
	for _, s := range servers {
		switch {
		case string(s.ID) == serverID:
			return nil
		case string(s.Address) != node:
		case s.ID == m.engine.store.owner.serverID():
			return fmt.Errorf("%w: %s is this node", ErrMember, serverID)
		default:
			if err := m.remove(ctx, s.ID); err != nil {
				return err
			}
		}
	}
	if err := m.grow(ctx); err != nil {
		return err
	}
	return m.change(ctx, func(r *raft.Raft, previous uint64) raft.IndexFuture {
		return r.AddNonvoter(raft.ServerID(serverID), raft.ServerAddress(node), previous, changeTimeout)
	})
}

// Promote gives servers a vote, together: the number of voters must be odd afterwards. Each must be a member that has
// all but the newest 250 entries, by Config.Applied. Servers that vote already are passed over.
func (m *Members) Promote(ctx context.Context, serverIDs ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mayChange(); err != nil {
		return err
	}
	servers, _ := m.latest()
	byID, voters := make(map[string]raft.Server), 0
	for _, s := range servers {
		byID[string(s.ID)] = s
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	chosen := make(map[string]raft.Server)
	for _, id := range serverIDs {
		s, ok := byID[id]
		if !ok {
			return fmt.Errorf("%w: %s was not admitted", ErrMember, id)
		}
		if s.Suffrage == raft.Voter {
			continue
		}
		if behind, known := m.Behind(id); !known || behind > nearEnough {
			return fmt.Errorf("%w: %s", ErrBehind, id)
		}
		chosen[id] = s
	}
	if (voters+len(chosen))%2 == 0 {
		return fmt.Errorf("%w: %d voters are no safer than %d", ErrMember, voters+len(chosen), voters+len(chosen)-1)
	}
	for _, s := range chosen {
		err := m.change(ctx, func(r *raft.Raft, previous uint64) raft.IndexFuture {
			return r.AddVoter(s.ID, s.Address, previous, changeTimeout)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Dismiss removes a node. If it is none, nothing happens. A leader that is to dismiss itself hands its office to
// another node and returns [consensus.ErrNotLeader]: ask that one.
func (m *Members) Dismiss(ctx context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mayChange(); err != nil {
		return err
	}
	if node == m.engine.cfg.NodeKey {
		if err := m.handOver(ctx, ""); err != nil {
			return err
		}
		return consensus.ErrNotLeader
	}
	servers, _ := m.latest()
	for _, s := range servers {
		if string(s.Address) == node {
			return m.remove(ctx, s.ID)
		}
	}
	return nil
}

// Transfer hands the leadership to a node that votes; "" is the one that has most of the log. It returns once this
// node does not lead any more.
func (m *Members) Transfer(ctx context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mayChange(); err != nil {
		return err
	}
	return m.handOver(ctx, node)
}

// Behind returns how many of the leader's entries a server lacks, by what Config.Applied knows of its node.
func (m *Members) Behind(serverID string) (entries uint64, ok bool) {
	node, err := nodeOf(serverID)
	if err != nil || m.engine.cfg.Applied == nil {
		return 0, false
	}
	applied, ok := m.engine.cfg.Applied(node)
	if !ok {
		return 0, false
	}
	return m.engine.now().raft.LastIndex() - min(applied, m.engine.now().raft.LastIndex()), true
}

// leadsAlone reports whether this node is the only voter: it will lead, whoever else there is.
func (m *Members) leadsAlone() bool {
	servers, _ := m.latest()
	voters, own := 0, false
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
			own = own || s.ID == m.engine.store.owner.serverID()
		}
	}
	return own && voters == 1
}

// mayChange refuses where changes cannot be made.
func (m *Members) mayChange() error {
	if err := m.engine.ended(); err != nil {
		return err
	}
	if !m.engine.leads() {
		return consensus.ErrNotLeader
	}
	return nil
}

// grow makes sure that raft runs with the timers of a cluster, and leads.
func (m *Members) grow(ctx context.Context) error {
	e := m.engine
	if e.now().clustered {
		return nil
	}
	if !e.cfg.networked() {
		return fmt.Errorf("%w: this node has no streams to others", ErrMember)
	}
	if err := e.rebuild(ctx); err != nil {
		return err
	}
	for {
		changed := e.leaderChanged()
		if e.leads() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.closing:
			return e.ended()
		case <-e.store.failed:
			return e.ended()
		}
	}
}

func (m *Members) remove(ctx context.Context, id raft.ServerID) error {
	return m.change(ctx, func(r *raft.Raft, previous uint64) raft.IndexFuture {
		return r.RemoveServer(id, previous, changeTimeout)
	})
}

// change makes one change of the latest configuration and waits until it is committed.
func (m *Members) change(ctx context.Context, make func(r *raft.Raft, previous uint64) raft.IndexFuture) error {
	return m.engine.submit(ctx, func(_ context.Context, r *raft.Raft) error {
		_, previous := m.latest()
		return m.engine.translate(make(r, previous).Error())
	})
}

func (m *Members) handOver(ctx context.Context, node string) error {
	var target *raft.Server
	servers, _ := m.latest()
	voters := 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter || string(s.Address) == m.engine.cfg.NodeKey {
			continue
		}
		voters++
		if string(s.Address) == node {
			target = &s
		}
	}
	if voters == 0 || (node != "" && target == nil) {
		return fmt.Errorf("%w: no such voter to lead", ErrMember)
	}
	return m.engine.submit(ctx, func(_ context.Context, r *raft.Raft) error {
		if target == nil {
			return m.engine.translate(r.LeadershipTransfer().Error())
		}
		return m.engine.translate(r.LeadershipTransferToServer(target.ID, target.Address).Error())
	})
}

// nodeOf returns the node's key in a server id.
func nodeOf(serverID string) (node string, err error) {
	node, store, _ := strings.Cut(serverID, ".")
	if !isNodeKey(node) || len(store) != 2*storeIDSize || strings.Trim(store, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: %q is no server id", ErrMember, serverID)
	}
	return node, nil
}
