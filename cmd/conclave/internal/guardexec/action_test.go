package guardexec

import (
	"slices"
	"testing"
)

func TestActionChangesWithEveryPart(t *testing.T) {
	base := func() Description {
		return Description{
			Argv: []string{"tool", "{bind:1}"}, Dir: "/dir", Env: []string{"HOME=/h"},
			Executable: File{Path: "/bin/tool", Digest: [32]byte{1}}, Interpreter: &File{Path: "/bin/sh", Digest: [32]byte{2}},
			Bound: []File{{Path: "/dir/a", Digest: [32]byte{3}}},
		}
	}
	if first, second := base().Action(), base().Action(); first.Digest() != second.Digest() {
		t.Fatal("equal descriptions are different actions")
	}
	if err := base().Action().Check(); err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*Description){
		"argument":           func(d *Description) { d.Argv[0] = "other" },
		"number of words":    func(d *Description) { d.Argv = []string{"tool {bind:1}"} },
		"directory":          func(d *Description) { d.Dir = "/other" },
		"environment":        func(d *Description) { d.Env = nil },
		"executable path":    func(d *Description) { d.Executable.Path = "/bin/other" },
		"executable content": func(d *Description) { d.Executable.Digest[0]++ },
		"interpreter":        func(d *Description) { d.Interpreter.Digest[0]++ },
		"no interpreter":     func(d *Description) { d.Interpreter = nil },
		"bound content":      func(d *Description) { d.Bound[0].Digest[0]++ },
		"bound path":         func(d *Description) { d.Bound[0].Path = "/dir/b" },
		"nothing bound":      func(d *Description) { d.Bound = nil },
	}
	for name, change := range changes {
		d := base()
		change(&d)
		if d.Action().Digest() == base().Action().Digest() {
			t.Errorf("%s: changed, but the same action", name)
		}
	}
}

func TestWhatIsExecutedIsNeverOpen(t *testing.T) {
	open := Openable()
	for name, want := range map[string]bool{
		"argv": true, "directory": true, "environment": true, "bound": true, "executable": false, "interpreter": false,
	} {
		if slices.Contains(open, name) != want {
			t.Errorf("%s may be open: %t", name, !want)
		}
	}
}
