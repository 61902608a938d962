package raftlog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// heard is the other end of a transport: it keeps what comes, and answers as told.
type heard struct {
	raft.Transport
	requests []raft.AppendEntriesRequest
	refuse   bool
	err      error
	hold     chan struct{} // nil: it answers at once
}

func (f *heard) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, q *raft.AppendEntriesRequest, r *raft.AppendEntriesResponse) error {
	f.requests = append(f.requests, *q)
	if f.hold != nil {
		<-f.hold
	}
	*r = raft.AppendEntriesResponse{Term: q.Term, Success: !f.refuse, LastLog: q.PrevLogEntry}
	return f.err
}

// entries is a request of raft's with the entries 7 and 8, of the terms 2 and 3.
func entries() raft.AppendEntriesRequest {
	return raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("l"), Addr: []byte("at l")}, Term: 3,
		PrevLogEntry: 6, PrevLogTerm: 2, LeaderCommitIndex: 5,
		Entries: []*raft.Log{{Index: 7, Term: 2}, {Index: 8, Term: 3}},
	}
}

func hand(t *testing.T, tr *transport, q raft.AppendEntriesRequest) {
	t.Helper()
	_ = tr.AppendEntries("f", "at f", &q, &raft.AppendEntriesResponse{})
	synctest.Wait()
}

func TestFollowersHearOfACommitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &heard{}
		tr := wrapTransport(f, make(chan struct{}), func() {})
		hand(t, tr, entries())
		tr.notices.committed(8, 3)
		synctest.Wait()
		if len(f.requests) != 2 {
			t.Fatalf("%d requests", len(f.requests))
		}
		q := f.requests[1]
		if q.Term != 3 || q.PrevLogEntry != 8 || q.PrevLogTerm != 3 || q.LeaderCommitIndex != 8 || len(q.Entries) != 0 ||
			string(q.ID) != "l" || string(q.Addr) != "at l" || q.ProtocolVersion != 3 {
			t.Errorf("told %+v", q)
		}
		hand(t, tr, q) // as raft itself would tell it now
		if len(f.requests) != 2 {
			t.Error("told twice")
		}
		tr.notices.committed(8, 3)
		synctest.Wait()
		if len(f.requests) != 2 {
			t.Error("noticed twice")
		}
		tr.shut()
	})
}

// A notice goes to nobody of whom it is not certain that it has exactly the entry that is committed.
func TestNoticesAreOfWhatAFollowerHas(t *testing.T) {
	for name, c := range map[string]struct {
		before, after func(*testing.T, *transport, *heard)
		index, term   uint64
		told          uint64 // 0: nothing
	}{
		"the last entry":                 {index: 8, term: 3, told: 8},
		"one before":                     {index: 7, term: 3, told: 7},
		"an entry that it does not have": {index: 9, term: 3},
		"an entry of an earlier term":    {index: 7, term: 2},
		"an entry of a later term":       {index: 8, term: 4},
		"what raft has told":             {index: 5, term: 3},
		"the last entry, acknowledged now": {index: 10, term: 3, told: 10, after: then(func(q *raft.AppendEntriesRequest) {
			q.PrevLogEntry, q.PrevLogTerm, q.Entries = 8, 3, []*raft.Log{{Index: 9, Term: 3}, {Index: 10, Term: 3}}
		})},
		"an entry of the new term after the follower went on": {index: 8, term: 3, before: then(func(q *raft.AppendEntriesRequest) {
			q.Term, q.PrevLogEntry, q.PrevLogTerm, q.Entries = 4, 8, 3, nil
		})},
		"after an answer to an older term": {index: 8, term: 3, told: 8, before: then(func(q *raft.AppendEntriesRequest) {
			q.Term, q.PrevLogEntry, q.Entries = 2, 20, nil
		})},
		"after the store has failed": {index: 8, term: 3, before: func(_ *testing.T, tr *transport, _ *heard) {
			failed := make(chan struct{})
			close(failed)
			tr.failed = failed
		}},
		"after the end": {index: 8, term: 3, before: func(_ *testing.T, tr *transport, _ *heard) { tr.shut() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &heard{}
				tr := wrapTransport(f, make(chan struct{}), func() {})
				hand(t, tr, entries())
				if c.before != nil {
					c.before(t, tr, f)
				}
				sent := len(f.requests)
				tr.notices.committed(c.index, c.term)
				synctest.Wait()
				if c.after != nil {
					c.after(t, tr, f)
					sent++
				}
				switch got := f.requests[sent:]; {
				case c.told == 0 && len(got) != 0:
					t.Errorf("told %+v", got)
				case c.told != 0 && (len(got) != 1 || got[0].LeaderCommitIndex != c.told):
					t.Errorf("told %+v, want %d", got, c.told)
				}
				tr.shut()
			})
		})
	}
}

