package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-3e86d5b2/conclave/examples/staff"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Who takes part. Three operators answer for them: for the workers, for their customer, and the person for the auditor.
var (
	customer = staff.Role{Name: "customer", Apart: true}
	steady   = staff.Role{Name: "steady", Level: identity.Observer}
	sloppy   = staff.Role{Name: "sloppy", Level: identity.Observer}
	checks   = staff.Role{Name: "auditor", Serves: []string{trust.Attests}}
)

// apprentice is what L2 asks for here: a ladder of minutes. The default one takes days, which is the point of it.
var apprentice = trust.Rung{Class: 0, Score: 500, Floor: 400, Outcomes: 4, People: 1}

// program is one run.
type program struct {
	files   []string
	context string
	out     io.Writer
	pause   func()
	connect func(ctx context.Context, in string) (*sdk.Agent, error)
	opts    []sdk.Option // to connect the agents by

	person  *sdk.Agent
	team    *staff.Team
	answers chan answered
	texts   []job // without number and worker
	number  int
}

// answered is what a worker said on the topic.
type answered struct {
	from sdk.ID
	done done
}

// say prints one line.
func (p *program) say(what, format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%-11s %s\n", what, fmt.Sprintf(format, args...)) // nothing depends on it
}

// run plays the climb and the fall.
func (p *program) run(ctx context.Context) (err error) {
	if p.texts, err = read(p.files); err != nil {
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
	for _, part := range []func(context.Context) error{p.begin, p.observe, p.promote, p.serve, p.fall} {
		if err := part(ctx); err != nil {
			return err
		}
		p.pause()
	}
	return nil
}

// read reads the files to sort; without any, samples of this example.
func read(paths []string) ([]job, error) {
	var jobs []job
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if len(text) == 0 || len(text) > 8<<10 {
			return nil, fmt.Errorf("%w: %s is empty, or longer than 8 KiB", errUsage, path)
		}
		jobs = append(jobs, job{File: filepath.Base(path), Text: string(text)})
	}
	if len(jobs) == 0 {
		jobs = []job{{File: "fruit", Text: "pear\napple\nquince\nmedlar\n"}, {File: "ports", Text: "443\n22\n8080\n53\n"}}
	}
	return jobs, nil
}

// hire brings in who takes part, under a quick ladder.
func (p *program) hire(ctx context.Context) (err error) {
	if p.team, err = staff.Hire(ctx, p.person, customer, []staff.Role{steady, sloppy}, p.opts...); err != nil {
		return err
	}
	err = p.team.Govern(ctx, func(rules *policy.Policy) {
		params, rungs := rules.Params(), rules.Ladder()
		params.Prior, params.Daily, params.FromOne = trust.Unit, 50*trust.Unit, 50*trust.Unit
		rungs[identity.Apprentice-1] = apprentice
		rules.SetTrust(params, rungs)
	})
	if err == nil {
		err = p.staffed(ctx)
	}
	if err != nil {
		return errors.Join(err, p.team.Dismiss(ctx))
	}
	return nil
}

// staffed sets everybody to work.
func (p *program) staffed(ctx context.Context) error {
	agent, err := p.team.Bring(ctx, checks)
	if err != nil {
		return err
	}
	if _, err := audit(agent); err != nil {
		return err
	}
	p.answers = make(chan answered, 64)
	_, err = sdk.Subscribe(p.team.Proposer, "report.done", func(_ context.Context, m *sdk.Message[done]) error {
		p.answers <- answered{m.From.ID, m.Data}
		return nil
	})
	if err != nil {
		return err
	}
	for i, do := range []func(job) done{work, botch} {
		if err := p.employ(i, do); err != nil {
			return err
		}
	}
	return nil
}

// worker returns worker i and its name.
func (p *program) worker(i int) (*sdk.Agent, string) {
	return p.team.Voters[i], p.team.Name([]staff.Role{steady, sloppy}[i])
}

// employ has worker i answer jobs on the topic, and by call, as soon as its level lets it.
func (p *program) employ(i int, do func(job) done) error {
	worker, name := p.worker(i)
	_, err := sdk.Subscribe(worker, "work.jobs", func(ctx context.Context, m *sdk.Message[job]) error {
		if m.Data.For != name {
			return nil
		}
		_, err := sdk.Publish(ctx, worker, "report.done", do(m.Data))
		return err
	})
	if err != nil {
		return err
	}
	if err := worker.Standing().OnLevelChange(func(c standing.Change) { p.say("level", "%s: %s → %s", name, c.From, c.To) }); err != nil {
		return err
	}
	return sdk.Handle(worker, "file.sort", func(_ context.Context, r *sdk.Request[job]) (done, error) { return do(r.Data), nil })
}

// next is the next job for a worker.
func (p *program) next(name string) job {
	p.number++
	j := p.texts[p.number%len(p.texts)]
	j.Number, j.For = p.number, name
	return j
}

// begin says who is there, and that a newcomer cannot be called.
func (p *program) begin(ctx context.Context) error {
	for i := range p.team.Voters {
		_, name := p.worker(i)
		v, err := p.person.Standing().Of(ctx, name)
		if err != nil {
			return err
		}
		p.say("newcomer", "%s, %s, score %d: not known %d‰", name, v.Level, v.Score, v.Scores[0].Uncertainty)
	}
	_, name := p.worker(0)
	if err := p.refused(ctx, name); err != nil {
		return err
	}
	p.say("look", "conclave trust explain %s", name)
	return nil
}

