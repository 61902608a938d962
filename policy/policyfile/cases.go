package policyfile

import (
	_ "embed" // the default table
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// DefaultCases is a table for [ParseCases] that every preset passes, with comments.
//
//go:embed cases.yaml
var DefaultCases string

// MaxCases bounds a table.
const MaxCases = 10_000

// Case is one row of a table that says what a policy must make of an action.
type Case struct {
	Name    string
	Line    int // of the file
	Request policy.Request
	Person  bool            // proposed by a person; otherwise by an agent of Request.Level
	Sum     uint64          // what is summed up, the action's own amount included
	Least   consensus.Class // that the proposer asks for
	Want    Want
}

// Want is what a row expects. What is nil is not looked at.
type Want struct {
	Class             *consensus.Class
	Allow, Alone      *bool
	Approvals, People *uint64
	Rule              *string // in the words of [consensus.Rule]
}

// Ruling is what a policy makes of a case.
type Ruling struct {
	Class consensus.Class // R3 where it is refused
	Rule  consensus.Rule
	Alone bool   // decided by the proposer alone
	Allow bool   // it may be proposed
	Why   string // it may not
}

// Try returns what the policy makes of a case, and the gate after it, if there is one.
func (c Case) Try(p policy.Policy, gate policy.Gate) Ruling {
	class, err := p.Classify(c.Request.Action, c.Least, c.Sum)
	r := Ruling{Class: class, Rule: p.Rule(class), Allow: true}
	refuse := func(why string) Ruling { return Ruling{Class: consensus.R3, Rule: p.Rule(consensus.R3), Why: why} }
	asked := c.Request
	asked.Class = class
	switch {
	case err != nil:
		return refuse(err.Error())
	case !c.Person && !p.Rights(asked.Level).Propose:
		return refuse(asked.Level.String() + " may not propose")
	case asked.Emergency && !p.Urgent(asked.Action):
		return refuse("no emergency is about this kind")
	case asked.Emergency:
		r.Rule = p.Emergency.Rule()
	}
	if gate != nil {
		if err := policy.Admit(gate, asked, c.Least); err != nil {
			return refuse(strings.TrimSuffix(err.Error()+"; "+fault.HintOf(err), "; "))
		}
	}
	r.Alone = !c.Person && !asked.Emergency && p.Alone(asked.Level, class)
	return r
}

// Differs says in words how the ruling is not what the row expects; empty if it is.
func (r Ruling) Differs(w Want) string {
	var out []string
	differ := func(differs bool, format string, args ...any) {
		if differs {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if w.Allow != nil && *w.Allow != r.Allow {
		differ(true, "allow is %t, not %t", r.Allow, *w.Allow)
		differ(r.Why != "", "%s", r.Why)
	}
	differ(w.Class != nil && *w.Class != r.Class, "class is %s, not %s", r.Class, deref(w.Class))
	differ(w.Alone != nil && *w.Alone != r.Alone, "alone is %t, not %t", r.Alone, deref(w.Alone))
	differ(w.Approvals != nil && *w.Approvals != r.Rule.Approvals, "approvals is %d, not %d", r.Rule.Approvals, deref(w.Approvals))
	differ(w.People != nil && *w.People != r.Rule.People, "people is %d, not %d", r.Rule.People, deref(w.People))
	differ(w.Rule != nil && *w.Rule != r.Rule.String(), "rule is %q, not %q", r.Rule, deref(w.Rule))
	return strings.Join(out, "; ")
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// ParseCases reads a table's text; name is the file's name in refusals. Error: [*Refusal].
func ParseCases(name string, text []byte) ([]Case, error) {
	root, err := document(text)
	if err != nil {
		return nil, &Refusal{File: name, Reason: err.Error()}
	}
	r := reader{lines: make(map[string]int)}
	if err := noIndirection(root); err != nil {
		return nil, r.locate(name, err)
	}
	var all []Case
	err = r.mapping(root, "", []field{{"cases", func(n *yaml.Node, path string) error {
		return r.sequence(n, path, "cases", func(item *yaml.Node, at string) error {
			c, err := r.testCase(item, at)
			all = append(all, c)
			return err
		})
	}}})
	switch {
	case err != nil:
		return nil, r.locate(name, err)
	case len(all) == 0 || len(all) > MaxCases:
		return nil, &Refusal{File: name, Line: root.Line, Path: "cases", Reason: fmt.Sprintf("must be 1 to %d", MaxCases)}
	}
	return all, nil
}

func (r *reader) sequence(n *yaml.Node, path, of string, each func(*yaml.Node, string) error) error {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		return refuse(n, path, "must be a list of %s", of)
	}
	for i, item := range n.Content {
		if err := each(item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) testCase(n *yaml.Node, path string) (Case, error) {
	c := Case{Line: n.Line}
	a := &c.Request.Action
	err := r.mapping(n, path, []field{
		{"name", words(&c.Name)},
		{"by", func(n *yaml.Node, path string) error { return proposer(n, path, &c) }},
		{"proposer", words(&c.Request.Name)},
		{"score", perMille(&c.Request.Score)},
		{"kind", words(&a.Kind)},
		{"target", words(&a.Target)},
		{"params", func(n *yaml.Node, path string) error { return r.params(n, path, a) }},
		{"amount", number(&a.Amount)},
		{"sum", number(&c.Sum)},
		{"least", func(n *yaml.Node, path string) error { return class(n, path, &c.Least) }},
		{"emergency", boolean(&c.Request.Emergency)},
		{"want", func(n *yaml.Node, path string) error { return r.want(n, path, &c.Want) }},
	})
	if err != nil {
		return c, err
	}
	if r.lines[path+".sum"] == 0 {
		c.Sum = max(a.Amount, 1)
	}
	for _, required := range []string{"name", "by", "kind", "want"} {
		if r.lines[path+"."+required] == 0 {
			return c, refuse(n, path, "must have a name, by, a kind and what it wants")
		}
	}
	if err := a.Check(); err != nil {
		return c, refuse(n, path, "%v", err)
	}
	return c, nil
}

func proposer(n *yaml.Node, path string, c *Case) error {
	if s, err := text(n, path); err == nil && s == "person" {
		c.Person = true
		return nil
	}
	if level(n, path, &c.Request.Level) != nil {
		return refuse(n, path, "must be person, or an agent's level: L0 to L5")
	}
	return nil
}

func perMille(to **uint64) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		var v uint64
		if err := number(&v)(n, path); err != nil || v > 1000 {
			return refuse(n, path, "must be a whole number, 0 to 1000")
		}
		*to = &v
		return nil
	}
}

// params reads a mapping of names to texts or lists of texts.
func (r *reader) params(n *yaml.Node, path string, a *consensus.Action) error {
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		return refuse(n, path, "must be a mapping of names to texts or lists of texts")
	}
	all := make(map[string][]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, err := text(key, path)
		if err != nil {
			return err
		}
		if _, twice := all[name]; twice {
			return refuse(key, path, "%.64q stands there twice", name)
		}
		items := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			items = value.Content
		}
		all[name] = nil
		for _, item := range items {
			s, err := text(item, path+"."+name)
			if err != nil {
				return err
			}
			all[name] = append(all[name], s)
		}
	}
	a.Params = consensus.NewAction(a.Kind, "", all).Params
	return nil
}

func (r *reader) want(n *yaml.Node, path string, w *Want) error {
	err := r.mapping(n, path, []field{
		{"class", wanted(&w.Class, func(to *consensus.Class) func(*yaml.Node, string) error {
			return func(n *yaml.Node, path string) error { return class(n, path, to) }
		})},
		{"allow", wanted(&w.Allow, boolean)},
		{"alone", wanted(&w.Alone, boolean)},
		{"approvals", wanted(&w.Approvals, number)},
		{"people", wanted(&w.People, number)},
		{"rule", wanted(&w.Rule, words)},
	})
	if err == nil && *w == (Want{}) {
		return refuse(n, path, "must expect something")
	}
	return err
}

func wanted[T any](to **T, read func(*T) func(*yaml.Node, string) error) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		*to = new(T)
		return read(*to)(n, path)
	}
}
