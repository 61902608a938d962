package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// proposeFlags are those of decision propose.
type proposeFlags struct {
	target, class, reason, key, out, rollback, notBefore, until string
	params, gains, open, targets                                []string
	amount, uses                                                uint64
	wait, emergency                                             bool
}

func (p decisionCommands) propose() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use: "propose KIND", Short: "Ask that an action be decided", Args: cobra.ExactArgs(1),
		Long: "Ask that an action be decided, to be done by you. KIND is named like a capability, as db.migrate; a kind that\n" +
			"the policy does not name is R3, the highest class. With --key the same key again is the same decision.\n\n" +
			"--uses makes it a permit: one decision for so many actions of this kind, until --until. --open leaves a\n" +
			"parameter open that --param does not fix: each of its values matches a pattern that is given for it, which is\n" +
			"a text, or the beginning of one and a star.\n\n" +
			"--emergency asks by the policy's emergency rule: people decide, at once and alone, on the few kinds that the\n" +
			"policy lists, and a root reviews it afterwards (decision settle).",
		Example: "  conclave decision propose db.migrate --target prod --param file=0042.sql --reason 'adds a column' --wait\n" +
			"  conclave decision propose service.restart --target web --uses 20 --until 8h --open 'host=web-*'",
		RunE: p.connected(0, func(ctx context.Context, s session, args []string) error {
			asking, cancel := soon(ctx)
			defer cancel()
			proposal, err := f.proposal(asking, s, args[0])
			if err != nil {
				return err
			}
			s.changes()
			d, err := s.Propose(asking, proposal)
			if err != nil {
				return advised(typed(err), map[fault.Code]string{
					fault.Denied: "see what the policy allows: conclave policy show; and your level: conclave trust show NAME",
				})
			}
			if f.wait {
				return s.wait(ctx, d, f.out)
			}
			v, err := s.Ballots().View(asking, d.ID().String())
			if err != nil {
				return err
			}
			if v.State == consensus.Open.String() {
				s.say("decide: conclave decision approve %s; wait: conclave decision wait %s", short16(v.ID), short16(v.ID))
			}
			return s.emit(decisionOf(v), func(w io.Writer) { writeDecision(w, v) })
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.target, "target", "", "what it is done to")
	fl.StringArrayVar(&f.params, "param", nil, "name=value; may be repeated, also with the same name")
	fl.StringVar(&f.class, "class", "", "raise the policy's class: R0 to R3")
	fl.StringVar(&f.reason, "reason", "", "why, shown to voters as your words")
	fl.StringVar(&f.key, "key", "", "idempotency key")
	fl.BoolVar(&f.wait, "wait", false, "wait until it is decided")
	fl.StringVar(&f.out, "out", "", "with --wait: write the certificate to this file")
	fl.Uint64Var(&f.amount, "amount", 0, "how much, in the kind's own unit, as cents or rows")
	fl.StringVar(&f.rollback, "rollback", "", "how it would be undone, for voters")
	fl.StringVar(&f.notBefore, "not-before", "", "`time` before which nobody may do it: RFC 3339, or from now, as 2h")
	fl.StringArrayVar(&f.gains, "beneficiary", nil, "`name` or id of who gains from it, and so does not vote; may be repeated")
	fl.BoolVar(&f.emergency, "emergency", false, "ask by the policy's emergency rule")
	fl.Uint64Var(&f.uses, "uses", 0, "make it a permit for so many actions")
	fl.StringVar(&f.until, "until", "24h", "with --uses: `time` at which the permit ends, at most 7 days ahead")
	fl.StringArrayVar(&f.open, "open", nil, "with --uses: `name=pattern` of a parameter that may differ; may be repeated")
	fl.StringArrayVar(&f.targets, "open-target", nil, "with --uses: `pattern` of other targets; may be repeated")
	return c
}

// proposal reads what was typed. Names are looked up.
func (f proposeFlags) proposal(ctx context.Context, s session, kind string) (sdk.Proposal, error) {
	action, class, err := f.action(kind)
	if err != nil {
		return sdk.Proposal{}, err
	}
	p := sdk.Proposal{Action: action, Class: class, Reason: f.reason, Key: f.key, Emergency: f.emergency}
	if p.NotBefore, err = when("--not-before", f.notBefore); err != nil {
		return sdk.Proposal{}, err
	}
	for _, name := range f.gains {
		who, err := s.who(ctx, name)
		if err != nil {
			return sdk.Proposal{}, err
		}
		p.Beneficiaries = append(p.Beneficiaries, who.ID)
	}
	p.Permit, err = f.permit()
	return p, err
}