// refused requires that nobody can call the worker: now, or as soon as its connection has been told.
func (p *program) refused(ctx context.Context, name string) error {
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		_, err := sdk.Call[done](within, p.team.Proposer, sdk.To(name, "file.sort"), p.next(name))
		if c := sdk.CodeOf(err); c == code.NoResponder || c == code.Denied {
			p.say("call", "%s file.sort: REFUSED %s", name, c)
			return nil
		}
		if err != nil || within.Err() != nil {
			return fmt.Errorf("a call to %s, whose level serves nothing: %w", name, errors.Join(err, errNotRefused))
		}
	}
}

var errNotRefused = errors.New("it was not refused")

// observe has both workers do jobs that they hear of on a topic, which L1 may answer there, until the steady one is ripe.
func (p *program) observe(ctx context.Context) error {
	for range apprentice.Outcomes {
		for i := range p.team.Voters {
			if err := p.published(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// published has worker i do one job by topic, and reports it.
func (p *program) published(ctx context.Context, i int) error {
	worker, name := p.worker(i)
	j := p.next(name)
	if i == 1 { // the sloppy one behaves until it can be called
		j.Number = 2*j.Number + 1
	}
	d, err := p.answer(ctx, worker.ID(), j)
	if err != nil {
		return err
	}
	o := standing.Outcome{Agent: name, Action: "file.read", OK: right(j, d)}
	if o.Request, err = digestOf(j); err != nil {
		return err
	}
	if o.Result, err = digestOf(d); err != nil {
		return err
	}
	return p.report(ctx, name, j, o)
}

// answer publishes a job until the worker answers it: who reads a topic hears what was said after it has joined, which takes
// a moment.
func (p *program) answer(ctx context.Context, worker sdk.ID, j job) (done, error) {
	again := time.NewTicker(2 * time.Second)
	defer again.Stop()
	for {
		if _, err := sdk.Publish(ctx, p.team.Proposer, "work.jobs", j); err != nil {
			return done{}, err
		}
		for waiting := true; waiting; {
			select {
			case a := <-p.answers:
				if a.from == worker && a.done.Number == j.Number {
					return a.done, nil
				}
			case <-again.C:
				waiting = false
			case <-ctx.Done():
				return done{}, ctx.Err()
			}
		}
	}
}

// report tells how a job ended; the auditor has to come to the same.
func (p *program) report(ctx context.Context, name string, j job, o standing.Outcome) error {
	effect, err := p.team.Proposer.Standing().Report(ctx, o)
	if err != nil {
		return err
	}
	word := "right"
	if !o.OK {
		word = "WRONG"
	}
	p.say(word, "%s sorted %s: attested, score %d → %d", name, j.File, effect.Before[effect.Class], effect.After[effect.Class])
	return nil
}

// promote signs both off: the ledger lets the person, as nothing else is missing.
func (p *program) promote(ctx context.Context) error {
	for i := range p.team.Voters {
		worker, name := p.worker(i)
		raw, err := p.person.Admin().SignOff(worker.ID(), identity.Apprentice, "four right outcomes")
		if err != nil {
			return err
		}
		if _, err := p.person.Admin().Submit(ctx, raw); err != nil {
			return err
		}
		p.say("sign-off", "%s to %s; by hand: conclave trust sign-off %s --reason …", name, identity.Apprentice, name)
	}
	return nil
}

// serve calls both: what was refused a moment ago is served, on the same connections.
func (p *program) serve(ctx context.Context) error {
	for i := range p.team.Voters {
		_, name := p.worker(i)
		if err := p.called(ctx, name, 1); err != nil {
			return err
		}
	}
	return nil
}

// called calls a worker with a job of odd (1) or even (0) number, and reports it with what both have signed.
func (p *program) called(ctx context.Context, name string, odd int) error {
	j := p.next(name)
	j.Number = 2*j.Number + odd
	following, exchange := standing.Follow(ctx)
	d, err := sdk.Call[done](following, p.team.Proposer, sdk.To(name, "file.sort"), j)
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	return p.report(ctx, name, j, standing.Outcome{Action: "file.read", Exchange: exchange, OK: right(j, d)})
}

// fall has the sloppy one do its work wrong until its level is gone, and with it the right to be called.
func (p *program) fall(ctx context.Context) error {
	_, name := p.worker(1)
	for range 20 {
		v, err := p.person.Standing().Of(ctx, name)
		if err != nil {
			return err
		}
		if v.Level < identity.Apprentice {
			p.say("fallen", "%s is %s: %s", name, v.Level, v.Account.Turns[len(v.Account.Turns)-1].Why)
			if err := p.refused(ctx, name); err != nil {
				return err
			}
			_, other := p.worker(0)
			p.say("look", "conclave trust history %s; conclave trust explain %s", name, other)
			return p.called(ctx, other, 1)
		}
		if err := p.called(ctx, name, 0); err != nil {
			return err
		}
	}
	return errors.New("ladder: twenty wrong answers, and it still has its level")
}
