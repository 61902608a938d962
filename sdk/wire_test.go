package sdk_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// patience is how long a test waits for what must come: far longer than it takes.
const patience = 40 * time.Second

// real is a solo realm on one node with a disk, a broker and sockets.
type real struct {
	t      *testing.T
	node   *node.Node
	person *sdk.Agent
	seen   chan string // subjects of what agents publish on topics
}

func onARealNode(t *testing.T, p policy.Policy) *real {
	t.Helper()
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	plan := node.Plan{
		Policy: p, Roots: []sdk.ID{operator.ID()}, Place: node.Place{Listen: "127.0.0.1:0"}, Nonce: [16]byte{1},
		Now: time.Now().UnixMilli(),
	}
	if _, err = node.Init(dir, plan); err == nil {
		err = node.SignGenesis(dir, operator)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &real{t: t, seen: make(chan string, 4096)}
	if r.node, err = node.Open(t.Context(), node.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.node.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = r.node.Conn().Subscribe(bus.In(r.node.Realm()).All(), func(subject string, _ []byte) {
		if s, err := bus.In(r.node.Realm()).Parse(subject); err == nil && s.Kind == bus.Topic {
			select {
			case r.seen <- subject:
			default:
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.person, err = sdk.Connect(t.Context(), sdk.WithProfile(sdk.Profile{
		Realm: r.node.Realm(), Addresses: []string{r.node.Addr()}, Pins: []sdk.ID{r.node.ID()}, Signer: operator,
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.person.Close(t.Context()) })
	return r
}

func (r *real) enrol(name string) sdk.Profile {
	r.t.Helper()
	text, err := r.person.Admin().Invite(name, identity.Journeyer, []string{"*"}, time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	_, p, err := sdk.Enrol(r.t.Context(), text, sdk.KeepNothing())
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// rogue is a process that publishes what it likes, whatever its level: no SDK holds it back.
type rogue struct {
	*real
	conn    bus.Conn
	id      sdk.ID
	refused chan error
}

func (r *real) rogue(p sdk.Profile) *rogue {
	r.t.Helper()
	process, err := identity.NewProcess(p.Realm, p.Signer, 1<<40, time.Now().UnixMilli(), time.Hour.Milliseconds())
	if err != nil {
		r.t.Fatal(err)
	}
	g := &rogue{real: r, id: p.Signer.ID(), refused: make(chan error, 1)}
	g.conn, err = natsbus.Dial(r.t.Context(), natsbus.Options{
		Addresses: p.Addresses, Pins: p.Pins, MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, Refusals: 1 << 20,
		Present: func() (natsbus.Presentation, error) {
			return natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}, nil
		},
		Observer: bus.Observer{Refused: func(err error) {
			select {
			case g.refused <- err:
			default:
			}
		}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = g.conn.Close(r.t.Context()) })
	return g
}

// publish sends on a topic, and reports whether it has left.
func (g *rogue) publish(topic string) bool {
	g.t.Helper()
	subject, err := bus.In(g.node.Realm()).Topic(g.id, topic)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.conn.Publish(g.t.Context(), subject, []byte("noise")) == nil
}

// arrives publishes on a topic until the node has let something through, and returns what it has let through before.
func (g *rogue) arrives(topic string) (before []string) {
	g.t.Helper()
	end := time.After(patience)
	for {
		g.publish(topic)
		select {
		case subject := <-g.seen:
			if strings.HasSuffix(subject, "."+topic) {
				return before
			}
			before = append(before, subject)
		case <-time.After(10 * time.Millisecond):
		case <-end:
			g.t.Fatalf("nothing on %s came through", topic)
		}
	}
}

// isRefused publishes on a topic until the node refuses that.
func (g *rogue) isRefused(topic string) {
	g.t.Helper()
	end := time.After(patience)
	for {
		g.publish(topic)
		select {
		case err := <-g.refused:
			if sdk.CodeOf(err) != "denied" {
				g.t.Fatal(err)
			}
			return
		case <-time.After(time.Millisecond):
		case <-end:
			g.t.Fatalf("%s was not refused", topic)
		}
	}
}

// A violation takes rights from a live connection of a process that heeds nothing, over a real broker, by the time that it is
// answered; what its new level may, goes on.
func TestAViolationReachesARealBroker(t *testing.T) {
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	r := onARealNode(t, p)
	g := r.rogue(r.enrol("rogue"))
	g.arrives("news.today")
	g.arrives("report.today")
	raw, err := r.person.Admin().Accuse(g.id, 3, "published what it should not")
	if err == nil {
		_, err = r.person.Admin().Submit(t.Context(), raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.isRefused("news.late")
	for _, subject := range g.arrives("report.late") { // a connection keeps the order
		if strings.HasSuffix(subject, ".news.late") {
			t.Errorf("the node let through %s", subject)
		}
	}
	if v, err := r.person.Standing().Of(t.Context(), "rogue"); err != nil || v.Level != identity.Observer {
		t.Errorf("%+v %v", v, err)
	}
}

// Suspicion takes away the rate of a live connection, and with it nothing of its level.
func TestSuspicionThrottlesARealBroker(t *testing.T) {
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	r := onARealNode(t, p)
	g := r.rogue(r.enrol("rogue"))
	for range 500 { // far fewer than its rate lets through at once
		if !g.publish("news.today") {
			t.Fatal("not published")
		}
	}
	g.arrives("news.tomorrow") // the same connection keeps the order: none before it was refused
	select {
	case err := <-g.refused:
		t.Fatalf("within its rate: %v", err)
	default:
	}
	if _, err := r.person.Standing().Alarm(t.Context(), "rogue", 1000, "floods"); err != nil {
		t.Fatal(err)
	}
	g.isRefused("news.today") // 10 a second are left
	v, err := r.person.Standing().Of(t.Context(), "rogue")
	if err != nil || v.Level != identity.Journeyer || v.Throttle < 900 {
		t.Errorf("%+v %v", v, err)
	}
}
