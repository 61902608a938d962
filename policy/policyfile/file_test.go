package policyfile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

func preset(t testing.TB, name string) policy.Policy {
	t.Helper()
	p, err := policy.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t *testing.T, text string) policy.Policy {
	t.Helper()
	p, err := policyfile.Parse("conclave.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPresetAlone(t *testing.T) {
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		if got := parse(t, "preset: "+name+"\n"); !reflect.DeepEqual(got, preset(t, name)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Every field that a file can name changes that field of the policy and no other.
func TestEachFieldOverrides(t *testing.T) {
	for _, c := range []struct {
		text string
		want func(*policy.Policy)
	}{
		{"enrol_level: L2", func(p *policy.Policy) { p.Enrol = identity.Apprentice }},
		{"enrol_level: 'L0'", func(p *policy.Policy) { p.Enrol = identity.Quarantined }},
		{"loosen: 3", func(p *policy.Policy) { p.Loosen = 3 }},
		{"levels: {L1: {call: [db.read]}}", func(p *policy.Policy) { p.Levels[1].Rights.Call = []string{"db.read"} }},
		{"levels: {L1: {serve: [b, a]}}", func(p *policy.Policy) { p.Levels[1].Rights.Serve = []string{"a", "b"} }},
		{"levels: {L1: {publish: []}}", func(p *policy.Policy) { p.Levels[1].Rights.Publish = nil }},
		{"levels: {L2: {subscribe: ['news.*']}}", func(p *policy.Policy) { p.Levels[2].Rights.Subscribe = []string{"news.*"} }},
		{"levels: {L5: {rate_per_minute: 7}}", func(p *policy.Policy) { p.Levels[5].Rights.Rate = 7 }},
		{"levels: {L5: {max_payload_bytes: 9}}", func(p *policy.Policy) { p.Levels[5].Rights.MaxPayload = 9 }},
		{"levels: {L4: {propose: false}}", func(p *policy.Policy) { p.Levels[4].Rights.Propose = false }},
		{"levels: {L4: {weight: 5}}", func(p *policy.Policy) { p.Levels[4].Rights.Weight = 5 }},
		{"levels: {L3: {alone: none}}", func(p *policy.Policy) { p.Levels[3].Alone = 0 }},
		{"levels: {L3: {alone: R0}}", func(p *policy.Policy) { p.Levels[3].Alone = 1 }},
		{"levels: {L3: {alone: R2}}", func(p *policy.Policy) { p.Levels[3].Alone = 3 }},
		{"levels: {}", func(*policy.Policy) {}},
		{"kinds: []", func(p *policy.Policy) { p.Kinds = nil }},
		{"kinds: [{match: x, class: R1}]", func(p *policy.Policy) {
			p.Kinds = []policy.Kind{{Pattern: "x", Class: consensus.R1}}
		}},
		{"kinds: [{match: x, deny: true}, {match: 'a.*', class: R0, deny: false}]", func(p *policy.Policy) {
			p.Kinds = []policy.Kind{{Pattern: "a.*", Class: consensus.R0}, {Pattern: "x", Class: consensus.R3, Deny: true}}
		}},
		{"classes: {R3: {approvals: 4}}", func(p *policy.Policy) { p.Classes[3].Approvals = 4 }},
		{"classes: {R3: {people: 2}}", func(p *policy.Policy) { p.Classes[3].People = 2 }},
		{"classes: {R2: {operators: 0}}", func(p *policy.Policy) { p.Classes[2].Operators = 0 }},
		{"classes: {R3: {share_per_mille: 667}}", func(p *policy.Policy) { p.Classes[3].Share = 667 }},
		{"classes: {R3: {own: false}}", func(*policy.Policy) {}},
		{"classes: {R1: {deadline: 1h30m}}", func(p *policy.Policy) { p.Classes[1].Deadline = 90 * 60 * 1000 }},
		{"plain: []", func(*policy.Policy) {}},
		{"plain: [news, 'log.*']", func(p *policy.Policy) { p.Plain = []string{"log.*", "news"} }},
		{"plain: ['*']", func(p *policy.Policy) { p.Plain = []string{"*"} }},
		{"classes: {R3: {families: 1}}", func(p *policy.Policy) { p.Classes[3].Families = 1 }},
		{"classes: {R3: {operator_cap_per_mille: 334}}", func(p *policy.Policy) { p.Classes[3].OperatorCap = 334 }},
		{"classes: {R3: {family_cap_per_mille: 1000}}", func(p *policy.Policy) { p.Classes[3].FamilyCap = 1000 }},
		{"classes: {R3: {approvals: 3, faults: 1}}", func(p *policy.Policy) { p.Classes[3].Approvals, p.Classes[3].Faults = 3, 1 }},
		{"classes: {R3: {confidence_per_mille: 900}}", func(p *policy.Policy) { p.Classes[3].Confidence = 900 }},
		{"classes: {R2: {confidence_per_mille: 0}}", func(p *policy.Policy) { p.Classes[2].Confidence = 0 }},
		{"classes: {R2: {stewards: 2}, R3: {stewards: 1}}", func(p *policy.Policy) { p.Classes[2].Stewards, p.Classes[3].Stewards = 2, 1 }},
		{"classes: {R2: {commit: 0s}}", func(p *policy.Policy) { p.Classes[2].Commit = 0 }},
		{"classes: {R3: {commit: 90s}}", func(p *policy.Policy) { p.Classes[3].Commit = 90_000 }},
		{"kinds: [{match: pay, class: R1, window: 24h, steps: [{above: 9, class: R2}, {above: 99, class: R3}]}]", func(p *policy.Policy) {
			p.Kinds = []policy.Kind{{Pattern: "pay", Class: consensus.R1, Window: 86_400_000, Steps: []policy.Step{
				{Above: 9, Class: consensus.R2}, {Above: 99, Class: consensus.R3},
			}}}
		}},
		{"emergency: none", func(p *policy.Policy) { p.Emergency = nil }},
		{"emergency: {}", func(*policy.Policy) {}},
		{"emergency: {kinds: [b, a]}", func(p *policy.Policy) { p.Emergency.Kinds = []string{"a", "b"} }},
		{"emergency: {people: 3}", func(p *policy.Policy) { p.Emergency.People = 3 }},
		{"emergency: {deadline: 1m}", func(p *policy.Policy) { p.Emergency.Deadline = 60_000 }},
		{"emergency: {window: 2m}", func(p *policy.Policy) { p.Emergency.Window = 120_000 }},
		{"emergency: {review: 24h}", func(p *policy.Policy) { p.Emergency.Review = 86_400_000 }},
		{"lease: {}", func(*policy.Policy) {}},
		{"lease: {length: 3s}", func(*policy.Policy) {}},
		{"lease: {end: stop}", func(*policy.Policy) {}},
		{"lease: {length: 1500ms}", func(p *policy.Policy) { p.Lease.Length = 1500 }},
		{"lease: {length: 1m}", func(p *policy.Policy) { p.Lease.Length = 60_000 }},
		{"lease: {length: 3s, end: restrict}", func(p *policy.Policy) { p.Lease.Restrict = true }},
		{"classes: {R0: {window: 1500ms}}", func(p *policy.Policy) { p.Classes[0].Window = 1500 }},
	} {
		want := preset(t, policy.Standard)
		c.want(&want)
		for _, text := range []string{"preset: standard\n" + c.text, c.text + "\npreset: standard\n"} {
			if got := parse(t, text); !reflect.DeepEqual(got, want) {
				t.Errorf("%s\ngives %+v\nwant  %+v", text, got, want)
			}
		}
	}
}

func TestSoloMayForbidOwnVotes(t *testing.T) {
	p := parse(t, "preset: solo\nclasses: {R3: {own: false}}\n")
	if p.Rule(consensus.R3).Own || !p.Rule(consensus.R2).Own {
		t.Errorf("%+v", p.Classes)
	}
	if p.CheckRoots(1) == nil {
		t.Error("one root, whose vote never counts, meets R3")
	}
}

func TestMarshalReadsBack(t *testing.T) {
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		p := preset(t, name)
		text, err := policyfile.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		got := parse(t, string(text))
		if !strings.Contains(string(text), "\nplain: []\n") {
			t.Errorf("%s does not show that no topic is plain:\n%s", name, text)
		}
		if !reflect.DeepEqual(got, p) || got.Digest() != p.Digest() {
			t.Errorf("%s reads back as %+v from\n%s", name, got, text)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if len(line) > 120 {
				t.Errorf("%s:%d has %d columns", name, i+1, len(line))
			}
		}
	}
}

func TestMarshalRefusesWhatParseWould(t *testing.T) {
	p := preset(t, policy.Solo)
	if _, err := policyfile.Marshal(p); err != nil {
		t.Fatal(err)
	}
	p.Classes[2].Approvals = 0
	if text, err := policyfile.Marshal(p); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("%v\n%s", err, text)
	}
}

// Random valid policies survive Marshal and Parse, digest and all.
func TestMarshalRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	valid := 0
	for range 1000 {
		p := random(t, r)
		if p.Check() != nil {
			continue
		}
		valid++
		text, err := policyfile.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, string(text)); got.Digest() != p.Digest() {
			t.Fatalf("%+v\nreads back as\n%+v\nfrom\n%s", p, got, text)
		}
	}
	if valid < 50 {
		t.Errorf("only %d of 1000 random policies were valid", valid)
	}
}

