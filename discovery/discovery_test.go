package discovery_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const now = int64(1_800_000_000_000) // Unix milliseconds

var realm = wire.Realm{1, 2, 3}

func agent(name string) identity.Signer {
	key := wire.NewKey(sha256.Sum256([]byte(name)))
	return identity.NewSigner(identity.NewID(identity.Agent, key.Public()), key)
}

func sign(t testing.TB, s identity.Signer, c discovery.Card) []byte {
	t.Helper()
	raw, err := s.Sign(realm, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func announce(t testing.TB, p *identity.Process, s discovery.Presence) []byte {
	t.Helper()
	raw, err := p.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func card() discovery.Card {
	return discovery.Card{
		Version: 1, Agent: agent("scout").ID(), Sequence: 3, Issued: now,
		Capabilities: []discovery.Capability{
			{Name: "db.read", Description: "Reads rows.", Input: `{"type":"object"}`},
			{Name: "report.write"},
		},
	}
}

func TestVerifyCard(t *testing.T) {
	scout := agent("scout")
	raw := sign(t, scout, card())
	v, err := discovery.VerifyCard(raw, realm, scout.ID(), scout.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Statement().Names(); !slices.Equal(got, []string{"db.read", "report.write"}) || v.Statement().Sequence != 3 {
		t.Errorf("read as %+v", v.Statement())
	}
}

// After a succession the inception key's card is nothing, and the new key's is.
func TestCardOfASuccessor(t *testing.T) {
	scout, successor := agent("scout"), wire.NewKey([32]byte{7})
	raw := sign(t, identity.NewSigner(scout.ID(), successor), card())
	if _, err := discovery.VerifyCard(raw, realm, scout.ID(), successor.Public()); err != nil {
		t.Fatal(err)
	}
	old := sign(t, scout, card())
	if _, err := discovery.VerifyCard(old, realm, scout.ID(), successor.Public()); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("the superseded key's card: %v", err)
	}
}

func TestCardRefusals(t *testing.T) {
	scout, mallory := agent("scout"), agent("mallory")
	honest := sign(t, scout, card())
	if _, err := discovery.VerifyCard(honest, realm, scout.ID(), scout.Public()); err != nil {
		t.Fatal(err)
	}
	tampered := bytes.Clone(honest)
	tampered[len(tampered)-1] ^= 1
	elsewhere, err := scout.Sign(wire.Realm{9}, card())
	if err != nil {
		t.Fatal(err)
	}
	mallorys := card()
	mallorys.Agent = mallory.ID()
	large := card()
	large.Capabilities[0].Description = strings.Repeat("x", discovery.MaxCard)
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"of another agent", sign(t, mallory, mallorys), wire.ErrMalformed},
		{"in scout's name", sign(t, mallory, card()), wire.ErrBadSignature},
		{"tampered", tampered, wire.ErrBadSignature},
		{"another realm", elsewhere, wire.ErrBadSignature},
		{"too large", sign(t, scout, large), wire.ErrTooLarge},
		{"nothing", nil, wire.ErrMalformed},
	} {
		if v, err := discovery.VerifyCard(c.raw, realm, scout.ID(), scout.Public()); !errors.Is(err, c.want) || !v.IsZero() {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCardCheck(t *testing.T) {
	many := func(n int) (out []discovery.Capability) {
		for i := range n {
			out = append(out, discovery.Capability{Name: fmt.Sprintf("c%02d", i)})
		}
		return out
	}
	named := func(names ...string) (out []discovery.Capability) {
		for _, n := range names {
			out = append(out, discovery.Capability{Name: n})
		}
		return out
	}
	operator := identity.NewID(identity.Operator, agent("scout").Public())
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*discovery.Card)
	}{
		{"honest", nil, func(*discovery.Card) {}},
		{"nothing to offer", nil, func(c *discovery.Card) { c.Capabilities = nil }},
		{"the most", nil, func(c *discovery.Card) { c.Capabilities = many(64) }},
		{"version 0", wire.ErrVersion, func(c *discovery.Card) { c.Version = 0 }},
		{"version 2", wire.ErrVersion, func(c *discovery.Card) { c.Version = 2 }},
		{"an operator's", wire.ErrMalformed, func(c *discovery.Card) { c.Agent = operator }},
		{"nobody's", wire.ErrMalformed, func(c *discovery.Card) { c.Agent = identity.ID{} }},
		{"no sequence", wire.ErrMalformed, func(c *discovery.Card) { c.Sequence = 0 }},
		{"no time", wire.ErrMalformed, func(c *discovery.Card) { c.Issued = 0 }},
		{"too many", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = many(65) }},
		{"unsorted", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("b", "a") }},
		{"doubled", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("a", "a") }},
		{"nameless", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("") }},
		{"a pattern", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("db.*") }},
		{"everything", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("*") }},
		{"a subject", wire.ErrMalformed, func(c *discovery.Card) { c.Capabilities = named("db.>") }},
	} {
		k := card()
		c.change(&k)
		if err := k.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func process(t testing.TB, name string) *identity.Process {
	t.Helper()
	p, err := identity.NewProcess(realm, agent(name), 1, now, 60_000)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func presence(p *identity.Process) discovery.Presence {
	return discovery.Presence{
		Version: 1, Principal: p.Principal(), Credential: p.Credential().ID(), Sealing: p.SealingKey(),
		Serves: []string{"db.read"}, Topics: []string{"report.disk"}, Sequence: 1, Issued: now, Expires: now + 15_000,
	}
}

func TestVerifyPresence(t *testing.T) {
	p := process(t, "scout")
	raw := announce(t, p, presence(p))
	for _, at := range []int64{now - identity.Skew, now, now + 15_000, now + 15_000 + identity.Skew - 1} {
		v, err := discovery.VerifyPresence(raw, realm, p.Credential(), at)
		if err != nil {
			t.Fatalf("at %+d ms: %v", at-now, err)
		}
		if s := v.Statement(); s.Principal != p.Principal() || !bytes.Equal(s.Sealing, p.SealingKey()) {
			t.Errorf("read as %+v", s)
		}
	}
	for at, want := range map[int64]error{
		now - identity.Skew - 1:          identity.ErrNotYet,
		now + 15_000 + identity.Skew:     identity.ErrExpired,
		now + 15_000 + identity.Skew + 1: identity.ErrExpired,
	} {
		if v, err := discovery.VerifyPresence(raw, realm, p.Credential(), at); !errors.Is(err, want) || !v.IsZero() {
			t.Errorf("at %+d ms: %v, want %v", at-now, err, want)
		}
	}
}

func TestPresenceRefusals(t *testing.T) {
	p, again, mallory := process(t, "scout"), process(t, "scout"), process(t, "mallory")
	if _, err := discovery.VerifyPresence(announce(t, p, presence(p)), realm, p.Credential(), now); err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*discovery.Presence)) []byte {
		s := presence(p)
		change(&s)
		return announce(t, p, s)
	}
	tampered := announce(t, p, presence(p))
	tampered[len(tampered)-1] ^= 1
	for _, c := range []struct {
		name       string
		raw        []byte
		credential wire.Verified[identity.Credential]
		want       error
	}{
		{"another process of the agent", announce(t, p, presence(p)), again.Credential(), wire.ErrMalformed},
		{"another agent's process", announce(t, p, presence(p)), mallory.Credential(), wire.ErrMalformed},
		{"no credential", announce(t, p, presence(p)), wire.Verified[identity.Credential]{}, wire.ErrMalformed},
		{"in scout's name", announce(t, mallory, presence(p)), p.Credential(), wire.ErrBadSignature},
		{"in scout's name, own credential", announce(t, mallory, presence(p)), mallory.Credential(), wire.ErrMalformed},
		{"another sealing key", changed(func(s *discovery.Presence) { s.Sealing = mallory.SealingKey() }),
			p.Credential(), wire.ErrMalformed},
		{"another principal", changed(func(s *discovery.Presence) { s.Principal = mallory.Principal() }),
			p.Credential(), wire.ErrMalformed},
		{"tampered", tampered, p.Credential(), wire.ErrBadSignature},
		{"nothing", nil, p.Credential(), wire.ErrMalformed},
	} {
		if v, err := discovery.VerifyPresence(c.raw, realm, c.credential, now); !errors.Is(err, c.want) || !v.IsZero() {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := discovery.VerifyPresence(announce(t, p, presence(p)), wire.Realm{9}, p.Credential(), now); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another realm: %v", err)
	}
}

func TestPresenceCheck(t *testing.T) {
	p := process(t, "scout")
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*discovery.Presence)
	}{
		{"honest", nil, func(*discovery.Presence) {}},
		{"serves nothing", nil, func(s *discovery.Presence) { s.Serves, s.Topics = nil, nil }},
		{"version 2", wire.ErrVersion, func(s *discovery.Presence) { s.Version = 2 }},
		{"no sequence", wire.ErrMalformed, func(s *discovery.Presence) { s.Sequence = 0 }},
		{"no credential", wire.ErrMalformed, func(s *discovery.Presence) { s.Credential = wire.Digest{} }},
		{"no sealing key", wire.ErrMalformed, func(s *discovery.Presence) { s.Sealing = nil }},
		{"a long sealing key", wire.ErrMalformed, func(s *discovery.Presence) { s.Sealing = make([]byte, 2049) }},
		{"no time", wire.ErrMalformed, func(s *discovery.Presence) { s.Issued = 0 }},
		{"over before it began", wire.ErrMalformed, func(s *discovery.Presence) { s.Expires = s.Issued }},
		{"too long", wire.ErrMalformed, func(s *discovery.Presence) { s.Expires = s.Issued + discovery.MaxPresenceLife + 1 }},
		{"unsorted", wire.ErrMalformed, func(s *discovery.Presence) { s.Serves = []string{"b", "a"} }},
		{"doubled topic", wire.ErrMalformed, func(s *discovery.Presence) { s.Topics = []string{"a", "a"} }},
		{"a bad topic", wire.ErrMalformed, func(s *discovery.Presence) { s.Topics = []string{"a.>"} }},
	} {
		s := presence(p)
		c.change(&s)
		if err := s.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzVerifyCard(f *testing.F) {
	scout := agent("scout")
	honest := sign(f, scout, card())
	f.Add(honest)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := discovery.VerifyCard(raw, realm, scout.ID(), scout.Public())
		if err == nil && !bytes.Equal(raw, honest) {
			t.Fatalf("accepted: %x", raw)
		}
		if err != nil && fault.CodeOf(err) == fault.Internal {
			t.Fatalf("a refusal without a code: %v", err)
		}
	})
}

func FuzzVerifyPresence(f *testing.F) {
	p := process(f, "scout")
	honest := announce(f, p, presence(p))
	f.Add(honest)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := discovery.VerifyPresence(raw, realm, p.Credential(), now)
		if err == nil && !bytes.Equal(raw, honest) {
			t.Fatalf("accepted: %x", raw)
		}
		if err != nil && fault.CodeOf(err) == fault.Internal {
			t.Fatalf("a refusal without a code: %v", err)
		}
	})
}
