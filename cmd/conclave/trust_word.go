package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// effectDoc is what a piece of evidence did.
type effectDoc struct {
	Agent   string   `json:"agent"`
	What    string   `json:"what"`
	Class   string   `json:"class"`
	Nominal string   `json:"nominal"`
	Weight  string   `json:"weight"`
	Cap     string   `json:"cap,omitempty"`
	Before  []uint64 `json:"before"` // scores by class
	After   []uint64 `json:"after"`
	Level   string   `json:"level"`
}

// told writes what a piece of evidence did.
func (s session) told(e trust.Effect) error {
	if int(e.Class) >= trust.Classes { // a node may answer anything
		return fault.New(fault.Malformed, "the node tells an effect in a class that there is not")
	}
	d := effectDoc{
		Agent: e.Subject.String(), What: e.Act.String(), Class: class(e.Class), Nominal: units(e.Nominal), Weight: units(e.Weight),
		Cap: e.Cap.String(), Before: e.Before[:], After: e.After[:], Level: e.Level.String(),
	}
	return s.emit(d, func(w io.Writer) {
		held := ""
		if d.Cap != "" {
			held = ", held back by " + d.Cap
		}
		fmt.Fprintf(w, "%s counted with %s of %s units%s: score in %s %d → %d, %s\n", d.What, d.Weight, d.Nominal, held, d.Class,
			e.Before[e.Class], e.After[e.Class], d.Level)
	})
}

// collect hands in a signed command, or writes it down where others must sign it first.
func (s session) collect(ctx context.Context, raw []byte, need uint64, out string) error {
	if out != "" {
		return s.writeDown(out, raw, need)
	}
	if need > 1 {
		return fault.New(fault.NoQuorum, fmt.Sprintf("this needs the signatures of %d operators", need)).
			WithHint("run it again with --out FILE; each other operator runs: conclave operator sign FILE; the last adds --submit")
	}
	return s.submit(ctx, raw)
}

// person is what people say of an agent by a signed command.
func (p trustCommands) person(
	c *cobra.Command, l *loosening, make func(ctx context.Context, s session, agent sdk.Peer, args []string) (raw []byte, need uint64, err error),
) *cobra.Command {
	c.RunE = p.connected(askTime, func(ctx context.Context, s session, args []string) error {
		who, err := s.who(ctx, args[0])
		if err != nil {
			return err
		}
		s.changes()
		raw, need, err := make(ctx, s, who, args)
		if err != nil {
			return typed(err)
		}
		return advised(s.collect(ctx, raw, need, l.out), map[fault.Code]string{
			fault.Denied: "see what it lacks, and who may say what of it: conclave trust explain " + visible(who.Name),
		})
	})
	l.flags(c)
	require(c, "reason")
	return c
}

func (p trustCommands) endorse() *cobra.Command {
	var l loosening
	return p.person(&cobra.Command{
		Use: "endorse NAME UNITS", Short: "Give your word for an agent", Args: cobra.ExactArgs(2),
		Long: "Give your word for an agent, in units: one unit is one attested outcome. What you can give in a day is\n" +
			"bounded, an endorsement lifts a score by a third at most, and what it gives the agent lets its own word\n" +
			"weigh more.",
		Example: "  conclave trust endorse writer 1.5 --reason 'reviewed a week of its work'",
	}, &l, func(_ context.Context, s session, agent sdk.Peer, args []string) ([]byte, uint64, error) {
		amount, err := parseUnits(args[1])
		if err != nil {
			return nil, 0, err
		}
		raw, err := s.Admin().Endorse(agent.ID, amount, l.reason)
		return raw, 1, err
	})
}

