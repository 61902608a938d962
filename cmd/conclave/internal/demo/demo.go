// Package demo is `conclave demo`: a whole realm on this machine, its attacks, and one guarded command, each checked.
//
// Whatever shall be refused is first shown accepted in its honest form, so that a demo in which nothing works does not
// pass for one in which everything is refused.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// Config of a run.
type Config struct {
	Command []string // run under a certificate; `touch proof.txt` in a private directory if empty
	Out     io.Writer
	Quiet   bool   // print nothing while it runs
	Self    string // path of the conclave binary, for the offline verification
	Stdout  io.Writer
	Stderr  io.Writer // of the command
}

// Step is one checked part of the story.
type Step struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Report is the outcome: OK if every step is.
type Report struct {
	Steps []Step `json:"steps"`
	OK    bool   `json:"ok"`
}

// act is one step of the story: it returns what to say, or what was not as promised.
type act struct {
	name string
	run  func(s *stage, ctx context.Context) (string, error)
}

// acts is the story in order. A step may rest on those before it.
var acts = []act{
	{"realm", (*stage).realm},
	{"enrol", (*stage).enrol},
	{"raise", (*stage).raise},
	{"discover", (*stage).discover},
	{"call", (*stage).call},
	{"replay", (*stage).replay},
	{"forged byte", (*stage).forge},
	{"wrong recipient", (*stage).misdirect},
	{"unauthorised subject", (*stage).overreach},
	{"unknown key", (*stage).stranger},
	{"stolen token", (*stage).steal},
	{"quarantined sender", (*stage).quarantine},
	{"propose", (*stage).propose},
	{"proposer's own ballot", (*stage).ownBallot},
	{"too few ballots", (*stage).tooFew},
	{"certify", (*stage).certify},
	{"another action", (*stage).otherAction},
	{"execute", (*stage).execute},
	{"second use", (*stage).secondUse},
	{"outcome", (*stage).outcome},
	{"verify offline", (*stage).verifyOffline},
}

// Run plays the story and stops at the first step that is not as promised. The error is of what the story stands on:
// the private directory, the output.
func Run(ctx context.Context, c Config) (Report, error) {
	dir, err := os.MkdirTemp("", "conclave-demo-")
	if err != nil {
		return Report{}, fmt.Errorf("demo: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a private temporary directory: the system clears what is left
	s := &stage{config: c, dir: dir}
	defer s.close()
	if len(c.Command) == 0 {
		s.config.Command, s.workDir = []string{"touch", "proof.txt"}, filepath.Join(dir, "work")
		if err := os.Mkdir(s.workDir, 0o700); err != nil {
			return Report{}, fmt.Errorf("demo: %w", err)
		}
	}
	say := printer(c)
	say("conclave demo   one node, 3 operators, keys made for this run only; log on disk, gone at exit\n\n")
	report, began := Report{OK: true}, time.Now()
	for i, a := range acts {
		detail, err := a.run(s, ctx)
		step := Step{Name: a.name, OK: err == nil, Detail: detail}
		mark := "ok  "
		if err != nil {
			step.Detail, mark, report.OK = err.Error(), "FAIL", false
		}
		report.Steps = append(report.Steps, step)
		below := "\n" + strings.Repeat(" ", indent)
		say("%2d %s %-22s %s\n", i+1, mark, a.name, strings.Join(wrap(step.Detail, columns-indent), below))
		if err != nil {
			break
		}
	}
	if report.OK {
		say("\nEverything above is checked, not narrated: %d steps, 0 failed, in %s.\n", len(acts), time.Since(began).Round(100*time.Millisecond))
		say("Next:  conclave dev                     keep a bus running\n")
		say("       go run ./examples/hello          your first two agents, in another terminal\n")
	} else {
		say("\nStep %d failed; %d steps were not tried.\n", len(report.Steps), len(acts)-len(report.Steps))
	}
	return report, nil
}

// The screen: how wide it is, and where what a step says begins.
const (
	columns = 100
	indent  = 31
)

// wrap breaks a text at its spaces into lines of at most width characters; a longer word has a line of its own.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

func printer(c Config) func(format string, args ...any) {
	if c.Quiet || c.Out == nil {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }
}
