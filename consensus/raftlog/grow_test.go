package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

func TestConformanceOfThree(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(fmt.Sprintf("leads %v", leads), func(t *testing.T) {
			logtest.Run(t, func(t *testing.T, machine consensus.Machine) consensus.Log {
				c := newCluster(t, 3, recorders)
				c.nodes[0].machine = func() consensus.Machine { return machine }
				c.run()
				t.Cleanup(c.close)
				leader := c.leader()
				if leads != (leader.number == 0) {
					to := c.nodes[1]
					if leads {
						to = c.nodes[0]
					}
					if err := leader.log.Transfer(t.Context(), to.key); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.nodes[0].log.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				return c.nodes[0].log
			})
		})
	}
}

// joiner adds a node to the cluster that has no log yet and waits to be admitted.
func (c *cluster) joiner() *member {
	m := c.add(recorders)
	m.start(func(cfg *Config) { cfg.Joins = true })
	return m
}

func TestGrowFromOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, recorders).run()
		defer c.close()
		first := c.nodes[0].log
		add(t, first, 0, 20)
		if c.nodes[0].log.now().clustered {
			t.Fatal("a lone node has the timers of a cluster")
		}
		var joiners []*member
		for range 4 {
			joiners = append(joiners, c.joiner())
		}
		if got := joiners[0].log.Servers(); len(got) != 0 {
			t.Fatalf("a joiner knows %v", got)
		}
		ids := make([]string, 4)
		for i, j := range joiners {
			ids[i] = j.log.ServerID()
			for range 2 { // it is idempotent
				if err := first.Admit(t.Context(), ids[i]); err != nil {
					t.Fatal(err)
				}
			}
			add(t, first, 20+i, 21+i)
		}
		for _, j := range joiners {
			if err := j.log.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			holds(t, j.current.(*logtest.Recorder), 24)
		}
		if s := first.Stats(); s.Voters != 1 || s.Followers != 4 {
			t.Fatalf("%+v", s)
		}
		if err := first.Promote(t.Context(), ids[0], ids[1]); err != nil {
			t.Fatal(err)
		}
		if err := first.Promote(t.Context(), ids[1], ids[2], ids[3]); err != nil { // one votes already
			t.Fatal(err)
		}
		add(t, joiners[3].log, 24, 30)
		if s := first.Stats(); s.Voters != 5 || s.Followers != 0 {
			t.Fatalf("%+v", s)
		}
		c.nodes[0].stop() // the leader, and another
		joiners[0].stop()
		add(t, joiners[3].log, 30, 40)
		if got := len(c.level()); got != 40 {
			t.Errorf("%d entries", got)
		}
		// A node that restarts with others in its configuration waits for nobody.
		joiners[1].stop()
		joiners[1].start()
		joiners[2].stop()
		joiners[3].stop()
		joiners[1].stop()
		alone := joiners[1].start()
		holds(t, joiners[1].current.(*logtest.Recorder), 40)
		if err := alone.Writable(); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("alone of five: %v", err)
		}
	})
}

// TestGrowthLosesNothing appends from many goroutines while the lone voter stops raft and starts it with the timers of
// a cluster.
func TestGrowthLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, recorders).run()
		defer c.close()
		log := c.nodes[0].log
		const callers, each = 16, 40
		fails := make(chan error, callers)
		for caller := range callers {
			go func() {
				for n := range each {
					if _, _, err := log.Append(context.Background(), padded(caller*each+n)); err != nil {
						fails <- err
						return
					}
				}
				fails <- nil
			}()
		}
		j := c.joiner()
		if err := log.Admit(t.Context(), j.log.ServerID()); err != nil {
			t.Fatal(err)
		}
		for range callers {
			if err := <-fails; err != nil {
				t.Errorf("Append during growth: %v", err)
			}
		}
		c.level()
		holds(t, j.current.(*logtest.Recorder), callers*each)
	})
}

func TestMembersRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		leader, follower := c.leader(), c.follower()
		j := c.joiner()
		id := j.log.ServerID()
		ctx := t.Context()
		if err := leader.log.Admit(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := j.log.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		late := c.joiner()
		if err := leader.log.Admit(ctx, late.log.ServerID()); err != nil {
			t.Fatal(err)
		}
		if err := late.log.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		c.isolate(late.number)
		add(t, leader.log, 0, nearEnough+10)
		if err := j.log.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		other := fmt.Sprintf("%s.%016x", leader.key, 99)
		tests := []struct {
			name string
			do   func(l *Log) error
			want error
		}{
			{"an even number of voters", func(l *Log) error { return l.Promote(ctx, id) }, ErrMember},
			{"a stranger's vote", func(l *Log) error { return l.Promote(ctx, id, other) }, ErrMember},
			{"a vote for one that cannot be asked", func(l *Log) error { return l.Promote(ctx, id, late.log.ServerID()) }, ErrBehind},
			{"no server id", func(l *Log) error { return l.Admit(ctx, j.key) }, ErrMember},
			{"no store id", func(l *Log) error { return l.Admit(ctx, j.key+".12345678901234567") }, ErrMember},
			{"itself, under another id", func(l *Log) error { return l.Admit(ctx, other) }, ErrMember},
			{"a leader without a vote", func(l *Log) error { return l.Transfer(ctx, j.key) }, ErrMember},
		}
		for _, test := range tests {
			if err := test.do(leader.log); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
			if test.name != "no server id" && test.name != "no store id" {
				if err := test.do(follower.log); !errors.Is(err, consensus.ErrNotLeader) {
					t.Errorf("%s, asked of a follower: %v", test.name, err)
				}
			}
		}
		// What it was told is old: it is behind, although it can be reached again.
		applied := leader.log.cfg.Applied
		leader.log.cfg.Applied = func(node string) (uint64, bool) {
			if node == late.key {
				return 5, true
			}
			return applied(node)
		}
		if behind, ok := leader.log.Behind(late.log.ServerID()); !ok || behind <= nearEnough {
			t.Errorf("behind %d, %v", behind, ok)
		}
		if err := leader.log.Promote(ctx, id, late.log.ServerID()); !errors.Is(err, ErrBehind) {
			t.Errorf("a vote for one that is behind: %v", err)
		}
		leader.log.cfg.Applied = applied
		c.heal()
		if err := late.log.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		if err := leader.log.Promote(ctx, id, late.log.ServerID()); err != nil {
			t.Errorf("caught up: %v", err)
		}
	})
}

func TestDismissAndTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		ctx := t.Context()
		old := c.leader()
		changed := old.log.LeaderChanged()
		if err := old.log.Dismiss(ctx, old.key); !errors.Is(err, consensus.ErrNotLeader) {
			t.Fatalf("a leader dismissed itself: %v", err)
		}
		<-changed
		leader := c.leader()
		if leader == old {
			t.Fatal("it leads still")
		}
		for range 2 { // it is idempotent
			if err := leader.log.Dismiss(ctx, old.key); err != nil {
				t.Fatal(err)
			}
		}
		add(t, leader.log, 0, 5)
		if got := len(leader.log.Servers()); got != 2 {
			t.Errorf("%d servers are left", got)
		}
		if _, _, err := old.log.Append(ctx, []byte("no member any more")); err == nil {
			t.Error("the dismissed node appended")
		}
		if err := leader.log.Transfer(ctx, ""); err != nil {
			t.Fatal(err)
		}
		if next := c.leader(); next == leader || next == old {
			t.Errorf("node %d leads", next.number)
		}
	})
}

// TestANewDirectoryIsANewServer wipes a voter: its old id loses its vote before the new one is admitted.
func TestANewDirectoryIsANewServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		ctx := t.Context()
		leader, wiped := c.leader(), c.follower()
		add(t, leader.log, 0, 10)
		oldID := wiped.log.ServerID()
		wiped.stop()
		wiped.dir = t.TempDir()
		wiped.start(func(cfg *Config) { cfg.Joins = true })
		id := wiped.log.ServerID()
		if id == oldID {
			t.Fatal("the id survived its directory")
		}
		if err := leader.log.Admit(ctx, id); err != nil {
			t.Fatal(err)
		}
		for _, s := range leader.log.Servers() {
			if s.ID == oldID || s.ID == id && s.Voter {
				t.Errorf("after the new one was admitted: %+v", s)
			}
		}
		if err := wiped.log.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		if err := leader.log.Promote(ctx, id); err != nil {
			t.Fatal(err)
		}
		if got := len(c.level()); got != 10 {
			t.Errorf("%d entries", got)
		}
	})
}

