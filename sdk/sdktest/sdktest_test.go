package sdktest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/consensus/memlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/trust"
)

type ask struct {
	Text string `json:"text"`
}

type answer struct {
	Text string `json:"text"`
}

func upper(_ context.Context, r *sdk.Request[ask]) (answer, error) {
	return answer{strings.ToUpper(r.Data.Text)}, nil
}

func serve(t *testing.T, a *sdk.Agent) {
	t.Helper()
	if err := sdk.Handle(a, "text.upper", upper); err != nil {
		t.Fatal(err)
	}
}

func call(ctx context.Context, a *sdk.Agent) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := sdk.Call[answer](ctx, a, sdk.Any("text.upper"), ask{"hello"})
	return out.Text, err
}

func mustCall(t *testing.T, a *sdk.Agent) {
	t.Helper()
	if text, err := call(t.Context(), a); err != nil || text != "HELLO" {
		t.Fatalf("%q %v", text, err)
	}
}

// Without a bubble, by the machine's own clock.
func TestTwoAgentsTalk(t *testing.T) {
	realm := sdktest.New(t)
	serve(t, realm.Agent(t, "bob", sdktest.Serves("text.*")))
	mustCall(t, realm.Agent(t, "alice"))
}

func TestRealms(t *testing.T) {
	narrow, err := policy.Preset(policy.Standard)
	if err != nil {
		t.Fatal(err)
	}
	narrow.Levels[identity.Journeyer].Rights.Call = []string{"text.upper"}
	for _, c := range []struct {
		name      string
		opts      []sdktest.Option
		operators int
		preset    string
	}{
		{"solo", nil, 1, policy.Solo},
		{"standard", []sdktest.Option{sdktest.Standard(3)}, 3, policy.Standard},
		{"a policy", []sdktest.Option{sdktest.WithPolicy(narrow, 2)}, 2, policy.Standard},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := sdktest.New(t, c.opts...)
				serve(t, realm.Agent(t, "bob", sdktest.Of(c.operators-1), sdktest.Level(identity.Principal)))
				alice := realm.Agent(t, "alice")
				mustCall(t, alice)
				bob, err := alice.Who(t.Context(), "bob")
				if err != nil || bob.Level != identity.Principal || bob.Operator != realm.Operator(t, c.operators-1).ID() {
					t.Errorf("%+v %v", bob, err)
				}
				s, err := realm.Operator(t, 0).Admin().Status(t.Context())
				if err != nil || s.Preset != c.preset || s.Realm != realm.ID() || s.Node != realm.Node() || s.Agents != 2 || s.Live < 3 {
					t.Errorf("%+v %v", s, err)
				}
				if realm.Policy().Preset != c.preset {
					t.Errorf("policy %s", realm.Policy().Preset)
				}
			})
		})
	}
}

func TestTwoProcessesOfOneAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		one, two := realm.Agent(t, "alice"), realm.Agent(t, "alice")
		if one == two || one.ID() != two.ID() || one.ID() != realm.Profile(t, "alice").Signer.ID() {
			t.Errorf("%s and %s", one.ID(), two.ID())
		}
		serve(t, one)
		mustCall(t, two)
	})
}

func TestANodeInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		serve(t, realm.Agent(t, "bob"))
		alice := realm.Agent(t, "alice")
		mustCall(t, alice)
		request := func(p sdktest.Packet) bool { return strings.Contains(p.Subject, ".req.") }
		seen := realm.Packets()
		i := slices.IndexFunc(seen, request)
		if i < 0 || seen[i].From != alice.ID() {
			t.Fatalf("request %d of %d packets", i, len(seen))
		}
		seen[i].Data[0] ^= 1 // the caller's own copy
		if again := realm.Packets(); again[i].Data[0] == seen[i].Data[0] {
			t.Error("packets are not copies")
		}
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if request(p) {
				return nil
			}
			return []sdktest.Packet{p}
		})
		if _, err := call(t.Context(), alice); !errors.Is(err, sdk.ErrTimeout) {
			t.Errorf("dropped: %v", err)
		}
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet { return []sdktest.Packet{p, p, p} })
		mustCall(t, alice)
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if request(p) {
				p.Data = append(slices.Clone(p.Data), 0)
			}
			return []sdktest.Packet{p}
		})
		if _, err := call(t.Context(), alice); !errors.Is(err, sdk.ErrTimeout) {
			t.Errorf("altered: %v", err)
		}
		realm.Intercept(nil)
		mustCall(t, alice)
		realm.Inject(t, sdktest.Packet{Subject: realm.Packets()[i].Subject, Data: []byte("noise")})
		mustCall(t, alice)
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		serve(t, realm.Agent(t, "bob"))
		alice := realm.Agent(t, "alice")
		mustCall(t, alice)
		realm.Faults(membus.Faults{Drop: 1000})
		if _, err := call(t.Context(), alice); err == nil {
			t.Error("answered over a dead network")
		}
		realm.Faults(membus.Faults{Duplicate: 1000})
		mustCall(t, alice)
		realm.Faults(membus.Faults{})
		mustCall(t, alice)
		realm.FailNext(memlog.UncertainApplied)
		d, err := alice.Propose(t.Context(), sdk.Proposal{Action: sdk.NewAction("file.write", "a", nil)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestQuarantineAndRelease(t *testing.T) {
	for name, opts := range map[string][]sdktest.Option{"solo": nil, "standard": {sdktest.Standard(2)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := sdktest.New(t, opts...)
				serve(t, realm.Agent(t, "bob"))
				alice := realm.Agent(t, "alice")
				mustCall(t, alice)
				realm.Quarantine(t, "alice")
				if _, err := call(t.Context(), alice); err == nil {
					t.Error("a quarantined agent called")
				}
				realm.Release(t, "alice")
				synctest.Wait() // until bob has heard of it
				mustCall(t, realm.Agent(t, "alice"))
				silenced := func(e audit.Entry) bool { return e.Door == audit.Quarantining && e.Code == "" }
				if !slices.ContainsFunc(realm.Trail(), silenced) {
					t.Error("the trail does not say so")
				}
			})
		})
	}
}

