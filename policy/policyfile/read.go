package policyfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// reader turns nodes into a policy and remembers on which line each field stood.
type reader struct {
	lines map[string]int // by path, as in [policy.Fault]
	all   bool           // goes on after a refusal, with the preset's value, to find the others
	found []error        // them
}

// fail returns the error, or notes it if there are to be more.
func (r *reader) fail(err error) error {
	if err != nil && r.all {
		r.found = append(r.found, err)
		return nil
	}
	return err
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

// locate adds file and line to an error of the reader or of the policy's Check. A field that the file does not name
// gets the line of the nearest thing around it, and else the preset's.
func (r *reader) locate(name string, err error) error {
	var here *refusal
	if errors.As(err, &here) {
		return &Refusal{File: name, Line: here.line, Path: here.path, Reason: here.reason}
	}
	var f *policy.Fault
	if !errors.As(err, &f) {
		return &Refusal{File: name, Reason: err.Error()}
	}
	for path := f.Path; path != ""; {
		if line, ok := r.lines[path]; ok {
			return &Refusal{File: name, Line: line, Path: f.Path, Reason: f.Reason}
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return &Refusal{File: name, Line: r.lines["preset"], Path: f.Path, Reason: f.Reason}
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
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		known := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		var err error
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || known < 0:
			err = refuse(key, path, "unknown key %.64q; known are %s", key.Value, names(fields))
		case r.lines[at] != 0:
			err = refuse(key, at, "stands on line %d already", r.lines[at])
		default:
			r.lines[at] = key.Line
			err = fields[known].read(value, at)
		}
		if err := r.fail(err); err != nil {
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

func (r *reader) policy(root *yaml.Node) (policy.Policy, error) {
	if err := noIndirection(root); err != nil {
		return policy.Policy{}, err
	}
	p, err := base(root)
	if err != nil {
		return policy.Policy{}, err
	}
	var t trusted
	err = r.mapping(root, "", []field{
		{"preset", func(*yaml.Node, string) error { return nil }}, // read by base
		{"enrol_level", func(n *yaml.Node, path string) error { return level(n, path, &p.Enrol) }},
		{"loosen", number(&p.Loosen)},
		{"levels", func(n *yaml.Node, path string) error { return r.levels(n, path, &p) }},
		{"kinds", func(n *yaml.Node, path string) error { return r.kinds(n, path, &p) }},
		{"classes", func(n *yaml.Node, path string) error { return r.classes(n, path, &p) }},
		{"plain", patterns(&p.Plain)},
		{"emergency", func(n *yaml.Node, path string) error { return r.emergency(n, path, &p) }},
		{"lease", func(n *yaml.Node, path string) error { return r.lease(n, path, &p.Lease) }},
		{"trust", func(n *yaml.Node, path string) error { t.begin(p); return r.trust(n, path, &t) }},
		{"ladder", func(n *yaml.Node, path string) error { t.begin(p); return r.ladder(n, path, t.rungs) }},
	})
	if t.named {
		p.SetTrust(t.params, t.rungs)
	}
	return p, err
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

// base returns the preset that the file names, wherever in the file it stands.
func base(root *yaml.Node) (policy.Policy, error) {
	if root.Kind != yaml.MappingNode {
		return policy.Policy{}, refuse(root, "", "a policy file is a mapping that names a preset")
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "preset" {
			continue
		}
		name, err := text(root.Content[i+1], "preset")
		if err != nil {
			return policy.Policy{}, err
		}
		p, err := policy.Preset(name)
		var f *policy.Fault
		if errors.As(err, &f) {
			return policy.Policy{}, refuse(root.Content[i+1], f.Path, "%s", f.Reason)
		}
		return p, err
	}
	return policy.Policy{}, refuse(root, "preset", "must be named: %s, %s or %s", policy.Solo, policy.Standard, policy.Strict)
}

func (r *reader) levels(n *yaml.Node, path string, p *policy.Policy) error {
	var fields []field
	for i := range p.Levels {
		fields = append(fields, field{identity.Level(i).String(), func(n *yaml.Node, path string) error {
			return r.level(n, path, &p.Levels[i])
		}})
	}
	return r.mapping(n, path, fields)
}

func (r *reader) level(n *yaml.Node, path string, l *policy.Level) error {
	return r.mapping(n, path, []field{
		{"call", patterns(&l.Rights.Call)},
		{"serve", patterns(&l.Rights.Serve)},
		{"publish", patterns(&l.Rights.Publish)},
		{"subscribe", patterns(&l.Rights.Subscribe)},
		{"rate_per_minute", number(&l.Rights.Rate)},
		{"max_payload_bytes", number(&l.Rights.MaxPayload)},
		{"propose", boolean(&l.Rights.Propose)},
		{"weight", number(&l.Rights.Weight)},
		{"alone", func(n *yaml.Node, path string) error { return alone(n, path, &l.Alone) }},
	})
}

func (r *reader) classes(n *yaml.Node, path string, p *policy.Policy) error {
	var fields []field
	for i := range p.Classes {
		fields = append(fields, field{consensus.Class(i).String(), func(n *yaml.Node, path string) error {
			return r.rule(n, path, &p.Classes[i])
		}})
	}
	return r.mapping(n, path, fields)
}

func (r *reader) rule(n *yaml.Node, path string, rule *consensus.Rule) error {
	return r.mapping(n, path, []field{
		{"approvals", number(&rule.Approvals)},
		{"people", number(&rule.People)},
		{"operators", number(&rule.Operators)},
		{"share_per_mille", number(&rule.Share)},
		{"own", boolean(&rule.Own)},
		{"deadline", duration(&rule.Deadline)},
		{"window", duration(&rule.Window)},
		{"families", number(&rule.Families)},
		{"operator_cap_per_mille", number(&rule.OperatorCap)},
		{"family_cap_per_mille", number(&rule.FamilyCap)},
		{"faults", number(&rule.Faults)},
		{"confidence_per_mille", number(&rule.Confidence)},
		{"stewards", number(&rule.Stewards)},
		{"commit", duration(&rule.Commit)},
	})
}

// emergency changes the preset's emergency rule; "none" takes it away. A solo realm's preset has none, and Check says so.
func (r *reader) emergency(n *yaml.Node, path string, p *policy.Policy) error {
	if s, err := text(n, path); err == nil && s == none {
		p.Emergency = nil
		return nil
	}
	var e policy.Emergency
	if p.Emergency != nil {
		e = *p.Emergency
	}
	p.Emergency = &e
	return r.mapping(n, path, []field{
		{"kinds", patterns(&e.Kinds)},
		{"people", number(&e.People)},
		{"deadline", duration(&e.Deadline)},
		{"window", duration(&e.Window)},
		{"review", duration(&e.Review)},
	})
}

// What a node does when its lease has ended.
const (
	endsStopped    = "stop"
	endsRestricted = "restrict"
)

func (r *reader) lease(n *yaml.Node, path string, l *policy.Lease) error {
	length := l.Millis()
	err := r.mapping(n, path, []field{
		{"length", duration(&length)},
		{"end", func(n *yaml.Node, path string) error {
			s, err := text(n, path)
			if err != nil || (s != endsStopped && s != endsRestricted) {
				return refuse(n, path, "must be %s or %s", endsStopped, endsRestricted)
			}
			l.Restrict = s == endsRestricted
			return nil
		}},
	})
	if err == nil {
		err = l.Set(length)
	}
	return err
}

func text(n *yaml.Node, path string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", refuse(n, path, "must be a text")
	}
	return n.Value, nil
}

// number reads a whole number in plain decimal digits.
func number(to *uint64) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		v, err := strconv.ParseUint(n.Value, 10, 63)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || strconv.FormatUint(v, 10) != n.Value {
			return refuse(n, path, "must be a whole number in decimal digits, from 0")
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

// duration reads "15m", "1h30m" or "45d" as milliseconds.
func duration(to *int64) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		d, err := spanOf(n.Value)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || err != nil || d%time.Millisecond != 0 {
			return refuse(n, path, "must be a time such as 30s, 15m, 4h or 45d, in whole milliseconds")
		}
		*to = d.Milliseconds()
		return nil
	}
}

func patterns(to *[]string) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
			return refuse(n, path, "must be a list of patterns")
		}
		var list []string
		for _, item := range n.Content {
			var p string
			if err := pattern(item, path, &p); err != nil {
				return err
			}
			if slices.Contains(list, p) {
				return refuse(item, path, "%q stands there twice", p)
			}
			list = append(list, p)
		}
		slices.Sort(list)
		*to = list
		return nil
	}
}

