package load_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/integration/load"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// realm is a realm of one node in this process.
func realm(t *testing.T) load.Realm {
	t.Helper()
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	plan := node.Plan{
		Policy: rules, Roots: []identity.ID{operator.ID()}, Place: node.Place{Listen: "127.0.0.1:0"}, Nonce: [16]byte{1}, Now: time.Now().UnixMilli(),
	}
	if _, err := node.Init(dir, plan); err != nil {
		t.Fatal(err)
	}
	if err := node.SignGenesis(dir, operator); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return load.Realm{
		Operator: sdk.Profile{Realm: n.Realm(), Addresses: []string{n.Addr()}, Pins: []identity.ID{n.ID()}, Signer: operator},
		Doors:    []string{n.Addr()}, Names: []string{"n1"}, Keys: []sdk.ID{n.ID()}, StateDir: t.TempDir(),
	}
}

// TestLoadOnOneHealthyNode is the honest twin of every run under faults: everything happens, and every checker is content.
func TestLoadOnOneHealthyNode(t *testing.T) {
	size := load.Usual()
	size.Strict, size.Pace, size.Silence = true, 5*time.Millisecond, 300*time.Millisecond
	var file lines
	rec := load.NewRecorder(&file, "healthy", 7)
	one := realm(t)
	l, err := load.Start(t.Context(), one, size, rec)
	if err != nil {
		t.Fatal(err)
	}
	enough := func(c load.Counts) bool {
		return c[check.Write][check.OK] > 100 && c[check.Act][check.OK] > 3 && c[check.Handle][check.OK] > 300 && c[check.Look][check.OK] > 100
	}
	for !enough(load.Count(rec.History())) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(load.Count(rec.History()))
		}
	}
	if err := l.Stop(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Finals(ctx, one); err != nil {
		t.Fatal(err)
	}
	history := rec.History()
	counts := load.Count(history)
	t.Log(counts)
	if err := counts.Happened(check.Write, check.Look, check.Call, check.Publish, check.Handle, check.State, check.Certificate, check.Act); err != nil {
		t.Error(err)
	}
	for _, v := range check.All(history, check.Limits{Nodes: []string{"n1"}, Silence: time.Second}) {
		t.Error(v)
	}
	if again, err := check.Read(file.reader()); err != nil || len(again) != len(history) {
		t.Errorf("%d of %d events were written: %v", len(again), len(history), err)
	}
}
