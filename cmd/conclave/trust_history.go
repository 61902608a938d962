package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/chart"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const dayMillis = 24 * 60 * 60 * 1000

// whole is the axis of scores.
var whole = chart.Axis{Least: 0, Most: 1000, Unit: "per mille"}

func (p trustCommands) history() *cobra.Command {
	return &cobra.Command{
		Use: "history NAME", Short: "Draw an agent's score and level over time", Args: cobra.ExactArgs(1),
		Long: "Draw how score and level have changed, by the ends of days and by the last events, and list the changes\n" +
			"of level with their reasons. A level is drawn at its place between L0 (0) and L5 (1000).",
		Example: "  conclave trust history writer\n  conclave trust history writer --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			v, err := s.stands(ctx, args[0])
			if err != nil {
				return err
			}
			d := historyOf(v)
			return s.emit(d, func(w io.Writer) { d.write(w, v) })
		}),
	}
}

// historyDoc is how an agent came to where it stands.
type historyDoc struct {
	Name   string     `json:"name"`
	Points []pointDoc `json:"points"` // the oldest first
	Turns  []turnDoc  `json:"turns"`  // the newest first
	lines  []chart.Series
}

// pointDoc is score and level at a time.
type pointDoc struct {
	At    string `json:"at"`
	Score uint64 `json:"score"`
	Level string `json:"level"`
}

func historyOf(v standing.View) historyDoc {
	d := historyDoc{Name: v.Name, Points: []pointDoc{}, Turns: explained(v, nil, nil, trust.Params{}).Turns}
	score, level := chart.Series{Name: "score"}, chart.Series{Name: "level"}
	a := v.Account
	var last int64
	if len(a.Samples) == 0 && len(a.Turns) > 0 { // an account opens with nothing
		score.Points = append(score.Points, chart.Point{At: a.Turns[0].At})
	}
	for _, s := range a.Samples {
		at := int64(s.Day) * dayMillis
		score.Points = append(score.Points, chart.Point{At: at, Value: float64(s.Score)})
		d.Points = append(d.Points, pointDoc{stamp(at), uint64(s.Score), s.Level.String()})
		last = at
	}
	for _, t := range a.Traces {
		if t.At > last && t.Class == v.Class {
			score.Points = append(score.Points, chart.Point{At: t.At, Value: float64(t.Score)})
		}
	}
	score.Points = append(score.Points, chart.Point{At: v.At, Value: float64(v.Score)})
	for _, t := range a.Turns {
		level.Points = append(level.Points, chart.Point{At: t.At, Value: float64(t.To) * 200})
	}
	level.Points = append(level.Points, chart.Point{At: v.At, Value: float64(v.Level) * 200})
	d.Points = append(d.Points, pointDoc{stamp(v.At), v.Score, v.Level.String()})
	d.lines = []chart.Series{score, level}
	return d
}

func (d historyDoc) write(w io.Writer, v standing.View) {
	fmt.Fprintf(w, "%s, score in %s and level\n\n%s\n", visible(d.Name), class(v.Class), chart.Text(d.lines, whole, 72, 12))
	var rows [][]string
	for _, t := range d.Turns {
		rows = append(rows, []string{t.At, t.From + " → " + t.To, t.Why, fmt.Sprint(t.Index)})
	}
	table(w, []string{"WHEN", "LEVEL", "WHY", "COMMAND"}, rows)
}

