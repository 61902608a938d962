package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/chart"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/simulate"
	"github.com/seed-3e86d5b2/conclave/internal/simulate/scenariofile"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// errNotAsExpected is returned when a scenario's expectations are not met: exit code 7.
var errNotAsExpected = fault.New(fault.Rejected, "the result is not what the scenario expects")

// simulation is what the command's flags say.
type simulation struct {
	edges, seeds, policy, html string
	seed                       int64
	exact                      bool
}

func simulateCommand(p *program) *cobra.Command {
	var s simulation
	c := &cobra.Command{
		Use: "simulate [FILE]", Short: "Play attacks on trust, or judge a list of ratings", Args: cobra.MaximumNArgs(1),
		Long: "With a scenario (YAML; its schema is in spec/scenario.md), play populations of agents for months of\n" +
			"virtual time against the arithmetic that a node uses, beside a plain mean, a moving average and a Beta\n" +
			"reputation; print what became of them; and exit with 7 if the result is not what the scenario expects.\n" +
			"\n" +
			"With --edges, count a list of ratings, each line time,rater,ratee,rating[,rater_operator] with the time\n" +
			"in Unix seconds and ratings from -1 to 1, or from -10 to 10 if any is greater than 1. The seeds rate as\n" +
			"people do, all others with the weight that they have received. A first line of names is skipped. The\n" +
			"list is taken for people's: nothing is forgotten sooner than in ten years, and nobody has a daily\n" +
			"allowance; --exact takes both from the policy.\n" +
			"\n" +
			"No realm is needed, and none is touched.",
		Example: "  conclave simulate oscillator.yaml\n  conclave simulate clique.yaml --html clique.html --seed 7\n" +
			"  conclave simulate --edges ratings.csv --seeds alice,bob --json",
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (s.edges != "") {
				return fault.New(fault.Usage, "either a scenario or --edges")
			}
			params, rungs, err := s.rules()
			if err != nil {
				return err
			}
			if s.edges != "" {
				return s.replay(p, params)
			}
			for _, name := range []string{"seeds", "exact"} {
				if c.Flags().Changed(name) {
					return fault.New(fault.Usage, "--"+name+" belongs to --edges")
				}
			}
			return s.play(p, args[0], c.Flags().Changed("seed"), params, rungs)
		},
	}
	f := c.Flags()
	f.StringVar(&s.edges, "edges", "", "list of ratings to count instead of a scenario")
	f.StringVar(&s.seeds, "seeds", "", "raters of the list whose word counts from the start, separated by commas")
	f.StringVar(&s.policy, "policy", "", "policy file whose trust parameters and ladder to use (default the built-in ones)")
	f.StringVar(&s.html, "html", "", "write the scenario's result to this file, too, as one page with charts")
	f.Int64Var(&s.seed, "seed", 0, "seed to use instead of the scenario's")
	f.BoolVar(&s.exact, "exact", false, "count a list by the policy's own half-life and daily allowance")
	return c
}

// rules returns the trust parameters and the ladder to reckon by.
func (s simulation) rules() (trust.Params, []trust.Rung, error) {
	if s.policy == "" {
		return trust.Defaults(), trust.Ladder(), nil
	}
	rules, err := policyfile.Load(s.policy)
	if err != nil {
		return trust.Params{}, nil, err
	}
	return rules.Params(), rules.Ladder(), nil
}

// play plays a scenario.
func (s simulation) play(p *program, file string, seeded bool, params trust.Params, rungs []trust.Rung) error {
	scenario, err := scenariofile.Load(file)
	if err != nil {
		return err
	}
	if seeded {
		if s.seed < 0 {
			return fault.New(fault.Usage, "--seed is 0 or more")
		}
		scenario.Seed = uint64(s.seed)
	}
	result, err := simulate.Run(scenario, params, rungs)
	if err != nil {
		return err
	}
	if s.html != "" {
		if err := savePage(s.html, result); err != nil {
			return err
		}
	}
	if err := p.emit(result, func(w io.Writer) { writeSimulated(w, result) }); err != nil {
		return err
	}
	if !result.OK {
		return errNotAsExpected.WithHint("see the lines marked NOT MET; another seed: --seed N")
	}
	return nil
}

// writeSimulated writes the result for people.
func writeSimulated(w io.Writer, r simulate.Result) {
	fmt.Fprintf(w, "%s: %d days, seed %d\n", r.Scenario, r.Days, r.Seed)
	for _, t := range r.Tables() {
		fmt.Fprintf(w, "\n%s\n\n", t.Title)
		table(w, t.Head, t.Rows)
	}
	var rows [][]string
	for _, p := range r.Populations {
		rows = append(rows, []string{p.Name, p.Spark()})
	}
	fmt.Fprintf(w, "\nMedian score by the trust book, day 0 to %d\n\n", r.Days-1)
	table(w, []string{"POPULATION", "0 TO 1000"}, rows)
}

