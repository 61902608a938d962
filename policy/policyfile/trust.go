package policyfile

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// trusted is what a file says of trust: the preset's, where it says nothing.
type trusted struct {
	params trust.Params
	rungs  []trust.Rung
	named  bool // the file says something
}

func (t *trusted) begin(p policy.Policy) {
	if !t.named {
		*t = trusted{params: p.Params(), rungs: p.Ladder(), named: true}
	}
}

func (r *reader) trust(n *yaml.Node, path string, t *trusted) error {
	p := &t.params
	return r.mapping(n, path, []field{
		{"half_life", func(n *yaml.Node, path string) error { return r.halfLife(n, path, &p.HalfLife) }},
		{"prior", units(&p.Prior)},
		{"gamma_per_mille", number(&p.Gamma)},
		{"daily", units(&p.Daily)},
		{"from_one_operator", units(&p.FromOne)},
		{"ratings_of_one_operator", units(&p.Rated)},
		{"allowance", units(&p.Allowance)},
		{"severities", severities(&p.Severities)},
		{"alarm_per_mille", number(&p.Alarm)},
		{"blame", number(&p.Blame)},
		{"vote", units(&p.Vote)},
		{"sudden_per_mille", number(&p.Sudden)},
		{"grace", duration(&p.Grace)},
		{"dwell", duration(&p.Dwell)},
		{"longest_dwell", duration(&p.Longest)},
		{"suspect_per_mille", number(&p.Suspect)},
	})
}

func (r *reader) halfLife(n *yaml.Node, path string, h *trust.HalfLives) error {
	return r.mapping(n, path, []field{
		{"slow", duration(&h.Slow)},
		{"fast", duration(&h.Fast)},
		{"violation", duration(&h.Violation)},
		{"recidivism", duration(&h.Recidivism)},
		{"suspicion", duration(&h.Suspicion)},
		{"debt", duration(&h.Debt)},
	})
}

func (r *reader) ladder(n *yaml.Node, path string, rungs []trust.Rung) error {
	var fields []field
	for i := range rungs {
		fields = append(fields, field{identity.Level(i + 1).String(), func(n *yaml.Node, path string) error {
			return r.rung(n, path, &rungs[i])
		}})
	}
	return r.mapping(n, path, fields)
}

