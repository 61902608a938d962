package registrar

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// trio is a solo realm of three registrars over one log and one bus, in a bubble. A node that is cut neither appends,
// hears what is appended, calls nor answers.
type trio struct {
	*ledgertest.World
	t       *testing.T
	network *membus.Network

	mu      sync.Mutex
	entries [][]byte
	at      []*seat
}

// seat is one node of a trio, as a registrar sees it.
type seat struct {
	*trio
	*Registrar
	machine  consensus.Machine
	applied  int
	cut      bool
	lie      func(entry []byte) []byte // what its machine gets instead of an entry
	disk     disk
	seats    disk
	kept     disk
	trail    trail
	evidence map[string][]byte
	changes  int
	said     sync.Mutex // guards served
	served   []string
	slept    atomic.Int64    // while its monotonic clock stood still
	hangs    map[string]bool // operations, "append" among them, that get no answer
}

// hang waits for the end of ctx if the operation gets no answer.
func (s *seat) hang(ctx context.Context, op string) error {
	s.trio.mu.Lock()
	hangs := s.hangs[op]
	s.trio.mu.Unlock()
	if !hangs {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// stall has operations get no answer from now on.
func (s *seat) stall(ops ...string) {
	s.trio.mu.Lock()
	defer s.trio.mu.Unlock()
	s.hangs = map[string]bool{}
	for _, op := range ops {
		s.hangs[op] = true
	}
}

func inTrio(t *testing.T, fn func(t *testing.T, w *trio)) {
	t.Helper()
	inPreparedTrio(t, func(*trio) {}, fn)
}

// inPreparedTrio prepares the nodes before they serve.
func inPreparedTrio(t *testing.T, prepare func(w *trio), fn func(t *testing.T, w *trio)) {
	t.Helper()
	inTrioUnder(t, ledgertest.Preset(t, policy.Solo), prepare, fn)
}

// inTrioUnder has a policy other than the preset.
func inTrioUnder(t *testing.T, rules policy.Policy, prepare func(w *trio), fn func(t *testing.T, w *trio)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(ledgertest.Start))) // of the bubble's clock
		w := &trio{World: ledgertest.New(t, rules, 1, 3), t: t, network: membus.New(membus.Options{})}
		for i := range 3 {
			w.at = append(w.at, w.open(i))
		}
		prepare(w)
		for _, s := range w.at {
			w.serve(s)
		}
		defer w.close()
		time.Sleep(DefaultLease) // all have a lease
		fn(t, w)
	})
}

