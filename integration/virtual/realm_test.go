package virtual

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/load"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// nodes is how many a realm has.
const nodes = 3

// realm is three nodes, their wires, and everybody's keys, in a bubble.
type realm struct {
	t        *testing.T
	world    *ledgertest.World // for keys and signatures; its own ledger means nothing
	seed     uint64
	wires    *wires
	exchange *exchange
	nodes    []*node
	recorder *load.Recorder
	members  []identity.Signer      // whom registrars change
	suspects []identity.Signer      // who speak, and are quarantined for it
	worker   identity.Signer        // who acts
	names    map[identity.ID]string // of all these

	open       bool                                // nobody has last words: nodes that a test spoils may never agree
	spoilt     bool                                // what its nodes answer need make no sense
	wrongReads bool                                // readers pass no barrier, and say that they did
	distort    func(at *node, entry []byte) []byte // what a planted log gives the ledgers; nil: what was appended
}

// inRealm runs fn in a bubble with three nodes that serve and have leases.
func inRealm(t *testing.T, seed uint64, fn func(r *realm)) {
	t.Helper()
	dirs := make([]string, nodes)
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), "raft")
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(ledgertest.Start))) // of the bubble's clock
		w := newWires(seed)
		w.heal()
		r := &realm{
			t: t, world: ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, nodes), seed: seed, wires: w,
			exchange: newExchange(w), recorder: load.NewRecorder(nil, t.Name(), seed), names: map[identity.ID]string{},
		}
		for i, signer := range r.world.Nodes {
			r.nodes = append(r.nodes, &node{
				realm: r, number: i, name: fmt.Sprint("n", i+1), signer: signer, dir: dirs[i], clock: newClock(),
			})
		}
		defer r.close()
		r.begin()
		r.enrol()
		fn(r)
	})
}

// begin starts the nodes and makes a cluster of their logs, as nodes do that are asked to join.
func (r *realm) begin() {
	r.t.Helper()
	ctx := r.t.Context()
	for i, n := range r.nodes {
		_, err := n.start(ctx, i > 0)
		r.must(err)
	}
	first := r.nodes[0].life().log
	var ids []string
	for _, n := range r.nodes[1:] {
		log := n.life().log
		r.must(first.Admit(ctx, log.ServerID()))
		r.must(log.Ready(ctx))
		ids = append(ids, log.ServerID())
	}
	r.must(first.Promote(ctx, ids...))
	for _, n := range r.nodes {
		r.must(n.life().serve())
	}
	r.await("every node has a lease", func() bool {
		return !slices.ContainsFunc(r.nodes, func(n *node) bool { return n.life().registrar.Ready() != nil })
	})
}

func (r *realm) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// patience bounds what a healed realm does, in virtual time.
const patience = 2 * time.Minute

// await asks again and again until it is so.
func (r *realm) await(what string, so func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatalf("seed %d: still not: %s", r.seed, what)
		}
	}
}

func (r *realm) close() {
	for _, n := range r.nodes {
		if err := n.stop(); err != nil {
			r.t.Errorf("stop %s: %v", n.name, err)
		}
	}
}

// note records what happened, for people.
func (r *realm) note(format string, args ...any) {
	at := r.recorder.Now()
	r.recorder.Add(check.Event{Op: check.Fault, Agent: "schedule", Start: at, Result: check.OK, Key: fmt.Sprintf(format, args...)})
}

// shown returns the latest time that each node's clock has shown, in Unix milliseconds.
func (r *realm) shown() []int64 {
	var times []int64
	for _, n := range r.nodes {
		latest, _ := n.clock.shown()
		times = append(times, latest)
	}
	return times
}

// enrol makes those whom the clients change, and those who speak and act.
func (r *realm) enrol() {
	r.t.Helper()
	for i := range 2 {
		r.members = append(r.members, r.agent(fmt.Sprint("member-", i)))
	}
	for i := range nodes {
		r.suspects = append(r.suspects, r.agent(fmt.Sprint("suspect-", i)))
	}
	r.worker = r.agent("worker")
}

// agent enrols an agent at the first node, and records how it is then.
func (r *realm) agent(name string) identity.Signer {
	r.t.Helper()
	r.world.Now = time.Now().UnixMilli()
	agent, root := r.world.Signer(identity.Agent), r.world.Roots[0]
	token, once := r.world.Invite(root, r.world.Token(root.ID(), name, identity.Journeyer))
	command := r.world.Command(agent.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: r.world.Enrolment(agent, token, once)})
	at, there := r.recorder.Now(), r.nodes[0].life()
	answer, err := there.registrar.Submit(r.t.Context(), r.world.Sign(command, agent))
	r.must(err)
	r.must(answer.Err())
	m, err := there.ledger.Member(agent.ID())
	r.must(err)
	r.names[agent.ID()] = name
	r.recorder.Add(check.Event{
		Op: check.Write, Agent: "enroller", Start: at, Result: check.OK, Key: name, Fields: fields(m), Index: m.Changed,
	})
	return agent
}

// The fields of a principal beside [check.FieldStatus].
const (
	fieldLevel = "level"
	fieldEpoch = "epoch"
)

// fields is what a read of a member shows.
func fields(m ledger.Member) map[string]string {
	return map[string]string{
		check.FieldStatus: m.Status.String(), fieldLevel: m.Level.String(), fieldEpoch: fmt.Sprint(m.Epoch),
	}
}

// topic is what suspects publish on.
const topic = "news"

// hear has this life's bus tell what arrives of the suspects.
func (l *life) hear() error {
	pattern, err := bus.In(l.world.Realm).Topics(topic)
	if err != nil {
		return err
	}
	_, err = l.reader.Subscribe(pattern, func(_ string, data []byte) {
		at := l.recorder.Now()
		from, id := parted(string(data))
		l.recorder.Add(check.Event{
			Op: check.Handle, Agent: "reader at " + l.node.name, Start: at, Result: check.OK, ID: l.name + " " + id, From: from,
		})
	})
	return err
}

// finish heals everything, waits until the nodes agree, and has each tell its last words.
func (r *realm) finish() {
	r.t.Helper()
	r.heal()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	r.await("all nodes serve and agree", func() bool {
		first := r.nodes[0].life()
		for _, n := range r.nodes {
			l := n.life()
			if l.registrar.Ready() != nil || l.log.Barrier(ctx) != nil || l.ledger.Size() != first.ledger.Size() {
				return false
			}
		}
		return true
	})
	for _, n := range r.nodes {
		l := n.life()
		l.witnessState(0, true)
		for id, name := range r.names {
			m, err := l.ledger.Member(id)
			r.must(err)
			at := r.recorder.Now()
			r.recorder.Add(check.Event{
				Op: check.Look, Agent: "judge", Node: n.name, Start: at, Result: check.OK, Key: name, Fields: fields(m),
				Index: m.Changed, Stale: true, Final: true,
			})
		}
		if behind := time.Since(time.UnixMilli(l.ledger.Now())); behind > registrar.DefaultLease {
			r.t.Errorf("log time at %s is %v behind although every clock is right", n.name, behind)
		}
		if err := l.registrar.Err(); err != nil {
			r.t.Errorf("%s has stopped: %v", n.name, err)
		}
	}
}

// heal mends all links and clocks and starts what is down, or has a clock that it does not trust.
func (r *realm) heal() {
	r.t.Helper()
	r.wires.heal()
	for _, n := range r.nodes {
		_, wrong := n.clock.shown()
		if n.clock.mend(); wrong > n.forgiven || n.life() == nil {
			n.forgiven = wrong
			r.must(n.restart(r.t.Context()))
		}
	}
}
