package policyfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

// honest is a file that names something of everything. Each refusal below replaces one line of it.
const honest = `preset: standard
enrol_level: L1
loosen: 2
levels:
  L2:
    call: [db.read, "file.*"]
    rate_per_minute: 600
    max_payload_bytes: 4096
    propose: true
    weight: 0
    alone: R0
  L0: {}
kinds:
  - match: db.read
    class: R0
  - match: "shell.*"
    deny: true
classes:
  R2:
    approvals: 3
    people: 1
    operators: 2
    share_per_mille: 500
    own: false
    deadline: 10m
    window: 5m
  R3: {approvals: 3, share_per_mille: 600}
plain: ["log.*", news]
emergency:
  kinds: [service.stop]
  people: 2
  deadline: 15m
  window: 10m
  review: 24h
lease:
  length: 5s
  end: restrict
`

func TestHonestFile(t *testing.T) {
	p := parse(t, honest)
	if p.Classes[2].Share != 500 || !p.Kinds[1].Deny || p.Levels[2].Rights.Rate != 600 || !p.PlainTopic("news") || p.Lease != (policy.Lease{Length: 5000, Restrict: true}) {
		t.Errorf("%+v", p)
	}
}

func TestEachRefusalNamesItsLine(t *testing.T) {
	for _, c := range []struct {
		line int    // replaced
		with string // by this
		path string // refused
	}{
		{1, "preset: lax", "preset"},
		{1, "preset: 1", "preset"},
		{1, "preset: [standard]", "preset"},
		{2, "enrol_level: L4", "enrol_level"},
		{2, "enrol_level: L9", "enrol_level"},
		{2, "enrol_level: l1", "enrol_level"},
		{2, "enrol_level: 1", "enrol_level"},
		{2, "enrol: L1", ""},
		{2, "version: 1", ""},
		{2, "preset: standard", "preset"}, // twice
		{3, "enrol_level: L1", "enrol_level"},
		{3, "loosen: 0", "loosen"},
		{3, "loosen: 1", "loosen"},
		{3, "loosen: 99", "loosen"},
		{3, "loosen: -2", "loosen"},
		{3, "loosen: 2.0", "loosen"},
		{3, "loosen: 0x2", "loosen"},
		{3, "loosen: 02", "loosen"},
		{3, "loosen: 1_0", "loosen"},
		{3, "loosen: '2'", "loosen"},
		{3, "loosen:", "loosen"},
		{3, "loosen: two", "loosen"},
		{3, "loosen: 99999999999999999999", "loosen"},
		{3, "? [loosen]\n: 2", ""},
		{3, "1: 2", ""},
		{3, "<<: {loosen: 2}", ""},
		{3, "loosen: &two 2", ""},
		{3, "loosen: !!int 2", ""},
		{3, "loosen: !two 2", ""},

		{5, "  L6:", "levels"},
		{6, "    call: db.read", "levels.L2.call"},
		{6, "    call: [db.read, db.read]", "levels.L2.call"},
		{6, "    call: [Db.read]", "levels.L2.call"},
		{6, "    call: [3]", "levels.L2.call"},
		{6, "    call: [\"db.>\"]", "levels.L2.call"},
		{6, "    call: [[db.read]]", "levels.L2.call"},
		{6, "    calls: [db.read]", "levels.L2"},
		{7, "    rate_per_minute: 0", "levels.L2.rate_per_minute"},
		{7, "    rate_per_minute: 60000001", "levels.L2.rate_per_minute"},
		{8, "    max_payload_bytes: 0", "levels.L2.max_payload_bytes"},
		{8, "    max_payload_bytes: 1048577", "levels.L2.max_payload_bytes"},
		{8, "    max_payload_bytes: 4KiB", "levels.L2.max_payload_bytes"},
		{9, "    propose: yes", "levels.L2.propose"},
		{9, "    propose: True", "levels.L2.propose"},
		{9, "    propose: 'true'", "levels.L2.propose"},
		{9, "    propose: 1", "levels.L2.propose"},
		{10, "    weight: 1001", "levels.L2.weight"},
		{11, "    alone: R3", "levels.L2.alone"},
		{11, "    alone: 1", "levels.L2.alone"},
		{11, "    alone: None", "levels.L2.alone"},
		{11, "    alone: [none]", "levels.L2.alone"},
		{11, "    weight: 0", "levels.L2.weight"},
		{12, "  L0: {weight: 1}", "levels.L0"},
		{12, "  L0: {publish: [\"report.*\"]}", "levels.L0.publish"},
		{12, "  L0: []", "levels.L0"},
		{12, "  L0:", "levels.L0"},
		{12, "  L2: {}", "levels.L2"},

		{14, "  - matches: db.read", "kinds[0]"},
		{14, "  - match: DB", "kinds[0].match"},
		{14, "  - match: \"*\"", "kinds.*"}, // the unknown is R0
		{15, "    class: R4", "kinds[0].class"},
		{15, "    class: r0", "kinds[0].class"},
		{15, "    class: 0", "kinds[0].class"},
		{17, "    class: R9", "kinds[1].class"},
		{17, "    deny: no", "kinds[1].deny"},

		{19, "  R4:", "classes"},
		{20, "    approvals: 0", "classes.R2.approvals"},
		{20, "    approvals: 65", "classes.R2.approvals"},
		{20, "    approvals: many", "classes.R2.approvals"},
		{21, "    people: 4", "classes.R2.people"},
		{22, "    operators: 4", "classes.R2.operators"},
		{23, "    share_per_mille: 1001", "classes.R2.share_per_mille"},
		{23, "    share: 500", "classes.R2"},
		{24, "    own: true", "classes.R2.own"},
		{25, "    deadline: 10", "classes.R2.deadline"},
		{25, "    deadline: 0s", "classes.R2.deadline"},
		{25, "    deadline: -10m", "classes.R2.deadline"},
		{25, "    deadline: 169h", "classes.R2.deadline"},
		{25, "    deadline: 1us", "classes.R2.deadline"},
		{25, "    deadline: soon", "classes.R2.deadline"},
		{26, "    window: 25h", "classes.R2.window"},
		{26, "    window: 0m", "classes.R2.window"},
		{27, "  R3: R3", "classes.R3"},

		{28, "plain: news", "plain"},
		{28, "plain: {news: true}", "plain"},
		{28, "plain: true", "plain"},
		{28, "plain:", "plain"},
		{28, "plain: [news, news]", "plain"},
		{28, "plain: [News]", "plain"},
		{28, "plain: [\"news.>\"]", "plain"},
		{28, "plain: [7]", "plain"},
		{28, "plain: [\"\"]", "plain"},
		{28, "plains: [news]", ""},

		{27, "  R3: {approvals: 3, share_per_mille: 600, families: 3}", "classes.R3.families"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, operator_cap_per_mille: 1001}", "classes.R3.operator_cap_per_mille"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, family_cap_per_mille: 9}", "classes.R3.family_cap_per_mille"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, faults: 2}", "classes.R3.faults"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, confidence_per_mille: 799}", "classes.R3.confidence_per_mille"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, stewards: 4}", "classes.R3.stewards"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, commit: 0s}", "classes.R3.commit"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, commit: 3h}", "classes.R3.commit"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, commit: 0}", "classes.R3.commit"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, confidence: 800}", "classes.R3"},

		{29, "emergencies:", ""},
		{30, "  kinds: []", "emergency.kinds"},
		{30, "  kinds: service.stop", "emergency.kinds"},
		{30, "  kinds: ['*']", "emergency.kinds"},
		{30, "  kinds: ['policy.*']", "emergency.kinds"},
		{31, "  people: 1", "emergency.people"},
		{31, "  persons: 2", "emergency"},
		{32, "  deadline: 16m", "emergency.deadline"},
		{33, "  window: 16m", "emergency.window"},
		{34, "  review: 73h", "emergency.review"},
		{34, "  review: never", "emergency.review"},
		{35, "leases:", ""},
		{36, "  length: 5", "lease.length"},
		{36, "  length: 0s", "lease.length"},
		{36, "  length: 999ms", "lease.length"},
		{36, "  length: 61s", "lease.length"},
		{36, "  length: -3s", "lease.length"},
		{36, "  length: 1500us", "lease.length"},
		{36, "  length: soon", "lease.length"},
		{36, "  length: [5s]", "lease.length"},
		{36, "  time: 5s", "lease"},
		{37, "  length: 5s", "lease.length"},
		{37, "  end: go-on", "lease.end"},
		{37, "  end: Stop", "lease.end"},
		{37, "  end: ''", "lease.end"},
		{37, "  end:", "lease.end"},
		{37, "  end: true", "lease.end"},
		{37, "  end: [stop]", "lease.end"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.line, strings.TrimSpace(c.with)), func(t *testing.T) {
			wantRefusal(t, replaced(c.line, c.with), c.line, c.path)
		})
	}
}

