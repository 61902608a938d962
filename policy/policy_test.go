package policy_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

func preset(t testing.TB, name string) policy.Policy {
	t.Helper()
	p, err := policy.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPresetsPassAndReadBack(t *testing.T) {
	digests := make(map[wire.Digest]string)
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		p := preset(t, name)
		if err := p.Check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := policy.Parse(p.Encode())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(p, again) {
			t.Errorf("%s reads back as\n%+v\nnot\n%+v", name, again, p)
		}
		if p.Digest() != wire.Hash(p.Encode()) || digests[p.Digest()] != "" {
			t.Errorf("%s: digest %s is wrong, or %s has it", name, p.Digest(), digests[p.Digest()])
		}
		digests[p.Digest()] = name
	}
}

func TestPresetIsTheCallersOwn(t *testing.T) {
	p := preset(t, policy.Standard)
	before := p.Digest()
	p.Levels[3].Rights.Call[0], p.Kinds[0].Class, p.Classes[0].Approvals = "x", consensus.R0, 9
	p.Emergency.People, p.Emergency.Kinds[0] = 9, "x"
	if got := preset(t, policy.Standard).Digest(); got != before {
		t.Error("a change of one preset is seen in the next")
	}
}

func TestUnknownPreset(t *testing.T) {
	_, err := policy.Preset("lax")
	wantFault(t, err, "preset")
}

func TestPresetNumbers(t *testing.T) {
	const quarter, four, five = 15 * 60 * 1000, 4 * 60 * 60 * 1000, 5 * 60 * 1000
	const commit = 60 * 1000
	one := consensus.Rule{Approvals: 1, Deadline: quarter, Window: quarter}
	own := consensus.Rule{Approvals: 1, Own: true, Deadline: quarter, Window: quarter}
	person := consensus.Rule{
		Approvals: 2, People: 1, Operators: 2, Confidence: 800, Commit: commit, Deadline: four, Window: five,
	}
	for _, c := range []struct {
		preset string
		class  consensus.Class
		want   consensus.Rule
	}{
		{"solo", consensus.R0, own},
		{"solo", consensus.R1, own},
		{"solo", consensus.R2, own},
		{"solo", consensus.R3, consensus.Rule{Approvals: 1, People: 1, Own: true, Deadline: four, Window: five}},
		{"standard", consensus.R0, one},
		{"standard", consensus.R1, one},
		{"standard", consensus.R2, consensus.Rule{
			Approvals: 2, Operators: 2, Confidence: 800, Commit: commit, Deadline: quarter, Window: quarter,
		}},
		{"standard", consensus.R3, person},
		{"standard", consensus.R3 + 1, person},
		{"standard", 255, person},
		{"strict", consensus.R0, one},
		{"strict", consensus.R1, one},
		{"strict", consensus.R2, consensus.Rule{
			Faults: 1, Approvals: 3, Share: 667, Operators: 2, Families: 2, OperatorCap: 334, FamilyCap: 500,
			Confidence: 800, Stewards: 2, Commit: commit, Deadline: quarter, Window: quarter,
		}},
		{"strict", consensus.R3, consensus.Rule{
			Faults: 2, Approvals: 5, Share: 750, Operators: 3, Families: 3, OperatorCap: 334, FamilyCap: 334, People: 1,
			Confidence: 800, Stewards: 1, Commit: commit, Deadline: four, Window: five,
		}},
	} {
		if got := preset(t, c.preset).Rule(c.class); got != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.preset, c.class, got, c.want)
		}
	}
	if got := (policy.Policy{}).Rule(consensus.R0); got != (consensus.Rule{}) || got.Check() == nil {
		t.Errorf("the zero policy has the rule %+v", got)
	}
}

func TestLadder(t *testing.T) {
	const k = 1024
	for _, c := range []struct {
		level       identity.Level
		rate, bytes uint64
		propose     bool
		weight      uint64
		alone       string // the classes it decides alone
	}{
		{identity.Quarantined, 0, 0, false, 0, ""},
		{identity.Observer, 60, 16 * k, false, 0, ""},
		{identity.Apprentice, 6_000, 256 * k, true, 0, "R0"},
		{identity.Journeyer, 600_000, 256 * k, true, 1, "R0R1"},
		{identity.Principal, 3_000_000, 256 * k, true, 2, "R0R1"},
		{identity.Steward, 6_000_000, 256 * k, true, 3, "R0R1"},
		{identity.Steward + 1, 0, 0, false, 0, ""},
		{255, 0, 0, false, 0, ""},
	} {
		for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
			p := preset(t, name)
			r := p.Rights(c.level)
			if r.Rate != c.rate || r.MaxPayload != c.bytes || r.Propose != c.propose || r.Weight != c.weight {
				t.Errorf("%s %s: %+v", name, c.level, r)
			}
			alone := ""
			for class := range consensus.Class(8) {
				if p.Alone(c.level, class) {
					alone += class.String()
				}
			}
			if alone != c.alone {
				t.Errorf("%s %s decides %q alone, want %q", name, c.level, alone, c.alone)
			}
		}
	}
}

