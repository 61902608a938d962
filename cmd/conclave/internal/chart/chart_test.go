package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/chart"
)

const day = 24 * 60 * 60 * 1000

func climb() []chart.Series {
	return []chart.Series{
		{Name: "score", Points: []chart.Point{{At: 1_790_000_000_000, Value: 0}, {At: 1_790_000_000_000 + 10*day, Value: 700}}},
		{Name: "<b>level</b>", Points: []chart.Point{{At: 1_790_000_000_000, Value: 200}, {At: 1_790_000_000_000 + 5*day, Value: 600}}},
		{Name: "nothing"},
	}
}

var whole = chart.Axis{Least: 0, Most: 1000, Unit: "per mille"}

// TestText draws a climb: it begins at the bottom, ends at its height, and each line has its sign.
func TestText(t *testing.T) {
	drawn := chart.Text(climb(), whole, 40, 10)
	lines := strings.Split(strings.TrimRight(drawn, "\n"), "\n")
	if len(lines) != 12 {
		t.Fatalf("%d lines:\n%s", len(lines), drawn)
	}
	if !strings.Contains(lines[0], "1000") || !strings.Contains(lines[10], "0") {
		t.Errorf("no scale:\n%s", drawn)
	}
	if !strings.HasSuffix(strings.TrimRight(lines[3], " "), "╭") || !strings.Contains(lines[10], "─") {
		t.Errorf("the score does not go from 0 to 700:\n%s", drawn)
	}
	if !strings.Contains(lines[4], "·") || !strings.Contains(lines[11], "─ score   · <b>level</b>") {
		t.Errorf("the lines cannot be told apart:\n%s", drawn)
	}
	if !strings.Contains(lines[11], "per mille") || !strings.Contains(lines[11], "2026-09-21 to 2026-10-01") {
		t.Errorf("no times:\n%s", drawn)
	}
	if got := chart.Text([]chart.Series{{Name: "nothing"}}, whole, 40, 10); got != "" {
		t.Errorf("drew nothing as %q", got)
	}
	one := chart.Text([]chart.Series{{Name: "one", Points: []chart.Point{{At: 5, Value: 2000}}}}, whole, 0, 0)
	if !strings.Contains(one, "1000") {
		t.Errorf("a single point above the scale:\n%s", one)
	}
}

// TestPage holds: a page is well formed, refers to nothing outside, and writes no name unescaped.
func TestPage(t *testing.T) {
	var b strings.Builder
	p := chart.Page{
		Title: "reviewer <script>", Lead: "what & why",
		Sections: []chart.Section{
			{Title: "Score", Series: climb(), Axis: whole},
			{Title: "Events", Head: []string{"when", "what"}, Rows: [][]string{{"today", "<img src=x>"}}},
		},
	}
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{"<svg", "H", "reviewer &lt;script&gt;", "&lt;img src=x&gt;", "&lt;b&gt;level&lt;/b&gt;", "what &amp; why"} {
		if !strings.Contains(out, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "http://", "https://", "<b>", "ZgotmplZ", "url("} {
		if strings.Contains(out, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if strings.Count(out, "<svg") != 1 {
		t.Error("drew a chart of nothing")
	}
	svg := out[strings.Index(out, "<svg") : strings.Index(out, "</svg>")+6]
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the drawing is not well formed: %v", err)
		}
	}
}