func random(t *testing.T, r *rand.Rand) policy.Policy {
	p := preset(t, []string{policy.Solo, policy.Standard, policy.Strict}[r.IntN(3)])
	p.Enrol = identity.Level(r.IntN(4))
	for i := 1; i < len(p.Levels); i++ {
		l := &p.Levels[i]
		l.Rights.Call = [][]string{nil, {"*"}, {"a", "b.*"}}[r.IntN(3)]
		l.Rights.Rate, l.Rights.MaxPayload = 1+r.Uint64N(1000), 1+r.Uint64N(1000)
		l.Rights.Propose, l.Rights.Weight, l.Alone = r.IntN(2) == 0, r.Uint64N(4), r.Uint64N(4)
	}
	p.Kinds = nil
	for _, pattern := range []string{"*", "a", "a.*", "b.c"} {
		k := policy.Kind{Pattern: pattern, Class: consensus.R3, Deny: r.IntN(3) == 0}
		if !k.Deny && pattern != "*" {
			k.Class = consensus.Class(r.IntN(4))
		}
		if r.IntN(3) == 0 && k.Class < consensus.R2 {
			k.Window = 1 + r.Int64N(policy.MaxSummed)
			k.Steps = []policy.Step{{Above: 1 + r.Uint64N(9), Class: k.Class + 1}, {Above: 10 + r.Uint64N(9), Class: k.Class + 2}}
		}
		p.Kinds = append(p.Kinds, k)
	}
	p.Plain = [][]string{nil, {"*"}, {"log.*", "news"}}[r.IntN(3)]
	if p.Emergency != nil && r.IntN(2) == 0 {
		p.Emergency = &policy.Emergency{
			Kinds: []string{"a", "b.*"}, People: 2 + r.Uint64N(3), Deadline: 1 + r.Int64N(policy.MaxUrgent),
			Window: 1 + r.Int64N(policy.MaxUrgent), Review: 1 + r.Int64N(policy.MaxReview),
		}
	}
	need, caps, confidence, commits := 1+r.Uint64N(3), 400*r.Uint64N(2), 800*r.Uint64N(2), r.Int64N(2)
	p.Lease.Restrict = r.IntN(2) == 0
	if r.IntN(2) == 0 {
		p.Lease.Length = policy.MinLease + r.Int64N(policy.MaxLease)
	}
	for i := range p.Classes {
		p.Classes[i] = consensus.Rule{
			Approvals: need, People: min(need, uint64(i)/3), Operators: r.Uint64N(2) * min(need, 1), Share: uint64(i) * 100,
			Deadline: 1 + r.Int64N(consensus.MaxDeadline), Window: 1 + r.Int64N(consensus.MaxWindow),
			OperatorCap: caps, FamilyCap: caps * 2, Confidence: confidence, Stewards: min(need, caps),
		}
		p.Classes[i].Commit = commits * p.Classes[i].Deadline / 2
	}
	return p
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conclave.yaml")
	if err := os.WriteFile(path, []byte("preset: solo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := policyfile.Load(path)
	if err != nil || p.Digest() != preset(t, policy.Solo).Digest() {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err = policyfile.Load(path + ".not")
	if !errors.Is(err, policyfile.ErrNoFile) || !errors.Is(err, os.ErrNotExist) || fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a missing file: %v", err)
	}
	if _, err = policyfile.Load(filepath.Dir(path)); !errors.Is(err, policyfile.ErrNoFile) {
		t.Errorf("a directory: %v", err)
	}
	large := append([]byte("preset: solo\n#"), make([]byte, policyfile.MaxFile)...)
	if err := os.WriteFile(path, large, 0o600); err != nil {
		t.Fatal(err)
	}
	var refusal *policyfile.Refusal
	if _, err := policyfile.Load(path); !errors.As(err, &refusal) || refusal.File != path {
		t.Errorf("a large file: %v", err)
	}
}

func ExampleParse() {
	_, err := policyfile.Parse("conclave.yaml", []byte("preset: standard\nclasses:\n  R2:\n    approvals: 0\n"))
	fmt.Println(err)
	// Output: conclave.yaml:4: classes.R2.approvals: must be at least 1
}