func (f proposeFlags) permit() (*sdk.Permit, error) {
	if f.uses == 0 {
		if len(f.open)+len(f.targets) > 0 {
			return nil, usage("--open and --open-target need --uses")
		}
		return nil, nil
	}
	until, err := when("--until", f.until)
	if err != nil {
		return nil, err
	}
	open, err := named("--open", f.open)
	if err != nil {
		return nil, err
	}
	return &sdk.Permit{Uses: f.uses, Until: until, Open: open, Targets: f.targets}, nil
}

// when reads a time that was typed: RFC 3339, or a duration from now. None is the zero time.
func when(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usage("%s is a time as 2026-01-02T15:04:05Z, or from now as 2h30m, not %.64q", flag, text)
	}
	return t, nil
}

// named reads name=value texts.
func named(flag string, texts []string) (map[string][]string, error) {
	values := map[string][]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usage("%s is name=value, not %.64q", flag, text)
		}
		values[name] = append(values[name], value)
	}
	return values, nil
}

func (f proposeFlags) action(kind string) (sdk.Action, sdk.Class, error) {
	params, err := named("--param", f.params)
	if err != nil {
		return sdk.Action{}, 0, err
	}
	class, err := parseClass(f.class)
	if err != nil {
		return sdk.Action{}, 0, err
	}
	action := sdk.NewAction(kind, f.target, params)
	action.Amount, action.Rollback = f.amount, f.rollback
	if f.out != "" && !f.wait {
		return action, class, usage("--out needs --wait")
	}
	return action, class, asUsage(action.Check())
}

// parseClass reads a class that was typed; none is R0, which raises nothing.
func parseClass(text string) (sdk.Class, error) {
	if text == "" {
		return consensus.R0, nil
	}
	class, err := consensus.ParseClass(text)
	return class, asUsage(err)
}

// recuse is the vote that is never secret.
const recuse = "recuse"

