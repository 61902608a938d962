package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// decisionCommands are what stands under `conclave decision`.
type decisionCommands struct{ *program }

func (p decisionCommands) group() *cobra.Command {
	return group("decision", "Decide, and check what was decided",
		"A decision is about exactly one action. Its class, and so what it needs, follows from the realm's policy.",
		"  conclave decision ls --waiting\n  conclave decision approve 1a2b3c4d",
		p.ls(), p.show(), p.propose(), p.vote("approve", "Vote for a decision's action", ballot.Approve),
		p.vote("reject", "Vote against a decision's action", ballot.Reject), p.wait(), p.verify())
}

// summaryDoc is one line of the list, its times as texts.
type summaryDoc struct {
	ballot.Summary
	Opened   string `json:"opened"`
	Deadline string `json:"deadline"`
}

func (p decisionCommands) ls() *cobra.Command {
	var waiting bool
	c := &cobra.Command{
		Use: "ls", Short: "List the newest decisions", Args: cobra.NoArgs, Example: "  conclave decision ls --waiting",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			all, err := s.Ballots().List(ctx)
			if err != nil {
				return err
			}
			mine := map[sdk.Digest]bool{}
			if waiting {
				views, err := s.Ballots().Waiting(ctx)
				if err != nil {
					return err
				}
				for _, v := range views {
					mine[v.ID] = true
				}
			}
			docs := []summaryDoc{}
			for _, d := range all {
				if !waiting || mine[d.ID] {
					docs = append(docs, summaryDoc{d, stamp(d.Opened), stamp(d.Deadline)})
				}
			}
			return s.emit(map[string]any{"decisions": docs}, func(w io.Writer) { decisionTable(w, docs) })
		}),
	}
	c.Flags().BoolVar(&waiting, "waiting", false, "only those that wait for your vote")
	return c
}

func decisionTable(w io.Writer, docs []summaryDoc) {
	var rows [][]string
	for _, d := range docs {
		rows = append(rows, []string{
			short(d.ID.String()), visible(d.State), d.Class, visible(d.Kind), visible(d.Proposer),
			fmt.Sprintf("%d of %d", d.Ballots, d.Voters), d.Deadline, visible(d.Target),
		})
	}
	table(w, []string{"DECISION", "STATE", "CLASS", "KIND", "PROPOSER", "BALLOTS", "DEADLINE", "TARGET"}, rows)
}

// actionDoc is an action as scripts read it.
type actionDoc struct {
	Kind   string              `json:"kind"`
	Target string              `json:"target"`
	Params map[string][]string `json:"params"`
	Digest string              `json:"digest"`
}

func actionOf(a sdk.Action) actionDoc {
	d := actionDoc{Kind: a.Kind, Target: a.Target, Params: map[string][]string{}, Digest: a.Digest().String()}
	for _, p := range a.Params {
		d.Params[p.Name] = p.Values
	}
	return d
}

// writeAction shows an action in full: what is signed is what is read.
func writeAction(w io.Writer, a sdk.Action) { pairs(w, actionRows(a)) }

func actionRows(a sdk.Action) [][2]string {
	rows := [][2]string{{"kind", visible(a.Kind)}, {"target", visible(a.Target)}}
	for _, param := range a.Params {
		if len(param.Values) == 0 {
			rows = append(rows, [2]string{"  " + visible(param.Name), "-"})
		}
		for i, v := range param.Values {
			name := ""
			if i == 0 {
				name = visible(param.Name)
			}
			rows = append(rows, [2]string{"  " + name, quoted(v)})
		}
	}
	return append(rows, [2]string{"fingerprint", a.Digest().String()})
}

// decisionDoc is one decision as scripts read it.
type decisionDoc struct {
	ballot.View
	Action   actionDoc `json:"action"`
	Opened   string    `json:"opened"`
	Deadline string    `json:"deadline"`
}

func decisionOf(v ballot.View) decisionDoc {
	if v.Voters == nil {
		v.Voters = []sdk.ID{}
	}
	if v.Ballots == nil {
		v.Ballots = []ballot.Cast{}
	}
	return decisionDoc{v, actionOf(v.Action), stamp(v.Opened.UnixMilli()), stamp(v.Deadline.UnixMilli())}
}

