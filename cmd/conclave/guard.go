package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/guardexec"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// guardFlags are those of guard.
type guardFlags struct {
	bind, env                           []string
	as, reason, key, class, certificate string
	permit, until                       string
	open                                []string
	uses                                uint64
	dryRun                              bool
}

func guardCommand(p *program) *cobra.Command {
	var f guardFlags
	c := &cobra.Command{
		Use: "guard [flags] -- COMMAND [ARG]...", Short: "Run a command once it is approved, once", Args: cobra.MinimumNArgs(1),
		Long: `Propose to run exactly this command, wait for the decision, and run it once.

The executable, a script's interpreter, and every --bind file are copied at once into memory that nobody can
change; their hashes, the arguments, the directory and the --env variables are what is decided, and the copies
are what runs. {bind:1} in an argument stands for the first bound file. The command gets no environment
variables but those of --env, and nothing on its standard input: neither was decided otherwise.

The exit code is the command's own, and 125 where guard itself fails: rejected, pending at --timeout, no
connection. With --key the same key and command again take up the same decision, and never run it a second
time.

--uses asks for a permit instead: one decision for so many runs until --until, of which this is the first.
--open leaves argv, directory, environment or bound open: each of its values matches one of the patterns that
are given for it, in any order. Each further run names the permit: --permit ID. The registry counts every run
before it begins.`,
		Example: "  conclave guard --reason 'adds a column' --bind 0042.sql --env PGHOST -- psql -f '{bind:1}'\n" +
			"  conclave guard --permit 1a2b3c4d -- systemctl restart web",
		RunE: func(c *cobra.Command, args []string) error {
			return runGuard(c.Context(), p, f, args)
		},
		Annotations: map[string]string{statusNote: "yes"},
	}
	fl := c.Flags()
	fl.SetInterspersed(false)
	fl.StringArrayVar(&f.bind, "bind", nil, "`file` to copy, hash and hand over as {bind:N}; may be repeated")
	fl.StringArrayVar(&f.env, "env", nil, "`name` of a variable to hand over, whose value all voters see; may be repeated")
	fl.StringVar(&f.reason, "reason", "", "why, shown to voters as your words")
	fl.StringVar(&f.class, "class", "", "raise the policy's class: R0 to R3")
	fl.StringVar(&f.key, "key", "", "idempotency key, to take the decision up again")
	fl.StringVar(&f.certificate, "certificate", "", "write the certificate to this file")
	fl.StringVar(&f.permit, "permit", "", "run under the permit of this decision `id`")
	fl.Uint64Var(&f.uses, "uses", 0, "ask for a permit for so many runs")
	fl.StringVar(&f.until, "until", "24h", "with --uses: `time` at which the permit ends")
	fl.StringArrayVar(&f.open, "open", nil, "with --uses: `name=pattern` of a parameter that may differ; may be repeated")
	fl.BoolVar(&f.dryRun, "dry-run", false, "show the action and what it needs; propose and run nothing")
	asAgent(c, &f.as)
	return c
}

func runGuard(ctx context.Context, p *program, f guardFlags, argv []string) (err error) {
	prepared, err := guardexec.Prepare(guardexec.Request{Argv: argv, Env: f.env, Bind: f.bind})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, prepared.Close()) }()
	action := prepared.Description().Action()
	if err := asUsage(action.Check()); err != nil {
		return err
	}
	class, err := parseClass(f.class)
	if err != nil {
		return err
	}
	opts, err := acting(f.as)
	if err != nil {
		return err
	}
	if !prepared.Description().Sealed {
		p.say("guard: the copies are private files here, which processes of the same user could change")
	}
	g := guardRun{guardFlags: f, action: action, class: class, prepared: prepared}
	return p.with(ctx, 0, opts, func(ctx context.Context, s session) error {
		if f.dryRun {
			return g.dry(ctx, s)
		}
		return g.run(ctx, s)
	})
}

// guardRun is one guarded command.
type guardRun struct {
	guardFlags
	action   sdk.Action
	class    sdk.Class
	prepared *guardexec.Prepared

	started bool // the command ran
	status  int  // its exit code
}

