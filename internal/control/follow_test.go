package control_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// standing is a connection that stands where a test says.
type standing struct {
	bus.Conn

	mu   sync.Mutex
	node identity.ID
}

// Node implements [bus.Located].
func (s *standing) Node() identity.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

func (s *standing) goes(to identity.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = to
}

func TestRequestsGoWhereTheConnectionStands(t *testing.T) {
	network, all := membus.New(membus.Options{}), bus.NodePermissions(realm)
	nodes := []identity.ID{node, key(5, identity.Node), key(6, identity.Node)}
	for i, id := range nodes {
		name := string(rune('a' + i))
		server, err := control.Serve(network.Join(all, bus.Observer{}), realm, id, map[control.Op]control.Handler{
			control.OpWho: func(context.Context, control.Caller, wire.Raw) (any, error) { return control.Who{Name: name}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
	}
	conn := &standing{Conn: network.Join(all, bus.Observer{}), node: nodes[1]}
	for what, p := range map[string]control.Party{"a process": party(), "a one-time key": {Realm: realm, Node: node, OneTime: once}} {
		client, err := control.NewClient(conn, p)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range map[int]string{1: "b", 2: "c", 0: "a"} {
			conn.goes(nodes[i])
			var out control.Who
			err := client.Ask(within(t), control.OpWho, control.Who{}, &out)
			if p.Principal.IsZero() { // may only enrol
				if fault.CodeOf(err) != fault.Denied {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			if err != nil || out.Name != want {
				t.Errorf("%s: %q answered, not %q: %v", what, out.Name, want, err)
			}
		}
		conn.goes(identity.ID{})
		err = client.Ask(within(t), control.OpWho, control.Who{}, nil)
		if !errors.Is(err, bus.ErrUnreachable) || !fault.CodeOf(err).Retryable() {
			t.Errorf("%s: nowhere: %v", what, err)
		}
	}
}

func TestRequestsEndWhenTheConnectionGoesDown(t *testing.T) {
	down, asked := make(chan struct{}), make(chan struct{}, 1)
	p := party()
	p.Cut = func() <-chan struct{} { return down }
	_, client := sides(t, map[control.Op]control.Handler{
		control.OpWho: echo,
		control.OpFind: func(ctx context.Context, _ control.Caller, _ wire.Raw) (any, error) {
			asked <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}, p)
	if err := client.Ask(within(t), control.OpWho, control.Who{}, nil); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		close(down)
	}()
	err := client.Ask(within(t), control.OpFind, control.Find{}, nil)
	if !errors.Is(err, control.ErrCut) || fault.CodeOf(err) != fault.Uncertain {
		t.Errorf("%v has code %q", err, fault.CodeOf(err))
	}
}
