package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// decisionCommands are what stands under `conclave decision`.
type decisionCommands struct{ *program }

func (p decisionCommands) group() *cobra.Command {
	return group("decision", "Decide, and check what was decided",
		"A decision is about exactly one action. Its class, and so what it needs, follows from the realm's policy.",
		"  conclave decision ls --waiting\n  conclave decision approve 1a2b3c4d",
		p.ls(), p.show(), p.propose(), p.vote("approve", "Vote for a decision's action", ballot.Approve),
		p.vote("reject", "Vote against a decision's action", ballot.Reject),
		p.vote("abstain", "Vote neither way", ballot.Abstain),
		p.vote(recuse, "Abstain because of an interest of your own", ballot.Recuse),
		p.wait(), p.cancel(), p.settle(), p.export(), p.verify())
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
		if d.Review {
			fmt.Fprintf(w, "EMERGENCY %s was approved without the usual votes and waits for its review: %s\n", short16(d.ID), reviewing(d.ID))
		}
		class := visible(d.Class)
		if d.Emergency {
			class += "!"
		}
		if d.Permit {
			class += ", permit"
		}
		rows = append(rows, []string{
			short(d.ID.String()), visible(d.State), class, visible(d.Kind), visible(d.Proposer),
			fmt.Sprintf("%d of %d", d.Ballots, d.Voters), d.Deadline, visible(d.Target),
		})
	}
	table(w, []string{"DECISION", "STATE", "CLASS", "KIND", "PROPOSER", "BALLOTS", "DEADLINE", "TARGET"}, rows)
}

// reviewing is the command that reviews an emergency decision.
func reviewing(id sdk.Digest) string {
	return "conclave decision settle " + short16(id) + " --right, or --wrong"
}

// actionDoc is an action as scripts read it.
type actionDoc struct {
	Kind   string              `json:"kind"`
	Target string              `json:"target"`
	Params map[string][]string `json:"params"`
	Digest string              `json:"digest"`

	Amount   uint64 `json:"amount,omitempty"`
	Rollback string `json:"rollback,omitempty"`
}

func actionOf(a sdk.Action) actionDoc {
	d := actionDoc{
		Kind: a.Kind, Target: a.Target, Params: map[string][]string{}, Digest: a.Digest().String(),
		Amount: a.Amount, Rollback: a.Rollback,
	}
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
	if a.Amount > 0 {
		rows = append(rows, [2]string{"amount", fmt.Sprint(a.Amount)})
	}
	if a.Rollback != "" {
		rows = append(rows, [2]string{"undone by", quoted(a.Rollback)})
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
		v.Voters = []ballot.Voter{}
	}
	if v.Ballots == nil {
		v.Ballots = []ballot.Cast{}
	}
	return decisionDoc{v, actionOf(v.Action), stamp(v.Opened.UnixMilli()), stamp(v.Deadline.UnixMilli())}
}

func writeDecision(w io.Writer, v ballot.View) {
	pairs(w, append(decisionRows(v), actionRows(v.Action)...))
	for _, b := range v.Ballots {
		fmt.Fprintf(w, "%s: %s, %d‰ sure%s\n", visible(b.Vote), b.Voter, b.Confidence, because(b.Reason))
	}
	writeVoters(w, v)
	for _, u := range v.Uses {
		what := ""
		if u.Action != v.ActionHash {
			what = ", fingerprint " + u.Action.String()
		}
		fmt.Fprintf(w, "use %d: %s, %s%s%s\n", u.Number, moment(u.At), visible(u.State), because(u.Detail), what)
	}
}

// mostVoters bounds how many of those who have not voted yet are named to people.
const mostVoters = 16

// writeVoters says of each voter whose ballot is not shown how far it has come.
func writeVoters(w io.Writer, v ballot.View) {
	missing := 0
	for _, e := range v.Voters {
		word := progressOf(v, e)
		if word == mayVote {
			if missing++; missing > mostVoters {
				continue
			}
		}
		if word != "" {
			fmt.Fprintf(w, "%s: %s\n", word, voterText(e))
		}
	}
	if missing > mostVoters {
		fmt.Fprintf(w, "%s: %d more\n", mayVote, missing-mostVoters)
	}
}