// dry tells what would be proposed, and what it would need.
func (g *guardRun) dry(ctx context.Context, s session) error {
	ctx, cancel := soon(ctx)
	defer cancel()
	permit, err := g.asked()
	if err != nil {
		return err
	}
	action, err := g.proposed(permit)
	if err != nil {
		return err
	}
	look, err := s.DryRun(ctx, sdk.Proposal{Action: action, Class: g.class, Reason: g.reason, Permit: permit})
	if err != nil {
		return typed(err)
	}
	doc := map[string]any{
		"action": actionOf(action), "class": look.Class, "rule": look.Rule, "alone": look.Alone, "secret": look.Secret,
		"sum": look.Sum, "voters": look.Voters, "deadline": stamp(look.Deadline.UnixMilli()),
	}
	return s.emit(doc, func(w io.Writer) {
		asks := actionRows(action)
		if permit != nil {
			asks = append(asks, [2]string{"permit", fmt.Sprintf("%d times until %s", permit.Uses, moment(permit.Until))})
			for _, name := range slices.Sorted(maps.Keys(permit.Open)) {
				asks = append(asks, [2]string{"  " + name, "any of " + list(permit.Open[name])})
			}
		}
		needed := [][2]string{{"class", look.Class}, {"needs", needs(ballot.View{Alone: look.Alone, Rule: look.Rule, Voters: look.Voters})}}
		if look.Sum > 0 {
			needed = append(needed, [2]string{"amounts so far", fmt.Sprintf("%d with this one", look.Sum)})
		}
		if look.Secret {
			needed = append(needed, [2]string{"votes", "secret until it ends; agents commit first"})
		}
		pairs(w, append(asks, needed...))
		for _, v := range look.Voters {
			fmt.Fprintf(w, "%s: %s\n", mayVote, voterText(v))
		}
	})
}

// run proposes, waits and executes. Waiting ends with --timeout; the command itself does not.
func (g *guardRun) run(ctx context.Context, s session) error {
	s.changes()
	asking, cancel := soon(ctx)
	defer cancel()
	d, err := g.decision(asking, s)
	if err != nil {
		return err
	}
	v, err := s.Ballots().View(asking, d.ID().String())
	if err != nil {
		return err
	}
	g.announce(s, v)
	waiting, cancel := s.within(ctx, 0)
	defer cancel()
	c, err := d.Wait(waiting)
	if err != nil {
		return g.undecided(err)
	}
	if err := keepCertificate(g.certificate, c); err != nil {
		return err
	}
	consuming, cancel := soon(ctx)
	defer cancel()
	err = g.once(consuming, s, d, v)
	switch {
	case !g.started:
		return err
	case err != nil && !errors.Is(err, exitStatus(g.status)):
		s.say("conclave: guard: %s (%s)", visible(err.Error()), codeOf(err))
	}
	if g.status != 0 {
		return exitStatus(g.status)
	}
	return nil
}

// once runs the command, as what the decision allows: once, or once more under its permit.
func (g *guardRun) once(ctx context.Context, s session, d *sdk.Decision, v ballot.View) error {
	act := func(context.Context) error { return g.execute(ctx, s) }
	if v.Permit == nil {
		return s.Execute(ctx, d, g.action, act)
	}
	err := s.ExecuteUse(ctx, d, sdk.Use{Action: g.action, Key: g.key}, act)
	return advised(err, map[fault.Code]string{
		fault.Spent:        "ask for a new permit: the same command with --uses instead of --permit",
		fault.Expired:      "ask for a new permit: the same command with --uses instead of --permit",
		fault.Misaddressed: "see what the permit allows: conclave decision show " + short16(v.ID),
	})
}

// asked is the permit that the flags ask for, if any.
func (g *guardRun) asked() (*sdk.Permit, error) {
	if g.permit != "" && g.uses > 0 {
		return nil, usage("--permit runs under a permit, --uses asks for a new one: give one of them")
	}
	return proposeFlags{uses: g.uses, until: g.until, open: g.open}.permit()
}

