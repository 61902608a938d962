package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// procedure is one block of the page.
type procedure struct {
	name  string
	steps []step
}

// step is one command, or what a person does to a node's terminal, and what shall come of it.
type step struct {
	line    int
	command string   // of a shell; empty: an act
	act     string   // stop or lose
	node    string   // whose terminal
	prints  []string // in the output
	until   string   // the command is repeated until this is in its output
	refused string   // the command is repeated until it fails and says this
}

var (
	mark      = regexp.MustCompile(`^<!-- test: ([a-z]+) -->$`)
	act       = regexp.MustCompile(`^# (stop|lose) ([a-z]): .+$`)
	terminal  = regexp.MustCompile(`^# terminal [0-9]$`)
	statement = regexp.MustCompile(`^# (prints|repeat until|refused): (.+)$`)
)

// parseProcedures finds the blocks of a page. Every shell block has a name, every name a block of its own, and every
// line in one a meaning: what would be passed over is an error.
func parseProcedures(page string) ([]procedure, error) {
	var found []procedure
	names := map[string]bool{}
	marked, fence := "", ""
	for i, line := range strings.Split(page, "\n") {
		fail := func(what string) error { return fmt.Errorf("line %d: %s: %q", i+1, what, line) }
		m := mark.FindStringSubmatch(line)
		switch {
		case fence == "sh" && line != "```":
			if err := found[len(found)-1].add(i+1, line); err != nil {
				return nil, err
			}
		case fence != "":
			if line == "```" {
				fence = ""
			}
		case m != nil:
			if marked != "" || names[m[1]] {
				return nil, fail("a name twice, or without a block")
			}
			marked, names[m[1]] = m[1], true
		case strings.Contains(line, "<!-- test"):
			return nil, fail("not a name")
		case line == "```sh" && marked == "":
			return nil, fail("a shell block without a name")
		case line == "```sh":
			found, marked, fence = append(found, procedure{name: marked}), "", "sh"
		case marked != "":
			return nil, fail("no shell block after " + marked)
		case strings.HasPrefix(line, "```"):
			if fence = strings.TrimPrefix(line, "```"); fence == "" {
				return nil, fail("a block of no language")
			}
		}
	}
	if marked != "" || fence != "" {
		return nil, fmt.Errorf("the page ends inside a block, or after the name %q", marked)
	}
	return found, nil
}

// add takes one line of the block.
func (p *procedure) add(number int, line string) error {
	fail := func(what string) error { return fmt.Errorf("line %d: %s: %q", number, what, line) }
	last := len(p.steps) - 1
	if last >= 0 && strings.HasSuffix(p.steps[last].command, "\\") {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			return fail("a command that does not go on")
		}
		p.steps[last].command = strings.TrimSuffix(p.steps[last].command, "\\") + strings.TrimSpace(line)
		return nil
	}
	if m := act.FindStringSubmatch(line); m != nil {
		p.steps = append(p.steps, step{line: number, act: m[1], node: m[2]})
		return nil
	}
	if m := statement.FindStringSubmatch(line); m != nil {
		if last < 0 || p.steps[last].command == "" || !p.steps[last].expect(m[1], m[2]) {
			return fail("it is about no command, or comes too late")
		}
		return nil
	}
	switch {
	case line == "" || terminal.MatchString(line):
		return nil
	case strings.HasPrefix(line, "#"):
		return fail("a comment without a meaning")
	case line != strings.TrimSpace(line):
		return fail("an indented command")
	}
	p.steps = append(p.steps, step{line: number, command: line})
	return nil
}

// expect notes what shall come of a command. Its end, if it is not to succeed at once, is said first and alone decides.
func (s *step) expect(what, text string) bool {
	switch {
	case s.until != "":
		return false
	case what == "prints":
		s.prints = append(s.prints, text)
		return true
	case len(s.prints) > 0 || s.refused != "":
		return false
	case what == "refused":
		s.refused = text
	default:
		s.until = text
	}
	return true
}

// TestOperationsPageIsRead shows that every part of a block is understood, and that nothing is passed over.
func TestOperationsPageIsRead(t *testing.T) {
	const good = "text\n<!-- test: one -->\n```sh\n# terminal 1\na \\\n  b\n# prints: x\n# prints: y\n\n# stop c: so\nd\n# refused: e\n" +
		"# prints: z\nf\n# repeat until: g\n```\n```json\n# sh\n```\n"
	blocks, err := parseProcedures(good)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{one [{5 a b   [x y]  } {10  stop c []  } {11 d   [z]  e} {14 f   [] g }]}]"
	if got := fmt.Sprint(blocks); got != want {
		t.Errorf("read\n%s, not\n%s", got, want)
	}
	block := func(lines string) string { return "<!-- test: one -->\n```sh\n" + lines + "```\n" }
	for name, page := range map[string]string{
		"no name":                 "```sh\na\n```\n",
		"a name twice":            block("a\n") + block("a\n"),
		"a name without a block":  "<!-- test: one -->\n\n```sh\na\n```\n",
		"a name at the end":       block("a\n") + "<!-- test: two -->",
		"two names":               "<!-- test: one -->\n<!-- test: two -->\n```sh\na\n```\n",
		"another language":        "<!-- test: one -->\n```console\na\n```\n",
		"no language":             "```\na\n```\n",
		"not a name":              "<!-- test: One -->\n```sh\na\n```\n",
		"never closed":            "<!-- test: one -->\n```sh\na\n",
		"another comment":         block("a\n# does b\n"),
		"an indented command":     block("  a\n"),
		"prints nothing":          block("a\n# prints:\n"),
		"nothing prints":          block("# prints: x\na\n"),
		"an act prints":           block("# stop a: so\n# prints: x\n"),
		"an act without a reason": block("# stop a\n"),
		"until and then prints":   block("a\n# repeat until: x\n# prints: y\n"),
		"prints and then until":   block("a\n# prints: y\n# repeat until: x\n"),
		"refused twice":           block("a\n# refused: y\n# refused: x\n"),
		"half a command":          block("a \\\n# prints: x\n"),
	} {
		if blocks, err := parseProcedures(page); err == nil {
			t.Errorf("%s: read as %v", name, blocks)
		}
	}
	if _, err := parseProcedures(strings.Replace(good, "# terminal 1", "# terminal one", 1)); err == nil {
		t.Error("a terminal without a number was taken")
	}
}
