package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// inboxCommand shows what waits for whoever asks.
func inboxCommand(p *program) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "inbox", Short: "Show what waits for your vote", Args: cobra.NoArgs,
		Long: "Show each open decision that waits for your vote: the action as it is signed, computed here from the signed\n" +
			"proposal, and the commands that decide it. What the proposer says about it is marked as its words.\n\n" +
			"With --watch it stays and shows new ones as they come; with --json each is a line of its own then.",
		Example: "  conclave inbox --watch",
		RunE: p.connected(0, func(ctx context.Context, s session, _ []string) error {
			if watch {
				return s.watchInbox(ctx)
			}
			ctx, cancel := s.within(ctx, askTime)
			defer cancel()
			waiting, err := s.Ballots().Waiting(ctx)
			if err != nil {
				return err
			}
			docs := []decisionDoc{}
			for _, v := range waiting {
				docs = append(docs, decisionOf(v))
			}
			return s.emit(map[string]any{"decisions": docs}, func(w io.Writer) {
				for _, v := range waiting {
					writeWaiting(w, v, time.Now())
				}
				if len(waiting) == 0 {
					fmt.Fprintln(w, "nothing waits for your vote")
				}
			})
		}),
	}
	c.Flags().BoolVar(&watch, "watch", false, "stay, and show new ones as they come")
	return c
}

// watchInbox shows what waits and what comes, until it is interrupted or --timeout is over.
func (s session) watchInbox(ctx context.Context) error {
	ctx, cancel := s.within(ctx, 0)
	defer cancel()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	shown := map[sdk.Digest]bool{}
	s.say("waiting for decisions; end with Ctrl-C")
	for {
		asking, done := soon(ctx)
		waiting, err := s.Ballots().Waiting(asking)
		done()
		if err != nil && ctx.Err() == nil && !sdk.CodeOf(err).Retryable() {
			return err
		}
		for _, v := range waiting {
			if shown[v.ID] {
				continue
			}
			shown[v.ID] = true
			if err := s.stream(decisionOf(v), func(w io.Writer) { writeWaiting(w, v, time.Now()) }); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// stream writes one of several documents: a line of JSON, or text.
func (p *program) stream(doc any, text func(io.Writer)) error {
	if p.flags.json {
		return p.line(doc)
	}
	text(p.stdout)
	return nil
}

// writeWaiting shows a decision to who must vote on it.
func writeWaiting(w io.Writer, v ballot.View, now time.Time) {
	writeDecision(w, v)
	id := short16(v.ID)
	fmt.Fprintf(w, "time left: %s\n", v.Deadline.Sub(now).Round(time.Second))
	fmt.Fprintf(w, "  conclave decision approve %s\n  conclave decision reject %s --reason '...'\n\n", id, id)
}
