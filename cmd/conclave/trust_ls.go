package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
)

func (p trustCommands) ls() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List agents with level and score", Args: cobra.NoArgs,
		Long: "List all agents, the highest level first, then the highest score. SCORE is in the class of actions that\n" +
			"the next level asks for, of 1000. FOR, AGAINST and OPEN are what speaks for the agent, against it, and\n" +
			"what nobody knows: an agent without evidence and a bad one have the same score and are not the same.\n" +
			"It is what the node tells; explain and show say which level the nodes have signed.",
		Example: "  conclave trust ls\n  conclave trust ls --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			ranks, err := s.Standing().Ranking(ctx)
			if err != nil {
				return err
			}
			docs := []rankDoc{}
			for _, r := range ranks {
				docs = append(docs, rankDoc{Rank: r, Status: r.Status.String()})
			}
			return s.emit(map[string]any{"agents": docs}, func(w io.Writer) { writeRanks(w, ranks) })
		}),
	}
}

// rankDoc is one line of the list.
type rankDoc struct {
	standing.Rank
	Status string `json:"status"`
}

func writeRanks(w io.Writer, ranks []standing.Rank) {
	if len(ranks) == 0 {
		fmt.Fprintln(w, "no agents yet: conclave agent token --name NAME")
		return
	}
	var rows [][]string
	for _, r := range ranks {
		lease := "-"
		if r.Until > 0 {
			lease = day(r.Until)
		}
		rows = append(rows, []string{
			visible(r.Name), r.Level.String(), r.Status.String(), fmt.Sprintf("%d in %s", r.Score, class(r.Class)),
			fmt.Sprint(r.Belief), fmt.Sprint(r.Disbelief), fmt.Sprint(r.Uncertainty), fmt.Sprint(r.Suspicion), lease, visible(r.OperatorName),
		})
	}
	table(w, []string{"NAME", "LEVEL", "STATUS", "SCORE", "FOR", "AGAINST", "OPEN", "SUSPICION", "LEASE UNTIL", "OPERATOR"}, rows)
}

func class(c uint8) string { return consensus.Class(c).String() }

// day is the date of a time, in UTC.
func day(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }

// names finds the names of principals; one that is not known is shown by the beginning of its key.
type names map[identity.ID]string

// namesOf returns everybody's name, as far as the node tells them.
func (s session) namesOf(ctx context.Context) names {
	known := names{}
	members, err := s.Admin().Members(ctx)
	if err != nil {
		s.say("conclave: names: %s", visible(err.Error())) // keys say it too
	}
	for _, m := range members {
		known[m.ID] = m.Name
	}
	return known
}

func (n names) of(id identity.ID) string {
	if id.IsZero() {
		return "the ledger"
	}
	if name, ok := n[id]; ok {
		return visible(name)
	}
	return short(id.String())
}
