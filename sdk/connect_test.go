package sdk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// lie has the node change what it says of the realm, as a hostile node may.
func lie(realm *sdktest.Realm, change func(r *control.Realm)) {
	rewrite(realm, func(r *control.Realm) bool {
		if r.Node.IsZero() || len(r.Genesis) == 0 {
			return false
		}
		change(r)
		return true
	})
}

// rewrite has the node change the answers that have the form of T, where change returns true.
func rewrite[T any](realm *sdktest.Realm, change func(answer *T) bool) {
	realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
		var reply control.Reply
		var answer T
		if p.From != realm.Node() || wire.Decode(p.Data, &reply) != nil || reply.Code != "" ||
			wire.Decode(reply.Body, &answer) != nil || !change(&answer) {
			return []sdktest.Packet{p}
		}
		reply.Body, _ = wire.Encode(answer) // it was decoded from such
		p.Data, _ = wire.Encode(reply)
		return []sdktest.Packet{p}
	})
}

func connect(ctx context.Context, realm *sdktest.Realm, p sdk.Profile, opts ...sdk.Option) error {
	a, err := sdk.Connect(ctx, append([]sdk.Option{sdk.WithProfile(p), sdk.Over(realm.Transport())}, opts...)...)
	if err != nil {
		return err
	}
	return a.Close(ctx)
}

func TestConnectVerifiesTheRealm(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		realm.Agent(t, "alice")
		elsewhere := sdktest.New(t)
		p := realm.Profile(t, "alice")
		var foreign, honest control.Realm
		lie(elsewhere, func(r *control.Realm) { foreign = *r })
		elsewhere.Agent(t, "alice")
		lie(realm, func(r *control.Realm) { honest = *r })
		if err := connect(t.Context(), realm, p); err != nil {
			t.Fatal(err)
		}
		looser, err := policy.Preset(policy.Solo)
		if err != nil {
			t.Fatal(err)
		}
		looser.Levels[1].Alone = 2
		for _, c := range []struct {
			name   string
			want   code.Code
			change func(r *control.Realm)
		}{
			{"another realm's genesis", "wrong_realm", func(r *control.Realm) { *r = foreign }},
			{"no genesis", "malformed", func(r *control.Realm) { r.Genesis = []byte{1} }},
			{"another policy", "bad_signature", func(r *control.Realm) { r.Policy = looser.Encode() }},
			{"a policy that is none", "bad_signature", func(r *control.Realm) { r.Policy = []byte("deny: nothing") }},
			{"another realm's head", "bad_signature", func(r *control.Realm) { r.Head = foreign.Head }},
			{"a head that is none", "malformed", func(r *control.Realm) { r.Head = []byte("head") }},
			{"a roster out of nowhere", "malformed", func(r *control.Realm) { r.Rosters = [][]byte{{1}} }},
		} {
			lie(realm, c.change)
			if err := connect(t.Context(), realm, p); sdk.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.want)
			}
		}
		lie(realm, func(r *control.Realm) { *r = honest })
		if err := connect(t.Context(), realm, p); err != nil {
			t.Errorf("honest again: %v", err)
		}
	})
}

func TestConnectRefusals(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		realm.Agent(t, "alice")
		honest := realm.Profile(t, "alice")
		if err := connect(t.Context(), realm, honest); err != nil {
			t.Fatal(err)
		}
		stranger, _, err := identity.GenerateSigner(identity.Agent)
		if err != nil {
			t.Fatal(err)
		}
		node, _, err := identity.GenerateSigner(identity.Node)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			want   code.Code
			change func(p *sdk.Profile)
		}{
			{"another realm", code.Denied, func(p *sdk.Profile) { p.Realm[0] ^= 1 }},
			{"another node pinned", code.Unreachable, func(p *sdk.Profile) { p.Pins = []sdk.ID{node.ID()} }},
			{"no pins", code.NotFound, func(p *sdk.Profile) { p.Pins = nil }},
			{"no addresses", code.NotFound, func(p *sdk.Profile) { p.Addresses = nil }},
			{"a stranger", code.Denied, func(p *sdk.Profile) { p.Signer = stranger }},
			{"another's key", code.Denied, func(p *sdk.Profile) {
				p.Signer = identity.NewSigner(p.Signer.ID(), stranger.Key())
			}},
		} {
			p := honest
			c.change(&p)
			if err := connect(t.Context(), realm, p); sdk.CodeOf(err) != c.want {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.want)
			}
		}
		wantCode(t, connect(t.Context(), realm, honest, sdk.Name("Not A Name")), "malformed")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := connect(ended, realm, honest); !errors.Is(err, context.Canceled) {
			t.Errorf("after the context ended: %v", err)
		}
	})
}

