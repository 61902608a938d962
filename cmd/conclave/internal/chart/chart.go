// Package chart draws how numbers change over time: in a terminal, and as a page of its own that asks nobody for anything.
package chart

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/guptarohit/asciigraph"
)

// Point is a value from a time on.
type Point struct {
	At    int64 // Unix milliseconds
	Value float64
}

// Series is a line: each value holds until the next.
type Series struct {
	Name   string
	Points []Point // by time; at least one, or the series is not drawn
}

// Axis is what values lie between, and how they are written.
type Axis struct {
	Least, Most float64 // Least < Most
	Unit        string
}

// span returns the first and the last time of all series, a millisecond apart at least; false if nothing is to be drawn.
func span(all []Series) (from, to int64, some bool) {
	from, to = math.MaxInt64, math.MinInt64
	for _, s := range all {
		for _, p := range s.Points {
			from, to, some = min(from, p.At), max(to, p.At), true
		}
	}
	return from, max(to, from+1), some
}

// at returns the value that a series has at a time: of the times before its first, the first.
func (s Series) at(t int64) float64 {
	i, exact := slices.BinarySearchFunc(s.Points, t, func(p Point, t int64) int { return cmp.Compare(p.At, t) })
	if !exact {
		i = max(i-1, 0)
	}
	return s.Points[i].Value
}

// Text draws the series into so many columns and lines of text, one sign of its own for each line where there is no colour. It
// returns "" where there is nothing to draw.
func Text(all []Series, axis Axis, columns, lines int) string {
	all = slices.DeleteFunc(slices.Clone(all), func(s Series) bool { return len(s.Points) == 0 })
	from, to, some := span(all)
	if !some {
		return ""
	}
	columns = max(columns, 8)
	data := make([][]float64, len(all))
	signs := make([]asciigraph.CharSet, len(all))
	caption := moment(from, to-from) + " to " + moment(to, to-from)
	if axis.Unit != "" {
		caption += ", " + axis.Unit
	}
	for i, s := range all {
		for c := range columns {
			t := from + int64(float64(to-from)*float64(c)/float64(columns-1))
			data[i] = append(data[i], min(max(s.at(t), axis.Least), axis.Most))
		}
		signs[i] = asciigraph.DefaultCharSet
		if i > 0 {
			signs[i] = asciigraph.CreateCharSet(marks[(i-1)%len(marks)])
		}
		if len(all) > 1 {
			caption += "   " + signs[i].Horizontal + " " + s.Name
		}
	}
	return asciigraph.PlotMany(data, asciigraph.Height(max(lines, 3)), asciigraph.LowerBound(axis.Least),
		asciigraph.UpperBound(axis.Most), asciigraph.Precision(0), asciigraph.Caption(caption), asciigraph.SeriesChars(signs...)) + "\n"
}

// marks are the signs of all lines but the first.
var marks = [...]string{"·", "*", "+", "o", "x", "#"}

// moment writes a time, in UTC, as exactly as so many milliseconds on the axis need it.
func moment(ms, span int64) string {
	layout := time.DateOnly
	switch {
	case span < 10*time.Minute.Milliseconds():
		layout = "2006-01-02 15:04:05"
	case span < 10*24*time.Hour.Milliseconds():
		layout = "2006-01-02 15:04"
	}
	return time.UnixMilli(ms).UTC().Format(layout)
}
