package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// TestMain lets the test binary stand in for conclave: `decision verify FILE --realm ID --json`.
func TestMain(m *testing.M) {
	if len(os.Args) > 5 && os.Args[1] == "decision" {
		os.Exit(verifyFile(os.Args[3], os.Args[5]))
	}
	os.Exit(m.Run())
}

func verifyFile(path, id string) int {
	if len(os.Environ()) != 0 {
		return 2
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return 1
	}
	realm, err := wire.ParseRealm(id)
	if err != nil {
		return 1
	}
	_, report, err := verify.Parse(raw, verify.TrustRoot{Realm: realm})
	out, _ := json.Marshal(report)
	fmt.Println(string(out))
	if err != nil {
		return 9
	}
	return 0
}

func TestStory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(t.TempDir(), "proof.txt")
	var out bytes.Buffer
	report, err := Run(context.Background(), Config{Command: []string{"touch", proof}, Out: &out, Self: self})
	if err != nil || !report.OK || len(report.Steps) != len(acts) {
		t.Fatalf("%v\n%s", err, &out)
	}
	if _, err := os.Stat(proof); err != nil {
		t.Fatal(err)
	}
}

// TestStoryFailsLoudly plants a verifier that refuses everything: the story must end with a failed step.
func TestStoryFailsLoudly(t *testing.T) {
	var out bytes.Buffer
	report, err := Run(context.Background(), Config{Self: "/bin/false", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	last := report.Steps[len(report.Steps)-1]
	if report.OK || last.OK || last.Name != "verify offline" {
		t.Fatalf("the story is called good: %+v", last)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, row := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"short", []string{"short"}},
		{"just ten c", []string{"just ten c"}},
		{"just eleven", []string{"just", "eleven"}},
		{"two  spaces\nor lines", []string{"two spaces", "or lines"}},
		{"averylongword and more", []string{"averylongword", "and more"}},
		{"…………… ………", []string{"…………… ………"}},
	} {
		if got := wrap(row.text, 10); !slices.Equal(got, row.want) {
			t.Errorf("%q: %q, want %q", row.text, got, row.want)
		}
	}
}

// TestCommandThatFails is a command whose exit code is not 0: it ran, and the demo says that it is not as promised.
func TestCommandThatFails(t *testing.T) {
	report, err := Run(context.Background(), Config{Command: []string{"false"}, Self: "/bin/false"})
	if err != nil {
		t.Fatal(err)
	}
	last := report.Steps[len(report.Steps)-1]
	if report.OK || last.OK || last.Name != "execute" {
		t.Fatalf("a failing command is called good: %+v", last)
	}
}