func TestObserverReportsOnly(t *testing.T) {
	r := preset(t, policy.Standard).Rights(identity.Observer)
	if !identity.MatchCapability(r.Publish, "report.disk") || !identity.MatchCapability(r.Subscribe, "anything") {
		t.Errorf("an observer may not report or read: %+v", r)
	}
	if identity.MatchCapability(r.Publish, "orders.new") || len(r.Call)+len(r.Serve) > 0 {
		t.Errorf("an observer may do more than report: %+v", r)
	}
}

func TestR3IsNeverDecidedAlone(t *testing.T) {
	p := preset(t, policy.Standard)
	p.Levels[5].Alone = 99 // does not pass Check; nobody may read it as R3 all the same
	if !p.Alone(identity.Steward, consensus.R2) || p.Alone(identity.Steward, consensus.R3) || p.Alone(identity.Steward, 9) {
		t.Error("a level of an unchecked policy decides R3 alone")
	}
}

func TestClassify(t *testing.T) {
	p := preset(t, policy.Standard)
	p.Kinds = []policy.Kind{
		{Pattern: "db.*", Class: consensus.R2},
		{Pattern: "db.drop", Class: consensus.R3, Deny: true},
		{Pattern: "db.r", Class: consensus.R1}, // as long as "db.*"
		{Pattern: "db.read", Class: consensus.R0},
		{Pattern: "db.read.*", Class: consensus.R1},
		{Pattern: "shell.*", Class: consensus.R3, Deny: true},
		{Pattern: "shell.echo", Class: consensus.R0},
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind  string
		least consensus.Class
		want  consensus.Class
		err   error
	}{
		{"db.read", consensus.R0, consensus.R0, nil},
		{"db.read", consensus.R1, consensus.R1, nil},      // raised
		{"db.read", consensus.R3, consensus.R3, nil},      // raised
		{"db.migrate", consensus.R0, consensus.R2, nil},   // not lowered
		{"db.migrate", consensus.R2, consensus.R2, nil},   //
		{"db.read.rows", consensus.R0, consensus.R1, nil}, // the longer pattern
		{"db.r", consensus.R0, consensus.R1, nil},         // the exact name
		{"db.x", consensus.R0, consensus.R2, nil},         // db.r is another name
		{"db", consensus.R0, consensus.R3, nil},           // "db.*" does not match it
		{"db.drop", consensus.R0, consensus.R3, policy.ErrDenied},
		{"db.drop", consensus.R3, consensus.R3, policy.ErrDenied}, // raising does not help
		{"db.drop.table", consensus.R0, consensus.R2, nil},        // another name
		{"shell.run", consensus.R0, consensus.R3, policy.ErrDenied},
		{"shell.echo", consensus.R0, consensus.R0, nil}, // the exact name allows
		{"unheard.of", consensus.R0, consensus.R3, nil},
		{"", consensus.R0, consensus.R3, wire.ErrMalformed},
		{"DB.read", consensus.R0, consensus.R3, wire.ErrMalformed},
		{"db.read", consensus.R3 + 1, consensus.R3, wire.ErrMalformed},
	} {
		got, err := p.Classify(consensus.NewAction(c.kind, "t", nil), c.least, 0)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q at least %s: %s, %v; want %s, %v", c.kind, c.least, got, err, c.want, c.err)
		}
	}
	if _, err := p.Classify(consensus.NewAction("db.drop", "t", nil), 0, 0); fault.CodeOf(err) != fault.Denied {
		t.Errorf("a denied action has the code %s", fault.CodeOf(err))
	}
}

func TestPresetClasses(t *testing.T) {
	for kind, want := range map[string]consensus.Class{
		"process.exec": consensus.R2, "db.migrate": consensus.R3, "db.read": consensus.R0, "file.read": consensus.R0,
		"file.write": consensus.R1, "payments.refund": consensus.R3, "policy.replace": consensus.R3,
		"agent.promote": consensus.R3, "db.write": consensus.R3, "unknown": consensus.R3,
	} {
		for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
			got, err := preset(t, name).Classify(consensus.NewAction(kind, "", nil), consensus.R0, 0)
			if err != nil || got != want {
				t.Errorf("%s: %s is %s, %v; want %s", name, kind, got, err, want)
			}
		}
	}
}

func TestPlainTopic(t *testing.T) {
	for _, c := range []struct {
		plain []string
		topic string
		want  bool
	}{
		{nil, "news", false}, // the presets: everything is encrypted
		{[]string{}, "news", false},
		{[]string{"news"}, "news", true},
		{[]string{"news"}, "news.local", false},
		{[]string{"news"}, "newsletter", false},
		{[]string{"news.*"}, "news.local", true},
		{[]string{"news.*"}, "news.local.north", true},
		{[]string{"news.*"}, "news", false},
		{[]string{"a", "news.*"}, "news.x", true},
		{[]string{"*"}, "anything", true},
	} {
		p := preset(t, policy.Standard)
		if p.PlainTopic(c.topic) {
			t.Fatal("a preset has a plain topic")
		}
		p.Plain = c.plain
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		if got := p.PlainTopic(c.topic); got != c.want {
			t.Errorf("%q by %q: %t, want %t", c.topic, c.plain, got, c.want)
		}
	}
	if (policy.Policy{}).PlainTopic("news") {
		t.Error("a topic of the zero policy is plain")
	}
}

