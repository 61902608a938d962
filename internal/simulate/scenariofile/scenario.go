package scenariofile

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/simulate"
)

// What holds where a scenario says nothing.
const (
	defaultPeople    = 5
	defaultEvents    = 20
	defaultThreshold = 700
	defaultAlarm     = 1000
	defaultCheat     = 2
	defaultOffend    = 90
)

func (r *reader) scenario(root *yaml.Node) (simulate.Scenario, error) {
	s := simulate.Scenario{People: defaultPeople}
	if err := noIndirection(root); err != nil {
		return s, err
	}
	var seed int64
	err := r.mapping(root, "", []field{
		{"name", text(&s.Name)},
		{"about", text(&s.About)},
		{"seed", whole(&seed)},
		{"days", whole(&s.Days)},
		{"people", whole(&s.People)},
		{"populations", func(n *yaml.Node, path string) error {
			return r.list(n, path, func(n *yaml.Node, path string) error { return r.population(n, path, &s) })
		}},
		{"expect", func(n *yaml.Node, path string) error {
			return r.list(n, path, func(n *yaml.Node, path string) error { return r.expectation(n, path, &s) })
		}},
	})
	switch {
	case err != nil:
		return s, err
	case r.lines["seed"] == 0:
		return s, refuse(root, "seed", "must be named: the same seed gives the same result")
	case seed < 0:
		return s, &refusal{r.lines["seed"], "seed", "must be 0 or more"}
	}
	s.Seed = uint64(seed)
	return s, nil
}

// uses says which keys populations of a kind have besides those that all have.
var uses = map[simulate.Kind][]string{
	simulate.Honest:      nil,
	simulate.Oscillator:  {"offence"},
	simulate.Imbalance:   {"offence", "cheat"},
	simulate.Whitewasher: {"offence", "offend", "spare"},
	simulate.Clique:      {"ratings", "attests", "attack", "until"},
	simulate.Sybils:      {"ratings", "attests", "attack", "until", "against", "praise"},
	simulate.Slanderers:  {"ratings", "attests", "attack", "until", "against"},
	simulate.Detector:    {"alarms", "alarm", "attack", "until", "against"},
}

func (r *reader) population(n *yaml.Node, path string, s *simulate.Scenario) error {
	p := simulate.Population{
		Agents: 1, Level: identity.Observer, Class: 1, Events: defaultEvents, SignOff: true, Threshold: defaultThreshold,
		Cheat: defaultCheat, Alarm: defaultAlarm, Until: s.Days,
	}
	kind := ""
	fields := []field{
		{"name", text(&p.Name)},
		{"kind", text(&kind)},
		{"agents", whole(&p.Agents)},
		{"operators", whole(&p.Operators)},
		{"level", level(&p.Level)},
		{"from", whole(&p.From)},
		{"class", whole(&p.Class)},
		{"events", whole(&p.Events)},
		{"failures", whole(&p.Failures)},
		{"votes", whole(&p.Votes)},
		{"endorsed", whole(&p.Endorsed)},
		{"attesters", text(&p.Attesters)},
		{"sign_off", boolean(&p.SignOff)},
		{"threshold", whole(&p.Threshold)},
	}
	all := len(fields)
	fields = append(fields, []field{
		{"offence", whole(&p.Offence)},
		{"cheat", whole(&p.Cheat)},
		{"offend", whole(&p.Offend)},
		{"spare", boolean(&p.Spare)},
		{"attack", whole(&p.Attack)},
		{"until", whole(&p.Until)},
		{"against", text(&p.Against)},
		{"praise", text(&p.Praise)},
		{"ratings", whole(&p.Ratings)},
		{"attests", boolean(&p.Attests)},
		{"alarms", whole(&p.Alarms)},
		{"alarm", whole(&p.Alarm)},
	}...)
	if r.lines["days"] == 0 {
		return refuse(n, path, "days must stand before the populations")
	}
	if err := r.mapping(n, path, fields); err != nil {
		return err
	}
	p.Kind = simulate.Kind(kind)
	for _, f := range fields[all:] {
		if line := r.lines[path+"."+f.name]; line != 0 && !slices.Contains(uses[p.Kind], f.name) {
			return &refusal{line, path + "." + f.name, "means nothing for the kind " + kind}
		}
	}
	r.complete(&p, path)
	s.Populations = append(s.Populations, p)
	return nil
}

// complete sets what follows from other fields where the file does not name it.
func (r *reader) complete(p *simulate.Population, path string) {
	named := func(name string) bool { return r.lines[path+"."+name] != 0 }
	if !named("operators") {
		p.Operators = p.Agents
	}
	if !named("attack") {
		p.Attack = p.From
	}
	switch {
	case named("offend"):
	case p.Kind == simulate.Whitewasher:
		p.Offend = p.From + defaultOffend
	default:
		p.Offend = p.From
	}
	attacks := slices.Contains(uses[p.Kind], "attack")
	if attacks && !named("events") {
		p.Events = 0
	}
	if slices.Contains(uses[p.Kind], "ratings") && !named("ratings") {
		p.Ratings = 1
	}
	if p.Kind == simulate.Detector && !named("alarms") {
		p.Alarms = 24
	}
}

func (r *reader) expectation(n *yaml.Node, path string, s *simulate.Scenario) error {
	e := simulate.Expectation{Rule: "trust"}
	var least, most int64
	err := r.mapping(n, path, []field{
		{"of", text(&e.Of)},
		{"measure", text(&e.Measure)},
		{"rule", text(&e.Rule)},
		{"level", level(&e.Level)},
		{"at_least", whole(&least)},
		{"at_most", whole(&most)},
		{"order", func(n *yaml.Node, path string) error {
			return r.list(n, path, func(n *yaml.Node, path string) error {
				var name string
				err := text(&name)(n, path)
				e.Order = append(e.Order, name)
				return err
			})
		}},
	})
	if r.lines[path+".at_least"] != 0 {
		e.AtLeast = &least
	}
	if r.lines[path+".at_most"] != 0 {
		e.AtMost = &most
	}
	s.Expect = append(s.Expect, e)
	return err
}
