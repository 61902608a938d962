package integration

import (
	"slices"
	"strings"
	"testing"
)

// What docs/operations.md shows under `<!-- test: NAME -->` is run here, as it stands there, on this machine: only the
// ports are others. The blocks are one story: each begins where the one before has ended.
var procedures = []struct {
	name    string
	running string // afterwards, each of them counting
}{
	{"three", "abc"},
	{"look", "abc"},
	{"stop", "abc"},
	{"replace", "abc"},
	{"five", "abcde"},
	{"remove", "abc"},
	{"upgrade", "abc"},
	{"recover", "abc"},
	{"restore", "abc"},
}

// TestOperations does by the built program what docs/operations.md tells people to do.
func TestOperations(t *testing.T) {
	blocks, err := parseProcedures(read(t, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var shown, tested []string
	for _, b := range blocks {
		shown = append(shown, b.name)
	}
	for _, p := range procedures {
		tested = append(tested, p.name)
	}
	if !slices.Equal(shown, tested) {
		t.Fatalf("docs/operations.md shows %q, and this test knows %q", shown, tested)
	}
	w := newTerminals(t)
	for i, p := range procedures {
		passed := t.Run(p.name, func(t *testing.T) {
			s := w.of(t)
			s.play(blocks[i])
			s.whole(p.running)
			s.keeps("kept")
		})
		if !passed {
			t.Fatal("the next procedure begins where this one should have ended")
		}
	}
}

// TestReadmeShowsThreeNodes holds README's block to the one that is tested.
func TestReadmeShowsThreeNodes(t *testing.T) {
	_, after, found := strings.Cut(read(t, "README.md"), "```sh\n")
	shown, _, closed := strings.Cut(after, "```\n")
	blocks, err := parseProcedures(read(t, "docs/operations.md"))
	if !found || !closed || err != nil || len(blocks) == 0 {
		t.Fatalf("README's block, and the page's: %v", err)
	}
	var tested strings.Builder
	for _, s := range blocks[0].steps {
		tested.WriteString(s.command + "\n")
	}
	if shown != tested.String() {
		t.Errorf("README shows\n%s\nand what is tested is\n%s", shown, tested.String())
	}
}