// The digests of policies that name no plain topic are those from before the field was there.
func TestPlainIsInTheDigest(t *testing.T) {
	p := preset(t, policy.Solo)
	before, without := p.Digest(), p.Encode()
	if p.Plain = []string{}; p.Digest() != before {
		t.Error("an empty list has another digest than none")
	}
	p.Plain = []string{"log.*", "news"}
	again, err := policy.Parse(p.Encode())
	if err != nil || !reflect.DeepEqual(again, p) || p.Digest() == before {
		t.Errorf("%+v, %v; digest %s, before %s", again, err, p.Digest(), before)
	}
	empty := append(append([]byte{without[0] + 1}, without[1:]...), 7, 0x80) // key 7, an empty list
	if _, err := policy.Parse(empty); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("an empty list that is written out: %v", err)
	}
}

// An action that is small by itself has the class of what it adds up to.
func TestClassifyBySum(t *testing.T) {
	p := preset(t, policy.Standard)
	p.Kinds = []policy.Kind{
		{Pattern: "pay.*", Class: consensus.R1, Window: 3_600_000, Steps: []policy.Step{
			{Above: 100, Class: consensus.R2}, {Above: 1000, Class: consensus.R3},
		}},
		{Pattern: "pay.tip", Class: consensus.R0},
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind  string
		least consensus.Class
		sum   uint64
		want  consensus.Class
	}{
		{"pay.out", consensus.R0, 1, consensus.R1},
		{"pay.out", consensus.R0, 100, consensus.R1},
		{"pay.out", consensus.R0, 101, consensus.R2},
		{"pay.out", consensus.R3, 101, consensus.R3}, // raised
		{"pay.out", consensus.R0, 1000, consensus.R2},
		{"pay.out", consensus.R2, 1001, consensus.R3},
		{"pay.out", consensus.R0, math.MaxUint64, consensus.R3},
		{"pay.tip", consensus.R0, math.MaxUint64, consensus.R0}, // another entry, which sums nothing up
	} {
		a := consensus.NewAction(c.kind, "ann", nil)
		if got, err := p.Classify(a, c.least, c.sum); err != nil || got != c.want {
			t.Errorf("%s, at least %s, sum %d: %s, %v; want %s", c.kind, c.least, c.sum, got, err, c.want)
		}
		pattern, window, summed := p.Summed(a)
		if want := c.kind == "pay.out"; summed != want || (want && (pattern != "pay.*" || window != 3_600_000)) {
			t.Errorf("%s is summed up with %q over %d ms: %t", c.kind, pattern, window, summed)
		}
	}
	if pattern, window, summed := p.Summed(consensus.NewAction("unheard.of", "", nil)); summed || pattern != "" || window != 0 {
		t.Errorf("an unknown kind is summed up with %q over %d ms", pattern, window)
	}
}

func TestUrgent(t *testing.T) {
	for _, c := range []struct {
		preset, kind string
		want         bool
	}{
		{policy.Standard, "service.stop", true},
		{policy.Standard, "agent.quarantine", true},
		{policy.Strict, "service.stop", true},
		{policy.Standard, "service.start", false},
		{policy.Standard, "agent.level", false},
		{policy.Standard, "policy.replace", false},
		{policy.Solo, "service.stop", false},
	} {
		if got := preset(t, c.preset).Urgent(consensus.NewAction(c.kind, "", nil)); got != c.want {
			t.Errorf("%s %s: %t, want %t", c.preset, c.kind, got, c.want)
		}
	}
	e := preset(t, policy.Standard).Emergency
	want := consensus.Rule{Approvals: 2, People: 2, Operators: 2, Deadline: 15 * 60_000, Window: 15 * 60_000}
	if e.Rule() != want || e.Rule().Check() != nil || e.Review != 72*3_600_000 {
		t.Errorf("an emergency's rule is %+v, reviewed within %d ms", e.Rule(), e.Review)
	}
}

// A random policy's class never falls below what the proposer asked for, nor below what its kind has.
func TestClassifyNeverLowers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "a.b", "a.b.c", "a.c", "b", "b.a"}
	patterns := []string{"a", "a.*", "a.b", "a.b.*", "b"}
	for range 2000 {
		p := preset(t, policy.Standard)
		p.Kinds = nil
		for _, pattern := range patterns {
			if r.IntN(2) == 0 {
				p.Kinds = append(p.Kinds, policy.Kind{Pattern: pattern, Class: consensus.Class(r.IntN(4))})
			}
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		name, least := names[r.IntN(len(names))], consensus.Class(r.IntN(4))
		base, err := p.Classify(consensus.NewAction(name, "", nil), consensus.R0, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Classify(consensus.NewAction(name, "", nil), least, 0)
		if err != nil || got != max(base, least) {
			t.Fatalf("%s of %+v, at least %s: %s, %v", name, p.Kinds, least, got, err)
		}
	}
}
