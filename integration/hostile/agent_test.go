//go:build hostile

package hostile

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// anybody lets every client in that shows a credential, with an agent's rights.
type anybody struct {
	*mallory
	rights trust.Rights
}

func (a anybody) Admit(raw []byte, _ wire.PublicKey, now int64) (broker.Admission, error) {
	c, err := wire.Parse[identity.Credential](raw, wire.MaxStatement)
	if err != nil {
		return broker.Admission{}, err
	}
	process := wire.Hash(raw)
	if v, err := identity.VerifyCredential(raw, a.realm.id, c.Claim.Principal.Key(), now); err == nil {
		process = v.ID()
	}
	p := bus.Party{Realm: a.realm.id, Node: a.ID(), Principal: c.Claim.Principal, Process: process, Status: trust.Active, Rights: a.rights}
	return broker.Admission{
		Principal: c.Claim.Principal, Process: process, Permissions: p.Permissions(), Rate: 1000, Expires: c.Claim.Expires,
	}, nil
}

func (anybody) AdmitInvited([]byte, wire.PublicKey, int64) (broker.Admission, error) {
	return broker.Admission{}, errNotToday
}

// pose serves agents as their node: what they ask is passed on to an honest node, and change may spoil its answers.
func (m *mallory) pose(change func(op control.Op, answer any)) {
	m.t.Helper()
	relay := m.nodes[0]
	handle := func(op control.Op, in, out func() any) control.Handler {
		return func(_ context.Context, _ control.Caller, body wire.Raw) (any, error) {
			q, a := in(), out()
			if err := wire.Decode(body, q); err != nil {
				return nil, err
			}
			if err := m.try(relay, op, q, a); err != nil {
				return nil, err
			}
			change(op, a)
			return a, nil
		}
	}
	nothing := func() any { return new(control.Nothing) }
	server, err := control.Serve(m.conn, m.realm.id, m.ID(), map[control.Op]control.Handler{
		control.OpRealm:     handle(control.OpRealm, nothing, func() any { return new(control.Realm) }),
		control.OpWho:       handle(control.OpWho, func() any { return new(control.Who) }, func() any { return new(control.Principal) }),
		control.OpSender:    handle(control.OpSender, func() any { return new(control.Process) }, func() any { return new(control.Vouched) }),
		control.OpFind:      handle(control.OpFind, func() any { return new(control.Find) }, func() any { return new(control.Found) }),
		control.OpDecisions: handle(control.OpDecisions, nothing, func() any { return new(control.Decisions) }),
		control.OpAnnounce:  func(context.Context, control.Caller, wire.Raw) (any, error) { return control.Nothing{}, nil },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(server.Close)
}

// An agent whose node is the hostile one believes nothing of it that a majority has not signed, nor anything of the past.
func TestAnAgentAtTheHostileNode(t *testing.T) {
	r := grown(t)
	p := r.profile("alice", r.nodes[0])
	r.profile("bob", r.nodes[0])
	m := r.replace(r.follower())
	preset, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	m.boardWith(anybody{m, preset.Rights(identity.Journeyer)})
	honestTicket, _ := r.ticketOn(r.nodes[0], "bob")
	old := r.learn(r.nodes[0])
	r.tick("newer")

	var turn sync.Mutex
	spoil := func(control.Op, any) {}
	m.pose(func(op control.Op, answer any) {
		turn.Lock()
		defer turn.Unlock()
		spoil(op, answer)
	})
	set := func(fn func(op control.Op, answer any)) {
		turn.Lock()
		defer turn.Unlock()
		spoil = fn
	}
	p.Addresses, p.Pins = []string{m.broker.Addr()}, []identity.ID{m.ID()}
	connect := func() (*sdk.Agent, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return sdk.Connect(ctx, sdk.WithProfile(p))
	}
	hide := func(op control.Op, answer any) { // or the agent goes to another node
		if a, ok := answer.(*control.Realm); ok {
			a.Nodes = nil
		}
	}
	set(hide)
	alice, err := connect()
	if err != nil {
		t.Fatalf("the honest twin: %v", err)
	}
	defer func() { _ = alice.Close(context.Background()) }()
	if who, err := alice.Who(t.Context(), "bob"); err != nil || who.Name != "bob" {
		t.Fatalf("the honest twin: %v", err)
	}
	forge := func(change func(*trust.Ticket), keys ...wire.Key) []byte {
		k := honestTicket
		k.Serves = slices.Clone(k.Serves)
		k.Issued = time.Now().UnixMilli()
		k.Expires = k.Issued + trust.MaxTicketLife
		change(&k)
		raw, err := wire.Cosign(r.id, k, keys...)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	strangers := []wire.Key{m.Key(), newSigner(t, identity.Node).Key()}
	for name, ticket := range map[string][]byte{
		"one signature":        forge(func(*trust.Ticket) {}, m.Key()),
		"none":                 forge(func(*trust.Ticket) {}),
		"a stranger's besides": forge(func(*trust.Ticket) {}, strangers...),
		"a higher level":       forge(func(k *trust.Ticket) { k.Level = identity.Journeyer + 1 }, m.Key()),
		"the old roster":       forge(func(k *trust.Ticket) { k.Roster = 0 }, m.Key()),
		"junk":                 []byte("junk"),
	} {
		set(func(op control.Op, answer any) {
			hide(op, answer)
			if a, ok := answer.(*control.Principal); ok {
				a.Ticket = ticket
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := alice.Who(ctx, "bob"); err == nil {
			t.Errorf("%s: the ticket was believed", name)
		}
		cancel()
	}
	falseHead := func() []byte {
		h, _ := r.headOf(r.nodes[0])
		h.Root = wire.Digest{1}
		raw, err := m.Cosign(r.id, h)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}()
	if _, err := audit.VerifyHead(falseHead, r.authority()); err == nil {
		t.Error("a head of one node verifies")
	}
	for name, change := range map[string]func(a *control.Realm){
		"a false head":      func(a *control.Realm) { a.Head = falseHead },
		"rosters cut short": func(a *control.Realm) { a.Rosters = a.Rosters[:0] },
		"a false genesis":   func(a *control.Realm) { a.Genesis = old.Head },
		"another policy":    func(a *control.Realm) { a.Policy = append(slices.Clone(a.Policy), 0) },
	} {
		set(func(op control.Op, answer any) {
			hide(op, answer)
			if a, ok := answer.(*control.Realm); ok {
				change(a)
			}
		})
		if a, err := connect(); err == nil {
			_ = a.Close(context.Background())
			t.Errorf("%s: the realm was believed", name)
		} else {
			wantCode(t, name, err, fault.NoQuorum, fault.BadSignature, fault.Malformed, fault.Superseded, fault.WrongRealm, fault.WrongKind)
		}
	}
	set(hide)
	until(t, "the honest answer is believed again", func() bool { _, err := alice.Who(t.Context(), "bob"); return err == nil })
}
