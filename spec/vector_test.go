package spec_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// ok is what a vector expects that is to be accepted; others expect the code of the refusal.
const ok = "ok"

// hexBytes is a byte string in lower-case hexadecimal.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) error {
	v, err := hex.DecodeString(string(text))
	*b = v
	return err
}

// vector is one file below vectors/. README.md describes it to other implementations.
type vector struct {
	Name      string          `json:"name"`
	Statement string          `json:"statement"` // a key of verifiers
	Realm     wire.Realm      `json:"realm"`
	Now       int64           `json:"now"`     // the verifier's clock, Unix milliseconds
	Context   json.RawMessage `json:"context"` // what the verifier trusts and knows, by statement
	Input     hexBytes        `json:"input"`
	Zeros     int             `json:"zeros,omitempty"` // zero bytes that follow the input
	Expect    string          `json:"expect"`
	Check     string          `json:"check,omitempty"` // the check that refuses it, a name in mutations.txt

	folder string // below vectors/
}

func (v vector) path() string { return v.folder + "/" + v.Name }

func (v vector) bytes() []byte { return append(bytes.Clone(v.Input), make([]byte, v.Zeros)...) }

// contextOf reads the vector's context strictly.
func contextOf[T any](v vector) (T, error) {
	var c T
	d := json.NewDecoder(bytes.NewReader(v.Context))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("context of %s: %w", v.path(), err)
	}
	return c, nil
}

// readVectors returns the vectors below vectors/ in the order of their paths.
func readVectors(t *testing.T) []vector {
	t.Helper()
	var all []vector
	err := filepath.WalkDir("vectors", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		v := vector{folder: filepath.Base(filepath.Dir(path))}
		d := json.NewDecoder(bytes.NewReader(content))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if v.Name+".json" != filepath.Base(path) {
			return fmt.Errorf("%s is named %q inside", path, v.Name)
		}
		all = append(all, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// outcome is what the code says of a vector: ok, or the code of the refusal. A panic is one more way to be wrong.
func outcome(v vector) (got string) {
	defer func() {
		if r := recover(); r != nil {
			got = fmt.Sprintf("panic: %v", r)
		}
	}()
	verify, known := verifiers[v.Statement]
	if !known {
		return "no verifier for " + v.Statement
	}
	if err := verify(v, v.bytes()); err != nil {
		return string(fault.CodeOf(err))
	}
	return ok
}

// TestVectors runs every vector through the verifier that the product uses. mutation_test.go runs it again with each
// check taken out.
func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.path(), func(t *testing.T) {
			if got := outcome(v); got != v.Expect {
				t.Errorf("got %s, want %s (check %q)", got, v.Expect, v.Check)
			}
		})
	}
}

// TestVectorsAreComplete holds: each folder accepts something, what is refused names its check, and no two vectors
// of a folder have the same bytes and the same context.
func TestVectorsAreComplete(t *testing.T) {
	accepts, seen := map[string]bool{}, map[string]string{}
	for _, v := range readVectors(t) {
		accepts[v.folder] = accepts[v.folder] || v.Expect == ok
		if (v.Expect == ok) != (v.Check == "") {
			t.Errorf("%s expects %s by check %q", v.path(), v.Expect, v.Check)
		}
		key := fmt.Sprint(v.folder, v.Statement, v.Realm, v.Now, string(v.Context), v.Zeros, v.Input)
		if other, twice := seen[key]; twice {
			t.Errorf("%s and %s are the same", v.path(), other)
		}
		seen[key] = v.path()
	}
	for folder, any := range accepts {
		if !any {
			t.Errorf("no vector of %s is accepted", folder)
		}
	}
	for _, statement := range statements() {
		if !accepts[statement] {
			t.Errorf("no vectors for %s", statement)
		}
	}
}

// TestEveryRefusalHasAMutation holds: whoever adds a vector adds the row of mutations.txt that shows it is needed.
func TestEveryRefusalHasAMutation(t *testing.T) {
	rows, used := map[string]bool{}, map[string]bool{}
	for _, m := range readMutations(t) {
		rows[m.check] = true
	}
	for _, v := range readVectors(t) {
		used[v.Check], used[v.path()] = true, true
		if v.Check != "" && !rows[v.Check] {
			t.Errorf("%s: check %q has no row in mutations.txt", v.path(), v.Check)
		}
	}
	for _, m := range readMutations(t) {
		if !used[m.check] && len(m.also) == 0 {
			t.Errorf("mutations.txt: no vector names check %q", m.check)
		}
		for _, name := range m.also {
			if !used[name] {
				t.Errorf("mutations.txt: %s: no vector is, or names, %q", m.check, name)
			}
		}
	}
}

// statements are the names that verifiers knows.
func statements() []string {
	var all []string
	for name := range verifiers {
		all = append(all, name)
	}
	return all
}

// marshal returns the file of a vector.
func marshal(t *testing.T, v vector) []byte {
	t.Helper()
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}
