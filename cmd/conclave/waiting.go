package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

func (p decisionCommands) wait() *cobra.Command {
	var out string
	var watch bool
	c := &cobra.Command{
		Use: "wait ID", Short: "Wait until a decision has ended", Args: cobra.ExactArgs(1),
		Long: "Wait until a decision is approved (exit code 0) or rejected (7); with --timeout, it may still be pending (8).\n" +
			"The certificate is verified in full; --out keeps it. --watch tells on the way who has voted.",
		Example: "  conclave decision wait 1a2b3c4d --timeout 10m --out decision.cert",
		RunE: p.connected(0, func(ctx context.Context, s session, args []string) error {
			asking, cancel := soon(ctx)
			defer cancel()
			v, err := s.view(asking, args[0])
			if err != nil {
				return err
			}
			d, err := s.Decision(asking, v.ID)
			if err != nil {
				return err
			}
			if watch {
				return s.watching(ctx, v, func(ctx context.Context) error { return s.wait(ctx, d, out) })
			}
			return s.wait(ctx, d, out)
		}),
	}
	c.Flags().StringVar(&out, "out", "", "write the certificate to this file")
	c.Flags().BoolVar(&watch, "watch", false, "tell on stderr what changes meanwhile")
	return c
}

// watching tells what changes about a decision while something waits for it.
func (s session) watching(ctx context.Context, v ballot.View, wait func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- wait(ctx) }()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	said := ""
	for {
		if now := votesSoFar(v); now != said {
			s.say("%s: %s", short16(v.ID), now)
			said = now
		}
		select {
		case err := <-ended:
			return err
		case <-again.C:
		}
		asking, done := soon(ctx)
		if fresh, err := s.Ballots().View(asking, v.ID.String()); err == nil {
			v = fresh
		}
		done()
	}
}

// lookAgain is how often a decision is looked at for what has changed.
const lookAgain = time.Second

// votesSoFar says where a decision stands, in one line.
func votesSoFar(v ballot.View) string {
	var voted, committed int
	for _, e := range v.Voters {
		switch {
		case e.Voted:
			voted++
		case e.Committed:
			committed++
		}
	}
	text := fmt.Sprintf("%s, %d of %d have voted", visible(v.State), voted, len(v.Voters))
	if committed > 0 {
		text += fmt.Sprintf(", %d more have committed", committed)
	}
	return text
}

// certificateDoc is an approved decision.
type certificateDoc struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Action  actionDoc `json:"action"`
	Class   string    `json:"class"`
	Ballots int       `json:"ballots"`
	From    string    `json:"execute_from"`
	Until   string    `json:"execute_until"`
	File    string    `json:"file,omitempty"`
}

// wait waits for the certificate, keeps it, and tells of it.
func (s session) wait(ctx context.Context, d *sdk.Decision, out string) error {
	ctx, cancel := s.within(ctx, 0)
	defer cancel()
	c, err := d.Wait(ctx)
	if err != nil {
		return advised(err, map[fault.Code]string{
			fault.Rejected: "see who voted how: conclave decision show " + short16(d.ID()),
			fault.Pending:  "wait on: conclave decision wait " + short16(d.ID()),
		})
	}
	if err := keepCertificate(out, c); err != nil {
		return err
	}
	doc := certificateDoc{
		ID: c.ID().String(), State: "approved", Action: actionOf(c.Action()), Class: c.Class().String(),
		Ballots: c.Ballots(), From: time.UnixMilli(c.NotBefore()).UTC().Format(time.RFC3339), Until: time.UnixMilli(c.Expires()).UTC().Format(time.RFC3339), File: out,
	}
	return s.emit(doc, func(w io.Writer) {
		pairs(w, [][2]string{
			{"decision", doc.ID}, {"state", "approved, certificate verified"}, {"class", doc.Class},
			{"ballots", fmt.Sprint(doc.Ballots)}, {"execute until", doc.Until}, {"certificate", doc.File},
		})
	})
}

func keepCertificate(path string, c *verify.Certificate) error {
	if path == "" {
		return nil
	}
	return datadir.WritePrivate(path, c.File())
}

func (p decisionCommands) export() *cobra.Command {
	return &cobra.Command{
		Use: "export ID FILE", Short: "Write an approved decision's certificate to a file", Args: cobra.ExactArgs(2),
		Long: "Write the certificate of an approved decision to a file, verified. Anybody can check it who knows the\n" +
			"realm's id: conclave decision verify FILE --realm ID, or by hand: --explain.",
		Example: "  conclave decision export 1a2b3c4d decision.cert",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			v, err := s.view(ctx, args[0])
			if err != nil {
				return err
			}
			if v.State == consensus.Open.String() {
				return sdk.ErrPending
			}
			d, err := s.Decision(ctx, v.ID)
			if err != nil {
				return err
			}
			return s.wait(ctx, d, args[1])
		}),
	}
}
