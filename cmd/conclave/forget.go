package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (p contextCommands) forget() *cobra.Command {
	return &cobra.Command{
		Use: "forget NAME", Short: "Take a restored realm as it is", Args: cobra.ExactArgs(1),
		Long: "A context refuses a realm that is older than what it has seen (`superseded`, or `conflict` where as much was\n" +
			"done anew): nobody can tell an attack from nodes that were restored from a backup, but you, if you know that\n" +
			"they were. This forgets what the context has seen of its realm; then show the realm what it has forgotten:\n" +
			"conclave cluster remind.",
		Example: "  conclave context forget operator", ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := openContexts()
			if err != nil {
				return err
			}
			c, err := store.Load(args[0])
			if err != nil {
				return err
			}
			question := fmt.Sprintf("take the realm as its nodes show it next? context %s has seen roster %d and %d commands",
				args[0], c.Seen.Roster, c.Seen.HeadSize)
			if err := p.confirm(question); err != nil {
				return err
			}
			if err := store.Forget(args[0]); err != nil {
				return err
			}
			doc := map[string]any{"context": args[0], "roster": c.Seen.Roster, "commands": c.Seen.HeadSize}
			return p.emit(doc, func(w io.Writer) {
				fmt.Fprintf(w, "forgotten: roster %d, %d commands\nnext: conclave --context %s cluster remind\n", c.Seen.Roster, c.Seen.HeadSize, args[0])
			})
		},
	}
}
