package spec_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// claims are the payloads that conclave.cddl describes, by the name of their rule.
var claims = map[string]any{
	"genesis-claim":    identity.Genesis{},
	"roster-claim":     identity.Roster{},
	"join-token-claim": identity.JoinToken{},
	"admission-claim":  identity.Admission{},
	"join-invitation":  identity.JoinInvitation{},
	"token-claim":      identity.Token{},
	"enrolment-claim":  identity.Enrolment{},
	"invitation":       identity.Invitation{},
	"credential-claim": identity.Credential{},
	"succession-claim": identity.Succession{},
	"ticket-claim":     trust.Ticket{},
	"presence-claim":   discovery.Presence{},
	"card-claim":       discovery.Card{},
	"card-capability":  discovery.Capability{},
	"envelope-claim":   envelope.Envelope{},
	"destination":      envelope.Destination{},
	"batch-claim":      envelope.Batch{},
	"frame-common":     common{},
	"head-claim":       audit.Head{},
	"leaf":             audit.Leaf{},
	"inclusion":        audit.Inclusion{},
	"receipt":          audit.Receipt{},

	"command-claim":    registry.Command{},
	"tick":             registry.Tick{},
	"enrol":            registry.Enrol{},
	"add-operator":     registry.AddOperator{},
	"set-status":       registry.SetStatus{},
	"set-level":        registry.SetLevel{},
	"grant":            registry.Grant{},
	"put-card":         registry.PutCard{},
	"succeed":          registry.Succeed{},
	"raise-epoch":      registry.RaiseEpoch{},
	"propose":          registry.Propose{},
	"cast":             registry.Cast{},
	"commit":           registry.Commit{},
	"cancel":           registry.Cancel{},
	"equivocate":       registry.Equivocate{},
	"settle":           registry.Settle{},
	"put-policy":       registry.PutPolicy{},
	"governed":         registry.Governed{},
	"consume":          registry.Consume{},
	"report":           registry.Report{},
	"put-roster":       registry.PutRoster{},
	"seated":           registry.Seated{},
	"change":           registry.Change{},
	"log-entry":        ledger.Entry{},
	"proposal-claim":   consensus.Proposal{},
	"action":           consensus.Action{},
	"permit":           consensus.Permit{},
	"opening":          consensus.Opening{},
	"rule":             consensus.Rule{},
	"ballot-claim":     consensus.Ballot{},
	"commitment-claim": consensus.Commitment{},
	"certificate":      consensus.Certificate{},
	"verdict":          consensus.Verdict{},
	"consumption":      consensus.Consumption{},
	"policy":           policy.Policy{},
	"policy-level":     policy.Level{},
	"policy-kind":      policy.Kind{},
	"policy-when":      policy.When{},
	"policy-trust":     trust.Params{},
	"half-lives":       trust.HalfLives{},
	"rung":             trust.Rung{},
	"step":             policy.Step{},
	"emergency":        policy.Emergency{},
	"rights":           trust.Rights{},
	"remind":           registry.Remind{},
	"reminded":         registry.Reminded{},
	"policy-lease":     policy.Lease{},
	"evidence-claim":   trust.Evidence{},
	"tell":             registry.Evidence{},
	"effect":           trust.Effect{},
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestGrammarMatchesTheCode holds: each payload's rule lists the fields of its struct, with their labels, in order.
func TestGrammarMatchesTheCode(t *testing.T) {
	grammar := read(t, "conclave.cddl")
	field := regexp.MustCompile(`(?m)^  (\? )?(-?\d+): .*; ([a-z-]+)`)
	for rule, claim := range claims {
		_, rest, found := strings.Cut(grammar, "\n"+rule+" = {\n")
		body, _, closed := strings.Cut(rest, "\n}")
		if !found || !closed {
			t.Errorf("conclave.cddl has no rule %s", rule)
			continue
		}
		var got, want []string
		for _, m := range field.FindAllStringSubmatch(body, -1) {
			got = append(got, m[1]+m[2]+" "+strings.ReplaceAll(m[3], "-", ""))
		}
		if lines := strings.Count(body, "\n") + 1; lines != len(got) {
			t.Errorf("%s: %d of %d lines have a label and a name", rule, len(got), lines)
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(claim)) {
			label, options, _ := strings.Cut(f.Tag.Get("cbor"), ",")
			optional := ""
			if strings.Contains(options, "omit") {
				optional = "? "
			}
			want = append(want, optional+label+" "+strings.ToLower(f.Name))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngrammar %q\ncode    %q", rule, got, want)
		}
	}
}

// TestEveryStatementHasAGrammar holds: whoever adds a verifier adds the payload to claims.
func TestEveryStatementHasAGrammar(t *testing.T) {
	for _, name := range statements() {
		if claims[name+"-claim"] == nil && claims[name] == nil && name != "tally" && name != "equivocation" { // these are of ballots
			t.Errorf("%s is not in claims", name)
		}
	}
}

// TestRegistryListsEveryKind holds: README.md has a row for each kind of the code, and no other.
func TestRegistryListsEveryKind(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "internal", "wire", "kind.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, isValue := n.(*ast.ValueSpec); isValue && len(spec.Values) == 1 {
			kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, kind+" "+wire.Kind(kind).Typ())
		}
		return true
	})
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `(application/[^`]+)` \\|").FindAllStringSubmatch(read(t, "README.md"), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("README.md lists\n%q\nand the code has\n%q", got, want)
	}
}

// TestPagesNameEveryCheck holds: what a vector calls its check is explained on a page, and links between pages work.
func TestPagesNameEveryCheck(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, page := range pages {
		all.WriteString(read(t, page))
	}
	for _, v := range readVectors(t) {
		if v.Check != "" && !strings.Contains(all.String(), "`"+v.Check+"`") {
			t.Errorf("%s: no page names check %q", v.path(), v.Check)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(all.String(), -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("link to %s: %v", m[1], err)
		}
	}
}

// TestPagesNameNothingElse holds: a hyphenated name on a page is a check that a vector or a row of mutations.txt shows, a
// statement, or a word of conclave.cddl. So a check that is renamed, or never had a vector, is found.
func TestPagesNameNothingElse(t *testing.T) {
	known := map[string]bool{}
	for _, word := range regexp.MustCompile(`[a-z][a-z0-9-]*`).FindAllString(read(t, "conclave.cddl"), -1) {
		known[word] = true
	}
	for _, v := range readVectors(t) {
		known[v.Check], known[v.Statement] = true, true
	}
	for _, m := range readMutations(t) {
		known[m.check] = true
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		for _, m := range regexp.MustCompile("`([a-z]+(?:-[a-z0-9]+)+)`").FindAllStringSubmatch(read(t, page), -1) {
			if !known[m[1]] && m[1] != "verify-js" {
				t.Errorf("%s: no vector and no mutation shows %q", page, m[1])
			}
		}
	}
}

// TestOpenSSL follows README.md by hand: OpenSSL accepts a vector's signature and refuses it over changed bytes.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no openssl on PATH: the gate installs it")
		}
		t.Skip("no openssl on PATH; install openssl to run this test, as the gate does")
	}
	var v vector
	if err := json.Unmarshal([]byte(read(t, "vectors/credential/ok.json")), &v); err != nil {
		t.Fatal(err)
	}
	var form struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected map[int]int
		Payload     []byte
		Signature   []byte
	}
	if err := wire.Decode(v.Input[1:], &form); err != nil {
		t.Fatal(err)
	}
	external := append([]byte("conclave/1\x00credential\x00"), v.Realm[:]...)
	signed := encode([]any{"Signature1", form.Protected, external, form.Payload})
	public, err := keyOf(v)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string][]byte{
		"tbs.bin": signed, "sig.bin": form.Signature, "key.der": append(unhex("302a300506032b6570032100"), public[:]...),
		"changed.bin": bytes.Replace(signed, []byte("conclave/1"), []byte("conclave/2"), 1),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for input, want := range map[string]bool{"tbs.bin": true, "changed.bin": false} {
		command := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER",
			"-inkey", "key.der", "-rawin", "-in", input, "-sigfile", "sig.bin")
		command.Dir = dir
		if output, err := command.CombinedOutput(); (err == nil) != want {
			t.Errorf("openssl on %s: %v\n%s", input, err, output)
		}
	}
}
