package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// realm is a node with operators and the three agents of the example, each of an operator of its own where there are
// three.
type realm struct {
	node     *node.Node
	people   []*sdk.Agent // connected operators; the first is the migrator's
	profiles map[string]sdk.Profile
}

// found starts a realm of the preset with so many root operators.
func found(t *testing.T, preset string, operators int) *realm {
	t.Helper()
	p, err := policy.Preset(preset)
	if err != nil {
		t.Fatal(err)
	}
	var signers []identity.Signer
	plan := node.Plan{Policy: p, Place: node.Place{Listen: "127.0.0.1:0"}, Now: time.Now().UnixMilli(), Nonce: [16]byte{1}}
	for range operators {
		signer, _, err := identity.GenerateSigner(identity.Operator)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, signer)
		plan.Roots = append(plan.Roots, signer.ID())
	}
	slices.SortFunc(plan.Roots, identity.ID.Compare)
	dir := filepath.Join(t.TempDir(), "node")
	if _, err := node.Init(dir, plan); err != nil {
		t.Fatal(err)
	}
	for _, signer := range signers {
		if err := node.SignGenesis(dir, signer); err != nil {
			t.Fatal(err)
		}
	}
	r := &realm{profiles: map[string]sdk.Profile{}}
	if r.node, err = node.Open(t.Context(), node.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.node.Close() })
	for i, signer := range signers {
		name := fmt.Sprintf("operator-%d", i)
		r.profiles[name] = sdk.Profile{
			Realm: r.node.Realm(), Addresses: []string{r.node.Addr()}, Pins: []identity.ID{r.node.ID()}, Signer: signer,
		}
		r.people = append(r.people, r.join(t, name))
	}
	for i, name := range []string{"migrator", roles[0].name, roles[1].name} {
		r.enrol(t, name, r.people[i%operators])
	}
	return r
}

// join connects a principal until the test ends.
func (r *realm) join(t *testing.T, name string) *sdk.Agent {
	t.Helper()
	a, err := sdk.Connect(t.Context(), sdk.WithProfile(r.profiles[name]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

// enrol makes an agent of the operator and raises it to L3.
func (r *realm) enrol(t *testing.T, name string, operator *sdk.Agent) {
	t.Helper()
	invitation, err := operator.Admin().Invite(name, identity.Observer, []string{"migrate.*"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	signer, profile, err := sdk.Enrol(t.Context(), invitation, sdk.KeepNothing())
	if err != nil {
		t.Fatal(err)
	}
	profile.StateDir = filepath.Join(t.TempDir(), "spent")
	r.profiles[name] = profile
	body := registry.SetLevel{Principal: signer.ID(), Level: identity.Journeyer}
	raw, err := r.people[0].Admin().Prepare(registry.TypeLevel, body, 0)
	for _, o := range r.people[1:] {
		if err == nil {
			raw, err = o.Admin().Countersign(raw)
		}
	}
	if err == nil {
		_, err = r.people[0].Admin().Submit(t.Context(), raw)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// connect is what the program gets instead of contexts.
func (r *realm) connect(ctx context.Context, _, name string) (*sdk.Agent, error) {
	return sdk.Connect(ctx, sdk.WithProfile(r.profiles[name]))
}