func (p trustCommands) export() *cobra.Command {
	var page string
	c := &cobra.Command{
		Use: "export [NAME...]", Short: "Write a page with every agent's standing", Args: cobra.ArbitraryArgs,
		Long: "Write one page that stands by itself, without scripts or anything from elsewhere: all agents, or those\n" +
			"named, with scores, what they are made of, levels over time, and the last events. With --json it prints\n" +
			"the same as a document.",
		Example: "  conclave trust export --html trust.html\n  conclave trust export writer --json",
		RunE: p.connected(callTime, func(ctx context.Context, s session, args []string) error {
			if page == "" && !s.flags.json {
				return usage("say where to: --html FILE, or --json")
			}
			docs, views, err := s.explainAll(ctx, args)
			if err != nil {
				return err
			}
			if page != "" {
				if err := writeStandings(page, s.Self().Realm.String(), docs, views); err != nil {
					return err
				}
			}
			return s.emit(map[string]any{"agents": docs}, textLine(fmt.Sprintf("%s: %d agents", visible(page), len(docs))))
		}),
	}
	c.Flags().StringVar(&page, "html", "", "`file` for the page")
	return c
}

// explainAll explains the agents named, or all.
func (s session) explainAll(ctx context.Context, wanted []string) ([]explanation, []standing.View, error) {
	if len(wanted) == 0 {
		ranks, err := s.Standing().Ranking(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range ranks {
			wanted = append(wanted, r.ID.String())
		}
	}
	known, rules := s.namesOf(ctx), s.Admin().Policy()
	docs, views := []explanation{}, []standing.View{}
	for i, name := range wanted {
		v, err := s.stands(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		docs, views = append(docs, explained(v, known, rules.Ladder(), rules.Params())), append(views, v)
		if i%50 == 49 {
			s.say("%d of %d agents", i+1, len(wanted))
		}
	}
	return docs, views, nil
}

// writeStandings writes the page of the agents. It holds what the realm's members know of each other, so others may not read it.
func writeStandings(path, realm string, docs []explanation, views []standing.View) error {
	page := chart.Page{
		Title: "Standing of agents", Lead: "Realm " + realm + ". Scores are of 1000, in the class of actions that an agent's next level asks for.",
		Sections: []chart.Section{{Title: "Agents", Head: []string{"name", "level", "status", "score", "believed", "disbelieved", "not known", "operator"}}},
	}
	for i, d := range docs {
		s := d.scored
		page.Sections[0].Rows = append(page.Sections[0].Rows, []string{
			visible(d.Name), d.Level.String() + " " + d.Word, d.Status, fmt.Sprintf("%d in %s", s.Value, class(s.Class)),
			fmt.Sprint(s.Belief), fmt.Sprint(s.Disbelief), fmt.Sprint(s.Uncertainty), visible(d.OperatorName),
		})
		page.Sections = append(page.Sections, d.section(views[i]))
		if len(d.Events) > 0 {
			page.Sections = append(page.Sections, d.events())
		}
	}
	var out bytes.Buffer
	if err := page.Write(&out); err != nil {
		return err
	}
	return datadir.WritePrivate(path, out.Bytes())
}

func (d explanation) section(v standing.View) chart.Section {
	s := d.scored
	text := fmt.Sprintf("Score %d in %s = competence %d × integrity %d × (1000 − suspicion %d). ", s.Value, class(s.Class), s.Competence, s.Integrity, s.Suspicion)
	text += strings.ToUpper(d.Holds[0][:1]) + strings.Join(d.Holds, "; ")[1:] + ". "
	if len(d.Missing) > 0 {
		text += fmt.Sprintf("For %s it lacks: %s.", d.Level+1, strings.Join(d.Missing, "; "))
	}
	return chart.Section{Title: visible(d.Name) + ", " + d.Level.String() + " " + d.Word, Text: text, Series: historyOf(v).lines, Axis: whole}
}

func (d explanation) events() chart.Section {
	sec := chart.Section{Title: "Last events of " + visible(d.Name), Head: []string{"when", "what", "class", "by", "before", "counted", "held by", "score", "command"}}
	for _, e := range d.Events {
		sec.Rows = append(sec.Rows, []string{e.At, e.What, e.Class, e.By, e.Nominal, e.Weight, e.Cap, fmt.Sprint(e.Score), fmt.Sprint(e.Index)})
	}
	return sec
}
