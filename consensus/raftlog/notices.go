package raftlog

import (
	"sync"

	"github.com/hashicorp/raft"
)

// A follower hears from raft that an entry is committed with the next entries, or by an empty request one to two
// [commitTimeout] later. Whoever waits for that follower's machine waits as long. So the leader's transport sends such a
// request itself, as soon as raft gives the leader's machine the entry.
//
// It says nothing that raft might not say. It is made of what the follower has agreed to in a term, its last entry then, and
// of a committed entry of the same term that does not come after it. Only one node makes entries in a term, one for each
// index, and a follower that is still in that term has that node's log up to what it has agreed to: so it has just this
// entry. One that has gone on to another term refuses. Who leads by now does not matter.

// notices are what followers are to be told of commits. It is safe for concurrent use.
type notices struct {
	send func(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error

	mu          sync.Mutex
	ears        map[raft.ServerID]*ear
	index, term uint64 // of the newest entry that the machine was given
	closed      bool
	sending     sync.WaitGroup // one for each ear that is busy
}

// ear is a follower, by the last request that it has agreed to.
type ear struct {
	target           raft.ServerAddress
	header           raft.RPCHeader // says who leads
	term             uint64         // 0: nothing is known
	entry, entryTerm uint64         // the last one that it has
	commit           uint64         // that it was told
	busy             bool           // a notice is under way
}

// agreed notes that a follower has agreed to a request of raft's.
func (n *notices) agreed(id raft.ServerID, target raft.ServerAddress, q *raft.AppendEntriesRequest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.ears[id]
	if e == nil {
		e = &ear{}
		n.ears[id] = e
	}
	if q.Term < e.term {
		return // a late answer
	}
	if q.Term > e.term {
		e.term, e.commit = q.Term, 0
	}
	e.target, e.header = target, q.RPCHeader
	e.entry, e.entryTerm, e.commit = q.PrevLogEntry, q.PrevLogTerm, max(e.commit, q.LeaderCommitIndex)
	if count := len(q.Entries); count > 0 {
		e.entry, e.entryTerm = q.Entries[count-1].Index, q.Entries[count-1].Term
	}
	n.tell(id, e)
}

// committed notes that an entry is committed, and has the followers told that have it.
func (n *notices) committed(index, term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index, n.term = index, term
	for id, e := range n.ears {
		n.tell(id, e)
	}
}

// due reports whether the follower has the newest committed entry, and has not been told. mu is held.
func (n *notices) due(e *ear) bool {
	return !n.closed && e.term > 0 && e.term == n.term && n.index <= e.entry && n.index > e.commit
}

// tell has a follower told, unless that is under way. mu is held.
func (n *notices) tell(id raft.ServerID, e *ear) {
	if !e.busy && n.due(e) {
		e.busy = true
		n.sending.Go(func() { n.run(id, e) })
	}
}

// run tells a follower until it knows all.
func (n *notices) run(id raft.ServerID, e *ear) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { e.busy = false }()
	for n.due(e) {
		target, q := e.target, raft.AppendEntriesRequest{
			RPCHeader: e.header, Term: e.term, PrevLogEntry: e.entry, PrevLogTerm: e.entryTerm,
			LeaderCommitIndex: n.index,
		}
		e.commit = n.index // raft tells it again if it is lost
		n.mu.Unlock()
		var response raft.AppendEntriesResponse
		err := n.send(id, target, &q, &response)
		n.mu.Lock()
		if (err != nil || !response.Success) && e.term == q.Term {
			e.term = 0 // until it agrees again
		}
	}
}

// end returns when nothing is under way any more; nothing will be. stop ends what is.
func (n *notices) end(stop func()) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	stop()
	n.sending.Wait()
}
