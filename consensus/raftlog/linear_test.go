package raftlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// register is a machine with one number that is written or compared and swapped. An entry is a JSON command; each id
// takes effect once. The digest is over all entries, in order.
type register struct {
	mu    sync.Mutex
	state registerState
}

type registerState struct {
	Value  int
	Done   map[int]bool // ids of commands that were applied, and whether they took effect
	Digest []byte
	Index  uint64
}

type command struct {
	ID       int
	CAS      bool
	Old, New int
}

func newRegister() consensus.Machine {
	return &register{state: registerState{Done: make(map[int]bool)}}
}

func (r *register) Apply(index uint64, entry []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := sha256.New()
	sum.Write(r.state.Digest)
	sum.Write(binary.BigEndian.AppendUint64(nil, index))
	sum.Write(entry)
	r.state.Digest, r.state.Index = sum.Sum(nil), index
	var c command
	if err := json.Unmarshal(entry, &c); err != nil {
		return nil
	}
	took, seen := r.state.Done[c.ID]
	if !seen {
		if took = !c.CAS || r.state.Value == c.Old; took {
			r.state.Value = c.New
		}
		r.state.Done[c.ID] = took
	}
	return fmt.Append(nil, took)
}

func (r *register) Snapshot() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.Marshal(r.state)
}

func (r *register) Restore(snapshot []byte) error {
	var s registerState
	if err := json.Unmarshal(snapshot, &s); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
	return nil
}

func (r *register) value() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Value
}

// operation is what a client did; a read has no command.
type operation struct {
	read bool
	command
}

type outcome struct {
	unknown bool
	value   int  // read
	took    bool // of a CAS
}

var registerModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		in, out, value := input.(operation), output.(outcome), state.(int)
		switch {
		case in.read:
			return out.unknown || out.value == value, value
		case !in.CAS:
			return true, in.New
		case out.unknown && value != in.Old:
			return true, value
		case out.unknown:
			return true, in.New
		case out.took != (value == in.Old):
			return false, value
		case out.took:
			return true, in.New
		}
		return true, value
	},
}

// history records what clients did, for porcupine.
type history struct {
	mu         sync.Mutex
	operations []porcupine.Operation
	clock      int64
	client     int
}

func (h *history) tick() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

func (h *history) fresh() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.client++
	return h.client
}

func (h *history) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, op)
}

// check ends the operations whose fate is unknown at infinity, and asks porcupine.
func (h *history) check() porcupine.CheckResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.operations {
		if h.operations[i].Output.(outcome).unknown {
			h.operations[i].Return = h.clock + 1
		}
	}
	return porcupine.CheckOperationsTimeout(registerModel, h.operations, 30*time.Second)
}

// storm is a run of clients against a cluster in trouble.
type storm struct {
	c       *cluster
	h       history
	barrier bool // reads pass a barrier; false: they are wrong

	mu    sync.Mutex
	acked map[int]bool // commands that were acknowledged, and whether they took effect
	next  int
	known [4]int64 // reads, writes, unknown, refused
}

// client does operations on random nodes until the deadline, one after the other.
func (s *storm) client(random *rand.Rand, until time.Time) {
	id := s.h.fresh()
	for time.Now().Before(until) {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		m := s.c.nodes[random.IntN(len(s.c.nodes))]
		s.c.mu.Lock()
		log, machine := m.log, m.current
		s.c.mu.Unlock()
		if log == nil {
			continue
		}
		if !s.once(random, id, log, machine.(*register)) {
			id = s.h.fresh() // the operation may take effect at any time
		}
	}
}

// once does one operation and reports whether its fate is known.
func (s *storm) once(random *rand.Rand, id int, log *Log, machine *register) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+random.IntN(8))*time.Second)
	defer cancel()
	s.mu.Lock()
	s.next++
	in := operation{read: random.IntN(2) == 0, command: command{
		ID: s.next, CAS: random.IntN(2) == 0, Old: random.IntN(4), New: random.IntN(4),
	}}
	s.mu.Unlock()
	op := porcupine.Operation{ClientId: id, Input: in, Call: s.h.tick()}
	var out outcome
	var err error
	if in.read {
		if s.barrier {
			err = log.Barrier(ctx)
		}
		out.value = machine.value()
		if err != nil {
			return true // it says nothing, and changes nothing
		}
	} else {
		entry, _ := json.Marshal(in.command)
		var result []byte
		result, _, err = log.Append(ctx, entry)
		if errors.Is(err, consensus.ErrNotLeader) {
			s.count(3)
			return true // certainly not appended
		}
		out = outcome{unknown: err != nil, took: string(result) == "true"}
	}
	op.Output, op.Return = out, s.h.tick()
	s.h.add(op)
	switch {
	case out.unknown:
		s.count(2)
	case in.read:
		s.count(0)
	default:
		s.count(1)
		s.mu.Lock()
		s.acked[in.ID] = out.took
		s.mu.Unlock()
	}
	return !out.unknown
}