// voterText is one member of an electorate.
func voterText(e ballot.Voter) string {
	if e.ID.Role() == identity.Operator {
		return fmt.Sprintf("%s, a person, weight %d", e.ID, e.Weight)
	}
	text := fmt.Sprintf("%s, %s, weight %d, of %s", e.ID, e.Level, e.Weight, e.Operator)
	if e.Family != "" {
		text += ", family " + visible(e.Family)
	}
	return text
}

func decisionRows(v ballot.View) [][2]string {
	who := visible(v.Proposer.Name) + ", an operator"
	if v.Proposer.ID.Role() == identity.Agent {
		who = fmt.Sprintf("%s (%s) of %s", visible(v.Proposer.Name), v.Proposer.Level, v.Proposer.Operator)
	}
	class := v.Class
	if v.Emergency {
		class += ", EMERGENCY: people decide at once, and it is reviewed afterwards"
	}
	rows := [][2]string{
		{"decision", v.ID.String()}, {"state", visible(v.State)}, {"class", class}, {"needs", needs(v)}, {"proposer", who},
		{"opened", stamp(v.Opened.UnixMilli())}, {"deadline", stamp(v.Deadline.UnixMilli())},
	}
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, [2]string{name, text})
		}
	}
	if v.Executor != v.Proposer.ID {
		add("done by", v.Executor.String())
	}
	add("not before", moment(v.NotBefore))
	if v.Permit != nil {
		add("permit", fmt.Sprintf("%d times until %s, %d used", v.Permit.Uses, stamp(v.Permit.Until), v.Used))
		for _, open := range v.Permit.Open {
			add("  "+visible(open.Name), "any of "+list(open.Values))
		}
		if len(v.Permit.Targets) > 0 {
			add("  target", "also "+list(v.Permit.Targets))
		}
	}
	for _, id := range v.Beneficiaries {
		add("gains from it", id.String())
	}
	if v.Sum > 0 {
		add("amounts so far", fmt.Sprintf("%d with this one", v.Sum))
	}
	if v.Secret && v.State == consensus.Open.String() {
		add("votes", "secret until it ends; agents commit until "+moment(v.CommitsUntil))
	}
	if v.State != consensus.Open.String() && v.Confidence > 0 {
		add("confidence", fmt.Sprintf("%d‰", v.Confidence))
	}
	if !v.From.IsZero() {
		add("may be done", moment(v.From)+" to "+moment(v.Until))
	}
	for _, text := range [][2]string{{"cancelled", v.Cancelled}, {"in its words", v.Reason}, {"outcome", v.Detail}} {
		if text[1] != "" {
			add(text[0], quoted(text[1]))
		}
	}
	if v.Settled != nil {
		word := "wrong"
		if v.Settled.Right {
			word = "right"
		}
		add("settled", word+" to do, says "+v.Settled.By.String()+because(v.Settled.Detail))
	}
	return rows
}

// progressOf says how far the vote of one member of the electorate has come, where its ballot is not shown.
func progressOf(v ballot.View, e ballot.Voter) string {
	shown := slices.ContainsFunc(v.Ballots, func(b ballot.Cast) bool { return b.Voter == e.ID })
	switch {
	case e.Void:
		return "void"
	case e.Silenced:
		return "silenced"
	case shown:
		return ""
	case e.Voted:
		return "voted"
	case e.Committed:
		return "committed"
	case v.State == consensus.Open.String():
		return mayVote
	}
	return ""
}

// mayVote is what a voter is called of whom nothing has come yet.
const mayVote = "may vote"

// moment is a time for people; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t.UnixMilli())
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

func short16(d sdk.Digest) string { return short(d.String()) }

// realmID reads a realm id that was typed.
func realmID(text string) (sdk.Realm, error) {
	r, err := wire.ParseRealm(text)
	return r, asUsage(err)
}
