package identity_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// rewritten parses raw as a signed T; if that works it puts the claim together again and reports whether the bytes
// are the same.
func rewritten[T wire.Statement](t *testing.T, raw []byte) {
	c, err := wire.Parse[T](raw, wire.MaxStatement)
	if err != nil {
		return
	}
	again := must(wire.Sign(key(1), realm, c.Claim))(t)
	if !bytes.Equal(again[:len(again)-64], raw[:len(raw)-64]) {
		t.Fatalf("read    %x\nwritten %x", raw, again)
	}
}

func rewrittenCosigned[T wire.Statement](t *testing.T, raw []byte) {
	c, err := wire.ParseCosigned[T](raw, wire.MaxStatement)
	if err != nil {
		return
	}
	if again := must(wire.AddCosignature[T](realm, raw))(t); !bytes.Equal(again, raw) {
		t.Fatalf("read    %x\nwritten %x", raw, again)
	}
	if c.ID(realm) != must(wire.IDOf(realm, c.Claim))(t) {
		t.Fatalf("%x: the claim encodes to other bytes than were read", raw)
	}
}

// FuzzStatements holds for every statement of this package: what parses was written by us.
func FuzzStatements(f *testing.F) {
	c := newChain(f, 1)
	f.Add(c.genesis)
	f.Add(c.rosters[0])
	f.Add(must(operator.Sign(realm, honestToken()))(f))
	f.Add(must(agent.Cosign(realm, honestEnrolment(f), once))(f))
	f.Add(must(agent.Sign(realm, honestCredential()))(f))
	f.Add(successions(f, realm, 1)[0])
	f.Add(honestJoinToken(f))
	f.Add(must(newcomer.Cosign(realm, honestAdmission(f), once))(f))
	g := newGrowing(f)
	f.Add(g.sign(f, g.admitting(f), nil, g.nodes[0]))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rewrittenCosigned[identity.Genesis](t, raw)
		rewrittenCosigned[identity.Roster](t, raw)
		rewritten[identity.Token](t, raw)
		rewrittenCosigned[identity.Enrolment](t, raw)
		rewritten[identity.Credential](t, raw)
		rewrittenCosigned[identity.Succession](t, raw)
		rewrittenCosigned[identity.JoinToken](t, raw)
		rewrittenCosigned[identity.Admission](t, raw)
	})
}

// FuzzInvitation holds: an invitation has one text, white space around it apart.
func FuzzInvitation(f *testing.F) {
	i := must(identity.NewInvitation(operator, realm, honestToken()))(f)
	f.Add(must(i.Encode())(f))
	f.Add("conclave-token-1.")
	f.Fuzz(func(t *testing.T, text string) {
		i, _, err := identity.ParseInvitation(text)
		if err != nil {
			return
		}
		if again := must(i.Encode())(t); again != strings.TrimSpace(text) {
			t.Fatalf("read    %q\nwritten %q", text, again)
		}
	})
}

// FuzzJoinInvitation holds: an invitation of a node has one text, white space around it apart, and its seed is of the
// token's key.
func FuzzJoinInvitation(f *testing.F) {
	i := must(identity.MakeJoinInvitation(operator, realm, joinToken()))(f)
	f.Add(must(i.Encode())(f))
	f.Add("conclave-join-1.")
	f.Fuzz(func(t *testing.T, text string) {
		i, token, err := identity.ParseJoinInvitation(text)
		if err != nil {
			return
		}
		if again := must(i.Encode())(t); again != strings.TrimSpace(text) || token.OneTime != i.Key().Public() {
			t.Fatalf("read    %q\nwritten %q", text, again)
		}
	})
}

// FuzzNext holds: whatever bytes come as the next roster, [identity.Authority.Consents] takes all that
// [identity.Authority.Next] takes, and what is taken has the next number and only nodes that are in one list.
func FuzzNext(f *testing.F) {
	g := newGrowing(f)
	a := g.authority(f)
	f.Add(g.sign(f, g.admitting(f), nil, g.nodes[0]))
	f.Add(g.sign(f, g.next(f), g.roots, g.nodes[0]))
	f.Fuzz(func(t *testing.T, raw []byte) {
		next, err := a.Next(raw)
		consents := a.Consents(raw)
		if err != nil {
			return
		}
		members := next.Members()
		if consents != nil || next.Number != a.Number+1 || len(slices.Compact(members)) != len(next.Nodes)+len(next.Joining) {
			t.Fatalf("%x gives %+v, and to sign it %v", raw, next, consents)
		}
	})
}

// FuzzSeed holds: a seed has one text, white space around it apart.
func FuzzSeed(f *testing.F) {
	f.Add(must(identity.EncodeSeed(identity.Agent, [32]byte{1}))(f))
	f.Add(must(identity.EncodeSeed(identity.Operator, [32]byte{2}))(f) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		role, seed, err := identity.ParseSeed(text)
		if err != nil {
			return
		}
		if again := must(identity.EncodeSeed(role, seed))(t); again != strings.TrimSpace(text) {
			t.Fatalf("read    %q\nwritten %q", text, again)
		}
	})
}

// FuzzID holds: a principal has one name.
func FuzzID(f *testing.F) {
	f.Add(agent.ID().String())
	f.Add(weakID(identity.Node).String())
	f.Fuzz(func(t *testing.T, text string) {
		id, err := identity.ParseID(text)
		if err == nil && (id.String() != text || id.Check() != nil) {
			t.Fatalf("read %q, written %q", text, id)
		}
	})
}