func writeDecision(w io.Writer, v ballot.View) {
	who := visible(v.Proposer.Name) + ", an operator"
	if v.Proposer.ID.Role() == identity.Agent {
		who = fmt.Sprintf("%s (%s) of %s", visible(v.Proposer.Name), v.Proposer.Level, v.Proposer.Operator)
	}
	rows := [][2]string{
		{"decision", v.ID.String()}, {"state", visible(v.State)}, {"class", v.Class}, {"needs", needs(v)}, {"proposer", who},
		{"opened", stamp(v.Opened.UnixMilli())}, {"deadline", stamp(v.Deadline.UnixMilli())},
	}
	if v.Executor != v.Proposer.ID {
		rows = append(rows, [2]string{"done by", v.Executor.String()})
	}
	if v.Reason != "" {
		rows = append(rows, [2]string{"in its words", quoted(v.Reason)})
	}
	if v.Detail != "" {
		rows = append(rows, [2]string{"outcome", quoted(v.Detail)})
	}
	pairs(w, append(rows, actionRows(v.Action)...))
	for _, b := range v.Ballots {
		fmt.Fprintf(w, "%s: %s%s\n", b.Vote, b.Voter, because(b.Reason))
	}
}

func needs(v ballot.View) string {
	if v.Alone {
		return "nobody else: the proposer's level decides this class alone"
	}
	return fmt.Sprintf("%s, among %d who may vote", v.Rule, len(v.Voters))
}

// view fetches a decision whose id, or the beginning of it, was typed.
func (s session) view(ctx context.Context, id string) (ballot.View, error) {
	if len(id) < 8 || len(id) > 64 || strings.Trim(id, "0123456789abcdef") != "" {
		return ballot.View{}, usageHint(fmt.Sprintf("a decision's id is 64 hexadecimal digits, of which the first 8 will do, not %.64q", id),
			"see which there are: conclave decision ls")
	}
	return s.Ballots().View(ctx, id)
}

func (p decisionCommands) show() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one decision", Args: cobra.ExactArgs(1), Example: "  conclave decision show 1a2b3c4d",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			v, err := s.view(ctx, args[0])
			if err != nil {
				return err
			}
			return s.emit(decisionOf(v), func(w io.Writer) { writeDecision(w, v) })
		}),
	}
}

// proposeFlags are those of decision propose.
type proposeFlags struct {
	target, class, reason, key, out string
	params                          []string
	wait                            bool
}

func (p decisionCommands) propose() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use: "propose KIND", Short: "Ask that an action be decided", Args: cobra.ExactArgs(1),
		Long: "Ask that an action be decided, to be done by you. KIND is named like a capability, as db.migrate; a kind that\n" +
			"the policy does not name is R3, the highest class. With --key the same key again is the same decision.",
		Example: "  conclave decision propose db.migrate --target prod --param file=0042.sql --reason 'adds a column' --wait",
		RunE: p.connected(0, func(ctx context.Context, s session, args []string) error {
			action, class, err := f.action(args[0])
			if err != nil {
				return err
			}
			s.changes()
			asking, cancel := soon(ctx)
			defer cancel()
			d, err := s.Propose(asking, sdk.Proposal{Action: action, Class: class, Reason: f.reason, Key: f.key})
			if err != nil {
				return err
			}
			if f.wait {
				return s.wait(ctx, d, f.out)
			}
			v, err := s.Ballots().View(asking, d.ID().String())
			if err != nil {
				return err
			}
			return s.emit(decisionOf(v), func(w io.Writer) { writeDecision(w, v) })
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.target, "target", "", "what it is done to")
	fl.StringArrayVar(&f.params, "param", nil, "name=value; may be repeated, also with the same name")
	fl.StringVar(&f.class, "class", "", "raise the policy's class: R0 to R3")
	fl.StringVar(&f.reason, "reason", "", "why, shown to voters as your words")
	fl.StringVar(&f.key, "key", "", "idempotency key")
	fl.BoolVar(&f.wait, "wait", false, "wait until it is decided")
	fl.StringVar(&f.out, "out", "", "with --wait: write the certificate to this file")
	return c
}