func (p trustCommands) accuse() *cobra.Command {
	var l loosening
	var severity uint64
	c := p.person(&cobra.Command{
		Use: "accuse NAME", Short: "Tell of a rule that an agent has broken", Args: cobra.ExactArgs(1),
		Long: "Tell of a broken rule. Severity 1 costs score, 2 a level, 3 all but L1; 4 quarantines, and needs as many\n" +
			"operators as whatever loosens. It counts for the operator too: agents that it enrols later inherit the\n" +
			"debt.",
		Example: "  conclave trust accuse writer --severity 2 --reason 'wrote outside its directory'",
	}, &l, func(_ context.Context, s session, agent sdk.Peer, _ []string) ([]byte, uint64, error) {
		if severity < 1 || severity > 4 {
			return nil, 0, usage("--severity is 1 to 4")
		}
		need := uint64(1)
		if severity == 4 {
			need = s.Admin().Policy().Loosen
		}
		raw, err := s.Admin().Accuse(agent.ID, severity, l.reason)
		return raw, need, err
	})
	c.Flags().Uint64Var(&severity, "severity", 0, "1 to 4")
	require(c, "severity")
	return c
}

func (p trustCommands) pardon() *cobra.Command {
	var l loosening
	return p.person(&cobra.Command{
		Use: "pardon NAME UNITS", Short: "Take back part of what violations weigh", Args: cobra.ExactArgs(2),
		Long: "Take back part of what violations weigh, in units, from the agent and its operator. As many operators\n" +
			"must sign as for whatever loosens, the agent's own not among them. It stays on record; the level does\n" +
			"not come back by it.",
		Example: "  conclave trust pardon writer 2 --reason 'the rule was wrong' --out pardon.cmd",
	}, &l, func(_ context.Context, s session, agent sdk.Peer, args []string) ([]byte, uint64, error) {
		amount, err := parseUnits(args[1])
		if err != nil {
			return nil, 0, err
		}
		raw, err := s.Admin().Pardon(agent.ID, amount, l.reason)
		return raw, s.Admin().Policy().Loosen, err
	})
}

func (p trustCommands) signOff() *cobra.Command {
	var l loosening
	var renew bool
	c := p.person(&cobra.Command{
		Use: "sign-off NAME", Short: "Promote an agent that has earned it, or renew its lease", Args: cobra.ExactArgs(1),
		Long: "Sign off an agent's promotion to the next level, or with --renew the lease of the level that it has. The\n" +
			"ledger refuses it while anything else is missing: conclave trust explain NAME lists that. Some levels\n" +
			"need several people's sign-off: --out writes the command down for them.",
		Example: "  conclave trust sign-off writer --reason 'a month of clean work'\n" +
			"  conclave trust sign-off writer --renew --reason 'reviewed' --out lease.cmd",
	}, &l, func(ctx context.Context, s session, agent sdk.Peer, _ []string) ([]byte, uint64, error) {
		v, err := s.stands(ctx, agent.ID.String()) // a level that the node makes up would turn a renewal into a promotion
		if err != nil {
			return nil, 0, err
		}
		level := v.Level
		if !renew {
			level++
		}
		need, err := s.signers(v, level)
		if err != nil {
			return nil, 0, err
		}
		s.say("%s: %s to %s", visible(v.Name), v.Level, level)
		raw, err := s.Admin().SignOff(agent.ID, level, l.reason)
		return raw, need, err
	})
	c.Flags().BoolVar(&renew, "renew", false, "renew the lease of its level instead of promoting it")
	return c
}

// signers returns how many operators sign off the level.
func (s session) signers(v standing.View, level identity.Level) (uint64, error) {
	rules := s.Admin().Policy()
	if level < identity.Observer || int(level) > len(rules.Ladder()) {
		return 0, usageHint(fmt.Sprintf("%s is at %s: there is no sign-off to %s", visible(v.Name), v.Level, level),
			"see conclave trust explain "+visible(v.Name))
	}
	if level > v.Level {
		for _, c := range v.Next {
			if c.Name == "sign-off" {
				return uint64(c.Need), nil
			}
		}
	}
	need := rules.Ladder()[level-1].People
	if rules.Rights(level).Weight > 0 {
		need = max(need, rules.Loosen)
	}
	return need, nil
}

// parseUnits reads an amount in units, as 1.5, exactly.
func parseUnits(text string) (trust.Micro, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	if err != nil || len(fraction) > 6 || strings.HasSuffix(text, ".") {
		return 0, usage("an amount is in units, as 1.5, with at most six places: not %q", text)
	}
	rest, err := strconv.ParseUint(fraction+strings.Repeat("0", 6-len(fraction)), 10, 32)
	if err != nil {
		return 0, usage("an amount is in units, as 1.5: not %q", text)
	}
	return trust.Micro(n)*trust.Unit + trust.Micro(rest), nil
}

