package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// dev starts a node as `conclave dev` does, and writes the context "dev".
func dev(t *testing.T) *node.Node {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	operator, seed, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "operator.key")
	if err := agefile.Save(key, identity.Operator, seed, nil); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "node")
	plan := node.Plan{Policy: p, Roots: []identity.ID{operator.ID()}, Place: node.Place{Listen: "127.0.0.1:0"}, Nonce: [16]byte{1}, Now: time.Now().UnixMilli()}
	realm, err := node.Init(data, plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.SignGenesis(data, operator); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Config{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Save("dev", contexts.Context{
		Realm: realm.String(), Addresses: []string{n.Addr()}, Pins: []string{n.ID().String()},
		Key: key, Principal: operator.ID().String(),
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHelloAgainAndAgain(t *testing.T) {
	dev(t)
	for i := range 3 {
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatalf("run %d: %v", i+1, err)
		}
		if out.String() != "To be, or not to be…, for writer (L3)\n" {
			t.Errorf("run %d: %s", i+1, out.String())
		}
	}
}

func TestHelloWithoutABus(t *testing.T) {
	n := dev(t)
	if err := run(t.Context(), &bytes.Buffer{}); err != nil {
		t.Fatalf("with a bus: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), &bytes.Buffer{}); sdk.CodeOf(err) != code.Unreachable {
		t.Errorf("with a node that is gone: %v", err)
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if err := run(t.Context(), &bytes.Buffer{}); sdk.CodeOf(err) != code.NotFound {
		t.Errorf("without a context: %v", err)
	}
}
