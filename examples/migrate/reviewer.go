package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/backup"
	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/examples/migrate/statements"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// role is what one of the reviewers does.
type role struct {
	name       string // of its agent
	capability string // under which it tells its opinion to whoever asks
	review     func(ctx context.Context, r migration.Request) (opinion, error)
}

var roles = []role{
	{"statements-reviewer", "migrate.review.statements", reviewStatements},
	{"backup-reviewer", "migrate.review.backup", reviewBackup},
}

// question asks a reviewer for its opinion on an open decision.
type question struct {
	Decision string `json:"decision"`
}

// opinion is a reviewer's answer.
type opinion struct {
	Approve bool   `json:"approve"`
	Reason  string `json:"reason"`
	Votes   bool   `json:"votes"` // it is in the electorate, so this is its ballot too; otherwise it is advice
}

func reviewStatements(_ context.Context, r migration.Request) (opinion, error) {
	objections := statements.Review(r.Statements)
	if len(objections) == 0 {
		return opinion{Approve: true, Reason: fmt.Sprintf("none of %d statements destroys anything", len(r.Statements))}, nil
	}
	var texts []string
	for _, o := range objections {
		texts = append(texts, o.String())
	}
	return objecting(texts), nil
}

func reviewBackup(ctx context.Context, r migration.Request) (opinion, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // SQL may run for ever
	defer cancel()
	report, err := backup.Review(ctx, r)
	switch {
	case errors.Is(err, migration.ErrChanged), errors.Is(err, context.DeadlineExceeded):
		return objecting([]string{err.Error()}), nil
	case err != nil:
		return opinion{}, err
	case len(report.Objections) > 0:
		return objecting(report.Objections), nil
	}
	return opinion{Approve: true, Reason: fmt.Sprintf(
		"backup of %d rows in %d tables is sound; tried there, it changes %d rows and loses none",
		report.Rows, report.Tables, report.Changed)}, nil
}

const maxReason = 1000 // bytes of a ballot's reason, which may have 1024

func objecting(texts []string) opinion {
	reason := strings.Join(texts, "; ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return opinion{Reason: reason}
}

// reviewer is an agent that votes on migrations, and says why to whoever asks.
type reviewer struct {
	role  role
	agent *sdk.Agent

	mu       sync.Mutex // held while it reviews: one at a time
	opinions map[sdk.Digest]opinion
}

// serve makes the agent a reviewer until it is closed.
func serve(agent *sdk.Agent, as role) (*reviewer, error) {
	r := &reviewer{role: as, agent: agent, opinions: map[sdk.Digest]opinion{}}
	if err := sdk.Handle(agent, as.capability, r.answer); err != nil {
		return nil, err
	}
	return r, agent.OnBallot(r.ballot, migration.Kind)
}

// ballot votes on a decision in whose electorate the reviewer is. Where it cannot find out, it does not vote.
func (r *reviewer) ballot(ctx context.Context, v ballot.View) (ballot.Vote, error) {
	o, err := r.on(ctx, v)
	if err != nil {
		return ballot.Vote{}, err
	}
	if o.Approve {
		return ballot.Approve(o.Reason), nil
	}
	return ballot.Reject(o.Reason), nil
}

func (r *reviewer) answer(ctx context.Context, q *sdk.Request[question]) (opinion, error) {
	v, err := r.agent.Ballots().View(ctx, q.Data.Decision)
	if err != nil {
		return opinion{}, err
	}
	o, err := r.on(ctx, v)
	o.Votes = v.Votes(r.agent.ID())
	return o, err
}

// on reviews an open decision, once. It judges the action that the proposer signed, never the words beside it.
func (r *reviewer) on(ctx context.Context, v ballot.View) (opinion, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.opinions[v.ID]; ok {
		return o, nil
	}
	if v.State != stateOpen {
		return opinion{}, sdk.Errorf(code.Expired, "decision %s is %s", v.ID, v.State)
	}
	request, err := migration.Parse(v.Action.Kind, v.Action.Target, v.Action.Values)
	if err != nil {
		return opinion{Reason: err.Error()}, nil
	}
	o, err := r.role.review(ctx, request)
	if err != nil {
		return opinion{}, err
	}
	r.opinions[v.ID] = o
	return o, nil
}