func (p trustCommands) rate() *cobra.Command {
	var as, reason string
	c := &cobra.Command{
		Use: "rate NAME VALUE", Short: "Say what you think of an agent, from -1000 to 1000", Args: cobra.ExactArgs(2),
		Long: "Rate an agent of another operator. An agent's opinion weighs what it has itself received; a person's, a\n" +
			"bounded amount a day. Ratings modulate a score that work has made; they make none.",
		Example: "  conclave trust rate writer 600 --reason 'useful reviews'\n  conclave trust rate --as reviewer --reason 'wrong twice' -- writer -400",
		RunE: func(c *cobra.Command, args []string) error {
			value, err := strconv.Atoi(args[1])
			if err != nil || value == 0 || value < -1000 || value > 1000 {
				return usage("a rating is -1000 to 1000, not 0 and not %q", args[1])
			}
			opts, err := acting(as)
			if err != nil {
				return err
			}
			return p.with(c.Context(), askTime, opts, func(ctx context.Context, s session) error {
				s.changes()
				who, err := s.who(ctx, args[0])
				if err != nil {
					return err
				}
				effect, err := s.Standing().Rate(ctx, who.ID.String(), value, reason)
				if err != nil {
					return typed(err)
				}
				return s.told(effect)
			})
		},
	}
	asAgent(c, &as)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record; at most 256 bytes")
	require(c, "reason")
	return c
}

// reported is what `trust report` is told.
type reported struct {
	as, action, request, answer, detail, attester, out string
	right, wrong                                       bool
}

func (p trustCommands) report() *cobra.Command {
	var r reported
	c := &cobra.Command{
		Use: "report NAME", Short: "Report how work that you had an agent do ended", Args: cobra.ExactArgs(1),
		Long: "Report how something ended that an agent did for you. It counts once an attester, whom neither you nor\n" +
			"the agent's operator answers for, has signed it too: one that is on the bus is asked, and checks nothing\n" +
			"but what it can; with --out the statement is written down for a person, named by --attester, who runs:\n" +
			"conclave trust attest FILE. --request and --answer are files with what was asked and answered; the\n" +
			"statement holds their SHA-256.",
		Example: "  conclave trust report writer --action file.hash --request in --answer out --right --attester bob --out w.ev",
		RunE: func(c *cobra.Command, args []string) error {
			if r.right == r.wrong {
				return usage("say how it ended: --right or --wrong")
			}
			if r.out != "" && r.attester == "" {
				return usage("--out needs --attester NAME, who signs the statement too")
			}
			if r.right && r.answer == "" {
				return usage("what was done right has an answer: --answer FILE")
			}
			if err := identity.CheckCapability(r.action); err != nil {
				return asUsage(err)
			}
			opts, err := acting(r.as)
			if err != nil {
				return err
			}
			o, err := r.outcome(args[0])
			if err != nil {
				return err
			}
			return p.with(c.Context(), callTime, opts, func(ctx context.Context, s session) error { return s.report(ctx, o, r.out) })
		},
	}
	asAgent(c, &r.as)
	f := c.Flags()
	f.StringVar(&r.action, "action", "", "`kind` of action; the policy gives it a class")
	f.StringVar(&r.request, "request", "", "`file` with what was asked")
	f.StringVar(&r.answer, "answer", "", "`file` with what was answered (default: no answer came)")
	f.BoolVar(&r.right, "right", false, "it was done right")
	f.BoolVar(&r.wrong, "wrong", false, "it was done wrong")
	f.StringVar(&r.detail, "reason", "", "for the record; at most 256 bytes")
	f.StringVar(&r.attester, "attester", "", "who attests it, by `name` or key (default one that is on the bus)")
	f.StringVar(&r.out, "out", "", "`file` for the signed statement, for the attester")
	require(c, "action", "request")
	return c
}

