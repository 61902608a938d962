package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var everyRole = []identity.Role{identity.Agent, identity.Node, identity.Operator}

func TestIDText(t *testing.T) {
	for _, role := range everyRole {
		id := signer(role, 1).ID()
		text := id.String()
		if text[0] != byte(role) || !nkeys.IsValidPublicKey(text) {
			t.Errorf("%s: %s", role, text)
		}
		if back := must(identity.ParseID(text))(t); back != id || back.Role() != role || back.Key() != key(1).Public() {
			t.Errorf("%s reads back as %s", text, back)
		}
		wantCode(t, id.Check(), "")
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := signer(identity.Agent, 1).ID().String()
	account := must(nkeys.CreateAccount())(t)
	seed := must(identity.EncodeSeed(identity.Agent, [32]byte{1}))(t)
	flip := "A"
	if strings.HasSuffix(good, "A") {
		flip = "B"
	}
	for _, row := range []struct {
		name, text string
		want       fault.Code
	}{
		{"honest", good, ""},
		{"empty", "", fault.Malformed},
		{"account key", must(account.PublicKey())(t), fault.Malformed},
		{"seed", seed, fault.Malformed},
		{"cut", good[:len(good)-1], fault.Malformed},
		{"longer", good + "A", fault.Malformed},
		{"checksum", good[:len(good)-1] + flip, fault.Malformed},
		{"lower case", strings.ToLower(good), fault.Malformed},
		{"line break inside", good[:10] + "\n" + good[10:], fault.Malformed},
		{"space around", " " + good, fault.Malformed},
		{"weak key", weakID(identity.Agent).String(), fault.BadKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			id, err := identity.ParseID(row.text)
			wantCode(t, err, row.want)
			if err != nil && !id.IsZero() {
				t.Error("an ID came with the error")
			}
		})
	}
}

func TestIDInJSON(t *testing.T) {
	type doc struct{ A, B identity.ID }
	in := doc{A: signer(identity.Node, 2).ID()}
	text := must(json.Marshal(in))(t)
	if want := `{"A":"` + in.A.String() + `","B":""}`; string(text) != want {
		t.Errorf("got %s", text)
	}
	out := doc{B: in.A}
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("read back %v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"nobody"}`), &out); fault.CodeOf(err) != fault.Malformed {
		t.Errorf("got %v", err)
	}
}

func TestIDOfNobody(t *testing.T) {
	var zero identity.ID
	if !zero.IsZero() || zero.String() != "nobody" {
		t.Error("the zero ID is not nobody")
	}
	wantCode(t, zero.Check(), fault.Malformed)
	wantCode(t, identity.NewID('A', key(1).Public()).Check(), fault.Malformed)
	wantCode(t, weakID(identity.Node).Check(), fault.BadKey)
}

func TestRoleWords(t *testing.T) {
	for role, want := range map[identity.Role]string{
		identity.Agent: "agent", identity.Node: "node", identity.Operator: "operator", 'A': "role(65)",
	} {
		if got := role.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestKeysKeepTheirOrder(t *testing.T) {
	list := []identity.ID{signer(identity.Node, 2).ID(), signer(identity.Node, 1).ID()}
	got := identity.Keys(list)
	if len(got) != 2 || got[0] != key(2).Public() || got[1] != key(1).Public() {
		t.Errorf("got %x", got)
	}
}

func TestLevels(t *testing.T) {
	words := []string{"Quarantined", "Observer", "Apprentice", "Journeyer", "Principal", "Steward"}
	for i, word := range words {
		l := identity.Level(i)
		for _, text := range []string{l.String(), strings.ToLower(l.String()), l.String()[1:]} {
			if got := must(identity.ParseLevel(text))(t); got != l {
				t.Errorf("%q reads as %s", text, got)
			}
		}
		if l.Word() != word {
			t.Errorf("%s is %s, want %s", l, l.Word(), word)
		}
		wantCode(t, l.Check(), "")
	}
	wantCode(t, identity.Level(6).Check(), fault.Malformed)
	if got := identity.Level(6).Word(); got != "L6" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", "L", "L6", "6", "-1", "L05", "LL1", "Journeyer", "L1 ", "١"} {
		_, err := identity.ParseLevel(bad)
		wantCode(t, err, fault.Malformed)
	}
}

func TestSeedText(t *testing.T) {
	seed := [32]byte{1, 2, 3}
	for _, role := range everyRole {
		text := must(identity.EncodeSeed(role, seed))(t)
		if text[:2] != "S"+string(rune(role)) {
			t.Errorf("%s seed begins %s", role, text[:2])
		}
		for _, form := range []string{text, text + "\n", "  " + text} {
			gotRole, got, err := identity.ParseSeed(form)
			if err != nil || gotRole != role || got != seed {
				t.Errorf("%s: reads back as %s, %v", role, gotRole, err)
			}
		}
	}
	_, err := identity.EncodeSeed('A', seed)
	wantCode(t, err, fault.Malformed)
}

func TestParseSeedRefuses(t *testing.T) {
	good := must(identity.EncodeSeed(identity.Agent, [32]byte{1}))(t)
	account := must(nkeys.EncodeSeed(nkeys.PrefixByteAccount, make([]byte, 32)))(t)
	// The last character carries three bits of the checksum and two that must be zero.
	last := good[len(good)-1]
	for _, bad := range []string{
		"", "SU", good[:57], good + "A", good[:20] + "\n" + good[20:], strings.ToLower(good), string(account),
		good[:57] + string(last+1), signer(identity.Agent, 1).ID().String(),
	} {
		_, seed, err := identity.ParseSeed(bad)
		wantCode(t, err, fault.Malformed)
		if seed != [32]byte{} {
			t.Error("a seed came with the error")
		}
	}
}

func TestGenerateSigner(t *testing.T) {
	a, seed, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID().Role() != identity.Agent || a.Public() != wire.NewKey(seed).Public() || a.ID().Key() != a.Public() {
		t.Error("the signer is not of its seed")
	}
	wantCode(t, a.ID().Check(), "")
	if b, _, err := identity.GenerateSigner(identity.Agent); err != nil || b.ID() == a.ID() {
		t.Errorf("two fresh signers are equal (%v)", err)
	}
}
