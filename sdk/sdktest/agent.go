package sdktest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// AgentOption says what agent to make.
type AgentOption func(*agentOptions)

type agentOptions struct {
	level    sdk.Level
	serves   []string
	operator int
	stateDir string
	connect  []sdk.Option
}

// Level is the agent's autonomy level, L3 if not given.
func Level(l sdk.Level) AgentOption { return func(o *agentOptions) { o.level = l } }

// Serves is the capability patterns that the agent may serve, sorted; everything ("*") if not given.
func Serves(patterns ...string) AgentOption { return func(o *agentOptions) { o.serves = patterns } }

// Attests makes the agent an attester of others' outcomes, by its operator's grant.
func Attests() AgentOption {
	return func(o *agentOptions) {
		o.serves = append(o.serves, trust.Attests)
		slices.Sort(o.serves)
		o.serves = slices.Compact(o.serves)
	}
}

// Of is the number, from 0, of the root operator who answers for the agent; 0 if not given.
func Of(operator int) AgentOption { return func(o *agentOptions) { o.operator = operator } }

// StateDir keeps what certificates were used, so that a further process of the agent finds it.
func StateDir(dir string) AgentOption { return func(o *agentOptions) { o.stateDir = dir } }

// With adds options to connect by.
func With(opts ...sdk.Option) AgentOption {
	return func(o *agentOptions) { o.connect = append(o.connect, opts...) }
}

// Agent enrols an agent and connects it until the test ends. With the name of one that is enrolled already it connects
// one more process of that agent; level, capabilities and operator stay as they are then.
func (r *Realm) Agent(t testing.TB, name string, opts ...AgentOption) *sdk.Agent {
	t.Helper()
	o := agentOptions{level: identity.Journeyer, serves: []string{"*"}}
	for _, opt := range opts {
		opt(&o)
	}
	r.mu.Lock()
	p, enrolled := r.profiles[name]
	r.mu.Unlock()
	if !enrolled {
		p = r.enrol(t, name, o)
	}
	if o.stateDir != "" {
		p.StateDir = o.stateDir
	}
	return r.connect(t, p, o.connect...)
}

// Profile returns what an enrolled agent connects by, for [sdk.WithProfile].
func (r *Realm) Profile(t testing.TB, name string) sdk.Profile {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.profiles[name]
	if !ok {
		t.Fatalf("sdktest: no agent %q was made by Realm.Agent", name)
	}
	return p
}

func (r *Realm) connect(t testing.TB, p sdk.Profile, opts ...sdk.Option) *sdk.Agent {
	t.Helper()
	all := append([]sdk.Option{sdk.WithProfile(p), sdk.Over(r.Transport()), sdk.WithLogger(r.logger)}, opts...)
	a, err := sdk.Connect(t.Context(), all...)
	if err != nil {
		t.Fatalf("sdktest: connect %s: %v", p.Signer.ID(), err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Errorf("sdktest: close %s: %v", p.Signer.ID(), err)
		}
	})
	return a
}

// Invite makes an enrolment token by an operator, good for an hour and up to the level that one operator may give.
func (r *Realm) Invite(t testing.TB, name string, opts ...AgentOption) string {
	t.Helper()
	o := agentOptions{level: identity.Journeyer, serves: []string{"*"}}
	for _, opt := range opts {
		opt(&o)
	}
	admin := r.Operator(t, o.operator).Admin()
	text, err := admin.Invite(name, min(o.level, r.Policy().Enrol), o.serves, time.Hour)
	if err != nil {
		t.Fatalf("sdktest: invite %s: %v", name, err)
	}
	return text
}

func (r *Realm) enrol(t testing.TB, name string, o agentOptions) sdk.Profile {
	t.Helper()
	text := r.Invite(t, name, Level(o.level), Serves(o.serves...), Of(o.operator))
	_, p, err := sdk.Enrol(t.Context(), text, sdk.KeepNothing(), sdk.Over(r.Transport()))
	if err != nil {
		t.Fatalf("sdktest: enrol %s: %v", name, err)
	}
	r.mu.Lock()
	r.profiles[name] = p
	r.mu.Unlock()
	if o.level > r.Policy().Enrol {
		r.SetLevel(t, name, o.level)
	}
	return p
}

