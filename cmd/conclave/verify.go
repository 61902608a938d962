package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

func (p decisionCommands) verify() *cobra.Command {
	var realm string
	var roster uint64
	c := &cobra.Command{
		Use: "verify FILE|-", Short: "Check a certificate, offline, from the realm id alone", Args: cobra.ExactArgs(1),
		Long: "Make the whole check of a certificate: no network, no context, no clock. The realm id is all that is trusted.\n" +
			"--roster demands that number of the nodes' roster or a newer one. Exit code 9 if anything does not hold.",
		Example: "  conclave decision verify decision.cert --realm ID",
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := realmID(realm)
			if err != nil {
				return err
			}
			raw, err := p.certificate(args[0])
			if err != nil {
				return err
			}
			return p.check(raw, verify.TrustRoot{Realm: id, Roster: roster})
		},
	}
	c.Flags().StringVar(&realm, "realm", "", "realm id")
	c.Flags().Uint64Var(&roster, "roster", 0, "least roster number to accept")
	require(c, "realm")
	return c
}

// certificate reads a file of at most 1 MiB, or stdin.
func (p decisionCommands) certificate(path string) ([]byte, error) {
	if path == "-" {
		return p.input(path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	b, err := io.ReadAll(io.LimitReader(file, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fault.New(fault.TooLarge, path+" is longer than 1 MiB")
	}
	return b, err
}

func (p decisionCommands) check(raw []byte, root verify.TrustRoot) error {
	c, report, err := verify.Parse(raw, root)
	told := p.emit(report, func(w io.Writer) {
		for _, check := range report.Checks {
			word := "ok"
			if !check.OK {
				word = "FAILED"
			}
			fmt.Fprintf(w, "%-7s %s\n", word, check.Name)
		}
		if err == nil {
			fmt.Fprintf(w, "valid: decision %s, class %s, ballots %d, roster %d\n", c.ID(), c.Class(), c.Ballots(), report.Roster)
			writeAction(w, c.Action())
		}
	})
	if err != nil {
		return unverified{err}
	}
	return told
}