func (r reported) outcome(name string) (standing.Outcome, error) {
	o := standing.Outcome{Agent: name, Action: r.action, OK: r.right, Detail: r.detail, Attester: r.attester}
	var err error
	if o.Request, err = fileDigest(r.request); err != nil {
		return o, err
	}
	if r.answer != "" {
		o.Result, err = fileDigest(r.answer)
	}
	return o, err
}

// maxWork bounds a file of `trust report`.
const maxWork = 256 << 20

func fileDigest(path string) (wire.Digest, error) {
	content, err := readFile(path, maxWork)
	if err != nil {
		return wire.Digest{}, err
	}
	return wire.Hash(content), nil
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fault.New(fault.TooLarge, fmt.Sprintf("%s is longer than %d bytes", path, limit))
	}
	return content, err
}

func (s session) report(ctx context.Context, o standing.Outcome, out string) error {
	who, err := s.who(ctx, o.Agent)
	if err != nil {
		return err
	}
	o.Agent = who.ID.String()
	s.changes()
	if out == "" {
		effect, err := s.Standing().Report(ctx, o)
		if err != nil {
			return typed(err)
		}
		return s.told(effect)
	}
	raw, err := s.Standing().Draft(ctx, o)
	if err != nil {
		return typed(err)
	}
	if err := datadir.WritePrivate(out, raw); err != nil {
		return err
	}
	doc := map[string]any{"file": out, "attester": o.Attester}
	return s.emit(doc, textLine(fmt.Sprintf("%s: next, within an hour, %s runs: conclave trust attest %s", visible(out), visible(o.Attester), visible(out))))
}

func (p trustCommands) attest() *cobra.Command {
	var as string
	c := &cobra.Command{
		Use: "attest FILE", Short: "Attest an outcome that names you, and hand it in", Args: cobra.ExactArgs(1),
		Long: "Show the statement in a file that conclave trust report --out has written, sign it as the attester that\n" +
			"it names, and hand it in. Your word is that you have checked the work yourself.",
		Example: "  conclave trust attest work.ev",
		RunE: func(c *cobra.Command, args []string) error {
			opts, err := acting(as)
			if err != nil {
				return err
			}
			raw, err := readFile(args[0], wire.MaxStatement)
			if err != nil {
				return err
			}
			e, err := wire.ParseCosigned[trust.Evidence](raw, wire.MaxStatement)
			if err != nil {
				return err
			}
			return p.with(c.Context(), askTime, opts, func(ctx context.Context, s session) error { return s.attest(ctx, raw, e.Claim) })
		},
	}
	asAgent(c, &as)
	return c
}

func (s session) attest(ctx context.Context, raw []byte, e trust.Evidence) error {
	known := s.namesOf(ctx)
	s.changes()
	s.say("%s says that %s did %s %s%s; request %s, answer %s; good until %s", known.of(e.Author), known.of(e.Subject), visible(e.Action),
		judged(e.OK), because(e.Detail), e.Request, e.Result, stamp(e.Expires))
	if err := s.confirm("attest it, having checked it yourself?"); err != nil {
		return err
	}
	raw, err := s.Standing().Countersign(raw)
	if err != nil {
		return err
	}
	effect, err := s.Standing().Submit(ctx, raw)
	if err != nil {
		return err
	}
	return s.told(effect)
}

// wordIn says in words what a command tells of an agent.
func wordIn(statement []byte) (string, error) {
	c, err := wire.ParseCosigned[trust.Evidence](statement, wire.MaxStatement)
	if err != nil {
		return "", err
	}
	e := c.Claim
	switch e.Act {
	case trust.Violation:
		return fmt.Sprintf("count a violation of severity %d by %s%s", e.Severity, e.Subject, because(e.Detail)), nil
	case trust.Pardon:
		return fmt.Sprintf("pardon %s %s units of its violations%s", e.Subject, units(e.Amount), because(e.Detail)), nil
	case trust.Endorsement:
		return fmt.Sprintf("endorse %s by %s units%s", e.Subject, units(e.Amount), because(e.Detail)), nil
	}
	return "", fault.New(fault.WrongKind, "not evidence that several operators sign: "+e.Act.String())
}
