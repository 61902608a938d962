package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/bench"
)

func TestBenchmarksAreListed(t *testing.T) {
	s := newShell(t)
	out := s.ok("bench")
	list := document[struct{ Benchmarks []bench.Benchmark }](s, "bench").Benchmarks
	for _, name := range strings.Fields("stream stream-encrypted scatter gather rtt agents start registry failover decision quarantine open") {
		if !strings.Contains(out, "\n  "+name+" ") {
			t.Errorf("no %s in %q", name, out)
		}
		if !slices.ContainsFunc(list, func(b bench.Benchmark) bool { return b.Name == name && b.Summary != "" }) {
			t.Errorf("no %s in %v", name, list)
		}
	}
	if len(list) != 12 || !strings.Contains(out, "conclave bench stream\n") {
		t.Errorf("%d benchmarks: %q", len(list), out)
	}
}

func TestBenchRunsOne(t *testing.T) {
	s := newShell(t)
	r := document[bench.Result](s, "bench", "rtt", "--rounds", "1", "--messages", "20", "--size", "32")
	if r.Name != "rtt" || len(r.Rounds) != 1 || r.Messages != 20 || r.Size != 32 || r.Ours <= r.Peer || r.Peer <= 0 {
		t.Errorf("%+v", r)
	}
	out := s.ok("bench", "stream", "--rounds", "1", "--messages", "50")
	for _, want := range []string{"conclave bench stream   1 round\n", "plain NATS over TLS", "ratio", "framed by hand", "workload",
		"50 messages of 256 bytes", "8,192 under way", "bounded by"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if entries, err := os.ReadDir(s.path("tmp")); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestBenchRefusals(t *testing.T) {
	s := newShell(t)
	for _, args := range []string{"nonsense", "rtt stream", "rtt --rounds -1", "rtt --size 8", "rtt --messages x", "rtt --agents -1",
		"registry --nodes 2", "registry --clients -1", "open --decisions -1"} {
		s.refused(exitUsage, "usage", append([]string{"bench"}, strings.Fields(args)...)...)
	}
	s.refused(exitNetwork, "unreachable", "bench", "rtt", "--timeout", "1ns")
	s.refused(exitUsage, "usage", bench.ServerCommand, "nonsense", "")
	if out := s.ok("--help"); strings.Contains(out, bench.ServerCommand) {
		t.Error("the server of benchmarks is offered to people")
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	newShell(t)
	for _, terminal := range []bool{false, true} {
		var out, errs bytes.Buffer
		p := newProgram(strings.NewReader(""), &out, &errs, os.Getenv, func(any) bool { return terminal })
		if status := p.run(context.Background(), strings.Fields("bench rtt --rounds 1 --messages 5 --json")); status != 0 {
			t.Fatal(errs.String())
		}
		if drawn := strings.Contains(errs.String(), "[###"); drawn != terminal {
			t.Errorf("terminal %v: %q", terminal, errs.String())
		}
		if !terminal && errs.Len() != 0 {
			t.Errorf("stderr %q", errs.String())
		}
	}
}

func TestResultForPeople(t *testing.T) {
	r := bench.Result{
		Name: "rtt", Unit: "us", Lower: true, Ours: 268.4, Peer: 38.91, Ratio: 6.898, PeerName: "plain NATS over TLS",
		What: strings.Repeat("a long story ", 20), Bound: strings.Repeat("of many words ", 20),
		P50: 273, P99: 4446, Delay: "request to reply", DelayUnit: "us", FloorP50: 150, CryptoRatio: 2.07,
		Rounds: make([]bench.Round, 2), Messages: 2000, Size: 256, Window: 1, CPU: bench.Pair{Ours: 302, Peer: 46.8},
		Variants: []bench.Variant{{Name: "other", Value: 3, Unit: "ms", Of: "something", Ratio: 0.5}},
		Machine:  bench.Machine{Cores: 2, Go: "go1.26", Platform: "linux/amd64", Others: 1.5},
	}
	var b bytes.Buffer
	program1(strings.NewReader(""), &b, &b).showResult(&b, r)
	for _, want := range []string{"2 rounds", "268", "38.9", "6.9", "302", "6.45", "less is better", "p99 4,446 us", "floor", "2.07 times",
		"3 ms", "ratio to something", "2,000 messages", "1.5 cores busy"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %s", want, &b)
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > benchColumns {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if ratio(bench.Pair{Ours: 1}) != 0 || ranOn(bench.Machine{Others: busy / 2}) != "0 cores, , " {
		t.Error("what is not known is told")
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.04164: "0.0416", 1: "1", 3.14159: "3.14", 99.94: "99.9", 99.95: "100", 999.5: "1,000", 1234567.8: "1,234,568",
		-2.5: "-2.5", -1234: "-1,234",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if some(0) != "" || some(2) != "2" || plural(1, "core") != "1 core" || plural(1000, "agent") != "1,000 agents" {
		t.Error("counts")
	}
}

func TestFolded(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", ""}, {"short", "short"}, {"just ten c", "just ten c"}, {"just eleven", "just\n  eleven"},
		{"averylongword and more", "averylongword\n  and more"}, {" two  spaces ", "two spaces"},
	} {
		if got := folded(row.text, 10, "  "); got != row.want {
			t.Errorf("%q: %q, want %q", row.text, got, row.want)
		}
	}
}