func (s *storm) count(kind int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[kind]++
}

// trouble cuts, crashes, restarts and snapshots until the deadline, then mends everything.
func (s *storm) trouble(random *rand.Rand, until time.Time) {
	c := s.c
	for time.Now().Before(until) {
		time.Sleep(time.Duration(200+random.IntN(2500)) * time.Millisecond)
		victim := c.nodes[random.IntN(len(c.nodes))]
		for _, m := range c.nodes { // a leader, mostly
			if random.IntN(3) > 0 && m.log != nil && m.log.Leads() {
				victim = m
			}
		}
		switch random.IntN(6) {
		case 0, 1:
			c.isolate(victim.number)
		case 2:
			c.mu.Lock()
			c.cut[[2]int{victim.number, random.IntN(len(c.nodes))}] = true // one way
			c.mu.Unlock()
			c.wire()
		case 3:
			c.heal()
		case 4:
			victim.crash()
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			victim.start()
		case 5:
			if victim.log != nil {
				_ = victim.log.Snapshot(context.Background()) // refused around a change of members
			}
		}
	}
	c.heal()
}

// ride runs clients against n nodes in trouble for so long.
func ride(t *testing.T, seed uint64, n int, barrier bool, length time.Duration) (*storm, porcupine.CheckResult) {
	s := &storm{c: newCluster(t, n, newRegister), barrier: barrier, acked: make(map[int]bool)}
	s.c.run()
	s.c.leader()
	until := time.Now().Add(length)
	var wait sync.WaitGroup
	for client := range 5 {
		random := rand.New(rand.NewPCG(seed, uint64(client)+1))
		wait.Go(func() { s.client(random, until) })
	}
	s.trouble(rand.New(rand.NewPCG(seed, 0)), until)
	wait.Wait()
	return s, s.h.check()
}

// settle waits until all nodes are level and fails the test if they differ or lack what was acknowledged.
func (s *storm) settle(t *testing.T) {
	t.Helper()
	index, err := s.c.leader().log.BarrierHere(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var digest []byte
	for _, m := range s.c.nodes {
		if err := m.log.AtLeast(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		state := m.current.(*register).state
		if digest == nil {
			digest = state.Digest
		}
		if string(digest) != string(state.Digest) {
			t.Errorf("node %d differs: %d %x, another %x", m.number, state.Index, state.Digest, digest)
		}
		for id, took := range s.acked {
			if applied, ok := state.Done[id]; !ok || applied != took {
				t.Errorf("node %d: command %d was acknowledged with %v; applied %v, took %v", m.number, id, took, ok, applied)
			}
		}
	}
}

// TestLinearizable lets clients read and write a register on any node of three, and of five, while leaders are cut off
// and nodes crash.
func TestLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round, nodes := range []int{3, 3, 3, 5} {
		synctest.Test(t, func(t *testing.T) {
			s, got := ride(t, seed+uint64(round), nodes, true, 2*time.Minute)
			defer s.c.close()
			if got != porcupine.Ok {
				t.Errorf("round %d: the history is %s", round, got)
			}
			s.settle(t)
			t.Logf("%d nodes: %d reads, %d writes, %d unknown, %d refused", nodes, s.known[0], s.known[1], s.known[2], s.known[3])
			if s.known[0] < 100 || s.known[1] < 100 {
				t.Error("too little was done to prove anything")
			}
		})
	}
}

// TestLocalReadsAreNotLinearizable proves that the check of TestLinearizable can fail: reads that pass no barrier are
// caught.
func TestLocalReadsAreNotLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 5 {
		caught := false
		synctest.Test(t, func(t *testing.T) {
			s, got := ride(t, seed+uint64(round), 3, false, time.Minute)
			defer s.c.close()
			caught = got == porcupine.Illegal
		})
		if caught {
			return
		}
	}
	t.Error("stale reads passed for linearizable five times")
}
