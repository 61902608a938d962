package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadmeShowsTheExample holds README's Go code to the example that the tests compile and run.
func TestReadmeShowsTheExample(t *testing.T) {
	shown := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(read(t, "README.md"))
	if shown == nil {
		t.Fatal("README shows no Go code")
	}
	code := read(t, "examples/hello/main.go")
	if i := strings.Index(code, "type "); i < 0 || !strings.Contains(code[i:], strings.TrimSpace(shown[1])) {
		t.Errorf("README's code is not that of examples/hello/main.go from its first type on:\n%s", code)
	}
}

// TestReadmeNamesRealTests holds every test that README and SECURITY name to one that exists, and every link to a file.
func TestReadmeNamesRealTests(t *testing.T) {
	link := regexp.MustCompile(`\[([^\]]+)\]\(([^)#]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```")
	named := 0
	for _, page := range []string{"README.md", "SECURITY.md", "ARCHITECTURE.md", "docs/adr/README.md"} {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			target := filepath.Join(filepath.Dir(page), m[2])
			content, err := os.ReadFile(filepath.Join("..", target))
			if err != nil {
				t.Errorf("%s links %s: %v", page, m[2], err)
				continue
			}
			if strings.HasPrefix(m[1], "Test") {
				named++
				if !strings.Contains(string(content), "func "+m[1]+"(") {
					t.Errorf("%s names %s, which is not in %s", page, m[1], m[2])
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d tests are named: the pattern no longer finds them", named)
	}
}
