package identity_test

import (
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func honestSuccession() identity.Succession {
	return identity.Succession{
		Version: 1, Principal: signer(identity.Agent, 1).ID(), Number: 1, Old: key(1).Public(), New: key(2).Public(), Issued: now,
	}
}

// successions makes an honest chain from key 1 to key n+1.
func successions(t testing.TB, realm wire.Realm, n int) [][]byte {
	t.Helper()
	var all [][]byte
	var previous wire.Digest
	for i := range byte(n) {
		s := honestSuccession()
		s.Number, s.Previous, s.Old, s.New = uint64(i)+1, previous, key(i+1).Public(), key(i+2).Public()
		all = append(all, must(wire.Cosign(realm, s, key(i+1), key(i+2)))(t))
		previous = must(wire.IDOf(realm, s))(t)
	}
	return all
}

func TestSuccessionCheck(t *testing.T) {
	type s = identity.Succession
	runChecks(t, honestSuccession(), []checkRow[s]{
		{"version", func(s *s) { s.Version = 3 }, fault.Version},
		{"number zero", func(s *s) { s.Number = 0 }, fault.Malformed},
		{"first with a predecessor", func(s *s) { s.Previous = wire.Digest{1} }, fault.Malformed},
		{"second without", func(s *s) { s.Number = 2 }, fault.Malformed},
		{"second", func(s *s) { s.Number, s.Previous = 2, wire.Digest{1} }, ""},
		{"last number", func(s *s) { s.Number, s.Previous = math.MaxUint64, wire.Digest{1} }, ""},
		{"no time", func(s *s) { s.Issued = 0 }, fault.Malformed},
		{"to the same key", func(s *s) { s.New = s.Old }, fault.Malformed},
		{"to a weak key", func(s *s) { s.New = wire.PublicKey{1} }, fault.BadKey},
		{"nobody's", func(s *s) { s.Principal = identity.ID{} }, fault.Malformed},
	})
}

func TestVerifySuccessions(t *testing.T) {
	realm, id := wire.Realm{1}, signer(identity.Agent, 1).ID()
	chain := successions(t, realm, 3)
	for n := range 4 {
		if got := must(identity.VerifySuccessions(realm, id, chain[:n]))(t); got != key(byte(n)+1).Public() {
			t.Errorf("after %d successions: another key", n)
		}
	}
	for _, row := range []struct {
		name  string
		realm wire.Realm
		id    identity.ID
		chain [][]byte
		want  fault.Code
	}{
		{"out of order", realm, id, [][]byte{chain[1], chain[0]}, fault.Malformed},
		{"one left out", realm, id, [][]byte{chain[0], chain[2]}, fault.Malformed},
		{"one twice", realm, id, [][]byte{chain[0], chain[0]}, fault.Malformed},
		{"another principal", realm, signer(identity.Agent, 2).ID(), chain[:1], fault.Malformed},
		{"another role", realm, signer(identity.Node, 1).ID(), chain[:1], fault.Malformed},
		{"other realm", otherRealm, id, chain[:1], fault.BadSignature},
		{"other kind", realm, id, [][]byte{newChain(t, 0).genesis}, fault.WrongKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := identity.VerifySuccessions(row.realm, row.id, row.chain)
			wantCode(t, err, row.want)
		})
	}
}

func TestSecondSuccessionRefusals(t *testing.T) {
	realm, id := wire.Realm{1}, signer(identity.Agent, 1).ID()
	first := successions(t, realm, 1)[0]
	honest := honestSuccession()
	honest.Previous = must(wire.IDOf(realm, honest))(t)
	honest.Number, honest.Old, honest.New = 2, key(2).Public(), key(3).Public()
	type s = identity.Succession
	for _, row := range []struct {
		name   string
		change func(*s)
		keys   []wire.Key
		want   fault.Code
	}{
		{"honest", func(*s) {}, []wire.Key{key(2), key(3)}, ""},
		{"old key alone", func(*s) {}, []wire.Key{key(2)}, fault.NoQuorum},
		{"new key alone", func(*s) {}, []wire.Key{key(3)}, fault.NoQuorum},
		{"superseded key for the old one", func(*s) {}, []wire.Key{key(1), key(3)}, fault.NoQuorum},
		{"from the superseded key", func(s *s) { s.Old = key(1).Public() }, []wire.Key{key(1), key(3)}, fault.Malformed},
		{"wrong predecessor", func(s *s) { s.Previous[0]++ }, []wire.Key{key(2), key(3)}, fault.Malformed},
		{"number skipped", func(s *s) { s.Number++ }, []wire.Key{key(2), key(3)}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := must(wire.Cosign(realm, changed(honest, row.change), row.keys...))(t)
			_, err := identity.VerifySuccessions(realm, id, [][]byte{first, raw})
			wantCode(t, err, row.want)
		})
	}
}

func TestVerifyFormerKey(t *testing.T) {
	realm, id := wire.Realm{1}, signer(identity.Agent, 1).ID()
	chain := successions(t, realm, 3)
	for n := range byte(4) {
		wantCode(t, identity.VerifyFormerKey(realm, id, chain, key(n+1).Public()), "")
	}
	for _, row := range []struct {
		name  string
		chain [][]byte
		key   wire.PublicKey
		want  fault.Code
	}{
		{"a stranger's", chain, key(9).Public(), fault.BadKey},
		{"one to come", chain[:1], key(3).Public(), fault.BadKey},
		{"of no chain", nil, key(2).Public(), fault.BadKey},
		{"by a broken chain", [][]byte{chain[1]}, key(3).Public(), fault.Malformed},
		{"none", chain, wire.PublicKey{}, fault.BadKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantCode(t, identity.VerifyFormerKey(realm, id, row.chain, row.key), row.want)
		})
	}
}