// A change of one line can make another one wrong: that one is named.
func TestRefusalElsewhere(t *testing.T) {
	for _, c := range []struct {
		line int    // replaced
		with string // by this
		at   int    // the line refused
		path string
	}{
		{1, "preset: solo", 3, "loosen"},
		{5, "  L0:", 12, "levels.L0"},
		{14, "  - match: \"shell.*\"", 16, "kinds.shell.*"},
		{15, "    match: x", 15, "kinds[0].match"},
		{15, "    deny: false", 14, "kinds[0]"},
		{20, "    approvals: 4", 27, "classes.R3.approvals"},
		{21, "    people: 2", 27, "classes.R3.people"},
		{27, "  R3: {approvals: 3, share_per_mille: 600, people: 0}", 27, "classes.R3.people"},
		{27, "  R3: {approvals: 3}", 27, "classes.R3.share_per_mille"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.line, strings.TrimSpace(c.with)), func(t *testing.T) {
			wantRefusal(t, replaced(c.line, c.with), c.at, c.path)
		})
	}
}

// replaced returns the honest file with another text on one line.
func replaced(line int, with string) string {
	lines := strings.Split(honest, "\n")
	lines[line-1] = with
	return strings.Join(lines, "\n")
}

func wantRefusal(t *testing.T, text string, line int, path string) {
	t.Helper()
	p, err := policyfile.Parse("conclave.yaml", []byte(text))
	var r *policyfile.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, %+v", err, p)
	}
	if r.File != "conclave.yaml" || r.Line != line || r.Path != path || r.Reason == "" {
		t.Errorf("refused at line %d, %q: %s\nwant line %d, %q", r.Line, r.Path, r.Reason, line, path)
	}
	if line > 0 && !strings.HasPrefix(err.Error(), fmt.Sprintf("conclave.yaml:%d: ", line)) {
		t.Errorf("%q does not begin with file and line", err)
	}
	if !errors.Is(err, policy.ErrInvalid) || fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("code %s", fault.CodeOf(err))
	}
}

