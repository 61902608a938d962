package proof_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// everything is a certificate with every kind of part: rosters with admissions, a policy that was replaced, operators,
// successions, raised levels.
func everything(t testing.TB) (realm, consensus.Certificate) {
	t.Helper()
	r := standard(t)
	r.Grow(1)
	if answer := r.PutPolicy(loosens(r.Policy, 3), r.a, r.d); answer.Code != "" {
		t.Fatal(answer)
	}
	c := r.Certificate(r.approved("process.exec").Proposal)
	honest(t, r.World, c)
	return r, c
}

func explain(t testing.TB, r realm, c consensus.Certificate) proof.Explanation {
	t.Helper()
	return proof.Explain(encode(t, c), proof.Trust{Realm: r.Realm})
}

// verified checks a signature as anybody would: the key, the bytes, the signature, and crypto/ed25519.
func verified(t testing.TB, s proof.Signature) bool {
	t.Helper()
	key, err := hex.DecodeString(s.Key)
	wantErr(t, err, "")
	message, err := hex.DecodeString(s.Message)
	wantErr(t, err, "")
	signature, err := hex.DecodeString(s.Signature)
	wantErr(t, err, "")
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}

// cosigners counts a statement's signatures without the code that Explain uses.
func cosigners[T wire.Statement](t testing.TB, raws ...[]byte) int {
	t.Helper()
	n := 0
	for _, raw := range raws {
		c, err := wire.ParseCosigned[T](raw, wire.MaxStatement)
		wantErr(t, err, "")
		n += len(c.Keys())
	}
	return n
}