// TestAddVoterUnreachable names raft's trap: a voter that nobody reaches, added to one node, ends it for good. Here a
// server without a vote is all that can be added, and does no harm.
func TestAddVoterUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, recorders).run()
		defer c.close()
		log := c.nodes[0].log
		wrong := fmt.Sprintf("%s.%016x", "NZZZ", 7)
		if err := log.Admit(t.Context(), wrong); err != nil {
			t.Fatal(err)
		}
		add(t, log, 0, 5)
		if err := log.Promote(t.Context(), wrong); !errors.Is(err, ErrBehind) {
			t.Errorf("a vote for nobody: %v", err)
		}
		add(t, log, 5, 10)
	})
}

// TestGrowthWaitsForEntriesInFlight: while the machine does not answer, raft is not stopped, and nothing is lost.
func TestGrowthWaitsForEntriesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := &blocking{entered: make(chan struct{}, 10), release: make(chan struct{})}
		c := newCluster(t, 1, func() consensus.Machine { return machine }).run()
		defer c.close()
		log := c.nodes[0].log
		done := make(chan error, 1)
		go func() {
			_, _, err := log.Append(t.Context(), []byte("slow"))
			done <- err
		}()
		<-machine.entered
		stranger := fmt.Sprintf("NZZZ.%016x", 7)
		if err := log.Admit(t.Context(), stranger); !errors.Is(err, consensus.ErrNotLeader) || log.now().clustered {
			t.Errorf("Admit: %v", err)
		}
		close(machine.release)
		if err := <-done; err != nil {
			t.Errorf("Append: %v", err)
		}
		if err := log.Admit(t.Context(), stranger); err != nil || !log.now().clustered {
			t.Errorf("Admit, once it had answered: %v", err)
		}
		if got := len(machine.Entries()); got != 1 {
			t.Errorf("%d entries", got)
		}
	})
}

// TestABarrierThatNeverComesEnds lets the leader name an index that no machine reaches.
func TestABarrierThatNeverComesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		m := c.follower()
		if err := m.log.Barrier(t.Context()); err != nil {
			t.Fatalf("an honest leader: %v", err)
		}
		m.log.cfg.AskBarrier = func(context.Context, string) (uint64, error) { return 1 << 40, nil }
		if err := m.log.Barrier(t.Context()); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("Barrier: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.log.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ready: %v", err)
		}
	})
}

// TestALoneNodeNeedsStreams: without a way to others, nobody is admitted.
func TestALoneNodeNeedsStreams(t *testing.T) {
	log := open(t, t.TempDir(), new(logtest.Recorder))
	if err := log.Admit(t.Context(), fmt.Sprintf("NZZZ.%016x", 7)); !errors.Is(err, ErrMember) {
		t.Errorf("Admit: %v", err)
	}
	fill(t, log, 0, 5)
}