// saved writes a context for an agent that the realm knows, and returns its store.
func saved(t *testing.T, realm *sdktest.Realm, seen contexts.Seen) *contexts.Store {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv(contexts.EnvVar, "test")
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(home, "agent.key")
	signer, p, err := sdk.Enrol(t.Context(), realm.Invite(t, "alice"), sdk.KeepKey(key), sdk.Over(realm.Transport()))
	if err != nil {
		t.Fatal(err)
	}
	err = store.Save("test", contexts.Context{
		Realm: p.Realm.String(), Addresses: p.Addresses, Pins: []string{p.Pins[0].String()}, Key: key,
		Principal: signer.ID().String(), Seen: seen,
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConnectByContextRefusesAnOlderHead(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		store := saved(t, realm, contexts.Seen{})
		open := func() error {
			a, err := sdk.Connect(t.Context(), sdk.Over(realm.Transport()))
			if err != nil {
				return err
			}
			if a.Self().Context != "test" || a.Self().Realm != realm.ID() {
				t.Errorf("context %q, realm %s", a.Self().Context, a.Self().Realm)
			}
			return a.Close(t.Context())
		}
		var old control.Realm
		lie(realm, func(r *control.Realm) { old = *r })
		if err := open(); err != nil {
			t.Fatal(err)
		}
		realm.Intercept(nil)
		realm.Agent(t, "bob") // the registry goes on
		if err := open(); err != nil {
			t.Fatal(err)
		}
		c, err := store.Load("test")
		if err != nil || c.Seen.HeadSize == 0 {
			t.Fatalf("seen %+v %v", c.Seen, err)
		}
		lie(realm, func(r *control.Realm) { *r = old })
		wantCode(t, open(), "superseded")
		realm.Intercept(nil)
		if err := open(); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectByContextRefusesAnOlderRoster(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		saved(t, realm, contexts.Seen{Roster: 1})
		_, err := sdk.Connect(t.Context(), sdk.Over(realm.Transport()))
		wantCode(t, err, "superseded")
	})
}

func TestConnectWithoutAContext(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(contexts.EnvVar, "")
	_, err := sdk.Connect(t.Context())
	wantErr(t, err, sdk.ErrNoBus)
}

// A process that has seen a newer realm does not go back when it renews its session.
func TestRenewalRefusesAnOlderHead(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		var old control.Realm
		lie(realm, func(r *control.Realm) { old = *r })
		realm.Agent(t, "bob")
		realm.Intercept(nil)
		var logged codes
		alice := realm.Agent(t, "alice", logged.option(), sdktest.With(sdk.CredentialLife(time.Hour)))
		handle(t, realm.Agent(t, "bob"), "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		lie(realm, func(r *control.Realm) { *r = old })
		logged.take()
		time.Sleep(46 * time.Minute) // of the bubble's clock: past three quarters
		if got := logged.take(); len(got) == 0 || got[0] != "superseded" {
			t.Errorf("logged %q", got)
		}
		mustCall(t, alice, sdk.Any("text.upper")) // by the session that it has
		realm.Intercept(nil)
		time.Sleep(2 * time.Hour)
		mustCall(t, alice, sdk.Any("text.upper"))
	})
}

// What the node answers about others is verified too: it can withhold, not swap.
func TestANodeThatSwapsAgentsIsNotBelieved(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, mallory := realm.Agent(t, "alice"), realm.Agent(t, "mallory")
		handle(t, realm.Agent(t, "bob"), "text.upper", upper)
		handle(t, mallory, "text.lower", upper)
		var mallorys control.Found
		rewrite(realm, func(f *control.Found) bool {
			if len(f.Processes) > 0 {
				mallorys = *f
			}
			return false
		})
		mustCall(t, alice, sdk.To("mallory", "text.lower"))
		honest := mallorys
		rewrite(realm, func(f *control.Found) bool {
			if len(f.Processes) == 0 {
				return false // an answer of another kind
			}
			*f = honest
			return true
		})
		_, err := call(t, alice, sdk.To("bob", "text.upper"))
		wantCode(t, err, code.NoResponder)
		rewrite(realm, func(f *control.Found) bool { // mallory's process under bob's name
			if len(f.Processes) > 0 {
				f.Processes[0].Credential = honest.Processes[0].Credential
			}
			return len(f.Processes) > 0
		})
		_, err = call(t, alice, sdk.To("bob", "text.upper"))
		wantCode(t, err, code.NoResponder)
		realm.Intercept(nil)
		mustCall(t, alice, sdk.To("bob", "text.upper"))

		bob, err := alice.Who(t.Context(), "bob")
		if err != nil || bob.Name != "bob" {
			t.Fatalf("%+v %v", bob, err)
		}
		var swapped control.Principal // others ask about others meanwhile
		rewrite(realm, func(p *control.Principal) bool {
			if c, err := wire.ParseCosigned[trust.Ticket](p.Ticket, wire.MaxStatement); err == nil && c.Claim.Name == "mallory" {
				swapped = *p
			}
			return false
		})
		if _, err := alice.Who(t.Context(), "mallory"); err != nil || swapped.Ticket == nil {
			t.Fatalf("%+v %v", swapped, err)
		}
		rewrite(realm, func(p *control.Principal) bool { *p = swapped; return true })
		if _, err := alice.Who(t.Context(), "bob"); err == nil {
			t.Error("mallory's ticket passed for bob's")
		}
	})
}