// then hands in another request of raft's.
func then(change func(*raft.AppendEntriesRequest)) func(*testing.T, *transport, *heard) {
	return func(t *testing.T, tr *transport, _ *heard) {
		t.Helper()
		q := entries()
		change(&q)
		hand(t, tr, q)
	}
}

// Who refused, or could not be asked, is told nothing more until it agrees again.
func TestNoticesEndWithTheAgreement(t *testing.T) {
	for name, spoil := range map[string]func(*heard){
		"refused": func(f *heard) { f.refuse = true }, "failed": func(f *heard) { f.err = errors.New("gone") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &heard{}
				tr := wrapTransport(f, make(chan struct{}), func() {})
				hand(t, tr, entries())
				spoil(f)
				tr.notices.committed(7, 3)
				synctest.Wait()
				tr.notices.committed(8, 3)
				synctest.Wait()
				if len(f.requests) != 2 {
					t.Errorf("%d requests", len(f.requests))
				}
				f.refuse, f.err = false, nil
				hand(t, tr, entries())
				if last := f.requests[len(f.requests)-1]; len(f.requests) != 4 || last.LeaderCommitIndex != 8 {
					t.Errorf("%d requests, the last %+v", len(f.requests), last)
				}
				tr.shut()
			})
		})
	}
}

// Commits that come while a notice is under way are told together after it, and the end waits for it.
func TestOneNoticeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &heard{}
		tr := wrapTransport(f, make(chan struct{}), func() {})
		q := entries()
		q.Entries = append(q.Entries, &raft.Log{Index: 9, Term: 3})
		hand(t, tr, q)
		f.hold = make(chan struct{})
		for index := uint64(7); index <= 9; index++ {
			tr.notices.committed(index, 3)
			synctest.Wait()
		}
		if len(f.requests) != 2 {
			t.Fatalf("%d requests", len(f.requests))
		}
		f.hold <- struct{}{}
		synctest.Wait()
		if last := f.requests[len(f.requests)-1]; len(f.requests) != 3 || last.LeaderCommitIndex != 9 {
			t.Fatalf("%d requests, the last %+v", len(f.requests), last)
		}
		ended := make(chan struct{})
		go func() { // ends with the notice
			tr.shut()
			close(ended)
		}()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("ended while a notice was under way")
		default:
		}
		close(f.hold)
		<-ended
	})
}

// TestFollowersApplyWithoutRaftsTimer has a cluster in which raft never tells of a commit by itself.
func TestFollowersApplyWithoutRaftsTimer(t *testing.T) {
	c := newCluster(t, 3, recorders)
	c.tune = func(conf *raft.Config) { conf.CommitTimeout = time.Hour }
	defer c.run().close()
	leader := c.leader()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := range 20 {
		_, index, err := leader.log.Append(ctx, padded(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.nodes {
			if err := m.log.reach(ctx, index); err != nil {
				t.Fatalf("node %d has not heard of entry %d: %v", m.number, index, err)
			}
		}
	}
}
