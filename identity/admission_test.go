package identity_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// newcomer is the node that joins; its token is signed by two of the three roots.
var (
	newcomer = signer(identity.Node, 40)
	roots    = signers(identity.Operator, 10, 3)
)

func joinToken() identity.JoinToken {
	return identity.JoinToken{
		Version: 1, OneTime: once.Public(), Issued: now, Expires: now + hour, Addresses: []string{"node.example:4225"},
		Pins: ids(signers(identity.Node, 20, 3)),
	}
}

func honestJoinToken(t testing.TB) []byte {
	t.Helper()
	return must(wire.Cosign(realm, joinToken(), keys(roots[:2]...)...))(t)
}

func honestAdmission(t testing.TB) identity.Admission {
	t.Helper()
	return identity.Admission{Version: 1, Token: honestJoinToken(t), Node: newcomer.ID(), Issued: now}
}

func TestJoinTokenCheck(t *testing.T) {
	type k = identity.JoinToken
	runChecks(t, joinToken(), []checkRow[k]{
		{"version", func(k *k) { k.Version = 2 }, fault.Version},
		{"weak one-time key", func(k *k) { k.OneTime = wire.PublicKey{1} }, fault.BadKey},
		{"no addresses", func(k *k) { k.Addresses = nil }, fault.Malformed},
		{"most addresses", func(k *k) { k.Addresses = make([]string, 16) }, ""},
		{"too many addresses", func(k *k) { k.Addresses = make([]string, 17) }, fault.Malformed},
		{"no pins", func(k *k) { k.Pins = nil }, fault.Malformed},
		{"operator as pin", func(k *k) { k.Pins = ids(roots) }, fault.Malformed},
		{"no time", func(k *k) { k.Issued = 0 }, fault.Malformed},
		{"no life", func(k *k) { k.Expires = k.Issued }, fault.Malformed},
		{"longest life", func(k *k) { k.Expires = k.Issued + identity.MaxJoinTokenLife }, ""},
		{"too long a life", func(k *k) { k.Expires = k.Issued + identity.MaxJoinTokenLife + 1 }, fault.Malformed},
	})
}

func TestAdmissionCheck(t *testing.T) {
	type a = identity.Admission
	runChecks(t, honestAdmission(t), []checkRow[a]{
		{"version", func(a *a) { a.Version = 0 }, fault.Version},
		{"no token", func(a *a) { a.Token = nil }, fault.Malformed},
		{"agent as node", func(a *a) { a.Node = agent.ID() }, fault.Malformed},
		{"weak node", func(a *a) { a.Node = weakID(identity.Node) }, fault.BadKey},
		{"no time", func(a *a) { a.Issued = 0 }, fault.Malformed},
	})
}

