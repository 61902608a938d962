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
	var explain bool
	c := &cobra.Command{
		Use: "verify FILE|-", Short: "Check a certificate, offline, from the realm id alone", Args: cobra.ExactArgs(1),
		Long: "Make the whole check of a certificate: no network, no context, no clock. The realm id is all that is trusted.\n" +
			"--roster demands that number of the nodes' roster or a newer one. Exit code 9 if anything does not hold.\n\n" +
			"--explain takes it apart for who trusts no program: each signature with its key and the exact bytes that it is\n" +
			"over, for any Ed25519 tool, what it proves, and what the certificate does not prove.",
		Example: "  conclave decision verify decision.cert --realm ID\n  conclave decision verify decision.cert --realm ID --explain",
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := realmID(realm)
			if err != nil {
				return err
			}
			raw, err := p.certificate(args[0])
			if err != nil {
				return err
			}
			if explain {
				return p.explain(raw, verify.TrustRoot{Realm: id, Roster: roster})
			}
			return p.check(raw, verify.TrustRoot{Realm: id, Roster: roster})
		},
	}
	c.Flags().StringVar(&realm, "realm", "", "realm id")
	c.Flags().Uint64Var(&roster, "roster", 0, "least roster number to accept")
	c.Flags().BoolVar(&explain, "explain", false, "show every signature, what it proves, and what is not proved")
	require(c, "realm")
	return c
}

// explain takes a certificate apart.
func (p decisionCommands) explain(raw []byte, root verify.TrustRoot) error {
	x := verify.Explain(raw, root)
	told := p.emit(x, func(w io.Writer) { writeExplanation(w, x) })
	if x.Valid {
		return told
	}
	_, _, err := verify.Parse(raw, root)
	return unverified{err}
}

func writeExplanation(w io.Writer, x verify.Explanation) {
	if d := x.Decision; d != nil {
		title := "WHAT IT SAYS"
		if !x.Valid {
			title += ", WHICH DOES NOT VERIFY: BELIEVE NONE OF IT"
		}
		fmt.Fprintln(w, title)
		pairs(w, [][2]string{
			{"decision", d.ID}, {"kind", visible(d.Action.Kind)}, {"target", visible(d.Action.Target)}, {"fingerprint", d.Action.Digest},
			{"class", visible(d.Class)}, {"needed", visible(d.Rule)}, {"proposer", visible(d.Proposer)}, {"done by", visible(d.Executor)},
			{"voters", fmt.Sprintf("%d, ballots %d", d.Voters, d.Ballots)}, {"approved", stamp(d.Approved)},
			{"may be done", stamp(d.From) + " to " + stamp(d.Until)},
		})
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "WHAT WAS CHECKED")
	for _, c := range x.Checks {
		word := "ok"
		if !c.OK {
			word = "FAILED"
		}
		fmt.Fprintf(w, "%-7s %s: %s\n", word, c.Name, c.Means)
	}
	if !x.Valid {
		fmt.Fprintf(w, "NOT VALID: %s (%s)\n", visible(x.Failure), x.Code)
	}
	fmt.Fprintln(w, "\nSIGNATURES (Ed25519; the message is the exact bytes that are signed)")
	for i, s := range x.Signatures {
		word := "holds"
		if !s.Holds {
			word = "DOES NOT HOLD"
		}
		fmt.Fprintf(w, "%d. %s (%s): %s\n   %s\n   key       %s\n   signature %s\n   message   %s\n",
			i+1, visible(s.Part), s.Kind, word, visible(s.Proves), s.Key, s.Signature, s.Message)
	}
	for _, u := range x.Unreadable {
		fmt.Fprintf(w, "%s cannot be read (%s)\n", visible(u.Part), u.Code)
	}
	if !x.Valid {
		fmt.Fprintln(w, "\nIT PROVES NOTHING: a certificate holds as a whole or not at all.")
		return
	}
	fmt.Fprintln(w, "\nWHAT IT DOES NOT PROVE")
	for _, text := range x.Unproved {
		fmt.Fprintf(w, "- %s\n", text)
	}
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
