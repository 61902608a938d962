package scenariofile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/simulate"
)

// MaxFile bounds a scenario, in bytes.
const MaxFile = 256 << 10

// Refusal is why a file is not a scenario. It wraps [simulate.ErrInvalid].
type Refusal struct {
	File   string // as the caller named it
	Line   int    // from 1; 0 where the YAML parser's own words name the line
	Path   string // such as "populations[1].agents"; empty for the file as a whole
	Reason string // for people
}

// Error returns "attack.yaml:14: populations[1].agents: must be 1 to 10000".
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString(r.File)
	if r.Line > 0 {
		fmt.Fprintf(&b, ":%d", r.Line)
	}
	if r.Path != "" {
		b.WriteString(": " + r.Path)
	}
	return b.String() + ": " + r.Reason
}

// Unwrap returns [simulate.ErrInvalid].
func (r *Refusal) Unwrap() error { return simulate.ErrInvalid }

// ErrNoFile is returned when the file does not exist or cannot be read.
var ErrNoFile = fault.New(fault.NotFound, "scenariofile: cannot read the scenario")

// Load reads the scenario at path. Errors: [ErrNoFile], [*Refusal].
func Load(path string) (simulate.Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return simulate.Scenario{}, fmt.Errorf("%w: %w", ErrNoFile, err)
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return simulate.Scenario{}, fmt.Errorf("%w: %w", ErrNoFile, err)
	}
	return Parse(path, text)
}

// Parse reads a scenario's text; the name stands in errors. Errors: [*Refusal].
func Parse(name string, text []byte) (simulate.Scenario, error) {
	if len(text) > MaxFile {
		return simulate.Scenario{}, &Refusal{File: name, Reason: fmt.Sprintf("over %d bytes", MaxFile)}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		return simulate.Scenario{}, &Refusal{File: name, Reason: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return simulate.Scenario{}, &Refusal{File: name, Reason: "more than one document"}
	}
	r := &reader{lines: map[string]int{}}
	s, err := r.scenario(doc.Content[0])
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return simulate.Scenario{}, r.locate(name, err)
	}
	return s, nil
}

// reader turns nodes into a scenario and remembers on which line each field stood.
type reader struct {
	lines map[string]int // by path, as in [simulate.Fault]
}

// refusal is a fault at a line of the file.
type refusal struct {
	line         int
	path, reason string
}

func (r *refusal) Error() string { return r.path + ": " + r.reason }

func refuse(n *yaml.Node, path, format string, args ...any) error {
	return &refusal{line: n.Line, path: path, reason: fmt.Sprintf(format, args...)}
}

// locate adds file and line to an error. A field that the file does not name gets the line of what is around it.
func (r *reader) locate(name string, err error) error {
	var here *refusal
	if errors.As(err, &here) {
		return &Refusal{File: name, Line: here.line, Path: here.path, Reason: here.reason}
	}
	var f *simulate.Fault
	if !errors.As(err, &f) {
		return &Refusal{File: name, Reason: err.Error()}
	}
	line := 1
	for path := f.Path; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		if at, ok := r.lines[path]; ok {
			line = at
			break
		}
	}
	return &Refusal{File: name, Line: line, Path: f.Path, Reason: f.Reason}
}

// field is one key that a mapping may have, and what reads its value.
type field struct {
	name string
	read func(n *yaml.Node, path string) error
}

// mapping reads n, whose keys must be among fields, each at most once.
func (r *reader) mapping(n *yaml.Node, path string, fields []field) error {
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		return refuse(n, path, "must be a mapping")
	}
	r.lines[path] = n.Line
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		known := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || known < 0 {
			return refuse(key, path, "unknown key %.64q; known are %s", key.Value, names(fields))
		}
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if r.lines[at] != 0 {
			return refuse(key, at, "stands on line %d already", r.lines[at])
		}
		r.lines[at] = key.Line
		if err := fields[known].read(value, at); err != nil {
			return err
		}
	}
	return nil
}

func names(fields []field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return strings.Join(out, ", ")
}

// list reads n, whose items read reads.
func (r *reader) list(n *yaml.Node, path string, read func(n *yaml.Node, path string) error) error {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return refuse(n, path, "must be a list")
	}
	for i, item := range n.Content {
		if err := read(item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// noIndirection refuses what makes a file say something other than it seems to: anchors, aliases and tags.
func noIndirection(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return refuse(n, "", "anchors, aliases and tags are not allowed")
	}
	for _, child := range n.Content {
		if err := noIndirection(child); err != nil {
			return err
		}
	}
	return nil
}

func text(to *string) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			return refuse(n, path, "must be a text")
		}
		*to = n.Value
		return nil
	}
}

// whole reads a whole number in plain decimal digits.
func whole(to *int64) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || strconv.FormatInt(v, 10) != n.Value {
			return refuse(n, path, "must be a whole number in decimal digits")
		}
		*to = v
		return nil
	}
}

func boolean(to *bool) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || (n.Value != "true" && n.Value != "false") {
			return refuse(n, path, "must be true or false")
		}
		*to = n.Value == "true"
		return nil
	}
}

func level(to *identity.Level) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		l, err := identity.ParseLevel(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || l.String() != n.Value {
			return refuse(n, path, "must be L0 to L5")
		}
		*to = l
		return nil
	}
}