// Operator returns root operator i, from 0, connected until the test ends.
func (r *Realm) Operator(t testing.TB, i int) *sdk.Agent {
	t.Helper()
	r.mu.Lock()
	a := r.operators[i]
	r.mu.Unlock()
	if a != nil {
		return a
	}
	a = r.connect(t, r.OperatorProfile(i))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operators[i] = a
	return a
}

// OperatorProfile returns what root operator i, from 0, connects by.
func (r *Realm) OperatorProfile(i int) sdk.Profile {
	return sdk.Profile{
		Realm: r.id, Addresses: []string{address}, Pins: []sdk.ID{r.node.ID()}, Signer: r.roots[i],
	}
}

// Quarantine silences an agent by one operator's word. It returns when the agent is silent.
func (r *Realm) Quarantine(t testing.TB, name string) {
	t.Helper()
	r.govern(t, registry.TypeStatus, registry.SetStatus{Principal: r.named(t, name), Status: trust.Quarantined}, 1)
}

// Release ends an agent's quarantine. Its connections have ended: connect it anew.
func (r *Realm) Release(t testing.TB, name string) {
	t.Helper()
	status := registry.SetStatus{Principal: r.named(t, name), Status: trust.Active}
	r.govern(t, registry.TypeStatus, status, int(r.Policy().Loosen))
}

// SetLevel changes an agent's level, with as many operators' signatures as the policy wants, and one more, if there are as
// many: that of the agent's own operator does not always count.
func (r *Realm) SetLevel(t testing.TB, name string, l sdk.Level) {
	t.Helper()
	level := registry.SetLevel{Principal: r.named(t, name), Level: l}
	r.govern(t, registry.TypeLevel, level, min(int(r.Policy().Loosen)+1, len(r.roots)))
}

// SetFamily says of which model family an agent is.
func (r *Realm) SetFamily(t testing.TB, name, family string) {
	t.Helper()
	peer, err := r.Operator(t, 0).Who(t.Context(), name)
	if err != nil {
		t.Fatalf("sdktest: family of %s: %v", name, err)
	}
	i := slices.IndexFunc(r.roots, func(root identity.Signer) bool { return root.ID() == peer.Operator })
	by := r.Operator(t, max(i, 0)).Admin()
	grant := registry.Grant{Principal: peer.ID, Family: family}
	members, err := by.Members(t.Context())
	for _, m := range members {
		if m.ID == peer.ID {
			grant.Serves = m.Serves
		}
	}
	var raw []byte
	if err == nil {
		raw, err = by.Prepare(registry.TypeGrant, grant, 0)
	}
	if err == nil {
		_, err = by.Submit(t.Context(), raw)
	}
	if err != nil {
		t.Fatalf("sdktest: family of %s: %v", name, err)
	}
}

// Govern replaces the policy, with as many operators' signatures as the one in force wants. It returns when the node has
// it; agents hear of it then.
func (r *Realm) Govern(t testing.TB, p policy.Policy) {
	t.Helper()
	r.govern(t, registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}, int(r.Policy().Loosen))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policy = p
}

func (r *Realm) named(t testing.TB, name string) sdk.ID {
	t.Helper()
	return r.Profile(t, name).Signer.ID()
}

// govern hands in a command with so many operators' signatures.
func (r *Realm) govern(t testing.TB, typ registry.Type, body any, signatures int) {
	t.Helper()
	first := r.Operator(t, 0).Admin()
	raw, err := first.Prepare(typ, body, 0)
	for i := 1; i < signatures && err == nil; i++ {
		raw, err = r.Operator(t, i).Admin().Countersign(raw)
	}
	if err == nil {
		_, err = first.Submit(t.Context(), raw)
	}
	if err != nil {
		t.Fatalf("sdktest: %s: %v", typ, err)
	}
}