func TestExplainShowsEverySignature(t *testing.T) {
	r, c := everything(t)
	x := explain(t, r, c)
	if !x.Valid || x.Code != "" || x.Failure != "" || len(x.Unreadable) > 0 || x.Realm != r.Realm.String() {
		t.Fatalf("got %+v", x)
	}
	admission := func(raw []byte) (n int) {
		roster, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
		wantErr(t, err, "")
		if len(roster.Claim.Admission) == 0 {
			return 0
		}
		a, err := wire.ParseCosigned[identity.Admission](roster.Claim.Admission, wire.MaxStatement)
		wantErr(t, err, "")
		return len(a.Keys()) + cosigners[identity.JoinToken](t, a.Claim.Token)
	}
	want := map[string]int{
		"genesis": cosigners[identity.Genesis](t, c.Genesis), "head": 4, "proposal": 1, "ballots": 2,
		"rosters":    cosigners[identity.Roster](t, c.Rosters...) + admission(c.Rosters[0]) + admission(c.Rosters[1]),
		"enrolments": 3 * len(c.Enrolments), "operators": 4, "policies": 2, "keys": 2 * len(c.Keys), "levels": 3 * len(c.Levels),
	}
	got := map[string]int{}
	for _, s := range x.Signatures {
		list, _, _ := strings.Cut(s.Part, "[")
		got[list]++
		if !verified(t, s) || !s.Holds {
			t.Errorf("%s by %s does not verify", s.Part, s.Key)
		}
		if s.Proves == "" || !strings.HasSuffix(s.Proves, ".") || strings.Contains(s.Proves, "stranger") {
			t.Errorf("%s: proves %q", s.Part, s.Proves)
		}
		message, _ := hex.DecodeString(s.Message)
		if !strings.Contains(string(message), "application/conclave-"+s.Kind+"+cbor") {
			t.Errorf("%s: the bytes are of another kind than %s", s.Part, s.Kind)
		}
	}
	for list, n := range want {
		if got[list] != n || n == 0 {
			t.Errorf("%s: %d signatures explained, there are %d", list, got[list], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestExplainNamesWhoSigned(t *testing.T) {
	r, c := everything(t)
	x := explain(t, r, c)
	signers := map[string][]string{}
	for _, s := range x.Signatures {
		signers[s.Part] = append(signers[s.Part], s.Signer)
	}
	for part, want := range map[string][]string{
		"genesis":      {r.a.ID().String(), r.b.ID().String(), r.c.ID().String()},
		"policies[0]":  {r.a.ID().String(), r.d.ID().String()}, // d by its third key
		"proposal":     {r.worker.ID().String()},
		"operators[0]": {r.a.ID().String(), r.b.ID().String()}, // b by the key it had then
	} {
		slices.Sort(signers[part])
		slices.Sort(want)
		if !slices.Equal(signers[part], want) {
			t.Errorf("%s: got %v, want %v", part, signers[part], want)
		}
	}
	d := x.Decision
	if d == nil || d.ID != c.Opening.Proposal.String() || d.Class != "R2" || d.Proposer != r.worker.ID().String() || d.Ballots != 2 ||
		d.Voters != len(c.Opening.Voters) || d.Action.Kind != "process.exec" || d.Action.Digest != c.Opening.Action.String() ||
		d.Approved != c.Verdict.At || d.From != c.Verdict.From || d.Until != c.Verdict.Until || d.Rule != c.Opening.Rule.String() {
		t.Errorf("got %+v", d)
	}
	for _, s := range x.Signatures {
		if strings.HasPrefix(s.Part, "ballots[") && !strings.Contains(s.Proves, "votes approve on exactly this action") {
			t.Errorf("a ballot proves %q", s.Proves)
		}
	}
	if len(x.Checks) != 12 || x.Checks[0].Means == "" || !x.Checks[11].OK || x.Roster != 2 {
		t.Errorf("got %+v", x.Checks)
	}
	if !slices.ContainsFunc(x.Unproved, func(s string) bool { return strings.Contains(s, "a veto among them") }) {
		t.Error("does not say that nodes can hide a veto")
	}
}

// What is wrong with a certificate does not keep it from being explained.
func TestExplainWhatFails(t *testing.T) {
	r, c := everything(t)
	forged := c
	forged.Ballots = [][]byte{c.Ballots[0], r.SignAlone(r.Ballot(r.b.ID(), c.Opening, consensus.Approve), r.Nodes[0].Key())}
	x := explain(t, r, forged)
	if x.Valid || x.Code != fault.BadSignature || x.Failure == "" || x.Checks[len(x.Checks)-1].OK {
		t.Errorf("got %+v", x)
	}
	bad := 0
	for _, s := range x.Signatures {
		if s.Holds != verified(t, s) {
			t.Errorf("%s: holds %t", s.Part, s.Holds)
		}
		if !s.Holds {
			bad++
			if s.Part != "ballots[1]" || !strings.HasPrefix(s.Proves, "Nothing") {
				t.Errorf("%s proves %q", s.Part, s.Proves)
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d signatures do not hold", bad)
	}
	unread := c
	unread.Head, unread.Keys, unread.Proposal = []byte{1}, append(slices.Clone(c.Keys), c.Head), c.Genesis
	unread.Enrolments = append(slices.Clone(c.Enrolments), nil)
	x = explain(t, r, unread)
	var parts []string
	for _, u := range x.Unreadable {
		parts = append(parts, u.Part+" "+string(u.Code))
	}
	slices.Sort(parts)
	want := []string{"enrolments[3] malformed", "head malformed", "keys[5] wrong_kind", "proposal malformed"}
	if !slices.Equal(parts, want) || x.Decision != nil {
		t.Errorf("got %v, want %v", parts, want)
	}
	x = proof.Explain([]byte{1}, proof.Trust{Realm: r.Realm})
	if x.Valid || len(x.Checks) != 1 || len(x.Unreadable) != 1 || x.Signatures == nil || len(x.Unproved) == 0 {
		t.Errorf("got %+v", x)
	}
	other := proof.Explain(encode(t, c), proof.Trust{Realm: wire.Realm{1}})
	if other.Valid || other.Code != fault.WrongRealm || len(other.Signatures) == 0 {
		t.Errorf("got %+v", other)
	}
}

// A stranger's signature is shown, and said to count for nothing.
func TestExplainStrangers(t *testing.T) {
	r, c := everything(t)
	stranger := r.Signer(identity.Node)
	head := r.Ledger.Head()
	c.Head = r.Sign(head, append(slices.Clone(r.Nodes), stranger)...)
	honest(t, r.World, c)
	x := explain(t, r, c)
	i := slices.IndexFunc(x.Signatures, func(s proof.Signature) bool {
		key := stranger.Public()
		return s.Key == hex.EncodeToString(key[:])
	})
	if i < 0 || x.Signatures[i].Signer != "" || !x.Signatures[i].Holds || !strings.HasPrefix(x.Signatures[i].Proves, "A stranger") {
		t.Errorf("got %+v", x.Signatures)
	}
}

func TestExplainedAlone(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	c := w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal)
	x := proof.Explain(encode(t, c), proof.Trust{Realm: w.Realm})
	if !x.Valid || !x.Decision.Alone || x.Decision.Ballots != 0 || len(x.Signatures) != 1+1+1+3 {
		t.Errorf("got %+v", x)
	}
	b, err := json.Marshal(x)
	wantErr(t, err, "")
	var again proof.Explanation
	wantErr(t, json.Unmarshal(b, &again), "")
	if len(again.Signatures) != len(x.Signatures) || again.Signatures[3] != x.Signatures[3] {
		t.Error("JSON loses something")
	}
}

// The bytes are such that a tool which knows nothing of this format checks them.
func TestOpenSSLVerifiesABallot(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no openssl on PATH: the gate installs it")
		}
		t.Skip("no openssl on PATH; install it to run this test, as the gate does")
	}
	r, c := everything(t)
	x := explain(t, r, c)
	i := slices.IndexFunc(x.Signatures, func(s proof.Signature) bool { return s.Part == "ballots[0]" })
	s, dir := x.Signatures[i], t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		wantErr(t, os.WriteFile(path, content, 0o600), "")
		return path
	}
	raw := func(digits string) []byte {
		b, err := hex.DecodeString(digits)
		wantErr(t, err, "")
		return b
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw(s.Key)))
	wantErr(t, err, "")
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	signature := write("signature", raw(s.Signature))
	check := func(message []byte) ([]byte, error) {
		return exec.Command(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", write("message", message),
			"-sigfile", signature).CombinedOutput()
	}
	if out, err := check(raw(s.Message)); err != nil {
		t.Fatalf("openssl refuses it: %v\n%s", err, out)
	}
	if out, err := check(spoilt(raw(s.Message))); err == nil {
		t.Errorf("openssl accepts other bytes:\n%s", out)
	}
}
