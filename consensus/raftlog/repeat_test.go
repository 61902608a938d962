package raftlog

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// follower is the other end of a transport: it counts what comes and answers as told.
type follower struct {
	raft.Transport
	came   int
	refuse bool
	err    error
}

func (f *follower) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, q *raft.AppendEntriesRequest, r *raft.AppendEntriesResponse) error {
	f.came++
	*r = raft.AppendEntriesResponse{Term: q.Term, Success: !f.refuse, LastLog: q.PrevLogEntry}
	return f.err
}

func TestRequestsThatTellNothingNewAreNotSent(t *testing.T) {
	errGone := errors.New("gone")
	told := raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, LeaderCommitIndex: 6}
	for name, c := range map[string]struct {
		change  func(*raft.AppendEntriesRequest)
		between func(*transport, *follower)
		sent    bool
	}{
		"the same again":             {sent: false},
		"a commit":                   {change: func(q *raft.AppendEntriesRequest) { q.LeaderCommitIndex++ }, sent: true},
		"another term":               {change: func(q *raft.AppendEntriesRequest) { q.Term++ }, sent: true},
		"another entry before it":    {change: func(q *raft.AppendEntriesRequest) { q.PrevLogEntry++ }, sent: true},
		"one of another term":        {change: func(q *raft.AppendEntriesRequest) { q.PrevLogTerm++ }, sent: true},
		"entries":                    {change: func(q *raft.AppendEntriesRequest) { q.Entries = []*raft.Log{{Index: 8}} }, sent: true},
		"a heartbeat":                {change: func(q *raft.AppendEntriesRequest) { *q = raft.AppendEntriesRequest{Term: 3} }, sent: true},
		"the same, late":             {between: func(*transport, *follower) { time.Sleep(repeatAfter) }, sent: true},
		"the same after entries":     {between: after(raft.AppendEntriesRequest{Term: 3, Entries: []*raft.Log{{Index: 8}}}), sent: true},
		"the same after a heartbeat": {between: after(raft.AppendEntriesRequest{Term: 3}), sent: false},
		"after a refusal": {between: func(tr *transport, f *follower) {
			f.refuse = true
			after(raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9})(tr, f)
			f.refuse = false
		}, sent: true},
		"after a failure": {between: func(tr *transport, f *follower) {
			f.err = errGone
			after(raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9})(tr, f)
			f.err = nil
		}, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &follower{}
				tr := wrapTransport(f, make(chan struct{}), func() {})
				var response raft.AppendEntriesResponse
				if err := tr.AppendEntries("f", "f", &told, &response); err != nil || !response.Success || f.came != 1 {
					t.Fatalf("the first: %v %+v, %d came", err, response, f.came)
				}
				if c.between != nil {
					c.between(tr, f)
				}
				came, again := f.came, told
				if c.change != nil {
					c.change(&again)
				}
				response = raft.AppendEntriesResponse{}
				if err := tr.AppendEntries("f", "f", &again, &response); err != nil || !response.Success || response.Term != again.Term {
					t.Errorf("%v %+v", err, response)
				}
				if sent := f.came > came; sent != c.sent {
					t.Errorf("sent %t", sent)
				}
			})
		})
	}
}

// after sends something in between, whatever becomes of it.
func after(q raft.AppendEntriesRequest) func(*transport, *follower) {
	return func(tr *transport, _ *follower) {
		_ = tr.AppendEntries("f", "f", &q, &raft.AppendEntriesResponse{})
	}
}

func TestAgreementOfOneFollowerIsNotAnothers(t *testing.T) {
	f := &follower{}
	tr := wrapTransport(f, make(chan struct{}), func() {})
	q := raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7}
	for i, id := range []raft.ServerID{"a", "b"} {
		if err := tr.AppendEntries(id, "x", &q, &raft.AppendEntriesResponse{}); err != nil || f.came != i+1 {
			t.Errorf("%s: %v, %d came", id, err, f.came)
		}
	}
}