func (w *trio) close() {
	for _, s := range w.at {
		if err := s.Registrar.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *trio) open(i int) *seat {
	w.t.Helper()
	s := &seat{trio: w}
	r, err := Open(w.t.Context(), Config{
		Realm: w.Realm, Genesis: w.Genesis, Policy: w.Policy, Signer: w.Nodes[i], Keeper: &s.disk, Seats: &s.seats, Kept: &s.kept,
		Trail: &s.trail, Peers: s, Cluster: s, Address: func() string { return "localhost:4222" },
		Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time {
			return time.Now().Add(time.Duration(s.slept.Load()))
		},
		OpenLog: func(_ context.Context, m consensus.Machine, _ func() *identity.Authority) (consensus.Log, error) {
			s.machine = m
			return s, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Registrar = r
	return s
}

func (w *trio) serve(s *seat) {
	w.t.Helper()
	conn := w.network.Join(bus.NodePermissions(w.Realm), bus.Observer{})
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the network is in memory
	if err := s.Serve(conn, s); err != nil {
		w.t.Fatal(err)
	}
}

var errCut = fault.New(fault.Unreachable, "test: cut off")

// Append implements [consensus.Log]: the entry is applied at every node that is not cut off.
func (s *seat) Append(ctx context.Context, entry []byte) ([]byte, uint64, error) {
	if err := s.hang(ctx, "append"); err != nil {
		return nil, 0, err
	}
	s.trio.mu.Lock()
	defer s.trio.mu.Unlock()
	if s.cut {
		return nil, 0, errCut
	}
	s.entries = append(s.entries, slices.Clone(entry))
	var answer []byte
	for _, other := range s.at {
		if got := other.catchUp(); other == s {
			answer = got
		}
	}
	return answer, uint64(len(s.entries)), nil
}

// catchUp applies what was appended, and returns the last answer. The trio's lock is held.
func (s *seat) catchUp() (answer []byte) {
	for ; !s.cut && s.applied < len(s.entries); s.applied++ {
		entry := s.entries[s.applied]
		if s.lie != nil {
			entry = s.lie(entry)
		}
		answer = s.machine.Apply(uint64(s.applied+1), entry)
	}
	return answer
}

// Barrier implements [consensus.Log].
func (s *seat) Barrier(context.Context) error { return nil }

// Close implements [consensus.Log].
func (s *seat) Close() error { return nil }

// Call implements [Peers].
func (s *seat) Call(ctx context.Context, to identity.ID, op string, body []byte) ([]byte, error) {
	for _, other := range s.at {
		if other.ID() != to {
			continue
		}
		if s.isCut() || other.isCut() {
			return nil, errCut
		}
		if err := other.hang(ctx, op); err != nil {
			return nil, err
		}
		return other.AnswerPeer(ctx, op, s.ID(), body)
	}
	return nil, errCut
}

func (s *seat) isCut() bool {
	s.trio.mu.Lock()
	defer s.trio.mu.Unlock()
	return s.cut
}

// cutOff takes a node from the others, or gives it back.
func (s *seat) cutOff(cut bool) {
	s.trio.mu.Lock()
	defer s.trio.mu.Unlock()
	s.cut = cut
	s.catchUp()
}

// The seat is the registrar's cluster and enforcer too.
func (s *seat) Addresses() []control.Address                { return nil }
func (s *seat) Machines() []control.Machine                 { return nil }
func (s *seat) Transfer(context.Context, identity.ID) error { return nil }
func (s *seat) Changed()                                    { s.changes++ }
func (s *seat) Revoke(identity.ID) int                      { return 0 }
func (s *seat) Refresh(identity.ID)                         {}
func (s *seat) Live(identity.ID) int                        { return 0 }
func (s *seat) Suspend(error)                               { s.say("nobody") }
func (s *seat) Restrict(error)                              { s.say("restricted") }
func (s *seat) Resume()                                     { s.say("everybody") }

func (s *seat) say(who string) {
	s.said.Lock()
	defer s.said.Unlock()
	s.served = append(s.served, who)
}

// told returns whom the enforcer was told to serve, oldest first.
func (s *seat) told() []string {
	s.said.Lock()
	defer s.said.Unlock()
	return slices.Clone(s.served)
}

// Diverged adds to what is known.
func (s *seat) Diverged(heads map[string][]byte) {
	s.trio.mu.Lock()
	defer s.trio.mu.Unlock()
	if s.evidence == nil {
		s.evidence = map[string][]byte{}
	}
	maps.Copy(s.evidence, heads)
}

// submit signs a command and hands it in at one node.
func (s *seat) submit(author identity.Signer, typ registry.Type, body any) (registry.Answer, error) {
	s.t.Helper()
	s.World.Now = time.Now().UnixMilli()
	answer, err := s.Submit(s.t.Context(), s.Sign(s.Command(author.ID(), typ, body), author))
	if err == nil {
		err = answer.Err()
	}
	return answer, err
}

// agent enrols an agent by one node.
func (s *seat) agent(name string) identity.Signer {
	s.t.Helper()
	s.World.Now = time.Now().UnixMilli()
	agent := s.Signer(identity.Agent)
	token, once := s.Invite(s.Roots[0], s.Token(s.Roots[0].ID(), name, identity.Journeyer))
	if _, err := s.submit(agent, registry.TypeEnrol, registry.Enrol{Enrolment: s.Enrolment(agent, token, once)}); err != nil {
		s.t.Fatal(err)
	}
	return agent
}

func (s *seat) quarantine(id identity.ID) {
	s.t.Helper()
	if _, err := s.submit(s.Roots[0], registry.TypeStatus, registry.SetStatus{Principal: id, Status: trust.Quarantined}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *seat) ticket(id identity.ID) (trust.Ticket, error) {
	raw, err := s.tickets.of(s.t.Context(), id, time.Now().UnixMilli())
	if err != nil {
		return trust.Ticket{}, err
	}
	v, err := trust.VerifyTicket(raw, s.Authority(), time.Now().UnixMilli())
	return v.Statement(), err
}

func TestMajoritySignsTicketsAndHeads(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice").ID()
		for down := range 3 { // any one node may be missing
			w.at[down].cutOff(true)
			s := w.at[(down+1)%3]
			s.tickets.forget(nil)
			ticket, err := s.ticket(alice)
			if err != nil || ticket.Name != "alice" || ticket.Status != trust.Active {
				t.Fatalf("without node %d: %+v, %v", down, ticket, err)
			}
			s.agent("with-" + string(rune('a'+down))) // a head of a new size
			raw, err := s.SignedHead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := audit.VerifyHead(raw, s.Authority()); err != nil {
				t.Error(err)
			}
			w.at[down].cutOff(false)
			time.Sleep(DefaultLease / renewals)
		}
		w.at[1].cutOff(true)
		w.at[2].cutOff(true)
		alone := w.at[0]
		alone.tickets.forget(nil)
		if _, err := alone.ticket(alice); !errors.Is(err, ErrMajority) {
			t.Errorf("one of three gave a ticket: %v", err)
		}
		alone.agent("late")
		if _, err := alone.SignedHead(t.Context()); !errors.Is(err, ErrMajority) {
			t.Errorf("one of three gave a head: %v", err)
		}
	})
}

func TestPeersDoNotSignWhatTheyKnowOtherwise(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice").ID()
		old, err := w.at[0].ledger.Ticket(alice, time.Now().UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		raise := func(change func(*trust.Ticket)) []byte {
			lie := old
			change(&lie)
			raw, err := w.Nodes[0].Cosign(w.Realm, lie)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		ask := func(raw []byte) error {
			body, err := wire.Encode(cosignRequest{Kind: wire.Ticket, Statement: raw})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.at[1].AnswerPeer(t.Context(), opCosign, w.Nodes[0].ID(), body)
			return err
		}
		if err := ask(raise(func(*trust.Ticket) {})); err != nil {
			t.Fatalf("the truth: %v", err)
		}
		for name, c := range map[string]struct {
			change func(*trust.Ticket)
			code   fault.Code
		}{
			"a higher level":     {func(t *trust.Ticket) { t.Level++ }, fault.Conflict},
			"another name":       {func(t *trust.Ticket) { t.Name = "root-1" }, fault.Conflict},
			"another operator":   {func(t *trust.Ticket) { t.Operator = w.Signer(identity.Operator).ID() }, fault.Conflict},
			"another key":        {func(t *trust.Ticket) { t.Key = w.Key().Public() }, fault.Conflict},
			"more capabilities":  {func(t *trust.Ticket) { t.Serves = []string{"everything"} }, fault.Conflict},
			"another policy":     {func(t *trust.Ticket) { t.Policy[0] ^= 1 }, fault.Conflict},
			"a stranger":         {func(t *trust.Ticket) { t.Principal = w.Signer(identity.Agent).ID() }, fault.Unknown},
			"a shorter life":     {func(t *trust.Ticket) { t.Expires -= 1000 }, fault.Conflict},
			"an hour ahead":      {func(t *trust.Ticket) { t.Issued += 3_600_000; t.Expires += 3_600_000 }, fault.Conflict},
			"an hour ago":        {func(t *trust.Ticket) { t.Issued -= 3_600_000; t.Expires -= 3_600_000 }, fault.Conflict},
			"what is not yet":    {func(t *trust.Ticket) { t.Index += 100 }, fault.Unreachable},
			"another roster":     {func(t *trust.Ticket) { t.Roster++ }, fault.Conflict},
			"an epoch gone back": {func(t *trust.Ticket) { t.Epoch++ }, fault.Conflict},
		} {
			if err := ask(raise(c.change)); fault.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
		w.at[0].quarantine(alice)
		if err := ask(raise(func(*trust.Ticket) {})); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("active, of a quarantined agent: %v", err)
		}
	})
}

func TestOnlyNamedStatementsAreCosigned(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		w.at[0].agent("alice")
		head := w.at[0].ledger.Head()
		ask := func(kind wire.Kind, from identity.Signer, raw []byte) error {
			body, err := wire.Encode(cosignRequest{Kind: kind, Statement: raw})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.at[1].AnswerPeer(t.Context(), opCosign, from.ID(), body)
			return err
		}
		sign := func(s identity.Signer, statement wire.Statement) []byte {
			raw, err := s.Cosign(w.Realm, statement)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		if err := ask(wire.Head, w.Nodes[0], sign(w.Nodes[0], head)); err != nil {
			t.Fatalf("a head: %v", err)
		}
		tick := sign(w.Nodes[0], w.Command(w.Nodes[0].ID(), registry.TypeTick, registry.Tick{Time: 1}))
		for name, err := range map[string]error{
			"a command":             ask(wire.Command, w.Nodes[0], tick),
			"a head as a ticket":    ask(wire.Ticket, w.Nodes[0], sign(w.Nodes[0], head)),
			"what another signed":   ask(wire.Head, w.Nodes[0], sign(w.Nodes[2], head)),
			"junk":                  ask(wire.Head, w.Nodes[0], []byte("junk")),
			"an op that is unknown": func() error { _, err := w.at[1].AnswerPeer(t.Context(), "sign", w.Nodes[0].ID(), nil); return err }(),
		} {
			if err == nil {
				t.Errorf("%s was cosigned", name)
			}
		}
	})
}

func TestLeaseEndsWithoutAMajority(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice").ID()
		s := w.at[2]
		if s.mayServe() != nil || s.lease.left() == 0 {
			t.Fatal("no lease")
		}
		s.cutOff(true)
		time.Sleep(DefaultLease - time.Second)
		if err := s.mayServe(); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if !errors.Is(s.mayServe(), ErrLease) || s.told()[len(s.told())-1] != "nobody" {
			t.Errorf("after its end: %v, %v", s.mayServe(), s.told())
		}
		if _, err := s.tickets.of(t.Context(), alice, time.Now().UnixMilli()); !errors.Is(err, ErrLease) {
			t.Errorf("a ticket without a lease: %v", err)
		}
		if _, err := s.Admit(nil, wire.PublicKey{}, 0); !errors.Is(err, ErrLease) {
			t.Errorf("admitted without a lease: %v", err)
		}
		if _, err := s.AdmitInvited(nil, wire.PublicKey{}, 0); !errors.Is(err, ErrLease) {
			t.Errorf("invited without a lease: %v", err)
		}
		w.at[0].quarantine(alice)
		s.cutOff(false)
		time.Sleep(DefaultLease / 2)
		if err := s.mayServe(); err != nil || s.told()[len(s.told())-1] != "everybody" {
			t.Errorf("back: %v, %v", err, s.told())
		}
		if ticket, err := s.ticket(alice); err != nil || ticket.Status != trust.Quarantined {
			t.Errorf("it has not heard of the quarantine: %+v %v", ticket, err)
		}
	})
}

func TestDivergedNodeStopsWithEvidence(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		w.at[0].agent("alice")
		if _, err := w.at[2].SignedHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.at[2].lie = otherCommand
		w.mu.Unlock()
		w.at[0].agent("bob")
		time.Sleep(headRounds * DefaultLease / renewals * 2)
		synctest.Wait()
		if err := w.at[2].Err(); !errors.Is(err, ErrDiverged) {
			t.Fatalf("it goes on: %v", err)
		}
		if len(w.at[2].evidence) < 3 {
			t.Errorf("evidence of %d nodes", len(w.at[2].evidence))
		}
		for _, s := range w.at[:2] {
			if err := s.Err(); err != nil {
				t.Errorf("a healthy node stopped: %v", err)
			}
		}
	})
}

// otherCommand puts another command into an entry that has one, as a damaged or faulty node would.
func otherCommand(entry []byte) []byte {
	var e ledger.Entry
	if wire.Decode(entry, &e) != nil || e.Command == nil {
		return entry
	}
	e.Command = []byte("something else")
	b, err := wire.Encode(e)
	if err != nil {
		panic(err) // it was decoded
	}
	return b
}
