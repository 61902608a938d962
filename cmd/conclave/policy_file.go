package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/cedar"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

func (p policyCommands) begin() *cobra.Command {
	var name, out string
	var cases bool
	c := &cobra.Command{
		Use: "init", Short: "Print a policy to begin from", Args: cobra.NoArgs,
		Long: "Print a preset as a complete policy file with comments, levels, kinds, classes, trust and ladder spelled\n" +
			"out; or, with --cases, a table of cases that it passes, to go on from. No realm is asked.",
		Example: "  conclave policy init --preset standard > policy.yaml\n  conclave policy init --cases --out cases.yaml",
		RunE: func(*cobra.Command, []string) error {
			rules, err := policy.Preset(name)
			if err != nil {
				return asUsage(err)
			}
			text, err := policyfile.Marshal(rules)
			if err != nil {
				return err
			}
			doc := map[string]any{"preset": name, "digest": rules.Digest()}
			if cases {
				text, doc = []byte(policyfile.DefaultCases), map[string]any{"cases": true}
			}
			if out == "" {
				doc["file"] = string(text)
				return p.emit(doc, func(w io.Writer) { _, _ = w.Write(text) }) // a reader that has gone wants no more
			}
			if err := writeNew(out, text); err != nil {
				return err
			}
			doc["path"] = out
			return p.emit(doc, textLine("wrote "+visible(out)))
		},
	}
	c.Flags().StringVar(&name, "preset", policy.Standard, "solo, standard or strict")
	c.Flags().BoolVar(&cases, "cases", false, "print the table of cases in place of the policy")
	c.Flags().StringVar(&out, "out", "", "write this file, which must not be there yet")
	return c
}

// writeNew writes a file that people will edit, and replaces none.
func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return fault.New(fault.Conflict, visible(path)+" is there already").WithHint("choose another name, or print to stdout without --out")
	}
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	_, err = f.Write(text)
	return err
}

func (p policyCommands) lint() *cobra.Command {
	var roots int
	c := &cobra.Command{
		Use: "lint FILE", Short: "Name all that is wrong or doubtful in a policy file", Args: cobra.ExactArgs(1),
		Long: "Read a policy file and name every fault with its line, where apply would stop at the first; if there is\n" +
			"none, what is said in vain or hardly meant. Doubts refuse nothing: the command fails for faults only. No\n" +
			"realm is asked.",
		Example: "  conclave policy lint policy.yaml\n  conclave policy lint policy.yaml --roots 3",
		RunE: func(_ *cobra.Command, args []string) error {
			if roots < 0 {
				return usage("--roots is a number of operators")
			}
			text, err := policyfile.Read(args[0])
			if err != nil {
				return err
			}
			rules, found := policyfile.Lint(filepath.Base(args[0]), text, roots)
			faults := 0
			for _, f := range found {
				if !f.Warning {
					faults++
				}
			}
			doc := map[string]any{"file": args[0], "faults": faults, "warnings": len(found) - faults, "findings": found}
			if faults == 0 {
				doc["digest"] = rules.Digest()
			}
			if err := p.emit(doc, func(w io.Writer) { writeFindings(w, args[0], found) }); err != nil || faults == 0 {
				return err
			}
			return fault.New(fault.InvalidInput, fmt.Sprintf("%s: %s", visible(args[0]), count(faults, "fault"))).
				WithHint("what each field means: conclave policy init")
		},
	}
	c.Flags().IntVar(&roots, "roots", 0, "how many root operators the realm has; 0 does not look at that")
	return c
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func writeFindings(w io.Writer, file string, found []policyfile.Finding) {
	for _, f := range found {
		word, path := "fault", ""
		if f.Warning {
			word = "warning"
		}
		if f.Path != "" {
			path = visible(f.Path) + ": "
		}
		at := visible(file)
		if f.Line > 0 {
			at += ":" + strconv.Itoa(f.Line)
		}
		fmt.Fprintf(w, "%s: %s: %s%s\n", at, word, path, visible(f.Reason))
	}
	if len(found) == 0 {
		fmt.Fprintf(w, "%s: nothing found\n", visible(file))
	}
}

// tried is one row of a table, tried.
type tried struct {
	Name  string `json:"name"`
	Line  int    `json:"line"`
	Kind  string `json:"kind"`
	Class string `json:"class"`
	Rule  string `json:"rule"`
	Alone bool   `json:"alone"`
	Allow bool   `json:"allow"`
	Why   string `json:"why,omitempty"` // it is not allowed
	Pass  bool   `json:"pass"`
	Fault string `json:"fault,omitempty"` // how it is not what the row expects
}

func (p policyCommands) test() *cobra.Command {
	var rules string
	c := &cobra.Command{
		Use: "test FILE CASES", Short: "Try a policy file on a table of cases", Args: cobra.ExactArgs(2),
		Long: "Read a policy file and a table of cases: who proposes what, and what must come of it: its class, whether\n" +
			"it may be proposed, whether the proposer decides alone, what else it needs. Print which cases hold; fail\n" +
			"if any does not. With --cedar, a node's Cedar file judges too. No realm is asked.",
		Example: "  conclave policy init --cases > cases.yaml\n  conclave policy test policy.yaml cases.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			results, err := try(args[0], args[1], rules)
			if err != nil {
				return err
			}
			failed := 0
			for _, r := range results {
				if !r.Pass {
					failed++
				}
			}
			doc := map[string]any{"cases": len(results), "failed": failed, "results": results}
			if err := p.emit(doc, func(w io.Writer) { writeTried(w, results, failed) }); err != nil || failed == 0 {
				return err
			}
			return fault.New(fault.Conflict, fmt.Sprintf("%d of %s do not hold", failed, count(len(results), "case"))).
				WithHint("change the policy, or what the cases want")
		},
	}
	c.Flags().StringVar(&rules, "cedar", "", "also ask the Cedar policies of this file")
	return c
}