// decisionVote returns the command that casts one kind of vote.
func (p decisionCommands) vote(verb, short string, vote func(reason string) ballot.Vote) *cobra.Command {
	var reason string
	var sure uint64
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1),
		Long:    short + ". The ballot is signed over exactly the action that is shown before.",
		Example: "  conclave decision " + verb + " 1a2b3c4d --reason 'checked with the owner'",
		RunE: p.connected(0, func(ctx context.Context, s session, args []string) error {
			if sure < 500 || sure > 1000 {
				return usage("--confidence is 500 to 1000, in per mille, not %d; who thinks it wrong rejects", sure)
			}
			asking, cancel := soon(ctx)
			defer cancel()
			v, err := s.view(asking, args[0])
			if err != nil {
				return err
			}
			writeDecision(s.stderr, v)
			s.changes()
			if err := s.confirm(verb + " exactly this?"); err != nil {
				return err
			}
			state, err := s.cast(ctx, v, vote(reason).Confident(sure), verb == recuse)
			if err != nil {
				return advised(err, map[fault.Code]string{
					fault.Denied:  "see who may vote on it: conclave decision show " + short16(v.ID),
					fault.Spent:   "a vote counts once, and until it ends; see how it stands: conclave decision show " + short16(v.ID),
					fault.Expired: "see until when votes count: conclave decision show " + short16(v.ID),
				})
			}
			doc := map[string]string{
				"id": v.ID.String(), "vote": verb, "state": state, "action_digest": v.ActionHash.String(),
			}
			return s.emit(doc, textLine(fmt.Sprintf("%s cast on %s: %s", verb, short16(v.ID), visible(state))))
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().Uint64Var(&sure, "confidence", 1000, "how sure you are, in per mille: 500 (not at all) to 1000")
	return c
}

// cast votes and, where the ballot is secret, stays until it is revealed: a ballot that nobody reveals is silence. It returns
// where the decision stands.
func (s session) cast(ctx context.Context, v ballot.View, vote ballot.Vote, open bool) (string, error) {
	casting, cancel := soon(ctx)
	defer cancel()
	state, err := s.Ballots().Vote(casting, v, vote)
	if err != nil || open || state != consensus.Open || !v.Secret || s.ID().Role() != identity.Agent {
		return state.String(), err
	}
	s.say("committed; the ballot stays secret until the others have committed to theirs, by %s at the latest", moment(v.CommitsUntil))
	revealing, cancel := s.within(ctx, 0)
	defer cancel()
	if err := s.Ballots().Reveal(revealing, v.ID); fault.CodeOf(err) == fault.Pending {
		return "", &fault.Error{
			Code: fault.Pending, Message: "the ballot is committed to, and not revealed yet", Err: err,
			Hint: "unrevealed it is silence; this agent reveals it while it is connected, as by: conclave inbox --watch; it has until " +
				moment(v.RevealsUntil),
		}
	} else if err != nil {
		return "", err
	}
	asking, cancel := soon(ctx)
	defer cancel()
	v, err = s.Ballots().View(asking, v.ID.String())
	return v.State, err
}

// picked fetches the decision that was typed, shows it, and asks whether to go on.
func (s session) picked(ctx context.Context, id, question string) (*sdk.Decision, error) {
	v, err := s.view(ctx, id)
	if err != nil {
		return nil, err
	}
	writeDecision(s.stderr, v)
	s.changes()
	if err := s.confirm(question); err != nil {
		return nil, err
	}
	return s.Decision(ctx, v.ID)
}

func (p decisionCommands) cancel() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "cancel ID", Short: "Take a decision back before anybody acts on it", Args: cobra.ExactArgs(1),
		Long: "Take back a decision of yours, or of an agent of yours, that is open, or approved and not yet acted on. Of a\n" +
			"permit, the uses that are left end.",
		Example: "  conclave decision cancel 1a2b3c4d --reason 'the release is off'",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			d, err := s.picked(ctx, args[0], "cancel this?")
			if err != nil {
				return err
			}
			if err := d.Cancel(ctx, reason); err != nil {
				return advised(err, map[fault.Code]string{
					fault.Denied:  "a voter can reject it instead; see who may cancel: conclave decision show " + short16(d.ID()),
					fault.Spent:   "see how it ended: conclave decision show " + short16(d.ID()),
					fault.Expired: "its time is over anyhow: conclave decision show " + short16(d.ID()),
				})
			}
			return s.emit(map[string]string{"id": d.ID().String(), "state": consensus.Cancelled.String()}, textLine(short16(d.ID())+" is cancelled"))
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

func (p decisionCommands) settle() *cobra.Command {
	var detail, out string
	var right, wrong bool
	c := &cobra.Command{
		Use: "settle ID --right|--wrong", Short: "Say whether the action was right to do, as it turned out", Args: cobra.ExactArgs(1),
		Long: "Say once, as a root operator or as the operator of who proposed it, whether the action of a decision that has\n" +
			"ended was right to do; nobody does who has voted on it, or whose agent has. What the voters said, and how sure\n" +
			"they were, is scored by it. Of an emergency it is the review.\n\n" +
			"Once that is overdue, as many operators as the policy wants for what loosens make it together, whatever part\n" +
			"they had: a root writes it down with --out, and the others sign the file (operator sign).",
		Example: "  conclave decision settle 1a2b3c4d --wrong --detail 'the column was in use'\n" +
			"  conclave decision settle 1a2b3c4d --right --out review.cmd",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			if right == wrong {
				return usage("say --right or --wrong")
			}
			d, err := s.picked(ctx, args[0], "settle it so?")
			if err != nil {
				return err
			}
			settlement := registry.Settle{Proposal: d.ID(), Right: right, Detail: detail}
			if out != "" {
				return s.change(ctx, change{typ: registry.TypeSettle, body: settlement, loosens: true, out: out})
			}
			if err := d.Settle(ctx, right, detail); err != nil {
				return unsettled(err, d.ID())
			}
			return s.settled(settlement)
		}),
	}
	c.Flags().BoolVar(&right, "right", false, "it was right to do")
	c.Flags().BoolVar(&wrong, "wrong", false, "it was not")
	c.Flags().StringVar(&detail, "detail", "", "what came of it, for the record")
	c.Flags().StringVar(&out, "out", "", "`file` for the signed command, for others to sign; it is not handed in")
	return c
}

// unsettled says what to do about a settlement that was refused.
func unsettled(err error, id sdk.Digest) error {
	show := "conclave decision show " + short16(id)
	return advised(err, map[fault.Code]string{
		fault.Denied: "a root operator does, or the proposer's, who has not voted on it, nor has an agent of theirs, nor does it; an emergency's " +
			"review that is overdue, several together: --out FILE",
		fault.Spent:    "see who has: " + show,
		fault.Pending:  "settle it when it was done, or when its time is over: " + show,
		fault.Rejected: "what was taken back is not settled; see how it ended: " + show,
	})
}

// settled tells what was settled, and how.
func (s session) settled(b registry.Settle) error {
	doc := map[string]any{"id": b.Proposal.String(), "right": b.Right}
	return s.emit(doc, textLine(short16(b.Proposal)+" was "+judged(b.Right)+" to do"))
}

// judged is the word for what an action turned out to be.
func judged(right bool) string {
	if right {
		return "right"
	}
	return "wrong"
}
