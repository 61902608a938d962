package chart

import (
	"fmt"
	"html/template"
	"io"
	"strings"
)

// Page is a document that stands by itself: no script, no font, no picture from elsewhere.
type Page struct {
	Title    string
	Lead     string // what the reader sees, in a sentence or two
	Sections []Section
}

// Section is a part of a page: a chart, a table, or both.
type Section struct {
	Title  string
	Text   string
	Series []Series // drawn if there are any points
	Axis   Axis
	Head   []string   // of the table
	Rows   [][]string // each as long as Head
}

// Write writes the page. Whatever stands in it is escaped.
func (p Page) Write(w io.Writer) error { return page.Execute(w, p) }

// SVG returns the section's chart as a drawing, empty where there is nothing to draw.
func (s Section) SVG() template.HTML {
	from, to, some := span(s.Series)
	if !some {
		return ""
	}
	const width, height, left, bottom = 860, 260, 56, 24
	x := func(t int64) float64 { return left + float64(width-left-8)*float64(t-from)/float64(to-from) }
	y := func(v float64) float64 {
		v = min(max(v, s.Axis.Least), s.Axis.Most)
		return 8 + float64(height-bottom-8)*(s.Axis.Most-v)/(s.Axis.Most-s.Axis.Least)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, template.HTMLEscapeString(s.Title))
	for i := range 5 {
		v := s.Axis.Least + (s.Axis.Most-s.Axis.Least)*float64(i)/4
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`,
			left, y(v), width-8, left-6, y(v)+4, v)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%s</text>`,
		left, height-4, moment(from, to-from), width-8, height-4, moment(to, to-from))
	for i, line := range s.Series {
		if len(line.Points) == 0 {
			continue
		}
		var d strings.Builder
		for n, p := range line.Points {
			if n == 0 {
				fmt.Fprintf(&d, "M%.1f %.1f", x(p.At), y(p.Value))
				continue
			}
			fmt.Fprintf(&d, "H%.1fV%.1f", x(p.At), y(p.Value))
		}
		fmt.Fprintf(&b, `<path class="line l%d" d="%sH%.1f"><title>%s</title></path>`, i%len(colours), d.String(), x(to), template.HTMLEscapeString(line.Name))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // made above, of numbers and escaped names
}

// colours are those of the lines, light and dark enough for either background.
var colours = [...]string{"#2f6fde", "#d1495b", "#2a9d6f", "#c77d1a", "#7a5cc7", "#4b8b9b"}

// Legend returns the lines' names with their colours, in the order in which they are drawn.
func (s Section) Legend() (items []struct{ Name, Colour string }) {
	for i, line := range s.Series {
		items = append(items, struct{ Name, Colour string }{line.Name, colours[i%len(colours)]})
	}
	return items
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"colours": func() []string { return colours[:] },
	"css":     func(s string) template.CSS { return template.CSS(s) }, // of our own colours
}).Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: currentColor; opacity: .7; }
.grid { stroke: currentColor; opacity: .15; } .line { fill: none; stroke-width: 2; }
{{range $i, $c := colours}}.l{{$i}} { stroke: {{css $c}}; }
{{end}}table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.legend span { margin-right: 1.2rem; } .legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Lead}}</p>
{{range .Sections}}<section>
<h2>{{.Title}}</h2>
{{if .Text}}<p>{{.Text}}</p>{{end}}
{{with .SVG}}{{.}}{{end}}
{{if gt (len .Series) 1}}<p class="legend">{{range .Legend}}<span><i style="background: {{css .Colour}}"></i>{{.Name}}</span>{{end}}</p>{{end}}
{{if .Head}}<table><thead><tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table>{{end}}
</section>
{{end}}</body>
</html>
`))
