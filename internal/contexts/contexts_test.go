//go:build unix

package contexts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	node  = "N" + strings.Repeat("A", 55)
	agent = "U" + strings.Repeat("B", 55)
)

func root(n int) string { return fmt.Sprintf("%064x", n) }

func honest() Context {
	return Context{
		Realm: "r1", Addresses: []string{"node1.example:7422", "[::1]:7422"}, Pins: []string{node},
		Key: "/home/a/agent.key", Principal: agent, Seen: Seen{Roster: 3, HeadSize: 10, HeadRoot: root(10)},
	}
}

func opened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "conclave", "contexts"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func saved(t *testing.T, s *Store, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.Save(name, honest()); err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestSaveAndLoad(t *testing.T) {
	s := opened(t)
	names, err := s.List()
	if err != nil || len(names) != 0 {
		t.Errorf("List of nothing: %q, %v", names, err)
	}
	saved(t, s, "prod", "dev-1")
	got, err := s.Load("prod")
	if err != nil || !reflect.DeepEqual(got, honest()) {
		t.Errorf("Load = %+v, %v", got, err)
	}
	if names, err := s.List(); err != nil || !slices.Equal(names, []string{"dev-1", "prod"}) {
		t.Errorf("List = %q, %v", names, err)
	}
	info, err := os.Stat(s.path("prod.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	want(t, "Remove", s.Remove("prod"), nil)
	want(t, "Remove again", s.Remove("prod"), ErrNotFound)
	_, err = s.Load("prod")
	want(t, "Load after Remove", err, ErrNotFound)
}

func TestNames(t *testing.T) {
	s := opened(t)
	for _, name := range []string{"a", "0", "a-b", strings.Repeat("x", 63)} {
		want(t, name, s.Save(name, honest()), nil)
	}
	for _, name := range []string{"", "A", "a.b", "a/b", "../a", "a_b", "ä", "a\n", strings.Repeat("x", 64)} {
		want(t, fmt.Sprintf("Save %q", name), s.Save(name, honest()), ErrName)
		_, err := s.Load(name)
		want(t, fmt.Sprintf("Load %q", name), err, ErrName)
		want(t, fmt.Sprintf("Remove %q", name), s.Remove(name), ErrName)
		want(t, fmt.Sprintf("Select %q", name), s.Select(name), ErrName)
		want(t, fmt.Sprintf("Advance %q", name), s.Advance(name, 9, 0, ""), ErrName)
	}
}

func TestLooseModesAreRefused(t *testing.T) {
	s := opened(t)
	saved(t, s, "a")
	want(t, "Select", s.Select("a"), nil)
	for _, mode := range []os.FileMode{0o600, 0o400, 0o640, 0o604, 0o620, 0o644, 0o700} {
		loose := mode != 0o600 && mode != 0o400
		if err := errors.Join(os.Chmod(s.path("a.yaml"), mode), os.Chmod(s.path(selectedName), mode)); err != nil {
			t.Fatal(err)
		}
		_, loadErr := s.Load("a")
		_, selectedErr := s.Selected()
		for _, err := range []error{loadErr, selectedErr} {
			if errors.Is(err, ErrLooseMode) != loose || (err == nil) == loose {
				t.Errorf("mode %04o: %v", mode, err)
			}
			if loose && fault.CodeOf(err) != fault.LooseMode {
				t.Errorf("mode %04o: code %q", mode, fault.CodeOf(err))
			}
		}
	}
	if err := os.Chmod(s.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	_, err := Open(s.dir)
	want(t, "Open of a directory that others may read", err, ErrLooseMode)
}

func TestInvalidContexts(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(c *Context)
	}{
		{"no realm", func(c *Context) { c.Realm = "" }},
		{"no key", func(c *Context) { c.Key = "" }},
		{"no addresses", func(c *Context) { c.Addresses = nil }},
		{"address without port", func(c *Context) { c.Addresses = []string{"node1.example"} }},
		{"address without host", func(c *Context) { c.Addresses = []string{":7422"} }},
		{"no pins", func(c *Context) { c.Pins = nil }},
		{"pin is no node", func(c *Context) { c.Pins = []string{agent} }},
		{"pin too short", func(c *Context) { c.Pins = []string{node[:55]} }},
		{"no principal", func(c *Context) { c.Principal = "" }},
		{"principal is a seed", func(c *Context) { c.Principal = "S" + agent[1:] }},
		{"root without size", func(c *Context) { c.Seen.HeadSize = 0 }},
		{"size without root", func(c *Context) { c.Seen.HeadRoot = "" }},
		{"root too short", func(c *Context) { c.Seen.HeadRoot = root(1)[2:] }},
		{"root in upper case", func(c *Context) { c.Seen.HeadRoot = strings.Repeat("AB", 32) }},
	}
	s := opened(t)
	saved(t, s, "a")
	for _, tt := range tests {
		c := honest()
		tt.spoil(&c)
		want(t, tt.name, s.Save("b", c), ErrInvalid)
	}
	if names, _ := s.List(); len(names) != 1 {
		t.Errorf("refused contexts were written: %q", names)
	}
}

func TestMalformedFiles(t *testing.T) {
	good, err := format(honest())
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	tests := []struct {
		name, content string
		says          string // part of the error's text that a person needs
	}{
		{"empty", "", "empty"},
		{"unknown field", text + "colour: red\n", "line 13"},
		{"unknown field inside", strings.Replace(text, "  roster:", "  rooster:", 1), "line 10"},
		{"field twice", text + "realm: r2\n", "line 13"},
		{"second document", text + "---\nrealm: r2\n", "more than one document"},
		{"list where text is due", strings.Replace(text, "realm: r1", "realm: [r1]", 1), "line 1"},
		{"negative number", strings.Replace(text, "roster: 3", "roster: -3", 1), "line 10"},
		{"fraction", strings.Replace(text, "roster: 3", "roster: 3.5", 1), "line 10"},
		{"syntax", strings.Replace(text, "key: /home", "key: \"/home", 1), "line"},
		{"missing field", strings.Replace(text, "realm: r1\n", "", 1), "realm"},
		{"too long", text + "# " + strings.Repeat("x", maxBytes), "longer"},
	}
	s := opened(t)
	for _, tt := range append(tests, struct{ name, content, says string }{"honest", text, ""}) {
		if err := os.WriteFile(s.path("a.yaml"), []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load("a")
		if tt.name == "honest" {
			want(t, "honest", err, nil)
			continue
		}
		want(t, tt.name, err, ErrInvalid)
		if err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q does not say %q", tt.name, err, tt.says)
		}
	}
}

func TestAdvanceNeverGoesBack(t *testing.T) {
	s := opened(t)
	saved(t, s, "a") // roster 3, head 10
	tests := []struct {
		name         string
		roster, size uint64
		root         string
		want         error
	}{
		{"standing still", 3, 10, root(10), nil},
		{"roster only", 4, 10, root(10), nil},
		{"head only", 4, 12, root(12), nil},
		{"both", 5, 13, root(13), nil},
		{"older roster", 4, 13, root(13), ErrRollback},
		{"older roster, newer head", 4, 14, root(14), ErrRollback},
		{"older head", 5, 12, root(12), ErrRollback},
		{"newer roster, older head", 6, 12, root(12), ErrRollback},
		{"no head any more", 6, 0, "", ErrRollback},
		{"another head of one size", 6, 13, root(99), ErrFork},
		{"no root", 6, 14, "", ErrInvalid},
		{"bad root", 6, 14, "xyz", ErrInvalid},
	}
	now := honest().Seen
	for _, tt := range tests {
		want(t, tt.name, s.Advance("a", tt.roster, tt.size, tt.root), tt.want)
		if tt.want == nil {
			now = Seen{tt.roster, tt.size, tt.root}
		}
		if c, err := s.Load("a"); err != nil || c.Seen != now {
			t.Errorf("%s: on disk %+v, %v, want %+v", tt.name, c.Seen, err, now)
		}
	}
	want(t, "unknown context", s.Advance("b", 9, 0, ""), ErrNotFound)
}

// What was seen is forgotten only for the context named, and what is seen next does not go back again.
func TestForget(t *testing.T) {
	s := opened(t)
	saved(t, s, "a") // roster 3, head 10
	saved(t, s, "b")
	want(t, "older head", s.Advance("a", 3, 9, root(9)), ErrRollback)
	want(t, "unknown", s.Forget("c"), ErrNotFound)
	want(t, "bad name", s.Forget("../a"), ErrName)
	want(t, "known", s.Forget("a"), nil)
	c, err := s.Load("a")
	want(t, "load", err, nil)
	if expected := honest(); c.Seen != (Seen{}) || c.Realm != expected.Realm || c.Key != expected.Key || !slices.Equal(c.Pins, expected.Pins) {
		t.Errorf("got %+v", c)
	}
	want(t, "older head, then", s.Advance("a", 2, 9, root(9)), nil)
	want(t, "older still", s.Advance("a", 2, 8, root(8)), ErrRollback)
	want(t, "older head of another", s.Advance("b", 3, 9, root(9)), ErrRollback)
}

func TestFollowKeepsHowToReachTheNodes(t *testing.T) {
	other := func(letter string) string { return "N" + strings.Repeat(letter, 55) }
	many := make([]string, MaxAddresses)
	for i := range many {
		many[i] = fmt.Sprintf("node%d.example:1", i+10)
	}
	first := honest().Addresses
	for _, tt := range []struct {
		name            string
		addresses, pins []string
		wantAddresses   []string
		wantPins        []string
		want            error
	}{
		{"nothing new", nil, nil, first, []string{node}, nil},
		{"known ones", first, []string{node}, first, []string{node}, nil},
		{"one more", []string{"b.example:1"}, []string{node, other("C")}, append(slices.Clone(first), "b.example:1"), []string{node, other("C")}, nil},
		{"one that left", nil, []string{other("C")}, first, []string{other("C")}, nil},
		{"more than fit", many[:15], nil, append([]string{first[1]}, many[:15]...), []string{node}, nil},
		{"as many as fit", many, nil, many, []string{node}, nil},
		{"no pin", nil, []string{agent}, first, []string{node}, ErrInvalid},
		{"no address", []string{"b.example"}, nil, first, []string{node}, ErrInvalid},
	} {
		s := opened(t)
		saved(t, s, "a")
		seen := Seen{Roster: 4, HeadSize: 11, HeadRoot: root(11)}
		want(t, tt.name, s.Follow("a", seen, tt.addresses, tt.pins), tt.want)
		if tt.want != nil {
			seen = honest().Seen
		}
		c, err := s.Load("a")
		if err != nil || !slices.Equal(c.Addresses, tt.wantAddresses) || !slices.Equal(c.Pins, tt.wantPins) || c.Seen != seen {
			t.Errorf("%s: on disk %+v, %v", tt.name, c, err)
		}
	}
	s := opened(t)
	saved(t, s, "a")
	want(t, "older roster", s.Follow("a", Seen{2, 11, root(11)}, nil, []string{other("C")}), ErrRollback)
	if c, err := s.Load("a"); err != nil || !reflect.DeepEqual(c, honest()) {
		t.Errorf("an older roster left %+v, %v", c, err)
	}
}

func TestSaveNeverGoesBackWithinARealm(t *testing.T) {
	s := opened(t)
	saved(t, s, "a")
	c := honest()
	c.Addresses = []string{"other.example:1"}
	want(t, "same state", s.Save("a", c), nil)
	c.Seen.Roster = 2
	want(t, "older roster", s.Save("a", c), ErrRollback)
	c.Realm, c.Seen = "r2", Seen{}
	want(t, "another realm", s.Save("a", c), nil)
}

func TestSelection(t *testing.T) {
	s := opened(t)
	_, err := s.Selected()
	want(t, "nothing selected", err, ErrNoneSelected)
	if fault.HintOf(err) == "" {
		t.Error("no hint")
	}
	want(t, "Select of nothing", s.Select("a"), ErrNotFound)
	saved(t, s, "a", "b")
	want(t, "Select", s.Select("a"), nil)
	tests := []struct {
		flag, env, want string
		err             error
	}{
		{"", "", "a", nil},
		{"", "b", "b", nil},
		{"c", "b", "c", nil},
		{"c", "", "c", nil},
		{"C", "b", "C", ErrName},
		{"", "B", "B", ErrName},
	}
	for _, tt := range tests {
		got, err := s.Resolve(tt.flag, tt.env)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Resolve(%q, %q) = %q, %v, want %q, %v", tt.flag, tt.env, got, err, tt.want, tt.err)
		}
	}
	want(t, "Remove of another", s.Remove("b"), nil)
	if got, err := s.Selected(); got != "a" || err != nil {
		t.Errorf("Selected = %q, %v", got, err)
	}
	want(t, "Remove of the selected one", s.Remove("a"), nil)
	_, err = s.Resolve("", "")
	want(t, "selection gone with its context", err, ErrNoneSelected)
	for _, content := range []string{"", "a", "../a\n", "a\nb\n"} {
		if err := os.WriteFile(s.path(selectedName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Selected()
		want(t, fmt.Sprintf("selection %q", content), err, ErrInvalid)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	tests := []struct{ xdg, want string }{
		{"/etc/xdg", "/etc/xdg/conclave/contexts"},
		{"", "/home/x/.config/conclave/contexts"},
		{"relative", "/home/x/.config/conclave/contexts"}, // the XDG specification ignores relative paths
	}
	for _, tt := range tests {
		t.Setenv("XDG_CONFIG_HOME", tt.xdg)
		if got := DefaultDir(); got != tt.want {
			t.Errorf("XDG_CONFIG_HOME=%q: %q, want %q", tt.xdg, got, tt.want)
		}
	}
	_, err := Open("")
	want(t, "no directory", err, ErrInvalid)
}

// advanceTo raises the head one by one up to size, as one of several that do so at once. Being behind is no fault.
func advanceTo(s *Store, name string, size int) error {
	for n := 11; n <= size; n++ {
		if err := s.Advance(name, 3, uint64(n), root(n)); err != nil && !errors.Is(err, ErrRollback) {
			return err
		}
	}
	return nil
}

func TestConcurrentAdvance(t *testing.T) {
	s := opened(t)
	saved(t, s, "a")
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = advanceTo(s, "a", 11+i) })
	}
	all.Wait()
	want(t, "advance", errors.Join(errs...), nil)
	if c, err := s.Load("a"); err != nil || c.Seen.HeadSize != 18 || c.Seen.HeadRoot != root(18) {
		t.Errorf("on disk %+v, %v, want the highest", c.Seen, err)
	}
}

const childVar = "CONTEXTS_TEST_DIR"

// TestAdvanceInAChild does nothing unless TestConcurrentProcesses starts it.
func TestAdvanceInAChild(t *testing.T) {
	dir := os.Getenv(childVar)
	if dir == "" {
		return
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "advance", advanceTo(s, "a", 30), nil)
}

func TestConcurrentProcesses(t *testing.T) {
	s := opened(t)
	saved(t, s, "a")
	var children []*exec.Cmd
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAdvanceInAChild$")
		cmd.Env = append(os.Environ(), childVar+"="+s.dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
	}
	last := uint64(0)
	for range 50 { // what a reader sees meanwhile is whole and never goes back
		c, err := s.Load("a")
		if err != nil || c.Seen.HeadSize < last {
			t.Errorf("read %+v after %d, %v", c.Seen, last, err)
		}
		last = c.Seen.HeadSize
	}
	for _, cmd := range children {
		want(t, "child", cmd.Wait(), nil)
	}
	if c, err := s.Load("a"); err != nil || c.Seen.HeadSize != 30 {
		t.Errorf("on disk %+v, %v, want size 30", c.Seen, err)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*tmp*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// Whatever is accepted is written back as something that reads the same.
func FuzzParse(f *testing.F) {
	good, err := format(honest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("realm: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := parse(content)
		if err != nil {
			return
		}
		again, err := format(c)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parse(again); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%q came back as %+v, %v, was %+v", again, back, err, c)
		}
	})
}
