package simulate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Table is a part of a result for people.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// Tables returns the result for people: what the book made of each population, what each rule would have made of it, and what
// was expected, if anything was.
func (r Result) Tables() []Table {
	all := []Table{r.book(), r.compared()}
	if len(r.Expectations) > 0 {
		all = append(all, r.findings())
	}
	return all
}

// book is what the trust book made of each population. What means nothing for any of them is left out.
func (r Result) book() Table {
	t := Table{Title: "By the trust book"}
	for _, column := range []struct {
		name string
		cell func(Row) string
	}{
		{"POPULATION", func(p Row) string { return p.Name }},
		{"KIND", func(p Row) string { return string(p.Kind) }},
		{"AGENTS", func(p Row) string { return number(p.Agents) }},
		{"LEVEL", func(p Row) string { return "L" + number(p.Level) }},
		{"SCORE", func(p Row) string { return number(p.Score.Trust) }},
		{"LOWEST", func(p Row) string { return number(p.Lowest.Trust) }},
		{"WRONG", func(p Row) string { return percent(p.Misbehaviour.Trust) }},
		{"ENOUGH", func(p Row) string { return afterDays(p.DaysToThreshold.Trust) }},
		{"L2", func(p Row) string { return afterDays(p.DaysToLevel[2]) }},
		{"L3", func(p Row) string { return afterDays(p.DaysToLevel[3]) }},
		{"L4", func(p Row) string { return afterDays(p.DaysToLevel[4]) }},
		{"L5", func(p Row) string { return afterDays(p.DaysToLevel[5]) }},
		{"FALLS", func(p Row) string { return unless(p.Falls == 0, number(p.Falls)) }},
		{"MOVED", func(p Row) string { return unless(p.Moved.Trust == 0, tenths(p.Moved.Trust)) }},
		{"AT THE END", func(p Row) string { return unless(p.MovedEnd.Trust == 0, tenths(p.MovedEnd.Trust)) }},
		{"GAIN", func(p Row) string { return unless(p.Kind != Whitewasher, signedDays(p.Gain.Trust)) }},
		{"GAIN IN LEVEL", func(p Row) string { return unless(p.Kind != Whitewasher, signedDays(p.GainLevel)) }},
		{"OF BOUND", func(p Row) string { return unless(p.Made == 0, tenths(p.OfBound)) }},
	} {
		cells, some := make([]string, len(r.Populations)), false
		for i, p := range r.Populations {
			cells[i] = column.cell(p)
			some = some || cells[i] != nothing
		}
		if !some {
			continue
		}
		t.Head = append(t.Head, column.name)
		t.Rows = appendColumn(t.Rows, cells)
	}
	return t
}

// nothing stands in a cell that means nothing for its population.
const nothing = "-"

func unless(empty bool, text string) string {
	if empty {
		return nothing
	}
	return text
}

func appendColumn(rows [][]string, cells []string) [][]string {
	if rows == nil {
		rows = make([][]string, len(cells))
	}
	for i, c := range cells {
		rows[i] = append(rows[i], c)
	}
	return rows
}

// compared is what each rule made of each population.
func (r Result) compared() Table {
	t := Table{Title: "By each rule", Head: []string{"POPULATION"}}
	names := make([]string, len(r.Populations))
	for i, p := range r.Populations {
		names[i] = p.Name
	}
	t.Rows = appendColumn(nil, names)
	for _, of := range []struct {
		name    string
		some    func(Row) bool
		figures func(Row) Figures
		write   func(int64) string
	}{
		{"SCORE", func(Row) bool { return true }, func(p Row) Figures { return p.Score }, number},
		{"WRONG", func(p Row) bool { return p.Misbehaviour != Figures{} }, func(p Row) Figures { return p.Misbehaviour }, percent},
		{"MOVED", func(p Row) bool { return p.Moved != Figures{} }, func(p Row) Figures { return p.Moved }, tenths},
		{"GAIN", func(p Row) bool { return p.Kind == Whitewasher }, func(p Row) Figures { return p.Gain }, signedDays},
	} {
		if !slices.ContainsFunc(r.Populations, of.some) {
			continue
		}
		for rule, name := range ruleNames {
			t.Head = append(t.Head, of.name+" "+name)
			for i, p := range r.Populations {
				t.Rows[i] = append(t.Rows[i], of.write(of.figures(p).by()[rule]))
			}
		}
	}
	return t
}

func (r Result) findings() Table {
	t := Table{Title: "Expected", Head: []string{"", "EXPECTED", "FOUND"}}
	for _, f := range r.Expectations {
		mark := "ok"
		if !f.Met {
			mark = "NOT MET"
		}
		t.Rows = append(t.Rows, []string{mark, f.Text, f.Have})
	}
	return t
}

// sparkWidth is how many signs a spark has at most.
const sparkWidth = 60

// Spark draws the population's median score by the book over all days, in eighths of 1000.
func (p Row) Spark() string {
	bars := []rune(" ▁▂▃▄▅▆▇█")
	width := min(sparkWidth, len(p.Daily))
	var b strings.Builder
	for i := range width {
		v := p.Daily[(i+1)*len(p.Daily)/width-1].Trust
		b.WriteRune(bars[min(max((v*8+999)/1000, 0), 8)])
	}
	return b.String()
}

// ByRule returns the names of the rules and the population's median scores by each of them, day by day.
func (p Row) ByRule() (names []string, daily [][]int64) {
	for rule, name := range ruleNames {
		scores := make([]int64, len(p.Daily))
		for day, f := range p.Daily {
			scores[day] = f.by()[rule]
		}
		names, daily = append(names, name), append(daily, scores)
	}
	return names, daily
}

func number(v int64) string { return strconv.FormatInt(v, 10) }

// percent writes millionths as per cent.
func percent(ppm int64) string { return fmt.Sprintf("%d.%02d%%", ppm/10_000, ppm%10_000/100) }

// tenths writes thousandths as per cent.
func tenths(v int64) string { return fmt.Sprintf("%d.%d%%", v/10, v%10) }

func signedDays(v int64) string { return fmt.Sprintf("%+d d", v) }

func afterDays(v int64) string {
	if v == never {
		return nothing
	}
	return number(v) + " d"
}