// decision proposes what the flags say, or picks up the permit that they name.
func (g *guardRun) decision(ctx context.Context, s session) (*sdk.Decision, error) {
	permit, err := g.asked()
	if err != nil {
		return nil, err
	}
	if g.permit != "" {
		v, err := s.view(ctx, g.permit)
		if err != nil {
			return nil, err
		}
		if v.Permit == nil {
			return nil, usageHint("decision "+short16(v.ID)+" is no permit", "run its command once: the same conclave guard with the same --key")
		}
		return s.Decision(ctx, v.ID)
	}
	action, err := g.proposed(permit)
	if err != nil {
		return nil, err
	}
	p := sdk.Proposal{Action: action, Class: g.class, Reason: g.reason, Key: g.key, Permit: permit}
	if g.key == "" {
		p.Timeout = s.flags.timeout // nobody could take the decision up after that
	}
	d, err := s.Propose(ctx, p)
	return d, typed(err)
}

// proposed is the action to propose: without the parameters that a permit leaves open, which this run's must match.
func (g *guardRun) proposed(permit *sdk.Permit) (sdk.Action, error) {
	if permit == nil {
		return g.action, nil
	}
	fixed, open := map[string][]string{}, []consensus.Param{}
	for _, param := range g.action.Params {
		if _, left := permit.Open[param.Name]; !left {
			fixed[param.Name] = param.Values
		}
	}
	for name, patterns := range permit.Open {
		if !slices.Contains(guardexec.Openable(), name) {
			return sdk.Action{}, usage("--open can name %s, not %.64q", strings.Join(guardexec.Openable(), ", "), name)
		}
		open = append(open, consensus.Param{Name: name, Values: patterns})
	}
	action := sdk.NewAction(g.action.Kind, g.action.Target, fixed)
	if p := (consensus.Proposal{Action: action, Permit: &consensus.Permit{Open: open}}); !p.Covers(g.action) {
		return sdk.Action{}, usageHint("this run is none that --open would allow",
			"give a pattern for each value, also those that stay: --open argv=systemctl --open argv=restart --open 'argv=web-*'")
	}
	return action, nil
}

// undecided says how a decision that is still pending can be taken up again.
func (g *guardRun) undecided(err error) error {
	if fault.CodeOf(err) != fault.Pending {
		return err
	}
	hint := "with --key KEY the same command could take the decision up again"
	if g.key != "" {
		hint = "run the same command with the same --key to take the decision up again"
	}
	return &fault.Error{Code: fault.Pending, Message: "the decision is still open", Hint: hint, Err: err}
}

// announce says what is waited for, and how to decide it.
func (g *guardRun) announce(s session, v ballot.View) {
	id := short16(v.ID)
	if v.Permit != nil && v.State != consensus.Open.String() {
		s.say("guard: permit %s, %d of %d uses taken before this one", id, v.Used, v.Permit.Uses)
		s.say("guard: fingerprint %s", g.action.Digest())
		return
	}
	s.say("guard: decision %s, class %s, needs %s", id, v.Class, needs(v))
	s.say("guard: fingerprint %s", v.ActionHash)
	if v.Permit != nil {
		s.say("guard: a permit for %d runs; each but this one is: conclave guard --permit %s -- COMMAND", v.Permit.Uses, id)
	}
	if v.Alone || v.State != consensus.Open.String() {
		return
	}
	s.say("guard: waiting until %s", v.Deadline.UTC().Format(time.RFC3339))
	s.say("guard: look: conclave decision show %s", id)
	s.say("guard: decide: conclave decision approve %s", id)
}

// execute runs the copies. What stdin would say was not decided, so it is empty. Signals reach the command by themselves, so ctx does not end it.
func (g *guardRun) execute(ctx context.Context, s session) error {
	status, err := g.prepared.Run(context.WithoutCancel(ctx), nil, s.stdout, s.rawErr)
	if status < 0 {
		if err == nil {
			err = fault.New(fault.Internal, "the command did not run")
		}
		return err
	}
	g.started, g.status = true, status
	if status != 0 {
		return errors.Join(exitStatus(status), err)
	}
	return err
}
