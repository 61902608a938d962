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

var (
	realm    = wire.Realm{1}
	operator = signer(identity.Operator, 10)
	agent    = signer(identity.Agent, 1)
	once     = key(50)
)

func honestToken() identity.Token {
	return identity.Token{
		Version: 1, Operator: operator.ID(), Name: "reviewer-1", Level: identity.Journeyer, OneTime: once.Public(),
		Issued: now, Expires: now + hour, Addresses: []string{"node.example:4222"},
		Pins: ids(signers(identity.Node, 20, 3)), Serves: []string{"review.*"},
	}
}

func honestEnrolment(t testing.TB) identity.Enrolment {
	return identity.Enrolment{Version: 1, Token: must(operator.Sign(realm, honestToken()))(t), Agent: agent.ID(), Issued: now}
}

func TestTokenCheck(t *testing.T) {
	type k = identity.Token
	runChecks(t, honestToken(), []checkRow[k]{
		{"version", func(k *k) { k.Version = 2 }, fault.Version},
		{"agent as operator", func(k *k) { k.Operator = agent.ID() }, fault.Malformed},
		{"weak operator", func(k *k) { k.Operator = weakID(identity.Operator) }, fault.BadKey},
		{"bad name", func(k *k) { k.Name = "Reviewer" }, fault.Malformed},
		{"bad level", func(k *k) { k.Level = 6 }, fault.Malformed},
		{"weak one-time key", func(k *k) { k.OneTime = wire.PublicKey{1} }, fault.BadKey},
		{"no addresses", func(k *k) { k.Addresses = nil }, fault.Malformed},
		{"too many addresses", func(k *k) { k.Addresses = make([]string, 17) }, fault.Malformed},
		{"no pins", func(k *k) { k.Pins = nil }, fault.Malformed},
		{"agent as pin", func(k *k) { k.Pins = []identity.ID{agent.ID()} }, fault.Malformed},
		{"bad capability", func(k *k) { k.Serves = []string{"re*"} }, fault.Malformed},
		{"serves nothing", func(k *k) { k.Serves = nil }, ""},
		{"no time", func(k *k) { k.Issued = 0 }, fault.Malformed},
		{"longest life", func(k *k) { k.Expires = k.Issued + identity.MaxTokenLife }, ""},
		{"too long a life", func(k *k) { k.Expires = k.Issued + identity.MaxTokenLife + 1 }, fault.Malformed},
	})
}

func TestEnrolmentCheck(t *testing.T) {
	type e = identity.Enrolment
	runChecks(t, honestEnrolment(t), []checkRow[e]{
		{"version", func(e *e) { e.Version = 0 }, fault.Version},
		{"no token", func(e *e) { e.Token = nil }, fault.Malformed},
		{"operator as agent", func(e *e) { e.Agent = operator.ID() }, fault.Malformed},
		{"weak agent", func(e *e) { e.Agent = weakID(identity.Agent) }, fault.BadKey},
		{"no time", func(e *e) { e.Issued = 0 }, fault.Malformed},
	})
}

