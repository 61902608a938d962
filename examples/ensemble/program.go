package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/examples/ensemble/checks"
	"github.com/seed-3e86d5b2/conclave/examples/staff"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// rule is what each action needs: three checkers of three makes, which commit before they reveal, and a confidence of all of 0.8.
var rule = consensus.Rule{
	Approvals: 3, Families: 3, Confidence: 800, Own: true,
	Commit: time.Minute.Milliseconds(), Deadline: (15 * time.Minute).Milliseconds(), Window: (5 * time.Minute).Milliseconds(),
}

// program is one run.
type program struct {
	person *sdk.Agent
	opts   []sdk.Option // to connect the checkers by
	state  string       // folder in which they keep their sealed ballots
	out    io.Writer

	checkers []checks.Checker
	team     *staff.Team
	results  []result
	worth    []uint64 // of the checkers' words in the end: their calibrations
}

// result is what became of one action.
type result struct {
	labelled
	opinions   []checks.Opinion // of the checkers, in their order
	approved   bool
	confidence uint64 // per mille
	left       bool   // to a person, who said no
	ran        bool
}

// right reports whether the decision was.
func (r result) right() bool { return r.approved == r.good }

// run has all actions decided, one after the other, each settled before the next.
func (p *program) run(ctx context.Context, list []labelled) (err error) {
	p.checkers = checks.All()
	var roles []staff.Role
	for _, c := range p.checkers {
		roles = append(roles, staff.Role{Name: c.Name, Family: c.Name, StateDir: filepath.Join(p.state, c.Name)})
	}
	if p.team, err = staff.Hire(ctx, p.person, staff.Role{Name: "actor", Apart: true}, roles, p.opts...); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.team.Dismiss(ctx)) }()
	if err := p.team.Govern(ctx, govern); err != nil {
		return err
	}
	for _, one := range list {
		r, err := p.decide(ctx, one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		p.results = append(p.results, r)
		p.show(r)
	}
	p.worth, err = p.calibrations(ctx)
	return err
}

// govern puts all kinds of the data under the rule.
func govern(rules *policy.Policy) {
	for _, kind := range []string{"db.migrate", "deploy.release", "file.write", "payments.transfer"} {
		rules.Kinds = slices.DeleteFunc(rules.Kinds, func(k policy.Kind) bool { return k.Pattern == kind })
		rules.Kinds = append(rules.Kinds, policy.Kind{Pattern: kind, Class: consensus.R2})
	}
	slices.SortFunc(rules.Kinds, func(a, b policy.Kind) int { return cmp.Compare(a.Pattern, b.Pattern) })
	person := rule
	person.People, person.Approvals = 1, rule.Approvals+1
	rules.Classes[consensus.R2], rules.Classes[consensus.R3] = rule, person
}

// decide has one action decided, done if it was approved, and settled by what its label says.
func (p *program) decide(ctx context.Context, one labelled) (result, error) {
	r := result{labelled: one}
	d, err := p.team.Proposer.Propose(ctx, sdk.Proposal{Action: one.action})
	if err != nil {
		return r, err
	}
	if r.opinions, err = p.vote(ctx, d.ID(), one.action); err != nil {
		return r, err
	}
	v, err := p.person.Ballots().View(ctx, d.ID().String())
	if err == nil && v.State == consensus.Open.String() { // not sure enough, and people could still help: they say no here
		r.left = true
		if err = cast(ctx, p.person, d.ID(), ballot.Reject("my checkers are not sure enough")); err == nil {
			v, err = p.person.Ballots().View(ctx, d.ID().String())
		}
	}
	if err != nil {
		return r, err
	}
	r.approved, r.confidence = v.State == consensus.Approved.String(), v.Confidence
	if r.approved {
		err := p.team.Proposer.Execute(ctx, d, one.action, func(context.Context) error {
			r.ran = true // a real one would do it here
			return nil
		})
		if err != nil {
			return r, err
		}
	}
	for _, c := range p.checkers {
		if c.Learn != nil {
			c.Learn(one.action, one.good)
		}
	}
	return r, p.team.Owner.Settle(ctx, d.ID(), one.good, one.why) // who has not voted
}

