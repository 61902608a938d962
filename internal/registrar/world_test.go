package registrar

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/consensus/memlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// world is a solo realm with one registrar, in a bubble whose clock begins at [ledgertest.Start].
type world struct {
	*ledgertest.World
	t       *testing.T
	r       *Registrar
	disk    disk
	kept    disk // of tightenings
	trail   trail
	network *membus.Network
	offset  time.Duration // of the wall clock
	nonces  int           // of evidence
}

func in(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(ledgertest.Start))) // of the bubble's clock
		w := &world{
			World: ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1), t: t, network: membus.New(membus.Options{}),
		}
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		fn(t, w)
		if err := w.r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// open opens the registrar on what the disk holds.
func (w *world) open() (err error) {
	w.r, err = Open(w.t.Context(), Config{
		Realm: w.Realm, Genesis: w.Genesis, Policy: w.Policy, Signer: w.Nodes[0], Keeper: &w.disk, Kept: &w.kept, Trail: &w.trail,
		OpenLog: w.disk.openLog, Address: func() string { return "localhost:4222" }, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(w.offset) },
	})
	return err
}

func (w *world) now() int64 {
	w.World.Now = time.Now().UnixMilli()
	return w.World.Now
}

// submit signs and hands in a command.
func (w *world) submit(author identity.Signer, typ registry.Type, body any) (registry.Answer, error) {
	w.t.Helper()
	w.now()
	answer, err := w.r.Submit(w.t.Context(), w.Sign(w.Command(author.ID(), typ, body), author))
	if err == nil {
		err = answer.Err()
	}
	return answer, err
}

func (w *world) must(author identity.Signer, typ registry.Type, body any) registry.Answer {
	w.t.Helper()
	answer, err := w.submit(author, typ, body)
	if err != nil {
		w.t.Fatalf("%s: %v", typ, err)
	}
	return answer
}

// agent enrols an agent.
func (w *world) agent(name string) identity.Signer {
	w.t.Helper()
	w.now()
	agent := w.Signer(identity.Agent)
	token, once := w.Invite(w.Roots[0], w.Token(w.Roots[0].ID(), name, identity.Journeyer))
	w.must(agent, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(agent, token, once)})
	return agent
}

// process makes fresh process keys for a principal.
func (w *world) process(s identity.Signer) *identity.Process {
	w.t.Helper()
	p, err := identity.NewProcess(w.Realm, s, 1, w.now(), time.Hour.Milliseconds())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// serve begins to answer over a bus in memory.
func (w *world) serve() {
	w.t.Helper()
	conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
	if err := w.r.Serve(conn, nobody{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the network is in memory
}

// client returns a client for a party, connected with the permissions given.
func (w *world) client(p control.Party, may bus.Permissions) *control.Client {
	w.t.Helper()
	conn := w.network.Join(may, bus.Observer{})
	c, err := control.NewClient(conn, p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the network is in memory
	return c
}

// admitted returns a client of a fresh process that the registrar admits.
func (w *world) admitted(s identity.Signer) *control.Client {
	w.t.Helper()
	p := w.process(s)
	a, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.client(control.Party{
		Realm: w.Realm, Node: w.r.ID(), Principal: s.ID(), Process: bus.TokenOf(a.Process),
	}, a.Permissions)
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != want {
		t.Fatalf("error %v has code %q, want %q", err, fault.CodeOf(err), want)
	}
}

// nobody is an enforcer without connections.
type nobody struct{}

func (nobody) Revoke(identity.ID) int { return 0 }
func (nobody) Refresh(identity.ID)    {}
func (nobody) Live(identity.ID) int   { return 0 }
func (nobody) Suspend(error)          {}
func (nobody) Restrict(error)         {}
func (nobody) Resume()                {}

// disk keeps head and log entries, as a node's disk does.
type disk struct {
	saving  func() // called once, before the next head is kept
	mu      sync.Mutex
	head    []byte
	saved   int
	full    error // of the next Save
	entries [][]byte
	hold    chan struct{} // if not nil, appends wait for it
}

func (d *disk) Load() ([]byte, error) { return d.head, nil }

func (d *disk) Save(head []byte) error {
	if saving := d.saving; saving != nil {
		d.saving = nil
		saving()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full != nil {
		return d.full
	}
	d.head = head
	d.saved++
	return nil
}

func (d *disk) openLog(ctx context.Context, m consensus.Machine, _ func() *identity.Authority) (consensus.Log, error) {
	log := memlog.New(m)
	for _, e := range d.entries {
		if _, _, err := log.Append(ctx, e); err != nil {
			return nil, err
		}
	}
	return keptLog{log, d}, nil
}

// keptLog notes what is appended.
type keptLog struct {
	*memlog.Log
	disk *disk
}

func (l keptLog) Append(ctx context.Context, entry []byte) ([]byte, uint64, error) {
	if l.disk.hold != nil {
		<-l.disk.hold
	}
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	l.disk.entries = append(l.disk.entries, bytes.Clone(entry))
	return l.Log.Append(ctx, entry)
}

// trail keeps entries, until it fails.
type trail struct {
	mu      sync.Mutex
	entries []audit.Entry
	failure error
}

func (t *trail) Record(e audit.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, e)
	return t.failure
}

func (t *trail) Close() error { return nil }

var errDisk = errors.New("no space left")
