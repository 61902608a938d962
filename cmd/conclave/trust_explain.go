package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func (p trustCommands) explain() *cobra.Command {
	return &cobra.Command{
		Use: "explain NAME", Short: "Say why an agent has its score and its level", Args: cobra.ExactArgs(1),
		Long: "Take an agent's score apart: the factors, the last events with what each weighed before and after the\n" +
			"cap that held it back, what keeps the agent at its level, and exactly what it lacks for the next one.\n" +
			"Name, level and status are compared with what a majority of the nodes has signed; the rest is what the node\n" +
			"reckons. Each event names the signed statement and the place in the log that it came from.",
		Example: "  conclave trust explain writer\n  conclave trust explain writer --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			v, err := s.stands(ctx, args[0])
			if err != nil {
				return err
			}
			known := s.namesOf(ctx)
			rules := s.Admin().Policy()
			d := explained(v, known, rules.Ladder(), rules.Params())
			return s.emit(d, func(w io.Writer) { d.write(w) })
		}),
	}
}

// explanation is a standing taken apart.
type explanation struct {
	standing.View
	Account *struct{}         `json:"account,omitempty"` // hides the view's, never there: told by what follows
	Status  string            `json:"status"`
	Word    string            `json:"level_name"`
	Events  []eventDoc        `json:"events"` // the newest first
	Turns   []turnDoc         `json:"turns"`  // the newest first
	Holds   []string          `json:"holds"`  // what keeps or takes the level
	Missing []string          `json:"missing"`
	Next    []trust.Condition `json:"next"`
	scored  trust.Score
}

// eventDoc is one event of an account.
type eventDoc struct {
	At        string      `json:"at"`
	Index     uint64      `json:"index"` // of the command in the log
	What      string      `json:"what"`
	Class     string      `json:"class"`
	By        string      `json:"by"`
	ByID      identity.ID `json:"by_id"`
	Statement wire.Digest `json:"statement"`
	Nominal   string      `json:"nominal"` // units before caps; negative where it speaks against the agent
	Weight    string      `json:"weight"`
	Cap       string      `json:"cap,omitempty"`
	Score     uint64      `json:"score_after"`
}

// turnDoc is one change of level.
type turnDoc struct {
	At    string `json:"at"`
	Index uint64 `json:"index"`
	From  string `json:"from"`
	To    string `json:"to"`
	Why   string `json:"why"`
}

// explained takes a standing apart by the ladder and the parameters in force.
func explained(v standing.View, known names, ladder []trust.Rung, params trust.Params) explanation {
	d := explanation{
		View: v, Status: v.Status.String(), Word: v.Level.Word(), Events: []eventDoc{}, Turns: []turnDoc{}, Missing: []string{}, Next: v.Next,
		scored: v.Scores[min(int(v.Class), trust.Classes-1)],
	}
	for _, t := range slices.Backward(v.Account.Traces) {
		d.Events = append(d.Events, eventDoc{
			At: stamp(t.At), Index: t.Index, What: t.Act.String(), Class: class(t.Class), By: known.of(t.By), ByID: t.By,
			Statement: t.Statement, Nominal: units(t.Nominal), Weight: units(t.Weight), Cap: t.Cap.String(), Score: t.Score,
		})
	}
	for _, t := range slices.Backward(v.Account.Turns) {
		d.Turns = append(d.Turns, turnDoc{
			At: stamp(t.At), Index: t.Index, From: t.From.String(), To: t.To.String(), Why: t.Why.String(),
		})
	}
	d.Holds = holds(v, ladder, params)
	for _, c := range v.Next {
		if !c.Met {
			d.Missing = append(d.Missing, missing(c))
		}
	}
	return d
}

// holds says what keeps the agent at its level, and what would take it.
func holds(v standing.View, ladder []trust.Rung, params trust.Params) []string {
	climb := v.Account.Climb
	lines := []string{fmt.Sprintf("at %s since %s: %s", v.Level, stamp(climb.Since), climb.Why)}
	if v.Parent != nil {
		lines = append(lines, fmt.Sprintf("acts for another agent, so it has %s at most", v.Cap))
	}
	if v.Level < identity.Observer || int(v.Level) > len(ladder) {
		return lines
	}
	rung := ladder[v.Level-1]
	below := v.Level - 1
	if v.Level > identity.Observer && rung.Floor > 0 {
		line := fmt.Sprintf("falls to %s if the score in %s stays below %d for %s", below, class(uint8(rung.Class)), rung.Floor, span(params.Grace))
		if climb.Why == trust.Appointed {
			line += fmt.Sprintf(", once %d outcomes are attested at this level", rung.Outcomes)
		}
		if climb.LowSince > 0 {
			line += "; it has been since " + stamp(climb.LowSince)
		}
		lines = append(lines, line, fmt.Sprintf("falls at once if the fast score is below %d", params.Sudden))
	}
	if v.Until > 0 {
		lines = append(lines, fmt.Sprintf("falls to %s when the lease ends, %s: conclave trust sign-off %s --renew", below, stamp(v.Until), visible(v.Name)))
	}
	if v.Blocked > v.At {
		lines = append(lines, "no promotion before "+stamp(v.Blocked)+", after the last fall")
	}
	if v.Throttle > 0 {
		lines = append(lines, fmt.Sprintf("may send %d per mille less than its level, by suspicion", v.Throttle))
	}
	return lines
}