func (f proposeFlags) action(kind string) (sdk.Action, sdk.Class, error) {
	params := map[string][]string{}
	for _, param := range f.params {
		name, value, ok := strings.Cut(param, "=")
		if !ok || name == "" {
			return sdk.Action{}, 0, usage("--param is name=value, not %.64q", param)
		}
		params[name] = append(params[name], value)
	}
	class, err := parseClass(f.class)
	if err != nil {
		return sdk.Action{}, 0, err
	}
	action := sdk.NewAction(kind, f.target, params)
	if f.out != "" && !f.wait {
		return action, class, usage("--out needs --wait")
	}
	return action, class, asUsage(action.Check())
}

// parseClass reads a class that was typed; none is R0, which raises nothing.
func parseClass(text string) (sdk.Class, error) {
	if text == "" {
		return consensus.R0, nil
	}
	class, err := consensus.ParseClass(text)
	return class, asUsage(err)
}

// decisionVote returns the command that casts one kind of vote.
func (p decisionCommands) vote(verb, short string, vote func(reason string) ballot.Vote) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		Long:    short + ". The ballot is signed over exactly the action that is shown before.",
		Example: "  conclave decision " + verb + " 1a2b3c4d --reason 'checked with the owner'",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			v, err := s.view(ctx, args[0])
			if err != nil {
				return err
			}
			writeDecision(s.stderr, v)
			s.changes()
			if err := s.confirm(verb + " exactly this?"); err != nil {
				return err
			}
			state, err := s.Ballots().Vote(ctx, v, vote(reason))
			if err != nil {
				return err
			}
			doc := map[string]string{
				"id": v.ID.String(), "vote": verb, "state": state.String(), "action_digest": v.ActionHash.String(),
			}
			return s.emit(doc, textLine(fmt.Sprintf("%s cast on %s: %s", verb, short16(v.ID), state)))
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

func short16(d sdk.Digest) string { return short(d.String()) }

func (p decisionCommands) wait() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "wait ID", Short: "Wait until a decision has ended", Args: cobra.ExactArgs(1),
		Long: "Wait until a decision is approved (exit code 0) or rejected (7); with --timeout, it may still be pending (8).\n" +
			"The certificate is verified in full; --out keeps it.",
		Example: "  conclave decision wait 1a2b3c4d --timeout 10m --out decision.cert",
		RunE: p.connected(0, func(ctx context.Context, s session, args []string) error {
			asking, cancel := soon(ctx)
			defer cancel()
			v, err := s.view(asking, args[0])
			if err != nil {
				return err
			}
			d, err := s.Decision(asking, v.ID)
			if err != nil {
				return err
			}
			return s.wait(ctx, d, out)
		}),
	}
	c.Flags().StringVar(&out, "out", "", "write the certificate to this file")
	return c
}

// certificateDoc is an approved decision.
type certificateDoc struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Action  actionDoc `json:"action"`
	Class   string    `json:"class"`
	Ballots int       `json:"ballots"`
	Until   string    `json:"execute_until"`
	File    string    `json:"file,omitempty"`
}

// wait waits for the certificate, keeps it, and tells of it.
func (s session) wait(ctx context.Context, d *sdk.Decision, out string) error {
	ctx, cancel := s.within(ctx, 0)
	defer cancel()
	c, err := d.Wait(ctx)
	if err != nil {
		return err
	}
	if err := keepCertificate(out, c); err != nil {
		return err
	}
	doc := certificateDoc{
		ID: c.ID().String(), State: "approved", Action: actionOf(c.Action()), Class: c.Class().String(),
		Ballots: c.Ballots(), Until: time.UnixMilli(c.Expires()).UTC().Format(time.RFC3339), File: out,
	}
	return s.emit(doc, func(w io.Writer) {
		pairs(w, [][2]string{
			{"decision", doc.ID}, {"state", "approved, certificate verified"}, {"class", doc.Class},
			{"ballots", fmt.Sprint(doc.Ballots)}, {"execute until", doc.Until}, {"certificate", doc.File},
		})
	})
}

func keepCertificate(path string, c *verify.Certificate) error {
	if path == "" {
		return nil
	}
	return datadir.WritePrivate(path, c.Raw())
}

// realmID reads a realm id that was typed.
func realmID(text string) (sdk.Realm, error) {
	r, err := wire.ParseRealm(text)
	return r, asUsage(err)
}
