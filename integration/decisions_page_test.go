package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// decisionBlocks are the blocks of docs/decisions.md, in order: one story.
var decisionBlocks = []string{"realm", "people", "policy", "hold", "inbox", "votes", "run", "verify", "attacks", "permit", "settle"}

// trustBlocks are those of docs/trust.md.
var trustBlocks = []string{"realm", "people", "work", "climb", "fall"}

// What the page has its reader put for its capital words, as it is printed.
var printed = []struct {
	word string
	as   *regexp.Regexp
}{
	{"REALM", regexp.MustCompile(`(?m)^realm +([0-9a-f]{64})$`)},
	{"NODE", regexp.MustCompile(`(?m)^pins +(N[A-Z2-7]{55})$`)},
	{"DECISION", regexp.MustCompile(`(?m)^guard: decision ([0-9a-f]{16}),`)},
}

// reader is somebody who follows the page.
type reader struct {
	terminals
	words map[string]string
}

// TestDecisionsPage does by the built program what docs/decisions.md tells people to do, and sees what it says that they see.
func TestDecisionsPage(t *testing.T) { readPage(t, "docs/decisions.md", decisionBlocks) }

// TestTrustPage does the same with docs/trust.md.
func TestTrustPage(t *testing.T) { readPage(t, "docs/trust.md", trustBlocks) }

// readPage follows a page that is one story: its first yaml block is policy.yaml, its shell blocks are those named.
func readPage(t *testing.T, path string, names []string) {
	page := read(t, path)
	blocks, err := parseProcedures(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(page, "```yaml\n")
	rules, _, closed := strings.Cut(after, "```\n")
	if len(blocks) != len(names) || !found || !closed {
		t.Fatalf("the page has %d blocks, and this test knows %q; policy.yaml: %t", len(blocks), names, found)
	}
	r := reader{newTerminals(t), map[string]string{}}
	if err := os.WriteFile(filepath.Join(r.dir, "policy.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		passed := t.Run(name, func(t *testing.T) {
			if blocks[i].name != name {
				t.Fatalf("the page shows %s here", blocks[i].name)
			}
			r := reader{r.of(t), r.words}
			for _, s := range blocks[i].steps {
				r.follow(s)
			}
		})
		if !passed {
			t.Fatal("the next block begins where this one should have ended")
		}
	}
}

// follow types one command. What it prints is remembered where the page refers to it later.
func (r reader) follow(s step) {
	r.Helper()
	if strings.HasPrefix(s.command, "conclave server run ") {
		r.boot(s)
		return
	}
	line := r.here(s.command)
	for word, as := range r.words {
		line = regexp.MustCompile(`\b`+word+`\b`).ReplaceAllLiteralString(line, as)
	}
	r.Logf("line %d: %s", s.line, line)
	out, code := r.shell(line)
	switch refused := s.refused != ""; {
	case s.until != "" || s.act != "":
		r.Fatalf("line %d: nothing is repeated or stopped on this page", s.line)
	case refused && (code == 0 || !strings.Contains(out, s.refused)):
		r.Fatalf("line %d: exit %d, not refused as %q:\n%s", s.line, code, s.refused, out)
	case !refused && code != 0:
		r.Fatalf("line %d: exit %d\n%s%s", s.line, code, out, r.logs())
	}
	for _, want := range s.prints {
		if !strings.Contains(out, want) {
			r.Errorf("line %d: no %q in\n%s", s.line, want, out)
		}
	}
	for _, p := range printed {
		if m := p.as.FindStringSubmatch(out); m != nil {
			r.words[p.word] = m[1]
		}
	}
}

// TestDecisionsPageWords holds the capital words of the page's commands to those that a reader can put something for.
func TestDecisionsPageWords(t *testing.T) {
	blocks, err := parseProcedures(read(t, "docs/decisions.md"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, b := range blocks {
		for _, s := range b.steps {
			for _, word := range regexp.MustCompile(`\b[A-Z]{3,}\b`).FindAllString(s.command, -1) {
				used[word] = true
			}
		}
	}
	for _, p := range printed {
		if !used[p.word] {
			t.Errorf("nothing on the page is called %s", p.word)
		}
		delete(used, p.word)
	}
	if len(used) > 0 {
		t.Error(fmt.Sprint("no reader knows what to put for ", used))
	}
}
