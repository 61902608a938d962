package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// policyCommands are what stands under `conclave policy`.
type policyCommands struct{ *program }

func (p policyCommands) group() *cobra.Command {
	return group("policy", "See and change the realm's rules",
		"The policy says what each level may do, of which class actions are, and what a decision of a class needs. It\n"+
			"changes only by as many operators as it says itself.",
		"  conclave policy show > policy.yaml\n  conclave policy lint policy.yaml\n  conclave policy plan policy.yaml",
		p.begin(), p.show(), p.lint(), p.test(), p.plan(), p.apply(), p.history())
}

func (p policyCommands) show() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the policy in force", Args: cobra.NoArgs, Example: "  conclave policy show > policy.yaml",
		Long: "Print the policy in force as a policy file, verified along its changes since the genesis.",
		RunE: p.connected(askTime, func(_ context.Context, s session, _ []string) error {
			rules := s.Admin().Policy()
			text, err := policyfile.Marshal(rules)
			if err != nil {
				return err
			}
			doc := map[string]any{"digest": rules.Digest(), "preset": rules.Preset, "file": string(text)}
			return s.emit(doc, func(w io.Writer) { _, _ = w.Write(text) }) // a reader that has gone wants no more
		}),
	}
}

func (p policyCommands) plan() *cobra.Command {
	var most int
	c := &cobra.Command{
		Use: "plan FILE", Short: "Show which past decisions another policy would have changed", Args: cobra.ExactArgs(1),
		Long: "Read a policy file and count the newest decisions again by it: the ballots that were cast, over the\n" +
			"electorates that were frozen. Who would have voted besides it cannot know. Nothing is changed.",
		Example: "  conclave policy plan policy.yaml",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			rules, err := policyfile.Load(args[0])
			if err != nil {
				return err
			}
			planned, err := s.Admin().Plan(ctx, rules, most)
			if err != nil {
				return err
			}
			changed := []admin.Planned{}
			for _, d := range planned {
				if d.Changed {
					changed = append(changed, d)
				}
			}
			doc := map[string]any{"digest": rules.Digest(), "decisions": len(planned), "changed": changed}
			return s.emit(doc, func(w io.Writer) { writePlan(w, changed, len(planned)) })
		}),
	}
	c.Flags().IntVar(&most, "most", 200, "how many of the newest decisions to count again")
	return c
}

func writePlan(w io.Writer, changed []admin.Planned, of int) {
	if len(changed) == 0 {
		fmt.Fprintf(w, "none of the newest %d decisions would have been decided differently\n", of)
		return
	}
	var rows [][]string
	for _, d := range changed {
		rows = append(rows, []string{
			short16(d.ID), visible(d.Kind), visible(d.Target), d.Was.Class + " → " + d.Would.Class,
			ruled(d.Was) + " → " + ruled(d.Would), visible(d.Would.Rule),
		})
	}
	table(w, []string{"DECISION", "KIND", "TARGET", "CLASS", "RESULT", "WOULD NEED"}, rows)
	fmt.Fprintf(w, "%d of the newest %d decisions would have been decided differently\n", len(changed), of)
}

// ruled is what a policy makes of a decision, in one word.
func ruled(r admin.Ruling) string {
	switch {
	case r.Refused != "":
		return "refused: " + visible(r.Refused)
	case r.Alone:
		return r.State + ", alone"
	}
	return visible(r.State)
}

func (p policyCommands) apply() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "apply FILE", Short: "Replace the realm's policy", Args: cobra.ExactArgs(1),
		Long: "Replace the policy by that of a file. Decisions that are open end as superseded, and everybody's rights change\n" +
			"at once. If the policy in force wants several operators, --out writes the command down for the others to sign.",
		Example: "  conclave policy apply policy.yaml --out change.cmd\n  conclave operator sign change.cmd --submit",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			rules, err := policyfile.Load(args[0])
			if err != nil {
				return err
			}
			if err := s.confirm(fmt.Sprintf("replace the policy in force by %s?", visible(args[0]))); err != nil {
				return err
			}
			err = s.change(ctx, change{
				typ: registry.TypePolicy, body: registry.PutPolicy{Policy: rules.Encode()}, loosens: true, out: out,
			})
			return advised(err, map[fault.Code]string{
				fault.Conflict:     "see the policy in force: conclave policy show",
				fault.Denied:       "see the policy in force: conclave policy show; who may change it: conclave operator ls",
				fault.InvalidInput: "see what it would do: conclave policy plan FILE",
			})
		}),
	}
	c.Flags().StringVar(&out, "out", "", "write the signed command to this file, for others to sign")
	return c
}

// policyIn says in words what a command makes of the policy.
func policyIn(c registry.Command) (string, error) {
	b, err := registry.Body[registry.PutPolicy](c)
	if err != nil {
		return "", err
	}
	rules, err := policy.Parse(b.Policy)
	if err != nil {
		return "", err
	}
	text, err := policyfile.Marshal(rules)
	return fmt.Sprintf("replace the realm's policy by %s:\n%s", rules.Digest(), text), err
}
