//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// streams are the mesh's as raft wants them.
type streams struct{ *mesh.Streams }

func (s streams) Dial(node string, timeout time.Duration) (net.Conn, error) {
	return s.DialNode(node, timeout)
}

// follow has the hostile node take part in the log, honestly, with the log that its honest owner had.
func (m *mallory) follow() *raftlog.Log {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	log, err := raftlog.Open(ctx, raftlog.Config{
		Dir: filepath.Join(m.dir, "raft"), NodeKey: m.ID().String(), Machine: new(logtest.Recorder),
		Streams: streams{m.mesh.Streams(mesh.Raft)}, Joins: true,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = log.Close() })
	return log
}

// usurp has the hostile node lead, by asking whoever does for it, as an operator's node would.
func (m *mallory) usurp(log *raftlog.Log) bool {
	m.t.Helper()
	for _, n := range m.nodes {
		_, _ = m.call(n, "transfer", m.ID()) // only one of them leads
	}
	return log.Leads()
}

// appends answers forwarded entries as an honest leader does.
func (m *mallory) appends(log *raftlog.Log) mesh.Handler {
	return func(ctx context.Context, _ identity.ID, body []byte) ([]byte, error) {
		index, err := log.AppendHere(ctx, body)
		if err != nil {
			return nil, err
		}
		return wire.Encode(index)
	}
}

// A leader that lies about what it has appended gets no command accepted that was not, and none twice.
func TestAHostileLeader(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	log := m.follow()
	honest := m.appends(log)
	m.answers("append", honest)
	m.answers("barrier", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		index, err := log.BarrierHere(ctx)
		if err != nil {
			return nil, err
		}
		return wire.Encode(index)
	})
	stop := m.greetOn()
	defer stop()
	until(t, "the hostile node leads", func() bool { return m.usurp(log) })
	r.tick("honest-leader")

	before, i := entry(t, nil, m.tickOf(m.Signer, time.Now().UnixMilli(), 1)), 0
	for _, c := range []struct {
		name string
		lie  mesh.Handler
	}{
		{"a false index", func(context.Context, identity.ID, []byte) ([]byte, error) {
			return wire.Encode(log.Stats().Committed + 1000)
		}},
		{"the past", func(context.Context, identity.ID, []byte) ([]byte, error) { return wire.Encode(uint64(1)) }},
		{"another's index", func(ctx context.Context, from identity.ID, _ []byte) ([]byte, error) {
			return honest(ctx, from, before) // the same entry again and again
		}},
		{"junk", func(context.Context, identity.ID, []byte) ([]byte, error) { return []byte("junk"), nil }},
		{"a refusal", func(context.Context, identity.ID, []byte) ([]byte, error) { return nil, consensus.ErrNotLeader }},
		{"nothing", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	} {
		until(t, "the hostile node leads", func() bool { return log.Leads() || m.usurp(log) })
		m.answers("append", c.lie)
		n := r.nodes[0]
		i++
		raw := r.command(r.operator, fmt.Sprint("lie-", i))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		answer, err := n.Submit(ctx, raw)
		cancel()
		if err == nil && log.Leads() { // if it leads no more, an honest node has accepted it
			t.Errorf("%s: accepted: %+v", c.name, answer)
		}
		if err != nil {
			wantCode(t, c.name, err, fault.Uncertain, fault.Unreachable)
		}
		m.answers("append", honest)
		until(t, "the same command is accepted once", func() bool {
			answer, err := r.submit(n, raw)
			return err == nil && answer.Code == ""
		})
		r.settled() // all have a lease again
	}
	r.tick("honest-again")
}

// greetOn has the hostile node greet the others as honest ones do, until the function returned is called.
func (m *mallory) greetOn() (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	var greeting sync.WaitGroup
	greeting.Go(func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			raw, err := wire.Encode(m.honest())
			for _, n := range m.nodes {
				if err == nil {
					_, _ = m.mesh.Call(ctx, n.ID(), "hello", raw)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
		}
	})
	return func() { cancel(); greeting.Wait() }
}

// A leader that goes on leading and appends nothing is left by the others, which then remove it with the roots.
func TestALeaderThatDropsEverything(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	log := m.follow()
	m.answers("append", m.appends(log))
	stop := m.greetOn()
	defer stop()
	until(t, "the hostile node leads", func() bool { return m.usurp(log) })
	r.tick("honest-leader")
	m.answers("append", func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	until(t, "an honest node leads, and both have a lease", func() bool {
		for _, n := range r.nodes {
			if r.cluster(n).Lease <= 0 {
				return false
			}
		}
		return r.leader() != nil
	})
	r.tick("without-it")
	if leader := r.leader(); leader != nil {
		_, err := m.call(leader, "transfer", m.ID())
		wantCode(t, "to have it lead again", err, fault.Denied, fault.Unreachable) // it does not lead any more by now
	}
	a := r.authority()
	raw, err := r.operator.Cosign(r.id, identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots, Threshold: a.Threshold,
		Nodes: slices.DeleteFunc(slices.Clone(a.Nodes), func(id identity.ID) bool { return id == m.ID() }),
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the roots remove it", func() bool {
		var out control.Submitted
		err := r.try(r.nodes[0], control.OpRoster, control.PutRoster{Roster: raw}, &out)
		return err == nil || len(r.authority().Nodes) == 2
	})
	r.settled()
	r.tick("after")
}