// savePage writes the result as a page; its charts' times begin at 1970.
func savePage(path string, r simulate.Result) error {
	page := chart.Page{
		Title: "conclave simulate: " + r.Scenario,
		Lead:  fmt.Sprintf("%d days of virtual time, seed %d. Scores are in per mille, medians of each population.", r.Days, r.Seed),
	}
	for _, t := range r.Tables() {
		page.Sections = append(page.Sections, chart.Section{Title: t.Title, Head: t.Head, Rows: t.Rows})
	}
	for _, p := range r.Populations {
		section := chart.Section{Title: p.Name + " (" + string(p.Kind) + ")", Axis: chart.Axis{Most: 1000, Unit: "per mille"}}
		names, daily := p.ByRule()
		for i, name := range names {
			line := chart.Series{Name: name}
			for day, score := range daily[i] {
				line.Points = append(line.Points, chart.Point{At: int64(day) * virtualDay, Value: float64(score)})
			}
			section.Series = append(section.Series, line)
		}
		page.Sections = append(page.Sections, section)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errPage, err)
	}
	err = page.Write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errPage, err)
	}
	return nil
}

// virtualDay is a day's length on a chart, in milliseconds.
const virtualDay = 24 * 60 * 60 * 1000

var errPage = fault.New(fault.DiskFull, "simulate: cannot write the page")

// replay counts a list of ratings.
func (s simulation) replay(p *program, params trust.Params) error {
	if s.html != "" || s.seed != 0 {
		return fault.New(fault.Usage, "--html and --seed belong to a scenario")
	}
	seeds, err := splitSeeds(s.seeds)
	if err != nil {
		return err
	}
	if !s.exact {
		params = simulate.AtPeoplesPace(params)
	}
	list, err := os.Open(s.edges)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoList, err)
	}
	defer func() { _ = list.Close() }() // only read
	result, err := simulate.Replay(list, seeds, params, func(lines int64) { p.say("%d million lines counted", lines/1_000_000) })
	if err != nil {
		return err
	}
	if result.Late > 0 {
		p.say("%d lines are older than one before them and were counted at its time; sort the list by time", result.Late)
	}
	if result.Own > 0 {
		p.say("%d lines rate their own rater or its operator's, and count nothing", result.Own)
	}
	return p.emit(opinionsDoc(result), func(w io.Writer) { writeOpinions(w, result) })
}

var errNoList = fault.New(fault.NotFound, "simulate: cannot read the list")

// splitSeeds reads "A,B".
func splitSeeds(text string) ([]string, error) {
	if text == "" {
		return nil, fault.New(fault.Usage, "--edges needs --seeds: without them nobody's word counts")
	}
	seeds := strings.Split(text, ",")
	for i := range seeds {
		if seeds[i] = strings.TrimSpace(seeds[i]); seeds[i] == "" {
			return nil, fault.New(fault.Usage, "--seeds are raters' names separated by commas")
		}
	}
	return seeds, nil
}

// opinionDoc is one subject in JSON; the numbers are in per mille, to three places.
type opinionDoc struct {
	ID          string      `json:"id"`
	Score       json.Number `json:"score"`
	Belief      json.Number `json:"belief"`
	Disbelief   json.Number `json:"disbelief"`
	Uncertainty json.Number `json:"uncertainty"`
}

func opinionsDoc(r simulate.Replayed) map[string]any {
	docs := make([]opinionDoc, len(r.Subjects))
	for i, o := range r.Subjects {
		docs[i] = opinionDoc{
			o.ID, json.Number(perMille(o.Score)), json.Number(perMille(o.Belief)), json.Number(perMille(o.Disbelief)),
			json.Number(perMille(o.Uncertainty)),
		}
	}
	return map[string]any{"subjects": docs}
}

// perMille writes millionths as thousandths: 12345 is 12.345, and 12000 is 12.
func perMille(millionths int64) string {
	if millionths%1000 == 0 {
		return fmt.Sprint(millionths / 1000)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%03d", millionths/1000, millionths%1000), "0")
}

func writeOpinions(w io.Writer, r simulate.Replayed) {
	var rows [][]string
	for _, o := range r.Subjects {
		rows = append(rows, []string{
			visible(o.ID), perMille(o.Score), perMille(o.Belief), perMille(o.Disbelief), perMille(o.Uncertainty),
		})
	}
	table(w, []string{"SUBJECT", "SCORE", "BELIEF", "DISBELIEF", "UNCERTAINTY"}, rows)
}
