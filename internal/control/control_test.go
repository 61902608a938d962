package control_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	realm   = wire.Realm{1}
	node    = key(1, identity.Node)
	alice   = key(2, identity.Agent)
	process = bus.Token{3}
	once    = wire.NewKey([32]byte{4}).Public()
)

func key(seed byte, role identity.Role) identity.ID {
	return identity.NewID(role, wire.NewKey([32]byte{seed}).Public())
}

const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// sides joins a node and a party over memory.
func sides(t *testing.T, handlers map[control.Op]control.Handler, p control.Party) (*control.Server, *control.Client) {
	t.Helper()
	server, clients := crowd(t, handlers, p)
	return server, clients[0]
}

// crowd joins a node and many parties over memory.
func crowd(t *testing.T, handlers map[control.Op]control.Handler, parties ...control.Party) (*control.Server, []*control.Client) {
	t.Helper()
	network := membus.New(membus.Options{})
	all := bus.NodePermissions(realm)
	server, err := control.Serve(network.Join(all, bus.Observer{}), realm, node, handlers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var clients []*control.Client
	for _, p := range parties {
		client, err := control.NewClient(network.Join(all, bus.Observer{}), p)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
	}
	return server, clients
}

func party() control.Party {
	return control.Party{Realm: realm, Node: node, Principal: alice, Process: process}
}

func echo(_ context.Context, from control.Caller, body wire.Raw) (any, error) {
	w, err := control.Decode[control.Who](body)
	if err != nil {
		return nil, err
	}
	w.Name += fmt.Sprintf(" %s %v %t", from.Principal, from.Process == process, from.OneTime)
	return w, nil
}

func TestAnswersReachWhoAsked(t *testing.T) {
	_, client := sides(t, map[control.Op]control.Handler{control.OpWho: echo}, party())
	var out control.Who
	if err := client.Ask(within(t), control.OpWho, control.Who{Name: "bob"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("bob %s true false", alice); out.Name != want {
		t.Fatalf("%q, want %q", out.Name, want)
	}
	if err := client.Ask(within(t), control.OpWho, control.Who{}, nil); err != nil {
		t.Fatalf("an answer that nobody reads: %v", err)
	}
}

func TestRefusalsKeepCodeAndHint(t *testing.T) {
	denied := fault.New(fault.Denied, "no").WithHint("ask an operator")
	_, client := sides(t, map[control.Op]control.Handler{
		control.OpWho: echo,
		control.OpStatus: func(context.Context, control.Caller, wire.Raw) (any, error) {
			return nil, fmt.Errorf("wrapped: %w", denied)
		},
		control.OpFind: func(context.Context, control.Caller, wire.Raw) (any, error) { return nil, errors.New("broken") },
	}, party())
	for _, c := range []struct {
		name string
		op   control.Op
		in   any
		code fault.Code
		hint string
	}{
		{"honest", control.OpWho, control.Who{}, "", ""},
		{"handler's code and hint", control.OpStatus, control.Nothing{}, fault.Denied, "ask an operator"},
		{"no code", control.OpFind, control.Nothing{}, fault.Internal, ""},
		{"absent from the table", control.OpMembers, control.Nothing{}, fault.Denied, ""},
		{"another body", control.OpWho, control.Find{Capability: "x"}, fault.Malformed, ""},
	} {
		err := client.Ask(within(t), c.op, c.in, nil)
		if fault.CodeOf(err) != c.code || fault.HintOf(err) != c.hint {
			t.Errorf("%s: %v, code %q hint %q", c.name, err, fault.CodeOf(err), fault.HintOf(err))
		}
	}
}

func TestOneTimeKeysMayOnlyEnrol(t *testing.T) {
	var from control.Caller
	say := func(_ context.Context, c control.Caller, _ wire.Raw) (any, error) {
		from = c
		return control.Nothing{}, nil
	}
	handlers := map[control.Op]control.Handler{}
	for _, op := range []control.Op{
		control.OpRealm, control.OpSubmit, control.OpWho, control.OpSender, control.OpAnnounce, control.OpFind,
		control.OpMembers, control.OpDecision, control.OpDecisions, control.OpCertificate, control.OpStatus,
	} {
		handlers[op] = say
	}
	_, client := sides(t, handlers, control.Party{Realm: realm, Node: node, OneTime: once})
	for op := range handlers {
		want := fault.Denied
		if op == control.OpRealm || op == control.OpSubmit {
			want = ""
		}
		if err := client.Ask(within(t), op, control.Nothing{}, nil); fault.CodeOf(err) != want {
			t.Errorf("%s: %v, want %q", op, err, want)
		}
	}
	if !from.OneTime || from.Principal != bus.OneTime(once) {
		t.Errorf("the node saw %+v", from)
	}
}

func TestNoAnswerIsUncertain(t *testing.T) {
	_, client := sides(t, map[control.Op]control.Handler{
		control.OpWho: func(ctx context.Context, _ control.Caller, _ wire.Raw) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}, party())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := client.Ask(ctx, control.OpWho, control.Who{}, nil); !errors.Is(err, control.ErrNoAnswer) {
		t.Fatalf("%v", err)
	}
}

// One caller gets its share and no more; others are answered meanwhile, until all shares together are taken.
func TestABusyNodeSaysSo(t *testing.T) {
	release := make(chan struct{})
	working := make(chan struct{}, control.MaxConcurrent)
	parties := []control.Party{}
	for i := range byte(control.MaxConcurrent/control.MaxOfOne + 1) {
		p := party()
		p.Principal = key(100+i, identity.Agent)
		parties = append(parties, p)
	}
	server, clients := crowd(t, map[control.Op]control.Handler{
		control.OpWho: func(context.Context, control.Caller, wire.Raw) (any, error) {
			working <- struct{}{}
			<-release
			return control.Nothing{}, nil
		},
	}, parties...)
	ctx := within(t)
	ask := func(c *control.Client) error { return c.Ask(ctx, control.OpWho, control.Who{}, nil) }
	results := make(chan error, control.MaxConcurrent)
	last := clients[len(clients)-1]
	for _, c := range clients[:len(clients)-1] {
		for range control.MaxOfOne {
			go func() { results <- ask(c) }()
		}
		for range control.MaxOfOne {
			<-working
		}
		if err := ask(c); fault.CodeOf(err) != fault.Rate {
			t.Errorf("one more of one caller: %v", err)
		}
	}
	if err := ask(last); fault.CodeOf(err) != fault.Rate {
		t.Errorf("one more of all: %v", err)
	}
	close(release)
	for range control.MaxConcurrent {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for _, c := range clients {
		if err := ask(c); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	server.Close()
}

func TestGarbageIsRefusedByCode(t *testing.T) {
	network := membus.New(membus.Options{})
	all := bus.NodePermissions(realm)
	server, err := control.Serve(network.Join(all, bus.Observer{}), realm, node, map[control.Op]control.Handler{control.OpWho: echo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	conn := network.Join(all, bus.Observer{})
	subjects := bus.In(realm)
	replies := make(chan []byte, 8)
	if _, err := conn.Subscribe(subjects.ControlReplies(alice, process), func(_ string, data []byte) { replies <- data }); err != nil {
		t.Fatal(err)
	}
	subject := subjects.Control(node, alice, process, bus.Token{9})
	for _, data := range [][]byte{nil, []byte("junk"), {0xa1, 0x01, 0x00}} {
		if err := conn.Publish(within(t), subject, data); err != nil {
			t.Fatal(err)
		}
		var r control.Reply
		if err := wire.Decode(<-replies, &r); err != nil || r.Code != fault.Malformed {
			t.Errorf("%x: %+v %v", data, r, err)
		}
	}
}

func TestStandingHasAWordForEveryEnd(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range standings {
		got := control.Standing(c.verdict, nil, c.used, c.last)
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		seen[got] = true
	}
	if len(seen) != len(standings) {
		t.Errorf("%d words for %d ends", len(seen), len(standings))
	}
	for _, c := range permits {
		if got := control.Standing(c.verdict, permit, c.used, c.last); got != c.want {
			t.Errorf("a permit, %+v: %s", c, got)
		}
	}
}