// missing says how far a condition is met.
func missing(c trust.Condition) string {
	if c.Unit == "ms" {
		return fmt.Sprintf("%s: %s of %s", visible(c.Name), span(c.Have), span(c.Need))
	}
	word := "of"
	if c.Name == "suspicion" {
		word = "with at most"
	}
	return fmt.Sprintf("%s: %d %s %d %s", visible(c.Name), c.Have, word, c.Need, visible(c.Unit))
}

// span is a time in words of at most two units.
func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	days := d / (24 * time.Hour)
	switch {
	case days > 0 && d%(24*time.Hour) >= time.Hour:
		return fmt.Sprintf("%dd%dh", days, d%(24*time.Hour)/time.Hour)
	case days > 0:
		return fmt.Sprintf("%dd", days)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	case d >= time.Second:
		return d.Truncate(time.Second).String()
	}
	return d.String()
}

// units is an amount of evidence in units, to three places.
func units(m trust.Micro) string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	thousandths := m / (trust.Unit / 1000)
	return fmt.Sprintf("%s%d.%03d", sign, thousandths/1000, thousandths%1000)
}

func (d explanation) write(w io.Writer) {
	fmt.Fprintf(w, "%s is %s %s, %s, of %s\n\n", visible(d.Name), d.Level, d.Word, d.Status, visible(d.OperatorName))
	s := d.scored
	fmt.Fprintf(w, "Score in %s: %d of 1000 = competence %d × integrity %d × (1000 − suspicion %d) / 1000000\n",
		class(s.Class), s.Value, s.Competence, s.Integrity, s.Suspicion)
	pairs(w, [][2]string{
		{"  competence", fmt.Sprintf("%d, the lesser of slow %d (months) and fast %d (days)", s.Competence, s.Slow, s.Fast)},
		{"  integrity", fmt.Sprintf("%d, after violations of %s and a debt of its operator of %s units", s.Integrity, units(s.Violations), units(s.Debt))},
		{"  suspicion", fmt.Sprintf("%d, by alarms", s.Suspicion)},
		{"  evidence", fmt.Sprintf("for it %s, against it %s units: believed %d, disbelieved %d, not known %d",
			units(s.Good), units(s.Bad), s.Belief, s.Disbelief, s.Uncertainty)},
	})
	var rows [][]string
	for _, s := range d.Scores {
		rows = append(rows, []string{
			class(s.Class), fmt.Sprint(s.Value), fmt.Sprint(s.Slow), fmt.Sprint(s.Fast), units(s.Good), units(s.Bad),
			fmt.Sprint(s.Belief), fmt.Sprint(s.Disbelief), fmt.Sprint(s.Uncertainty),
		})
	}
	fmt.Fprintln(w)
	table(w, []string{"CLASS", "SCORE", "SLOW", "FAST", "GOOD", "BAD", "BELIEVED", "DISBELIEVED", "NOT KNOWN"}, rows)
	d.writeEvents(w)
	fmt.Fprintf(w, "\nWhat holds it at %s\n", d.Level)
	for _, line := range d.Holds {
		fmt.Fprintf(w, "  %s\n", line)
	}
	d.writeNext(w)
}

func (d explanation) writeEvents(w io.Writer) {
	if len(d.Events) == 0 {
		fmt.Fprintln(w, "\nNobody has told anything of it yet.")
		return
	}
	fmt.Fprintln(w, "\nLast events, the newest first, in units")
	var rows [][]string
	for _, e := range d.Events {
		held := "-"
		if e.Cap != "" {
			held = e.Cap
		}
		rows = append(rows, []string{
			e.At, e.What, e.Class, e.By, e.Nominal, e.Weight, held, fmt.Sprint(e.Score), fmt.Sprint(e.Index), short16(e.Statement),
		})
	}
	table(w, []string{"WHEN", "WHAT", "CLASS", "BY", "BEFORE", "COUNTED", "HELD BY", "SCORE", "COMMAND", "STATEMENT"}, rows)
}

func (d explanation) writeNext(w io.Writer) {
	if len(d.Next) == 0 {
		return
	}
	fmt.Fprintf(w, "\nFor %s\n", d.Level+1)
	for _, c := range d.Next {
		mark := "lacks"
		if c.Met {
			mark = "has"
		}
		fmt.Fprintf(w, "  %-5s  %s\n", mark, missing(c))
	}
}