// raw connects by hand.
func raw(t *testing.T, realm *sdktest.Realm, p sdk.Profile, shown natsbus.Presentation) (bus.Conn, error) {
	t.Helper()
	return realm.Transport()(t.Context(), natsbus.Options{
		Addresses: p.Addresses, Pins: p.Pins, Present: func() (natsbus.Presentation, error) { return shown, nil },
	})
}

func TestConnectionsEndWithWhatTheyWereAdmittedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t)
		realm.Agent(t, "alice")
		p := realm.Profile(t, "alice")
		now := time.Now()
		process, err := identity.NewProcess(p.Realm, p.Signer, 1, now.UnixMilli(), time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		credential := func() natsbus.Presentation {
			return natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}
		}
		invited := func() natsbus.Presentation { // not before the first has ended: it would end with it
			invitation, _, err := identity.ParseInvitation(realm.Invite(t, "new"))
			if err != nil {
				t.Fatal(err)
			}
			return natsbus.Presentation{Connect: wire.NewKey(invitation.Seed), Statement: invitation.Token, Invitation: true}
		}
		for _, c := range []struct {
			name  string
			shown func() natsbus.Presentation
			life  time.Duration
		}{
			{"credential", credential, time.Hour},
			{"invitation", invited, 30 * time.Second},
		} {
			began := time.Now()
			conn, err := raw(t, realm, p, c.shown())
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if err := conn.Publish(t.Context(), "c1.elsewhere", nil); !errors.Is(err, bus.ErrDenied) {
				t.Errorf("%s publishes anywhere: %v", c.name, err)
			}
			<-conn.Done()
			if lived := time.Since(began); lived > c.life || lived < c.life-time.Second {
				t.Errorf("%s lived %s", c.name, lived)
			}
			if !errors.Is(conn.Err(), natsbus.ErrRefused) {
				t.Errorf("%s ended by %v", c.name, conn.Err())
			}
		}
		other, err := identity.NewProcess(p.Realm, p.Signer, 1, time.Now().UnixMilli(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		_, err = raw(t, realm, p, natsbus.Presentation{Connect: other.Connect(), Statement: process.Credential().Raw()})
		if !errors.Is(err, natsbus.ErrRefused) {
			t.Errorf("another's key: %v", err)
		}
	})
}

func TestAttestersOperatorsAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := sdktest.New(t, sdktest.Standard(2))
		realm.Agent(t, "carol", sdktest.Of(1), sdktest.Attests())
		realm.SetFamily(t, "carol", "stars.one")
		serves := func() []string {
			t.Helper()
			members, err := realm.Operator(t, 0).Admin().Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(members, func(m admin.Member) bool { return m.Name == "carol" })
			if i < 0 || members[i].Operator != realm.OperatorProfile(1).Signer.ID() || members[i].Family != "stars.one" {
				t.Fatalf("%+v", members)
			}
			return members[i].Serves
		}
		if got := serves(); !slices.Equal(got, []string{"*", trust.Attests}) {
			t.Errorf("serves %v", got)
		}
		told := func() int64 {
			t.Helper()
			v, err := realm.Operator(t, 0).Standing().Of(t.Context(), "carol")
			if err != nil {
				t.Fatal(err)
			}
			return v.At
		}
		before := told()
		realm.Pass(t, 5*time.Hour)
		if passed := told() - before; passed != (5 * time.Hour).Milliseconds() {
			t.Errorf("%d ms of log time", passed)
		}
	})
}
