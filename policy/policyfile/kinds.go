package policyfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// kinds replaces the preset's list.
func (r *reader) kinds(n *yaml.Node, path string, p *policy.Policy) error {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return refuse(n, path, "must be a list of {match, class} or {match, deny: true}")
	}
	p.Kinds = nil
	for i, item := range n.Content {
		k, err := r.kind(item, fmt.Sprintf("%s[%d]", path, i))
		at := path + "." + k.Pattern
		if err == nil && r.lines[at] != 0 {
			err = refuse(item, at, "stands on line %d already", r.lines[at])
		}
		switch stop := r.fail(err); {
		case stop != nil:
			return stop
		case err != nil || k.Pattern == "": // noted
			continue
		}
		r.lines[at] = item.Line
		for _, sum := range []string{"window", "steps", "when"} {
			r.lines[at+"/"+sum] = r.lines[fmt.Sprintf("%s[%d].%s", path, i, sum)]
		}
		for w := range k.When {
			r.lines[fmt.Sprintf("%s/when[%d]", at, w)] = r.lines[fmt.Sprintf("%s[%d].when[%d]", path, i, w)]
		}
		p.Kinds = append(p.Kinds, k)
	}
	slices.SortFunc(p.Kinds, func(a, b policy.Kind) int { return strings.Compare(a.Pattern, b.Pattern) })
	return nil
}

func (r *reader) kind(n *yaml.Node, path string) (policy.Kind, error) {
	k := policy.Kind{Class: consensus.R3}
	err := r.mapping(n, path, []field{
		{"match", func(n *yaml.Node, path string) error { return pattern(n, path, &k.Pattern) }},
		{"class", func(n *yaml.Node, path string) error { return class(n, path, &k.Class) }},
		{"deny", boolean(&k.Deny)},
		{"window", duration(&k.Window)},
		{"steps", func(n *yaml.Node, path string) error { return r.steps(n, path, &k) }},
		{"when", func(n *yaml.Node, path string) error { return r.when(n, path, &k) }},
	})
	switch {
	case err != nil:
		return k, err
	case r.lines[path+".match"] == 0:
		return k, refuse(n, path, "must have a match")
	case k.Deny == (r.lines[path+".class"] != 0):
		return k, refuse(n, path, "must have either a class or deny: true")
	}
	return k, nil
}

func (r *reader) steps(n *yaml.Node, path string, k *policy.Kind) error {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return refuse(n, path, "must be a list of {above, class}")
	}
	for i, item := range n.Content {
		var s policy.Step
		at := fmt.Sprintf("%s[%d]", path, i)
		err := r.mapping(item, at, []field{
			{"above", number(&s.Above)},
			{"class", func(n *yaml.Node, path string) error { return class(n, path, &s.Class) }},
		})
		switch {
		case err != nil:
			return err
		case r.lines[at+".above"] == 0 || r.lines[at+".class"] == 0:
			return refuse(item, at, "must have both above and class")
		}
		k.Steps = append(k.Steps, s)
	}
	return nil
}

func (r *reader) when(n *yaml.Node, path string, k *policy.Kind) error {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return refuse(n, path, "must be a list of {target, param and value, above, class or deny: true}")
	}
	for i, item := range n.Content {
		var w policy.When
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = item.Line
		err := r.mapping(item, at, []field{
			{"target", words(&w.Target)},
			{"param", words(&w.Param)},
			{"value", words(&w.Value)},
			{"above", number(&w.Above)},
			{"not", boolean(&w.Not)},
			{"class", func(n *yaml.Node, path string) error { return class(n, path, &w.Class) }},
			{"deny", boolean(&w.Deny)},
		})
		switch {
		case err != nil:
			return err
		case w.Deny == (r.lines[at+".class"] != 0):
			return refuse(item, at, "must have either a class or deny: true")
		case r.lines[at+".above"] != 0 && w.Above == 0:
			return refuse(item, at+".above", "must be at least 1")
		case w.Deny:
			w.Class = consensus.R3
		}
		k.When = append(k.When, w)
	}
	return nil
}

// words reads a text that is not empty.
func words(to *string) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		s, err := text(n, path)
		if err != nil {
			return err
		}
		if s == "" {
			return refuse(n, path, "must not be empty; \"*\" is any")
		}
		*to = s
		return nil
	}
}

func writeWhen(b *strings.Builder, k policy.Kind) {
	if len(k.When) == 0 {
		return
	}
	b.WriteString("    when:\n")
	for _, w := range k.When {
		var parts []string
		add := func(name, value string) { parts = append(parts, name+": "+value) }
		if w.Target != "" {
			add("target", strconv.Quote(w.Target))
		}
		if w.Param != "" {
			add("param", strconv.Quote(w.Param))
			add("value", strconv.Quote(w.Value))
		}
		if w.Above > 0 {
			add("above", strconv.FormatUint(w.Above, 10))
		}
		if w.Not {
			add("not", "true")
		}
		if w.Deny {
			add("deny", "true")
		} else {
			add("class", w.Class.String())
		}
		fmt.Fprintf(b, "      - {%s}\n", strings.Join(parts, ", "))
	}
}
