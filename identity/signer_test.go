package identity_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// kinds is every kind of statement there is, and one there is not.
var kinds = []wire.Kind{
	wire.Genesis, wire.Roster, wire.Token, wire.Enrolment, wire.Credential, wire.Succession, wire.Presence, wire.Card,
	wire.Ticket, wire.Envelope, wire.Batch, wire.Head, wire.Command, wire.Proposal, wire.Ballot, wire.Commitment,
	wire.JoinToken, wire.Admission, "certificate", "other",
}

// anything is a statement of whatever kind it says.
type anything struct {
	Named wire.Kind `cbor:"0,keyasint"`
}

func (a anything) Kind() wire.Kind { return a.Named }
func (anything) Check() error      { return nil }

// signs is the whole table: what is absent is refused.
var signs = map[identity.Role]string{
	identity.Agent:    "credential command proposal ballot commitment card succession enrolment",
	identity.Node:     "credential command head ticket roster succession admission",
	identity.Operator: "credential command proposal ballot token succession genesis roster join-token",
	'A':               "",
}

func TestEachRoleSignsItsKindsOnly(t *testing.T) {
	for role, list := range signs {
		s := signer(role, 1)
		for _, kind := range kinds {
			want := fault.Denied
			if slices.Contains(strings.Fields(list), string(kind)) {
				want = ""
			}
			t.Run(fmt.Sprintf("%s/%s", role, kind), func(t *testing.T) {
				one, err := s.Sign(realm, anything{kind})
				wantCode(t, err, want)
				many, err := s.Cosign(realm, anything{kind}, key(2))
				wantCode(t, err, want)
				if (one == nil) != (want != "") || (many == nil) != (want != "") {
					t.Error("bytes and error disagree")
				}
			})
		}
	}
	_, err := identity.Signer{}.Sign(realm, anything{wire.Credential})
	wantCode(t, err, fault.Denied)
}

func TestAddTo(t *testing.T) {
	c := newChain(t, 0)
	unsigned := must(wire.Cosign(wire.Realm{}, honestGenesis()))(t)
	first := must(identity.AddTo[identity.Genesis](c.roots[0], wire.Realm{}, unsigned))(t)
	both := must(identity.AddTo[identity.Genesis](c.roots[1], wire.Realm{}, first))(t)
	if !bytes.Equal(both, c.genesis) {
		t.Error("signed one by one, the genesis differs")
	}
	_, err := identity.AddTo[identity.Genesis](c.nodes[0][0], wire.Realm{}, unsigned)
	wantCode(t, err, fault.Denied)
	_, err = identity.AddTo[identity.Enrolment](c.roots[0], realm, unsigned)
	wantCode(t, err, fault.Denied)
	_, err = identity.AddTo[identity.Roster](c.roots[0], realm, unsigned)
	wantCode(t, err, fault.WrongKind)
}

func TestASuccessorSignsForItsPrincipal(t *testing.T) {
	s := identity.NewSigner(agent.ID(), key(9))
	if s.ID() != agent.ID() || s.Public() != key(9).Public() {
		t.Error("the signer is not the principal's with its new key")
	}
	raw := must(s.Sign(realm, honestCredential()))(t)
	_, err := identity.VerifyCredential(raw, realm, s.Public(), now)
	wantCode(t, err, "")
	_, err = identity.VerifyCredential(raw, realm, agent.Public(), now)
	wantCode(t, err, fault.BadSignature)
}

func TestProcess(t *testing.T) {
	p := must(identity.NewProcess(realm, agent, 4, now, hour))(t)
	c := p.Credential().Statement()
	if p.Principal() != agent.ID() || p.Realm() != realm || c.Epoch != 4 || c.Issued != now || c.Expires != now+hour ||
		c.Connect != p.Connect().Public() || c.Sealing != wire.Hash(p.SealingKey()) {
		t.Errorf("credential %+v", c)
	}
	if len(p.SealingKey()) != 1216 || !bytes.Equal(p.Sealing().PublicKey().Bytes(), p.SealingKey()) {
		t.Error("the sealing keys are not a pair")
	}
	_, err := identity.VerifyCredential(p.Credential().Raw(), realm, agent.Public(), now)
	wantCode(t, err, "")
	sibling := must(identity.NewProcess(realm, agent, 4, now, hour))(t)
	if s := sibling.Credential(); s.ID() == p.Credential().ID() || s.Statement().Signing == c.Signing || s.Statement().Connect == c.Connect {
		t.Error("two processes share a key")
	}
	_, err = identity.NewProcess(realm, agent, 0, now, identity.MaxCredentialLife+1)
	wantCode(t, err, fault.Malformed)
	_, err = identity.NewProcess(realm, identity.Signer{}, 0, now, hour)
	wantCode(t, err, fault.Denied)
}

func TestAProcessSignsItsKindsOnly(t *testing.T) {
	p := must(identity.NewProcess(realm, agent, 0, now, hour))(t)
	for _, kind := range kinds {
		want := fault.Denied
		if kind == wire.Envelope || kind == wire.Batch || kind == wire.Presence {
			want = ""
		}
		_, err := p.Sign(anything{kind})
		wantCode(t, err, want)
	}
}

func TestPrintingASignerShowsNoSecret(t *testing.T) {
	seed := [32]byte(bytes.Repeat([]byte{0xab}, 32))
	s := identity.NewSigner(agent.ID(), wire.NewKey(seed))
	p := must(identity.NewProcess(realm, s, 0, now, hour))(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		for _, v := range []any{s, &s, p, *p} {
			got := fmt.Sprintf(verb, v)
			for _, secret := range []string{"abababab", "171 171 171 171", "0xab, 0xab, 0xab, 0xab", "\xab\xab\xab\xab"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s of %T shows the seed", verb, v)
				}
			}
		}
	}
}
