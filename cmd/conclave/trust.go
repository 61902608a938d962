package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// trustCommands are what stands under `conclave trust`.
type trustCommands struct{ *program }

func (p trustCommands) group() *cobra.Command {
	return group("trust", "What agents have earned, why, and what they may do",
		"An agent's rights follow from its autonomy level, L0 to L5, at once on live connections. It climbs by\n"+
			"evidence that others sign, time, and a sign-off by people; it falls by evidence alone. `trust explain`\n"+
			"says why it stands where it stands. `trust set` appoints instead: raising loosens, and needs the\n"+
			"policy's quorum; lowering needs one operator.",
		"  conclave trust ls\n  conclave trust explain writer\n  conclave trust sign-off writer --reason 'a month of clean work'",
		p.ls(), p.show(), p.explain(), p.history(), p.report(), p.attest(), p.rate(), p.endorse(), p.accuse(), p.pardon(), p.signOff(),
		p.set(), p.export())
}

// rightsDoc is what a level may do.
type rightsDoc struct {
	Call       []string `json:"call"`
	Serve      []string `json:"serve"`
	Publish    []string `json:"publish"`
	Subscribe  []string `json:"subscribe"`
	Rate       uint64   `json:"messages_per_minute"`
	MaxPayload uint64   `json:"max_payload_bytes"`
	Propose    bool     `json:"propose"`
	Weight     uint64   `json:"vote_weight"`
	Alone      []string `json:"decides_alone"` // classes
}

// standingDoc is an agent's standing.
type standingDoc struct {
	sdk.Peer
	Word   string    `json:"level_name"`
	Done   uint64    `json:"done"`
	Failed uint64    `json:"failed"`
	Reason string    `json:"reason,omitempty"` // of the last change of level or status
	Rights rightsDoc `json:"rights"`
}

func (s session) rights(l identity.Level) rightsDoc {
	rules := s.Admin().Policy()
	r := rules.Rights(l)
	d := rightsDoc{
		Call: r.Call, Serve: r.Serve, Publish: r.Publish, Subscribe: r.Subscribe, Rate: r.Rate, MaxPayload: r.MaxPayload,
		Propose: r.Propose, Weight: r.Weight, Alone: []string{},
	}
	for _, c := range []consensus.Class{consensus.R0, consensus.R1, consensus.R2, consensus.R3} {
		if rules.Alone(l, c) {
			d.Alone = append(d.Alone, c.String())
		}
	}
	return d
}

func (p trustCommands) show() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show an agent's standing and its rights", Args: cobra.ExactArgs(1),
		Example: "  conclave trust show writer --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			who, err := s.look(ctx, args[0])
			if err != nil {
				return err
			}
			d := standingDoc{Peer: who.Peer, Word: who.Word, Rights: s.rights(who.Level)}
			if who.Record != nil {
				d.Done, d.Failed, d.Reason = who.Record.Done, who.Record.Failed, who.Record.Reason
			}
			return s.emit(d, func(w io.Writer) { d.write(w) })
		}),
	}
}

func (d standingDoc) write(w io.Writer) {
	reason := ""
	if d.Reason != "" {
		reason = quoted(d.Reason)
	}
	r := d.Rights
	votes := "does not vote"
	if r.Weight > 0 {
		votes = fmt.Sprintf("votes with weight %d", r.Weight)
	}
	proposes := "proposes nothing"
	if r.Propose {
		proposes = "proposes"
	}
	pairs(w, [][2]string{
		{"name", visible(d.Name)}, {"agent", d.ID.String()}, {"status", visible(d.Status)},
		{"level", d.Level.String() + " " + d.Word}, {"reason", reason},
		{"outcomes", fmt.Sprintf("%d done, %d failed", d.Done, d.Failed)},
		{"calls", list(r.Call)}, {"serves", list(r.Serve) + " (as far as granted to it)"}, {"publishes", list(r.Publish)},
		{"reads", list(r.Subscribe)}, {"rate", fmt.Sprintf("%d messages a minute of at most %d bytes", r.Rate, r.MaxPayload)},
		{"decisions", proposes + ", " + votes}, {"decides alone", list(r.Alone)},
	})
}

func (p trustCommands) set() *cobra.Command {
	var l loosening
	c := &cobra.Command{
		Use: "set NAME LEVEL", Short: "Change an agent's autonomy level", Args: cobra.ExactArgs(2),
		Example: "  conclave trust set writer L2 --reason 'two failed migrations'\n" +
			"  conclave trust set writer L4 --reason 'half a year without a fault' --out raise.cmd",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			level, err := identity.ParseLevel(args[1])
			if err != nil {
				return asUsage(err)
			}
			who, err := s.who(ctx, args[0])
			if err != nil {
				return err
			}
			s.say("%s: %s to %s", visible(who.Name), who.Level, level)
			body := registry.SetLevel{Principal: who.ID, Level: level, Reason: l.reason}
			return s.change(ctx, change{
				typ: registry.TypeLevel, body: body, of: who.ID, loosens: level > who.Level, out: l.out,
			})
		}),
	}
	l.flags(c)
	require(c, "reason")
	return c
}