// vote has everybody vote. Each checker commits and leaves. Once enough have committed to meet the rule, ballots may be revealed:
// who commits from then on reveals at once, and the others when they come back, in order. So it is the same in each run which ballots
// come before the decision has ended; what comes later is not counted, and not scored.
func (p *program) vote(ctx context.Context, id sdk.Digest, a sdk.Action) ([]checks.Opinion, error) {
	if err := cast(ctx, p.team.Operator, id, ballot.Recuse("my agents decide")); err != nil {
		return nil, err
	}
	var opinions []checks.Opinion
	last := len(p.checkers) - 1
	for i, c := range p.checkers {
		o := c.Judge(a)
		opinions = append(opinions, o)
		vote := ballot.Reject(o.Reason)
		if o.Approve {
			vote = ballot.Approve(o.Reason)
		}
		err := cast(ctx, p.team.Voters[i], id, vote.Confident(o.Sure))
		if err != nil && sdk.CodeOf(err) != code.Spent { // spent: those before it have rejected it already
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		if i < last {
			if err := p.team.Leave(ctx, i); err != nil {
				return nil, err
			}
		}
	}
	for i := range p.checkers {
		if i < last {
			if err := p.team.Join(ctx, i); err != nil {
				return nil, err
			}
		}
		if err := p.team.Voters[i].Ballots().Reveal(ctx, id); err != nil {
			return nil, fmt.Errorf("%s: %w", p.checkers[i].Name, err)
		}
	}
	return opinions, nil
}

func cast(ctx context.Context, voter *sdk.Agent, id sdk.Digest, vote ballot.Vote) error {
	v, err := voter.Ballots().View(ctx, id.String())
	if err == nil {
		_, err = voter.Ballots().Vote(ctx, v, vote)
	}
	return err
}

// calibrations asks what the checkers' words are worth now.
func (p *program) calibrations(ctx context.Context) ([]uint64, error) {
	members, err := p.person.Admin().Members(ctx)
	if err != nil {
		return nil, err
	}
	var worth []uint64
	for _, a := range p.team.Voters {
		i := slices.IndexFunc(members, func(m admin.Member) bool { return m.ID == a.ID() })
		if i < 0 {
			return nil, fmt.Errorf("ensemble: %s is no member", a.ID())
		}
		worth = append(worth, members[i].Calibration)
	}
	return worth, nil
}

// show prints one action's line.
func (p *program) show(r result) {
	verdict, found := "rejected", []string{}
	if r.approved {
		verdict = "approved"
	}
	if r.left {
		verdict = "left to a person"
	} else if !r.right() {
		verdict += " WRONG"
	}
	for i, o := range r.opinions {
		if !o.Approve {
			found = append(found, p.checkers[i].Name+": "+o.Reason)
		}
	}
	_, _ = fmt.Fprintf(p.out, "%-24s %-16s %4d‰  %s\n", r.name, verdict, r.confidence, strings.Join(found, "; "))
}

// score is how often somebody was right.
type score struct{ right, passed, held int }

func (s *score) count(approved, good bool) {
	switch {
	case approved == good:
		s.right++
	case approved:
		s.passed++
	default:
		s.held++
	}
}

// scores counts for each checker, as if it decided alone, and for all together.
func (p *program) scores() (single []score, all score) {
	single = make([]score, len(p.checkers))
	for _, r := range p.results {
		all.count(r.approved, r.good)
		for i, o := range r.opinions {
			single[i].count(o.Approve, r.good)
		}
	}
	return single, all
}

// summary prints the table.
func (p *program) summary() {
	single, all := p.scores()
	line := func(name string, s score, worth string) {
		_, _ = fmt.Fprintf(p.out, "%-10s %5d %11d %10d %12s\n", name, s.right, s.passed, s.held, worth)
	}
	_, _ = fmt.Fprintf(p.out, "\n%d actions\n%-10s %5s %11s %10s %12s\n", len(p.results), "", "right", "bad passed", "good held", "calibration")
	for i, c := range p.checkers {
		line(c.Name, single[i], fmt.Sprintf("%d‰", p.worth[i]))
	}
	line("ensemble", all, "")
	for _, approved := range []bool{true, false} {
		var n, sum uint64
		for _, r := range p.results {
			if r.approved == approved {
				n, sum = n+1, sum+r.confidence
			}
		}
		if n > 0 {
			_, _ = fmt.Fprintf(p.out, "%s %d, at a consensus confidence of %d‰ on average\n", map[bool]string{true: "approved", false: "rejected"}[approved], n, sum/n)
		}
	}
}