func try(file, table, cedarFile string) ([]tried, error) {
	rules, err := policyfile.Load(file)
	if err != nil {
		return nil, err
	}
	text, err := policyfile.Read(table)
	if err != nil {
		return nil, err
	}
	cases, err := policyfile.ParseCases(table, text)
	if err != nil {
		return nil, err
	}
	var gate policy.Gate
	if cedarFile != "" {
		if text, err = policyfile.Read(cedarFile); err != nil {
			return nil, err
		}
		if gate, err = cedar.New(cedarFile, text); err != nil {
			return nil, err
		}
	}
	results := make([]tried, len(cases))
	for i, c := range cases {
		r := c.Try(rules, gate)
		wrong := r.Differs(c.Want)
		results[i] = tried{
			Name: c.Name, Line: c.Line, Kind: c.Request.Action.Kind, Class: r.Class.String(), Rule: r.Rule.String(),
			Alone: r.Alone, Allow: r.Allow, Why: r.Why, Pass: wrong == "", Fault: wrong,
		}
	}
	return results, nil
}

func writeTried(w io.Writer, results []tried, failed int) {
	rows := make([][]string, len(results))
	for i, r := range results {
		verdict, comes := "pass", r.Rule
		if !r.Pass {
			verdict = "FAIL"
		}
		switch {
		case !r.Allow:
			comes = "refused: " + r.Why
		case r.Alone:
			comes = "alone"
		}
		rows[i] = []string{verdict, strconv.Itoa(r.Line), visible(r.Name), visible(r.Kind), r.Class, visible(comes)}
	}
	table(w, []string{"", "LINE", "CASE", "KIND", "CLASS", "COMES TO"}, rows)
	for _, r := range results {
		if !r.Pass {
			fmt.Fprintf(w, "line %d, %s: %s\n", r.Line, visible(r.Name), visible(r.Fault))
		}
	}
	fmt.Fprintf(w, "%s, %d failed\n", count(len(results), "case"), failed)
}
