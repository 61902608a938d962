package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// The states of a decision that is not used up. See the SDK's View.
const (
	stateOpen     = "open"
	stateApproved = "approved"
	stateRejected = "rejected"
	stateExpired  = "expired"
)

// program is one run: of the migrator, or of one reviewer alone.
type program struct {
	database, sqlFile string
	context           string   // the migrator's, and a lone reviewer's
	reviewers         []string // contexts of the reviewers that run in this process; none: they run elsewhere
	reviewing         string   // be this reviewer, nothing else
	sample            string   // make a database to try with here, nothing else
	key               string
	certificate       string // file
	timeout           time.Duration
	out               io.Writer
	connect           func(ctx context.Context, in, name string) (*sdk.Agent, error)

	request  migration.Request
	migrator *sdk.Agent
	serving  []*reviewer
}

// say prints one line. Others' words are in it: what a terminal would obey or hide is replaced.
func (p *program) say(what, format string, args ...any) {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, fmt.Sprintf(format, args...))
	_, _ = fmt.Fprintf(p.out, "%-10s %s\n", what, line) // nothing depends on it
}

// run does what the command line says. What it returns tells how it ended; see exitCode.
func (p *program) run(ctx context.Context) (err error) {
	if p.sample != "" {
		return makeSample(p.sample)
	}
	if p.reviewing != "" {
		return p.review(ctx)
	}
	if p.request, err = migration.Read(p.database, p.sqlFile); err != nil {
		return err
	}
	p.request.Key = p.key
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.start(ctx); err != nil {
		return err
	}
	decision, err := p.propose(ctx)
	if err != nil {
		return err
	}
	certificate, err := p.wait(ctx, decision)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.certificate, certificate.Raw(), 0o644); err != nil {
		return fmt.Errorf("keep certificate: %w", err)
	}
	p.say("approved", "the certificate is in %s; anybody can check it, without a bus:", p.certificate)
	p.say("", "conclave decision verify --realm %s %s", p.migrator.Self().Realm, p.certificate)
	return p.apply(ctx, decision)
}

// review serves as one of the reviewers until ctx ends.
func (p *program) review(ctx context.Context) error {
	for _, as := range roles {
		if as.name != p.reviewing+"-reviewer" {
			continue
		}
		agent, err := p.connect(ctx, p.context, as.name)
		if err != nil {
			return err
		}
		if _, err := serve(agent, as); err != nil {
			return errors.Join(err, agent.Close(context.WithoutCancel(ctx)))
		}
		p.say("reviewing", "as %s %s", as.name, agent.ID())
		return agent.Run(ctx)
	}
	return fmt.Errorf("%w: --review statements or --review backup", errUsage)
}

// start connects the migrator and the reviewers that run here.
func (p *program) start(ctx context.Context) (err error) {
	if p.migrator, err = p.connect(ctx, p.context, "migrator"); err != nil {
		return err
	}
	if len(p.reviewers) == 0 {
		return nil
	}
	for i, as := range roles {
		agent, err := p.connect(ctx, p.reviewers[min(i, len(p.reviewers)-1)], as.name)
		if err != nil {
			return err
		}
		r, err := serve(agent, as)
		if err != nil {
			return errors.Join(err, agent.Close(ctx))
		}
		p.serving = append(p.serving, r)
		if agent.ID() == p.migrator.ID() {
			return fmt.Errorf("%w: the reviewers need keys of their own: --reviewer-context", errUsage)
		}
	}
	return nil
}

func (p *program) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, r := range p.serving {
		err = errors.Join(err, r.agent.Close(ctx))
	}
	if p.migrator != nil {
		err = errors.Join(err, p.migrator.Close(ctx))
	}
	return err
}

func (p *program) action() sdk.Action {
	return sdk.NewAction(migration.Kind, p.request.Database, p.request.Params())
}