func TestVerifyJoinToken(t *testing.T) {
	sign := func(realm wire.Realm, by ...identity.Signer) []byte {
		return must(wire.Cosign(realm, joinToken(), keys(by...)...))(t)
	}
	for _, row := range []struct {
		name      string
		raw       []byte
		threshold uint64
		want      fault.Code
	}{
		{"two of three roots", sign(realm, roots[:2]...), 2, ""},
		{"all roots", sign(realm, roots...), 2, ""},
		{"one root", sign(realm, roots[0]), 2, fault.NoQuorum},
		{"one root and a stranger", sign(realm, roots[0], signer(identity.Operator, 99)), 2, fault.NoQuorum},
		{"one root and a node", sign(realm, roots[0], signer(identity.Node, 20)), 2, fault.NoQuorum},
		{"nobody", sign(realm), 2, fault.NoQuorum},
		{"threshold zero", sign(realm, roots...), 0, fault.NoQuorum},
		{"threshold of 2^63", sign(realm, roots...), 1 << 63, fault.NoQuorum},
		{"another realm", sign(otherRealm, roots...), 2, fault.BadSignature},
		{"an enrolment token", must(operator.Cosign(realm, honestToken()))(t), 2, fault.WrongKind},
		{"nothing", nil, 2, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := identity.VerifyJoinToken(row.raw, realm, ids(roots), row.threshold)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
}

func TestVerifyAdmission(t *testing.T) {
	honest := honestAdmission(t)
	thief := signer(identity.Node, 60)
	stolen := changed(honest, func(a *identity.Admission) { a.Node = thief.ID() })
	with := func(token []byte) identity.Admission {
		return changed(honest, func(a *identity.Admission) { a.Token = token })
	}
	itself := changed(honest, func(a *identity.Admission) { a.Node = identity.NewID(identity.Node, once.Public()) })
	both := []wire.Key{newcomer.Key(), once}
	for _, row := range []struct {
		name      string
		admission identity.Admission
		keys      []wire.Key
		want      fault.Code
	}{
		{"honest", honest, both, ""},
		{"thief of the token, without its seed", stolen, []wire.Key{thief.Key()}, fault.NoQuorum},
		{"thief's other key in place of the one-time key", stolen, []wire.Key{thief.Key(), key(62)}, fault.NoQuorum},
		{"a root in place of the one-time key", honest, []wire.Key{newcomer.Key(), roots[0].Key()}, fault.NoQuorum},
		{"without the node's key", honest, []wire.Key{once}, fault.NoQuorum},
		{"thief adds its key to the node's", honest, []wire.Key{thief.Key(), once}, fault.NoQuorum},
		{"nobody", honest, nil, fault.NoQuorum},
		{"token of another realm", with(must(wire.Cosign(otherRealm, joinToken(), keys(roots...)...))(t)), both, fault.BadSignature},
		{"token by one root", with(must(wire.Cosign(realm, joinToken(), roots[0].Key()))(t)), both, fault.NoQuorum},
		{"token by strangers", with(must(wire.Cosign(realm, joinToken(), key(90), key(91)))(t)), both, fault.NoQuorum},
		{"an agent's token", with(must(operator.Cosign(realm, honestToken()))(t)), both, fault.WrongKind},
		{"one-time key admits itself", itself, []wire.Key{once, key(62)}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := must(wire.Cosign(realm, row.admission, row.keys...))(t)
			v, token, err := identity.VerifyAdmission(raw, realm, ids(roots), 2)
			wantCode(t, err, row.want)
			if (err == nil) == (v.IsZero() || token.IsZero()) {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
	raw := must(wire.Cosign(otherRealm, honest, both...))(t)
	_, _, err := identity.VerifyAdmission(raw, realm, ids(roots), 2)
	wantCode(t, err, fault.BadSignature)
	_, _, err = identity.VerifyAdmission(nil, realm, ids(roots), 2)
	wantCode(t, err, fault.Malformed)
}

// TestJoinInvitation goes the way of an invitation: made by one root, signed by another, handed over as text, answered.
func TestJoinInvitation(t *testing.T) {
	one := must(identity.MakeJoinInvitation(roots[0], realm, joinToken()))(t)
	_, err := identity.VerifyJoinToken(one.Token, realm, ids(roots), 2)
	wantCode(t, err, fault.NoQuorum)
	i := must(one.Cosign(roots[1]))(t)
	if i.Seed != one.Seed || string(i.Token) == string(one.Token) {
		t.Error("the second root changed something else")
	}
	got, token, err := identity.ParseJoinInvitation("\n " + must(i.Encode())(t) + "\n")
	wantCode(t, err, "")
	if token.OneTime == once.Public() || token.OneTime != got.Key().Public() || got.Seed != i.Seed || got.Realm != realm ||
		token.Addresses[0] != "node.example:4225" {
		t.Errorf("read back %+v", token)
	}
	raw := must(got.Join(newcomer, now+minute))(t)
	v, signed, err := identity.VerifyAdmission(raw, realm, ids(roots), 2)
	wantCode(t, err, "")
	if v.Statement().Node != newcomer.ID() || v.Statement().Issued != now+minute || signed.Statement().OneTime != token.OneTime {
		t.Errorf("admitted %+v", v.Statement())
	}
	if again := must(identity.MakeJoinInvitation(roots[0], realm, joinToken()))(t); again.Seed == i.Seed {
		t.Error("two invitations share their seed")
	}
}

func TestJoinInvitationIsMadeByRootsAndUsedByNodes(t *testing.T) {
	i := must(identity.MakeJoinInvitation(roots[0], realm, joinToken()))(t)
	_, err := identity.MakeJoinInvitation(newcomer, realm, joinToken())
	wantCode(t, err, fault.Denied)
	_, err = identity.MakeJoinInvitation(roots[0], realm, changed(joinToken(), func(k *identity.JoinToken) { k.Pins = nil }))
	wantCode(t, err, fault.Malformed)
	_, err = i.Cosign(agent)
	wantCode(t, err, fault.Denied)
	_, err = i.Join(roots[0], now)
	wantCode(t, err, fault.Denied)
	_, err = i.Join(newcomer, 0)
	wantCode(t, err, fault.Malformed)
}

func TestParseJoinInvitationRefuses(t *testing.T) {
	const prefix = "conclave-join-1."
	token := honestJoinToken(t)
	encode := func(i identity.JoinInvitation) string { return must(i.Encode())(t) }
	good := encode(identity.JoinInvitation{Realm: realm, Token: token, Seed: [32]byte{50}})
	agents := must(identity.Invitation{Realm: realm, Token: token, Seed: [32]byte{50}}.Encode())(t)
	for _, row := range []struct {
		name, text string
		want       fault.Code
	}{
		{"honest", good, ""},
		{"nothing", "", fault.Malformed},
		{"no prefix", good[len(prefix):], fault.Malformed},
		{"other prefix", "conclave-join-2." + good[len(prefix):], fault.Malformed},
		{"an agent's prefix", agents, fault.Malformed},
		{"padding", good + "=", fault.Malformed},
		{"line break inside", good[:40] + "\n" + good[40:], fault.Malformed},
		{"cut", good[:len(good)-4], fault.Malformed},
		{"longer", good + "AAAA", fault.Malformed},
		{"seed of another key", encode(identity.JoinInvitation{Realm: realm, Token: token, Seed: [32]byte{51}}), fault.Malformed},
		{"no token", encode(identity.JoinInvitation{Realm: realm, Seed: [32]byte{50}}), fault.Malformed},
		{"an admission as token", encode(identity.JoinInvitation{Realm: realm, Seed: [32]byte{50},
			Token: must(newcomer.Cosign(realm, honestAdmission(t), once))(t)}), fault.WrongKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := identity.ParseJoinInvitation(row.text)
			wantCode(t, err, row.want)
		})
	}
}

func TestPrintingAJoinInvitationShowsNoSecret(t *testing.T) {
	i := identity.JoinInvitation{Realm: realm, Seed: [32]byte([]byte(strings.Repeat("\xab", 32)))}
	shown := fmt.Sprintf("%v %+v %#v %x %s %d", i, i, i, i, i, i) + i.LogValue().String()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("token", "invitation", i)
	shown += log.String()
	for _, secret := range []string{"abab", "171", "q6ur", "\xab\xab"} {
		if strings.Contains(shown, secret) {
			t.Errorf("shows the seed: %s", shown)
		}
	}
	if !strings.Contains(shown, realm.String()) {
		t.Error("does not say the realm")
	}
}