func TestVerifyEnrolment(t *testing.T) {
	honest := honestEnrolment(t)
	thief := signer(identity.Agent, 60)
	stolen := changed(honest, func(e *identity.Enrolment) { e.Agent = thief.ID() })
	foreign := changed(honest, func(e *identity.Enrolment) { e.Token = must(operator.Sign(otherRealm, honestToken()))(t) })
	unsigned := changed(honest, func(e *identity.Enrolment) { e.Token = must(wire.Sign(key(61), realm, honestToken()))(t) })
	other := changed(honest, func(e *identity.Enrolment) { e.Token = must(agent.Sign(realm, honestCredential()))(t) })
	twice := changed(honest, func(e *identity.Enrolment) { e.Agent = identity.NewID(identity.Agent, once.Public()) })
	for _, row := range []struct {
		name      string
		enrolment identity.Enrolment
		keys      []wire.Key
		want      fault.Code
	}{
		{"honest", honest, []wire.Key{agent.Key(), once}, ""},
		{"thief of the token, without its seed", stolen, []wire.Key{thief.Key()}, fault.NoQuorum},
		{"thief's other key in place of the one-time key", stolen, []wire.Key{thief.Key(), key(62)}, fault.NoQuorum},
		{"without the agent's key", honest, []wire.Key{once}, fault.NoQuorum},
		{"thief adds its key to the agent's", honest, []wire.Key{thief.Key(), once}, fault.NoQuorum},
		{"nobody", honest, nil, fault.NoQuorum},
		{"token of another realm", foreign, []wire.Key{agent.Key(), once}, fault.BadSignature},
		{"token by somebody else", unsigned, []wire.Key{agent.Key(), once}, fault.BadSignature},
		{"a credential as token", other, []wire.Key{agent.Key(), once}, fault.WrongKind},
		{"one-time key enrols itself", twice, []wire.Key{once, key(62)}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := must(wire.Cosign(realm, row.enrolment, row.keys...))(t)
			v, token, err := identity.VerifyEnrolment(raw, realm, operator.Public())
			wantCode(t, err, row.want)
			if (err == nil) == (v.IsZero() || token.IsZero()) {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
	raw := must(wire.Cosign(otherRealm, honest, agent.Key(), once))(t)
	_, _, err := identity.VerifyEnrolment(raw, realm, operator.Public())
	wantCode(t, err, fault.BadSignature)
	_, _, err = identity.VerifyEnrolment(nil, realm, operator.Public())
	wantCode(t, err, fault.Malformed)
}

func TestInvitation(t *testing.T) {
	i := must(identity.NewInvitation(operator, realm, honestToken()))(t)
	text := must(i.Encode())(t)
	got, token, err := identity.ParseInvitation("\n " + text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if token.Name != "reviewer-1" || token.OneTime == once.Public() || got.Seed != i.Seed || got.Realm != realm {
		t.Errorf("read back %+v", token)
	}
	raw := must(got.Enrol(agent, now+minute))(t)
	v, signed, err := identity.VerifyEnrolment(raw, realm, operator.Public())
	if err != nil {
		t.Fatal(err)
	}
	if v.Statement().Agent != agent.ID() || v.Statement().Issued != now+minute || signed.Statement().Name != "reviewer-1" {
		t.Errorf("enrolled %+v", v.Statement())
	}
	if again := must(identity.NewInvitation(operator, realm, honestToken()))(t); again.Seed == i.Seed {
		t.Error("two invitations share their seed")
	}
	_, err = identity.NewInvitation(agent, realm, honestToken())
	wantCode(t, err, fault.Denied)
	_, err = i.Enrol(operator, now)
	wantCode(t, err, fault.Denied)
}

func TestParseInvitationRefuses(t *testing.T) {
	const prefix = "conclave-token-1."
	token := must(operator.Sign(realm, honestToken()))(t)
	encode := func(i identity.Invitation) string { return must(i.Encode())(t) }
	good := encode(identity.Invitation{Realm: realm, Token: token, Seed: [32]byte{50}})
	for _, row := range []struct {
		name, text string
		want       fault.Code
	}{
		{"honest", good, ""},
		{"nothing", "", fault.Malformed},
		{"no prefix", good[len(prefix):], fault.Malformed},
		{"other prefix", "conclave-token-2." + good[len(prefix):], fault.Malformed},
		{"padding", good + "=", fault.Malformed},
		{"line break inside", good[:40] + "\n" + good[40:], fault.Malformed},
		{"cut", good[:len(good)-4], fault.Malformed},
		{"longer", good + "AAAA", fault.Malformed},
		{"seed of another key", encode(identity.Invitation{Realm: realm, Token: token, Seed: [32]byte{51}}), fault.Malformed},
		{"no token", encode(identity.Invitation{Realm: realm, Seed: [32]byte{50}}), fault.Malformed},
		{"a credential as token", encode(identity.Invitation{Realm: realm, Token: must(agent.Sign(realm, honestCredential()))(t),
			Seed: [32]byte{50}}), fault.WrongKind},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := identity.ParseInvitation(row.text)
			wantCode(t, err, row.want)
		})
	}
}

func TestPrintingAnInvitationShowsNoSecret(t *testing.T) {
	i := identity.Invitation{Realm: realm, Seed: [32]byte([]byte(strings.Repeat("\xab", 32)))}
	shown := fmt.Sprintf("%v %+v %#v %x %s %d", i, i, i, i, i, i) + i.LogValue().String()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("token", "invitation", i)
	shown += log.String()
	for _, secret := range []string{"abab", "171", "q6ur", "\xab\xab"} {
		if strings.Contains(shown, secret) {
			t.Errorf("shows the seed: %s", shown)
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "reviewer", "r2-d2", "a-", strings.Repeat("a", 63)} {
		wantCode(t, identity.CheckName(good), "")
	}
	for _, bad := range []string{"", "-a", "1a", "A", "a.b", "a_b", "a b", "é", "a\n", strings.Repeat("a", 64)} {
		wantCode(t, identity.CheckName(bad), fault.Malformed)
	}
}

func TestCapabilityNames(t *testing.T) {
	for _, good := range []string{"review", "code.review", "a_b-c.d1", "1", strings.Repeat("a", 128)} {
		wantCode(t, identity.CheckCapability(good), "")
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "A", "a*", "*", "a.*", "a>", "a b", strings.Repeat("a", 129)} {
		wantCode(t, identity.CheckCapability(bad), fault.Malformed)
	}
}

func TestCapabilityPatterns(t *testing.T) {
	long := make([]string, 65)
	for i := range long {
		long[i] = fmt.Sprintf("c%02d", i)
	}
	for _, row := range []struct {
		name string
		list []string
		want fault.Code
	}{
		{"none", nil, ""},
		{"everything", []string{"*"}, ""},
		{"name and family", []string{"a.*", "b"}, ""},
		{"sixty-four", long[:64], ""},
		{"sixty-five", long, fault.Malformed},
		{"unsorted", []string{"b", "a"}, fault.Malformed},
		{"twice", []string{"a", "a"}, fault.Malformed},
		{"empty", []string{""}, fault.Malformed},
		{"star inside", []string{"a.*.b"}, fault.Malformed},
		{"star on a word", []string{"a*"}, fault.Malformed},
		{"star of star", []string{"*.*"}, fault.Malformed},
		{"family of nothing", []string{".*"}, fault.Malformed},
		{"NATS wildcard", []string{"a.>"}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) { wantCode(t, identity.CheckCapabilities(row.list), row.want) })
	}
}

func TestMatchCapability(t *testing.T) {
	for _, row := range []struct {
		patterns   string
		capability string
		want       bool
	}{
		{"", "a", false},
		{"a", "a", true},
		{"a", "a.b", false},
		{"a.b", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", true},
		{"a.*", "a", false},
		{"a.*", "ab.c", false},
		{"a.*", "b.a.c", false},
		{"*", "a.b", true},
		{"a b.* c", "b.x", true},
		{"a b.* c", "c.x", false},
	} {
		if got := identity.MatchCapability(strings.Fields(row.patterns), row.capability); got != row.want {
			t.Errorf("%q with %q: got %v", row.patterns, row.capability, got)
		}
	}
}