// propose opens the decision, or picks up the one that this key, database and SQL have already.
func (p *program) propose(ctx context.Context) (*sdk.Decision, error) {
	r := p.request
	decision, err := p.migrator.Propose(ctx, sdk.Proposal{
		Action: p.action(), Reason: "migration " + p.sqlFile,
		Key: cmp.Or(p.key, strings.Join([]string{r.Database, r.DatabaseSHA256, r.SQLSHA256}, " ")),
	})
	if sdk.CodeOf(err) == code.Conflict {
		return nil, p.earlier(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	v, err := p.migrator.Ballots().View(ctx, decision.ID().String())
	if err != nil {
		return nil, err
	}
	p.say("asked", "%s on %s as it is now (%.12s…)", p.sqlFile, r.Database, r.DatabaseSHA256)
	for i, s := range r.Statements {
		p.say("", "%d %.120q", i+1, strings.Join(strings.Fields(s), " "))
	}
	p.say("decision", "%s", v.ID)
	p.say("", "%s is %s: needs %s, until %s; %d may vote; now %s", v.Action.Kind, v.Class, v.Rule,
		v.Deadline.Format(time.DateTime), len(v.Voters), v.State)
	return decision, nil
}

// earlier says what became of the decision that the key was used for. It runs nothing.
func (p *program) earlier(ctx context.Context, conflict error) error {
	list, err := p.migrator.Ballots().List(ctx)
	if err != nil {
		return errors.Join(conflict, err)
	}
	for _, s := range list {
		if s.Kind != migration.Kind || s.Target != p.request.Database {
			continue
		}
		v, err := p.migrator.Ballots().View(ctx, s.ID.String())
		if err != nil {
			return errors.Join(conflict, err)
		}
		r, err := migration.Parse(v.Action.Kind, v.Action.Target, v.Action.Values)
		if err != nil || r.Key != p.key || v.Proposer.ID != p.migrator.ID() {
			continue
		}
		switch {
		case v.State == stateRejected || v.State == stateExpired:
			return fmt.Errorf("key %q: decision %s is %s: %w", p.key, v.ID, v.State, sdk.ErrRejected)
		case v.State != stateOpen && v.State != stateApproved:
			return fmt.Errorf("key %q: decision %s is %s: %w", p.key, v.ID, v.State, sdk.ErrSpent)
		case r.SQLSHA256 != p.request.SQLSHA256:
			return fmt.Errorf("key %q: decision %s is for other SQL: %w", p.key, v.ID, conflict)
		}
		return fmt.Errorf("key %q: decision %s: %w: %w", p.key, v.ID, migration.ErrChanged, conflict)
	}
	return conflict
}

// wait shows what the reviewers say, and how a person decides, and waits for the certificate.
func (p *program) wait(ctx context.Context, d *sdk.Decision) (*verify.Certificate, error) {
	v, err := p.migrator.Ballots().View(ctx, d.ID().String())
	if err != nil {
		return nil, err
	}
	if v.State == stateOpen {
		for i, as := range roles {
			p.hear(ctx, i, as, v)
		}
		p.say("to decide", "conclave decision approve %s", v.ID)
		p.say("", "conclave decision reject %s", v.ID)
	}
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	certificate, err := d.Wait(ctx)
	p.ballots(context.WithoutCancel(ctx), v.ID)
	if sdk.CodeOf(err) == code.Pending {
		p.say("pending", "nothing was run; the same command picks the decision up again")
	}
	return certificate, err
}

// hear prints one reviewer's opinion. Without it the decision goes on all the same.
func (p *program) hear(ctx context.Context, i int, as role, v ballot.View) {
	target := as.name
	if i < len(p.serving) {
		target = p.serving[i].agent.ID().String()
	}
	peer, err := p.migrator.Who(ctx, target)
	if err != nil {
		p.say("reviewer", "%s: %v", as.name, err)
		return
	}
	o, err := sdk.Call[opinion](ctx, p.migrator, sdk.To(target, as.capability), question{Decision: v.ID.String()})
	if err != nil {
		p.say("reviewer", "%s of %s: no opinion: %v", peer.Name, peer.Operator, err)
		return
	}
	weight := "its ballot counts"
	if !o.Votes {
		weight = "advice only: it is not in the electorate"
	}
	verdict := "rejects"
	if o.Approve {
		verdict = "approves"
	}
	p.say("reviewer", "%s of %s %s (%s): %s", peer.Name, peer.Operator, verdict, weight, o.Reason)
}

// ballots prints what was counted.
func (p *program) ballots(ctx context.Context, id sdk.Digest) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v, err := p.migrator.Ballots().View(ctx, id.String())
	if err != nil {
		p.say("ballots", "not known: %v", err)
		return
	}
	for _, b := range v.Ballots {
		p.say("ballot", "%s %s: %s", b.Voter, b.Vote, b.Reason)
	}
	p.say("state", "%s", v.State)
}

// apply runs the migration under its certificate, once. Where the database has changed since, the certificate is left
// unused.
func (p *program) apply(ctx context.Context, d *sdk.Decision) error {
	v, err := p.migrator.Ballots().View(ctx, d.ID().String())
	if err != nil {
		return err
	}
	if v.State == stateApproved {
		if err := p.request.Check(); err != nil {
			return err
		}
	}
	var result migration.Result
	err = p.migrator.Execute(ctx, d, p.action(), func(ctx context.Context) (err error) {
		result, err = p.request.Apply(ctx)
		return err
	})
	if err != nil {
		return err
	}
	p.say("applied", "%d rows changed; the database is now %.12s…", result.Rows, result.SHA256)
	return nil
}
