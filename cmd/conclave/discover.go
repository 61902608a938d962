package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

func discoverCommand(p *program) *cobra.Command {
	var least string
	c := &cobra.Command{
		Use: "discover [CAPABILITY]", Short: "Show who is there and what it serves", Args: cobra.MaximumNArgs(1),
		Long: "List the live processes, each verified: its level by a majority of nodes, its card by its agent. Descriptions\n" +
			"are the agents' own words.",
		Example: "  conclave discover text.summarise --min-level L2",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			q, err := query(strings.Join(args, ""), least)
			if err != nil {
				return err
			}
			found := []sdk.Found{}
			for f, err := range s.Discover(ctx, q) {
				if err != nil {
					return err
				}
				found = append(found, f)
			}
			slices.SortFunc(found, func(a, b sdk.Found) int {
				return strings.Compare(a.Peer.Name+a.Process.String(), b.Peer.Name+b.Process.String())
			})
			if len(found) == 0 && q.Capability != "" {
				return sdk.ErrNoResponder
			}
			return s.emit(map[string]any{"found": found}, func(w io.Writer) {
				if len(found) == 0 {
					s.say("nobody is there: agents are shown while they run")
					return
				}
				foundTable(w, found)
			})
		}),
	}
	c.Flags().StringVar(&least, "min-level", "", "only agents of this level or above")
	return c
}

func query(capability, least string) (sdk.Query, error) {
	q := sdk.Query{Capability: capability}
	if capability != "" {
		if err := identity.CheckCapability(capability); err != nil {
			return q, asUsage(err)
		}
	}
	if least == "" {
		return q, nil
	}
	var err error
	q.MinLevel, err = identity.ParseLevel(least)
	return q, asUsage(err)
}

// topics stands where a process serves nothing.
func topics(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "(publishes " + list(names) + ")"
}

func foundTable(w io.Writer, found []sdk.Found) {
	var rows [][]string
	for _, f := range found {
		agent := []string{visible(f.Peer.Name), f.Peer.Level.String(), short(f.Process.String())}
		for _, c := range f.Capabilities {
			description := ""
			if c.Description != "" {
				description = quoted(c.Description)
			}
			rows = append(rows, append(slices.Clone(agent), visible(c.Name), description))
		}
		if len(f.Capabilities) == 0 {
			rows = append(rows, append(agent, "-", topics(f.Topics)))
		}
	}
	table(w, []string{"AGENT", "LEVEL", "PROCESS", "CAPABILITY", "IN ITS OWN WORDS"}, rows)
}
