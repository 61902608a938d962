package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/demo"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// demoTime bounds a demo whose command does not end.
const demoTime = 10 * time.Minute

func demoCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "demo [-- COMMAND ARGS...]", Short: "Play a whole realm with its attacks, each step checked",
		Long: "Makes a realm in a private temporary directory, lets agents talk, attacks them, and runs one command under a\n" +
			"certificate: yours, or `touch proof.txt` in a directory that is thrown away. It ends by itself, and with 1 if\n" +
			"anything is not as promised.",
		Example: "  conclave demo\n  conclave demo -- touch proof.txt\n  conclave demo --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := p.within(cmd.Context(), demoTime)
			defer cancel()
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			config := demo.Config{Command: args, Out: p.stdout, Quiet: p.flags.json, Self: self, Stdout: p.stdout, Stderr: p.stderr}
			if p.flags.json {
				config.Stdout = p.stderr // stdout holds one document and nothing else
			}
			report, err := demo.Run(ctx, config)
			if err != nil {
				return err
			}
			if err := p.emit(report, func(io.Writer) {}); err != nil {
				return err
			}
			if !report.OK {
				last := report.Steps[len(report.Steps)-1]
				return fault.New(fault.Internal, "demo: "+last.Name+": "+last.Detail)
			}
			return nil
		},
	}
}
