package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/examples/staff"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// rule is what the command needs: all three, of two operators, and agents that do not see each other's votes before they have cast
// their own.
var rule = consensus.Rule{
	Approvals: 3, People: 1, Operators: 2, Families: 2, Confidence: 800, Own: true,
	Commit: (30 * time.Second).Milliseconds(), Deadline: (15 * time.Minute).Milliseconds(), Window: (5 * time.Minute).Milliseconds(),
}

// program is one run.
type program struct {
	argv        []string
	context     string
	certificate string // file
	reason      string
	out, errs   io.Writer
	connect     func(ctx context.Context, in string) (*sdk.Agent, error)
	opts        []sdk.Option // to connect the agents by

	person   *sdk.Agent
	team     *staff.Team
	coder    *sdk.Agent
	command  command
	decision *sdk.Decision
}

// say prints one line.
func (p *program) say(what, format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%-11s %s\n", what, fmt.Sprintf(format, args...)) // nothing depends on it
}

// run holds the command, runs it once it is approved, and attacks on the way.
func (p *program) run(ctx context.Context) (err error) {
	if p.command, err = prepare(p.argv); err != nil {
		return err
	}
	if p.person, err = p.connect(ctx, p.context); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.person.Close(context.WithoutCancel(ctx))) }()
	if err := p.hire(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.team.Dismiss(ctx)) }()
	if err := p.propose(ctx); err != nil {
		return err
	}
	if err := p.ownVote(ctx); err != nil {
		return err
	}
	for i, a := range p.team.Voters {
		if err := reviewers[i].serve(a); err != nil {
			return err
		}
	}
	certificate, err := p.wait(ctx)
	if err != nil {
		return err
	}
	for _, attack := range []func(context.Context, *sdk.Certificate) error{p.forgedCertificate, p.otherCommand, p.replayedBallots} {
		if err := attack(ctx, certificate); err != nil {
			return err
		}
	}
	if err := p.execute(ctx); err != nil {
		return err
	}
	return p.secondUse(ctx)
}

// hire brings in the coding agent and the reviewers, and has the policy ask for all of them.
func (p *program) hire(ctx context.Context) (err error) {
	var roles []staff.Role
	for _, r := range reviewers {
		roles = append(roles, r.role)
	}
	if p.team, err = staff.Hire(ctx, p.person, staff.Role{Name: "coder"}, roles, p.opts...); err != nil {
		return err
	}
	p.coder = p.team.Proposer
	err = p.team.Govern(ctx, func(rules *policy.Policy) {
		rules.Classes[consensus.R2], rules.Classes[consensus.R3] = rule, rule
	})
	if err != nil {
		return errors.Join(err, p.team.Dismiss(ctx))
	}
	return nil
}

// propose opens the decision and says how a person decides.
func (p *program) propose(ctx context.Context) (err error) {
	action := p.command.action()
	if p.decision, err = p.coder.Propose(ctx, sdk.Proposal{Action: action, Reason: p.reason}); err != nil {
		return err
	}
	v, err := p.coder.Ballots().View(ctx, p.decision.ID().String())
	if err != nil {
		return err
	}
	p.say("held", "%q in %s", p.command.argv, p.command.dir)
	p.say("decision", "%s", v.ID)
	p.say("needs", "%s, until %s", v.Rule, v.Deadline.Format(time.TimeOnly))
	p.say("you", "conclave inbox")
	p.say("", "conclave decision approve %.8s", v.ID.String())
	return nil
}

// wait waits for all three, keeps the certificate and checks it as a stranger would: from the file and the realm's id.
func (p *program) wait(ctx context.Context) (*sdk.Certificate, error) {
	c, err := p.decision.Wait(ctx)
	if v, viewErr := p.coder.Ballots().View(context.WithoutCancel(ctx), p.decision.ID().String()); viewErr == nil {
		for _, b := range v.Ballots {
			p.say("ballot", "%s %s, %d‰ sure: %q", b.Voter.String()[:8], b.Vote, b.Confidence, b.Reason)
		}
		p.say("state", "%s", v.State)
	}
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.certificate, c.File(), 0o644); err != nil {
		return nil, fmt.Errorf("approval: keep certificate: %w", err)
	}
	raw, err := os.ReadFile(p.certificate)
	if err != nil {
		return nil, err
	}
	offline, report, err := verify.Parse(raw, verify.TrustRoot{Realm: p.coder.Self().Realm})
	if err != nil {
		return nil, err
	}
	p.say("certificate", "%s: %d checks hold, %d ballots, from the realm's id alone:", p.certificate, len(report.Checks), offline.Ballots())
	p.say("", "conclave decision verify %s --realm %s", p.certificate, p.coder.Self().Realm)
	return offline, nil
}

// execute runs the command, and nothing but it, under the certificate.
func (p *program) execute(ctx context.Context) error {
	err := p.coder.Execute(ctx, p.decision, p.command.action(), func(ctx context.Context) error {
		return p.command.run(ctx, p.out, p.errs)
	})
	if err != nil {
		return err
	}
	p.say("executed", "%q, once", p.command.argv)
	return nil
}