func pattern(n *yaml.Node, path string, to *string) error {
	s, err := text(n, path)
	if err != nil {
		return err
	}
	if identity.CheckCapabilities([]string{s}) != nil {
		return refuse(n, path, "%.64q is not a pattern: words of a-z, 0-9, _ and - joined by dots, or those and .*, or *", s)
	}
	*to = s
	return nil
}

func level(n *yaml.Node, path string, to *identity.Level) error {
	s, err := text(n, path)
	if err != nil {
		return err
	}
	l, err := identity.ParseLevel(s)
	if err != nil || l.String() != s {
		return refuse(n, path, "must be L0 to L5")
	}
	*to = l
	return nil
}

func class(n *yaml.Node, path string, to *consensus.Class) error {
	s, err := text(n, path)
	if err != nil {
		return err
	}
	c, err := consensus.ParseClass(s)
	if err != nil || c.String() != s {
		return refuse(n, path, "must be R0 to R3")
	}
	*to = c
	return nil
}

// none stands for no class and for no emergency.
const none = "none"

// alone reads the highest class that a level decides alone.
func alone(n *yaml.Node, path string, to *uint64) error {
	if s, err := text(n, path); err == nil && s == none {
		*to = 0
		return nil
	}
	var c consensus.Class
	if err := class(n, path, &c); err != nil || c >= consensus.R3 {
		return refuse(n, path, "must be none, R0, R1 or R2: no level decides R3 alone")
	}
	*to = uint64(c) + 1
	return nil
}