// TestAForwardedAnswerIsTheLocalMachines lets the leader lie in every way it can.
func TestAForwardedAnswerIsTheLocalMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		ctx := t.Context()
		leader, m := c.leader(), c.follower()
		honest := m.log.cfg.Forward
		result, index, err := m.log.Append(ctx, []byte("honest"))
		if err != nil || !bytes.Equal(result, logtest.Answer(1, []byte("honest"))) {
			t.Fatalf("an honest leader: %q, %d, %v", result, index, err)
		}
		tests := []struct {
			name string
			lie  func(ctx context.Context, to string, entry []byte) (uint64, error)
			want error
		}{
			{"an index of the past", func(context.Context, string, []byte) (uint64, error) { return index, nil }, consensus.ErrUncertain},
			{"no index", func(context.Context, string, []byte) (uint64, error) { return 0, nil }, consensus.ErrUncertain},
			{"an index that never comes", func(context.Context, string, []byte) (uint64, error) { return 1 << 40, nil }, consensus.ErrUncertain},
			{"another entry's index", func(ctx context.Context, _ string, _ []byte) (uint64, error) {
				return leader.log.AppendHere(ctx, []byte("another"))
			}, consensus.ErrUncertain},
			{"a changed entry", func(ctx context.Context, to string, entry []byte) (uint64, error) {
				return honest(ctx, to, append(entry[:len(entry):len(entry)], '!'))
			}, consensus.ErrUncertain},
			{"a connection that breaks", func(context.Context, string, []byte) (uint64, error) { return 0, errCut }, consensus.ErrUncertain},
			{"too large for it", func(context.Context, string, []byte) (uint64, error) { return 0, consensus.ErrTooLarge }, consensus.ErrTooLarge},
			{"it does not lead", func(context.Context, string, []byte) (uint64, error) { return 0, consensus.ErrNotLeader }, consensus.ErrNotLeader},
		}
		for _, test := range tests {
			m.log.cfg.Forward = test.lie
			if result, _, err := m.log.Append(ctx, []byte("entry: "+test.name)); !errors.Is(err, test.want) || result != nil {
				t.Errorf("%s: %q, %v, want %v", test.name, result, err, test.want)
			}
		}
		m.log.cfg.Forward = honest
		if _, err := m.log.AppendHere(ctx, []byte("a second hop")); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("a second hop: %v", err)
		}
		if _, err := m.log.BarrierHere(ctx); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("a second hop for a barrier: %v", err)
		}
		if _, err := leader.log.AppendHere(ctx, make([]byte, consensus.MaxEntry+1)); !errors.Is(err, consensus.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
	})
}

// TestAppendWaitsForALeader stops two of three, and one of them comes back in time.
func TestAppendWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		c.leader()
		c.nodes[0].stop()
		c.nodes[1].stop()
		time.Sleep(2 * time.Second)
		last := c.nodes[2].log
		if err := last.Writable(); fault.CodeOf(err) != fault.Unreachable {
			t.Errorf("without a majority: %v", err)
		}
		began := time.Now()
		if _, _, err := last.Append(t.Context(), []byte("nobody")); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("Append: %v", err)
		}
		if err := last.Barrier(t.Context()); !errors.Is(err, consensus.ErrNotLeader) {
			t.Errorf("Barrier: %v", err)
		}
		if waited := time.Since(began); waited < 2*defaultPatience || waited > 3*defaultPatience {
			t.Errorf("they waited %v", waited)
		}
		done := make(chan error, 1)
		go func() {
			_, _, err := last.Append(t.Context(), []byte("in time"))
			done <- err
		}()
		synctest.Wait()
		c.nodes[0].start()
		if err := <-done; err != nil {
			t.Errorf("Append, when another node came back: %v", err)
		}
		if err := last.Writable(); err != nil {
			t.Errorf("with a majority: %v", err)
		}
		if err := c.nodes[0].log.Writable(); err != nil {
			t.Errorf("the other: %v", err)
		}
	})
}

// TestBarrierDoesNotJoinOneInFlight: who comes while a barrier is under way gets the next one.
func TestBarrierDoesNotJoinOneInFlight(t *testing.T) {
	enter, leave := make(chan int), make(chan struct{})
	runs := 0
	r := &rounds{run: func() (uint64, error) {
		runs++
		enter <- runs
		<-leave
		return uint64(runs), nil
	}}
	first := r.next()
	if r.next() != first && len(enter) == 0 {
		t.Log("the first run began at once")
	}
	<-enter
	second := r.next()
	if second == first || r.next() != second {
		t.Error("a caller joined a barrier in flight, or two did not share one")
	}
	leave <- struct{}{}
	<-first.done
	<-enter
	leave <- struct{}{}
	<-second.done
	if second.index <= first.index {
		t.Errorf("rounds %d and %d", first.index, second.index)
	}
	r.end()
	late := r.next()
	<-late.done
	if !errors.Is(late.err, consensus.ErrClosed) {
		t.Errorf("after the end: %v", late.err)
	}
}

// TestTheLastEntryIsKnownToARestartedNode: all stop after one entry, and the follower that restarts alone knows it.
func TestTheLastEntryIsKnownToARestartedNode(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3, recorders).run()
				defer c.close()
				m := c.follower()
				if _, _, err := m.log.Append(t.Context(), []byte("shut him out")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * idleCommit)
				for _, m := range c.nodes {
					if crash {
						m.crash()
					} else {
						m.stop()
					}
				}
				for _, m := range c.nodes {
					m.start()
					if got := len(m.current.(*logtest.Recorder).Entries()); got != 1 {
						t.Errorf("node %d, alone, knows %d of 1 entry", m.number, got)
					}
					m.stop()
				}
			})
		})
	}
}

