package identity_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	now    = int64(1_790_000_000_000) // Unix milliseconds
	minute = int64(60_000)
	hour   = 60 * minute
)

var otherRealm = wire.Realm{0xee}

func key(n byte) wire.Key { return wire.NewKey([32]byte{n}) }

func signer(role identity.Role, n byte) identity.Signer {
	return identity.NewSigner(identity.NewID(role, key(n).Public()), key(n))
}

// signers makes n signers of the role, sorted by ID.
func signers(role identity.Role, first byte, n int) []identity.Signer {
	all := make([]identity.Signer, n)
	for i := range all {
		all[i] = signer(role, first+byte(i))
	}
	slices.SortFunc(all, func(a, b identity.Signer) int { return a.ID().Compare(b.ID()) })
	return all
}

func ids(all []identity.Signer) []identity.ID {
	list := make([]identity.ID, len(all))
	for i, s := range all {
		list[i] = s.ID()
	}
	return list
}

func keys(all ...identity.Signer) []wire.Key {
	list := make([]wire.Key, len(all))
	for i, s := range all {
		list[i] = s.Key()
	}
	return list
}

func wantCode(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// changed returns a copy of v that change has edited.
func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// checkRow is one edit of an honest statement and the code that its Check answers with.
type checkRow[T any] struct {
	name   string
	change func(*T)
	want   fault.Code
}

// runChecks shows the honest statement accepted, then every edit of it refused.
func runChecks[T wire.Statement](t *testing.T, honest T, rows []checkRow[T]) {
	t.Helper()
	wantCode(t, honest.Check(), "")
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bad := changed(honest, row.change)
			wantCode(t, bad.Check(), row.want)
			if row.want == "" {
				return
			}
			if _, err := wire.Sign(key(1), wire.Realm{1}, bad); fault.CodeOf(err) != row.want {
				t.Errorf("signing gives %v", err)
			}
		})
	}
}

// weakID is a principal whose key is the identity point.
func weakID(role identity.Role) identity.ID { return identity.NewID(role, wire.PublicKey{1}) }
