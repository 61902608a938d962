package admin_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// The history begins with the genesis's policy and ends with the one in force; what is no command is no history.
func TestHistory(t *testing.T) {
	signer, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	realm := wire.Realm{1}
	first, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	command := func(p []byte, nonce byte) []byte {
		c, err := registry.New(signer.ID(), registry.TypePolicy, registry.PutPolicy{Policy: p}, [16]byte{nonce}, 1_000+int64(nonce))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := signer.Cosign(realm, c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	history := func(now policy.Policy, changes ...[]byte) ([]admin.Reign, error) {
		known := admin.Known{
			Signer: signer, Realm: realm, Policy: now, Authority: &identity.Authority{Policy: first.Digest()}, Changes: changes,
		}
		return admin.By(nil, func() admin.Known { return known }).History()
	}

	all, err := history(first)
	if err != nil || len(all) != 1 || all[0].Digest != first.Digest() || all[0].Policy == nil || !all[0].Author.IsZero() {
		t.Errorf("unchanged: %+v, %v", all, err)
	}
	second, third := first, first
	second.Enrol, third.Enrol = identity.Observer, identity.Apprentice
	all, err = history(third, command(second.Encode(), 1), command(third.Encode(), 2))
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	for i, want := range []policy.Policy{first, second, third} {
		r := all[i]
		if r.Number != uint64(i) || r.Digest != want.Digest() {
			t.Errorf("%d: %+v", i, r)
		}
		if i > 0 && (r.Author != signer.ID() || r.Signed != 1_000+int64(i) || len(r.Keys) != 1 || r.Keys[0] != signer.ID().Key() ||
			r.Policy.Digest() != want.Digest() || r.Command.IsZero()) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if all[0].Policy != nil || all[1].Command == all[2].Command {
		t.Errorf("%+v", all)
	}
	for name, bad := range map[string][]byte{
		"no command": []byte("x"), "no policy": command([]byte("x"), 3), "cut off": command(second.Encode(), 1)[:80],
	} {
		if all, err := history(second, bad); err == nil {
			t.Errorf("%s: %+v", name, all)
		}
	}
}