// TestCommitsAreWrittenOncePerBurst counts the writes of a follower.
func TestCommitsAreWrittenOncePerBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		m := c.follower()
		add(t, m.log, 0, 1)
		time.Sleep(time.Second)
		s := m.log.store
		writes := 0
		s.mu.Lock()
		commit := s.commit
		s.commit = func(tx *bolt.Tx) error { writes++; return commit(tx) }
		s.mu.Unlock()
		time.Sleep(time.Minute)
		s.mu.Lock()
		if writes != 0 {
			t.Errorf("%d writes while nothing happened", writes)
		}
		s.mu.Unlock()
		add(t, m.log, 1, 11)
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if writes < 2 || writes > 11 {
			t.Errorf("%d writes for 10 entries and their commits", writes)
		}
	})
}

// TestRecover loses two of three for good.
func TestRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders).run()
		defer c.close()
		add(t, c.leader().log, 0, 30)
		c.level()
		survivor := c.nodes[0]
		if _, err := Recover(survivor.dir, survivor.key, new(logtest.Recorder), nil); !errors.Is(err, ErrInUse) {
			t.Errorf("Recover of a log in use: %v", err)
		}
		if err := survivor.log.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.close()
		if _, err := Recover(survivor.dir, c.nodes[1].key, new(logtest.Recorder), nil); !errors.Is(err, ErrWrongNode) {
			t.Errorf("Recover by another node: %v", err)
		}
		if _, err := Recover(t.TempDir(), survivor.key, new(logtest.Recorder), nil); err == nil {
			t.Error("Recover of nothing")
		}
		seen, err := Inspect(survivor.dir, survivor.key)
		if err != nil || len(seen.Servers) != 3 || seen.LastIndex < 31 || seen.LastTerm < 2 || seen.Committed < 31 {
			t.Fatalf("Inspect: %+v, %v", seen, err)
		}
		time.Sleep(time.Millisecond) // snapshots are named by the time
		report, err := Recover(survivor.dir, survivor.key, new(logtest.Recorder), nil)
		if err != nil || fmt.Sprint(report) != fmt.Sprint(seen) {
			t.Fatalf("Recover: %+v, %v; Inspect said %+v", report, err, seen)
		}
		log := survivor.start()
		holds(t, survivor.current.(*logtest.Recorder), 30)
		add(t, log, 30, 40)
		if got := log.Servers(); len(got) != 1 || got[0].ID != report.ServerID || !got[0].Voter {
			t.Errorf("servers: %v", got)
		}
		// The others come back with new directories.
		var ids []string
		for _, m := range c.nodes[1:] {
			m.dir = t.TempDir()
			m.start(func(cfg *Config) { cfg.Joins = true })
			if err := log.Admit(t.Context(), m.log.ServerID()); err != nil {
				t.Fatal(err)
			}
			if err := m.log.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, m.log.ServerID())
		}
		if err := log.Promote(t.Context(), ids...); err != nil {
			t.Fatal(err)
		}
		if got := len(c.level()); got != 40 {
			t.Errorf("%d entries", got)
		}
	})
}

func TestConfigOfAClusterIsChecked(t *testing.T) {
	_, wire := raft.NewInmemTransport(testNode)
	for name, change := range map[string]func(*Config){
		"joins nobody":      func(c *Config) { c.Joins = true },
		"negative patience": func(c *Config) { c.Patience = -1 },
		"negative pace":     func(c *Config) { c.Pace = -1 },
	} {
		cfg := testConfig(t.TempDir(), new(logtest.Recorder))
		if name != "joins nobody" {
			cfg.transport = wire
		}
		if err := cfg.validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := Config{Pace: 3}
	conf := cfg.raftConfig("a", new(logSink), true)
	if conf.HeartbeatTimeout != 1200*time.Millisecond || conf.ElectionTimeout != conf.HeartbeatTimeout ||
		conf.LeaderLeaseTimeout != 600*time.Millisecond {
		t.Errorf("pace 3: %v %v %v", conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout)
	}
}
