package registrar

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestAdmission(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice := w.agent("alice")
		p := w.process(alice)
		a, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		want := bus.Party{
			Realm: w.Realm, Node: w.r.ID(), Principal: alice.ID(), Process: p.Credential().ID(), Status: trust.Active,
			Rights: w.Policy.Rights(identity.Journeyer),
		}.Permissions()
		if a.Principal != alice.ID() || a.Process != p.Credential().ID() || !a.Permissions.Within(want) || !want.Within(a.Permissions) ||
			a.Expires != p.Credential().Statement().Expires || a.Rate != w.Policy.Rights(identity.Journeyer).Rate+bus.ControlRate {
			t.Errorf("admission %+v", a)
		}
		operator := w.process(w.Roots[0])
		o, err := w.r.Admit(operator.Credential().Raw(), operator.Connect().Public(), w.now())
		if err != nil || o.Rate != bus.OperatorRate || !o.Permissions.Within(bus.Party{
			Realm: w.Realm, Node: w.r.ID(), Principal: w.Roots[0].ID(), Process: o.Process, Status: trust.Active,
		}.Permissions()) {
			t.Errorf("operator: %+v %v", o, err)
		}
	})
}

func TestAdmissionRefusals(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		alice, mallory := w.agent("alice"), w.agent("mallory")
		p, other := w.process(alice), w.process(alice)
		elsewhere, err := identity.NewProcess(wire.Realm{1}, alice, 1, w.now(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		forged := append([]byte(nil), p.Credential().Raw()...)
		forged[len(forged)-1] ^= 1
		key := p.Connect().Public()
		for _, c := range []struct {
			name    string
			raw     []byte
			connect wire.PublicKey
			later   time.Duration
			want    fault.Code
		}{
			{"honest", p.Credential().Raw(), key, 0, ""},
			{"another TLS key", p.Credential().Raw(), other.Connect().Public(), 0, fault.BadKey},
			{"forged", forged, key, 0, fault.BadSignature},
			{"another realm's", elsewhere.Credential().Raw(), elsewhere.Connect().Public(), 0, fault.BadSignature},
			{"signed by another", w.process(identity.NewSigner(alice.ID(), mallory.Key())).Credential().Raw(), key, 0, fault.BadSignature},
			{"a stranger's", w.process(w.Signer(identity.Agent)).Credential().Raw(), key, 0, fault.Unknown},
			{"over", p.Credential().Raw(), key, 2 * time.Hour, fault.Expired},
			{"to come", p.Credential().Raw(), key, -time.Hour, fault.NotYet},
			{"nothing", nil, key, 0, fault.Malformed},
			{"no credential", w.Genesis, key, 0, fault.Malformed},
		} {
			a, err := w.r.Admit(c.raw, c.connect, w.now()+c.later.Milliseconds())
			if fault.CodeOf(err) != c.want || (err != nil && !a.Permissions.IsZero()) {
				t.Errorf("%s: %v has code %q, want %q; %+v", c.name, err, fault.CodeOf(err), c.want, a.Permissions)
			}
		}
	})
}

func TestAdmissionFollowsTheLedger(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		root := w.Roots[0]
		for _, c := range []struct {
			name string
			typ  registry.Type
			body func(id identity.ID) any
			want fault.Code
		}{
			{"quarantined", registry.TypeStatus, func(id identity.ID) any {
				return registry.SetStatus{Principal: id, Status: trust.Quarantined}
			}, fault.Quarantined},
			{"revoked", registry.TypeStatus, func(id identity.ID) any {
				return registry.SetStatus{Principal: id, Status: trust.Revoked}
			}, fault.Revoked},
			{"epoch", registry.TypeEpoch, func(id identity.ID) any {
				return registry.RaiseEpoch{Principal: id, Epoch: 2}
			}, fault.Superseded},
		} {
			agent := w.agent(c.name)
			p := w.process(agent)
			admit := func() (Admission, error) { return w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now()) }
			if _, err := admit(); err != nil {
				t.Fatal(err)
			}
			w.must(root, c.typ, c.body(agent.ID()))
			if a, err := admit(); fault.CodeOf(err) != c.want || !a.Permissions.IsZero() {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		agent := w.agent("lowered")
		p := w.process(agent)
		w.must(root, registry.TypeLevel, registry.SetLevel{Principal: agent.ID(), Level: identity.Quarantined})
		a, err := w.r.Admit(p.Credential().Raw(), p.Connect().Public(), w.now())
		if err != nil || a.Permissions.MayPublish(bus.In(w.Realm).Request(agent.ID(), bus.Token{}, agent.ID())) {
			t.Errorf("at L0: %+v %v", a, err)
		}
	})
}

func TestInvitedAdmission(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.now()
		root := w.Roots[0]
		raw, once := w.Invite(root, w.Token(root.ID(), "new", identity.Journeyer))
		a, err := w.r.AdmitInvited(raw, once.Public(), w.now())
		if err != nil || a.Principal != bus.OneTime(once.Public()) || a.Rate != bus.ControlRate ||
			!a.Permissions.Within(bus.OneTimePermissions(w.Realm, w.r.ID(), once.Public())) {
			t.Fatalf("%+v %v", a, err)
		}
		stranger := w.Signer(identity.Operator)
		byStranger, strangers := w.Invite(stranger, w.Token(stranger.ID(), "new", identity.Journeyer))
		inHisName, his := w.Invite(identity.NewSigner(root.ID(), stranger.Key()), w.Token(root.ID(), "new", identity.Journeyer))
		for _, c := range []struct {
			name    string
			raw     []byte
			connect wire.PublicKey
			later   time.Duration
			want    fault.Code
		}{
			{"another TLS key", raw, his.Public(), 0, fault.BadKey},
			{"by a stranger", byStranger, strangers.Public(), 0, fault.Unknown},
			{"in the operator's name", inHisName, his.Public(), 0, fault.BadSignature},
			{"over", raw, once.Public(), 2 * time.Hour, fault.Expired},
			{"to come", raw, once.Public(), -time.Hour, fault.NotYet},
			{"nothing", nil, once.Public(), 0, fault.Malformed},
		} {
			a, err := w.r.AdmitInvited(c.raw, c.connect, w.now()+c.later.Milliseconds())
			if fault.CodeOf(err) != c.want || !a.Permissions.IsZero() {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, fault.CodeOf(err), c.want)
			}
		}
	})
}