func (r *reader) rung(n *yaml.Node, path string, g *trust.Rung) error {
	return r.mapping(n, path, []field{
		{"class", func(n *yaml.Node, path string) error {
			var c consensus.Class
			err := class(n, path, &c)
			g.Class = uint64(c)
			return err
		}},
		{"score_per_mille", number(&g.Score)},
		{"held", duration(&g.Held)},
		{"floor_per_mille", number(&g.Floor)},
		{"tenure", duration(&g.Tenure)},
		{"outcomes", number(&g.Outcomes)},
		{"in_class", number(&g.InClass)},
		{"operators", number(&g.Operators)},
		{"votes", number(&g.Votes)},
		{"clean_of_severity", number(&g.Clean)},
		{"clean_for", duration(&g.CleanFor)},
		{"people", number(&g.People)},
		{"foreign", number(&g.Foreign)},
		{"lease", duration(&g.Lease)},
	})
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,6}))?$`)

// units reads a decimal number such as 8 or 0.25 as micro-units, exactly.
func units(to *trust.Micro) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		parts := decimal.FindStringSubmatch(n.Value)
		if n.Kind != yaml.ScalarNode || (n.ShortTag() != "!!int" && n.ShortTag() != "!!float") || parts == nil {
			return refuse(n, path, "must be an amount such as 8 or 0.25, with at most 6 decimals")
		}
		micros, err := strconv.ParseInt(parts[1]+(parts[2] + "000000")[:6], 10, 64)
		if err != nil {
			return refuse(n, path, "must be an amount such as 8 or 0.25: %v", err)
		}
		*to = trust.Micro(micros)
		return nil
	}
}

func severities(to *[4]trust.Micro) func(*yaml.Node, string) error {
	return func(n *yaml.Node, path string) error {
		if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" || len(n.Content) != len(to) {
			return refuse(n, path, "must be a list of 4 amounts, of severity 1 to 4")
		}
		for i, item := range n.Content {
			if err := units(&to[i])(item, path); err != nil {
				return err
			}
		}
		return nil
	}
}

const dayLength = 24 * time.Hour

// spanOf reads "45d", "1d12h", "15m" or "1h30m". A day has 24 hours and stands first.
func spanOf(s string) (time.Duration, error) {
	days, rest, has := strings.Cut(s, "d")
	if !has {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil || n < 0 || days[0] == '+' || n > int64(math.MaxInt64/dayLength)/2 {
		return 0, fmt.Errorf("days: %.32q", s)
	}
	d := time.Duration(n) * dayLength
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more >= dayLength {
		return 0, fmt.Errorf("after the days: %.32q", s)
	}
	return d + more, nil
}

// days writes milliseconds as span does, whole days as such.
func days(ms int64) string {
	if d := dayLength.Milliseconds(); ms != 0 && ms%d == 0 {
		return strconv.FormatInt(ms/d, 10) + "d"
	}
	return span(ms)
}

// amount writes micro-units as a decimal number.
func amount(m trust.Micro) string {
	whole, rest := m/trust.Unit, m%trust.Unit
	if rest == 0 {
		return strconv.FormatInt(int64(whole), 10)
	}
	return fmt.Sprintf("%d.%s", whole, strings.TrimRight(fmt.Sprintf("%06d", rest), "0"))
}

const aboutTrust = `
# How evidence about an agent becomes its scores, from 0 to 1000 per class. An amount of 1 is one attested outcome at
# full weight. What came earlier counts as it was counted then; it decays by the new times from now on.
#   half_life                times in which evidence halves: slow (outcomes, endorsements, budgets), fast (the last
#                            days), violation, recidivism (earlier ones, which make the next weigh more),
#                            suspicion, debt (an operator's, for what its agents did)
#   prior                    what is not known of an agent weighs as much as this much evidence
#   gamma_per_mille          what weight an agent receives lets it give to others in turn, below 1000
#   daily                    what all outcomes of one day weigh together at most
#   from_one_operator        of that, what one operator and its agents attest at most
#   ratings_of_one_operator  what the ratings by one operator's agents weigh at most
#   allowance                what one person may endorse and rate in a day
#   severities               what a violation of severity 1, 2, 3 and 4 weighs
#   alarm_per_mille          suspicion that one detector can raise at most
#   blame                    how many successes one failure weighs, 1 to 10
#   vote                     what one settled vote weighs at most
#   sudden_per_mille         a fast score below this costs a level at once
#   grace                    how long a score may be below its level's floor before that costs the level
#   dwell, longest_dwell     how long after a fall there is no rise, doubled by each further fall, up to the longest
#   suspect_per_mille        an agent with more suspicion neither votes nor rises
trust:
`

func writeTrust(b *strings.Builder, p trust.Params) {
	b.WriteString(aboutTrust)
	h := p.HalfLife
	fmt.Fprintf(b, "  half_life:\n    slow: %s\n    fast: %s\n    violation: %s\n    recidivism: %s\n    suspicion: %s\n    debt: %s\n",
		days(h.Slow), days(h.Fast), days(h.Violation), days(h.Recidivism), days(h.Suspicion), days(h.Debt))
	fmt.Fprintf(b, "  prior: %s\n  gamma_per_mille: %d\n  daily: %s\n  from_one_operator: %s\n  ratings_of_one_operator: %s\n",
		amount(p.Prior), p.Gamma, amount(p.Daily), amount(p.FromOne), amount(p.Rated))
	s := p.Severities
	fmt.Fprintf(b, "  allowance: %s\n  severities: [%s, %s, %s, %s]\n",
		amount(p.Allowance), amount(s[0]), amount(s[1]), amount(s[2]), amount(s[3]))
	fmt.Fprintf(b, "  alarm_per_mille: %d\n  blame: %d\n  vote: %s\n  sudden_per_mille: %d\n", p.Alarm, p.Blame, amount(p.Vote), p.Sudden)
	fmt.Fprintf(b, "  grace: %s\n  dwell: %s\n  longest_dwell: %s\n  suspect_per_mille: %d\n",
		days(p.Grace), days(p.Dwell), days(p.Longest), p.Suspect)
}

const aboutLadder = `
# What it takes to come to a level, and to stay there. A token or a command of the operators may appoint an agent to a
# level as well. No rung may ask for less than the one below it.
#   class              the risk class whose score counts
#   score_per_mille    that score at least, to come, and held for so long
#   floor_per_mille    below it for longer than trust's grace, the level is lost
#   tenure             time on the level below
#   outcomes           right ones, attested there; in_class: of these, of the class or above
#   operators          how many other operators attested them, at most 4
#   votes              settled ones, ever
#   clean_of_severity  no violation of this severity or above for clean_for; 0: whatever
#   people, foreign    operators that sign off; of these, other than the agent's own
#   lease              after it the level is lost unless people sign off anew; 0s: no end
ladder:
`

func writeLadder(b *strings.Builder, rungs []trust.Rung) {
	b.WriteString(aboutLadder)
	for i, g := range rungs {
		level := identity.Level(i + 1)
		fmt.Fprintf(b, "  %s: # %s\n    class: %s\n    score_per_mille: %d\n    held: %s\n    floor_per_mille: %d\n    tenure: %s\n",
			level, level.Word(), consensus.Class(g.Class), g.Score, days(g.Held), g.Floor, days(g.Tenure))
		fmt.Fprintf(b, "    outcomes: %d\n    in_class: %d\n    operators: %d\n    votes: %d\n", g.Outcomes, g.InClass, g.Operators, g.Votes)
		fmt.Fprintf(b, "    clean_of_severity: %d\n    clean_for: %s\n    people: %d\n    foreign: %d\n    lease: %s\n",
			g.Clean, days(g.CleanFor), g.People, g.Foreign, days(g.Lease))
	}
}