// summing begins a file with a kind that sums up; the rest of its line is missing.
const summing = "preset: solo\nkinds:\n  - {match: a, class: R1, window: 1h, "

func TestFilesThatAreNoPolicy(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		path       string
	}{
		{"nothing", "", 0, ""},
		{"a comment", "# preset: solo\n", 0, ""},
		{"an empty document", "---\n", 2, ""},
		{"no preset", "loosen: 2\n", 1, "preset"},
		{"a list", "- preset: solo\n", 1, ""},
		{"a text", "solo\n", 1, ""},
		{"two documents", "preset: solo\n---\npreset: standard\n", 0, ""},
		{"an alias", "preset: standard\nloosen: &n 2\nlevels: {L1: {weight: *n}}\n", 2, ""},
		{"a bad second document", "preset: solo\n---\n]\n", 0, ""},
		{"not YAML", "preset: solo\n\tloosen: 1\n", 0, ""},
		{"not UTF-8", "preset: \xff\n", 0, ""},
		{"a lease that is a time", "preset: solo\nlease: 5s\n", 2, "lease"},
		{"a lease as a list", "preset: solo\nlease: [5s, stop]\n", 2, "lease"},
		{"kinds as a mapping", "preset: solo\nkinds: {db.read: R0}\n", 2, "kinds"},
		{"a kind that is a text", "preset: solo\nkinds:\n  - db.read\n", 3, "kinds[0]"},
		{"a kind without a match", "preset: solo\nkinds:\n  - class: R1\n", 3, "kinds[0]"},
		{"a kind without a class", "preset: solo\nkinds:\n  - match: db.read\n", 3, "kinds[0]"},
		{"a kind with both", "preset: solo\nkinds:\n  - {match: db.read, class: R3, deny: true}\n", 3, "kinds[0]"},
		{"steps that are a number", summing + "steps: 3}\n", 3, "kinds[0].steps"},
		{"a step that is a number", summing + "steps: [3]}\n", 3, "kinds[0].steps[0]"},
		{"a step without a sum", summing + "steps: [{class: R2}]}\n", 3, "kinds[0].steps[0]"},
		{"a step without a class", summing + "steps: [{above: 2}]}\n", 3, "kinds[0].steps[0]"},
		{"a step that denies", summing + "steps: [{above: 2, deny: true}]}\n", 3, "kinds[0].steps[0]"},
		{"a step of a bad class", summing + "steps: [{above: 2, class: R4}]}\n",
			3, "kinds[0].steps[0].class"},
		{"steps that fall", "preset: solo\nkinds:\n  - match: a.steps\n    class: R0\n  - match: a\n    class: R2\n    window: 1h\n" +
			"    steps: [{above: 2, class: R1}]\n", 8, "kinds.a/steps"},
		{"a window without steps", "preset: solo\nkinds:\n  - match: a\n    class: R2\n    window: 1h\n", 5, "kinds.a/window"},
		{"steps without a window", "preset: solo\nkinds:\n  - match: a\n    class: R1\n    steps: [{above: 2, class: R2}]\n", 5, "kinds.a/steps"},
		{"an emergency for all", "preset: standard\nemergency: all\n", 2, "emergency"},
		{"an empty emergency", "preset: standard\nemergency:\n", 2, "emergency"},
		{"an emergency in a solo realm", "preset: solo\nemergency: {people: 2}\n", 2, "emergency"},
		{"a fault beside what it names", "preset: solo\nclasses:\n  R1: {own: false}\n", 2, "classes.R2.own"},
		{"a class above its neighbour", "preset: standard\n\n\nclasses: {R2: {approvals: 5}}\n", 4, "classes.R3.approvals"},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefusal(t, c.text, c.line, c.path) })
	}
}

// FuzzParse: whatever is read passes Check, and its complete file gives the same policy.
func FuzzParse(f *testing.F) {
	f.Add([]byte(honest))
	f.Add([]byte("preset: solo\n"))
	f.Add([]byte("preset: solo\nlease: {length: 1500ms, end: stop}\n"))
	f.Add([]byte("preset: solo\ntrust: {prior: 8.25, half_life: {slow: 1d12h}}\nladder: {L2: {outcomes: 3}}\n"))
	f.Add([]byte("preset: solo\nkinds: [{match: a, class: R1, when: [{target: 'x*', not: true, above: 3, class: R2}]}]\n"))
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		text, err := policyfile.Marshal(preset(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policyfile.Parse("f", text)
		var r *policyfile.Refusal
		if err != nil {
			if !errors.As(err, &r) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		whole, err := policyfile.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := policyfile.Parse("f", whole)
		if err != nil || again.Digest() != p.Digest() {
			t.Fatalf("%v\n%s", err, whole)
		}
	})
}
