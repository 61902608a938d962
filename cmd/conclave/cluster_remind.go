package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

func (p clusterCommands) remind() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use: "remind", Short: "Show a restored realm what it has forgotten", Args: cobra.NoArgs,
		Long: "When all nodes of a realm were restored from an older backup, or made anew from what one had, the registry has\n" +
			"forgotten who was quarantined or revoked since, whose level was lowered and whose epoch was raised. This shows\n" +
			"it the signed commands that did it: those that this key's owner keeps beside its key, because it gave them or\n" +
			"nodes told it of them, and those in a file that a node kept, tightenings.cbor in its data directory. What the\n" +
			"registry knows, or has released since, stays as it is. Running agents do the same by themselves.",
		Example: "  conclave cluster remind\n  conclave cluster remind --from ./node/tightenings.cbor",
		RunE: p.connected(remindTime, func(ctx context.Context, s session, _ []string) error {
			commands, err := s.Admin().Remembered()
			if err != nil {
				return err
			}
			if from != "" {
				kept, err := readKept(from)
				if err != nil {
					return err
				}
				commands = append(commands, kept.Commands...)
			}
			s.changes()
			return s.remind(ctx, commands)
		}),
	}
	c.Flags().StringVar(&from, "from", "", "`file` of tightenings that a node kept")
	return c
}

// remindTime bounds how long so many reminders may take: each is a command of its own.
const remindTime = 10 * askTime

func readKept(path string) (registry.Kept, error) {
	raw, err := datadir.ReadPrivate(path, registry.MaxKeptBytes)
	if err != nil {
		return registry.Kept{}, err
	}
	kept, err := registry.ParseKept(raw)
	if err != nil {
		return kept, fmt.Errorf("%s: %w", path, err)
	}
	return kept, nil
}

// remindedDoc is what became of the reminders.
type remindedDoc struct {
	News      int           `json:"news"`  // took effect
	Known     int           `json:"known"` // the registry knew them, or what came after them
	Refused   int           `json:"refused"`
	Reminders []reminderDoc `json:"reminders"`
}

type reminderDoc struct {
	Command   string `json:"command"`
	Principal string `json:"principal"`
	Says      string `json:"says"`
	Outcome   string `json:"outcome"` // news, known, or the code of the refusal
	Reason    string `json:"reason,omitempty"`
}

var errRefusedReminders = fault.New(fault.Denied, "some of the reminders were refused").
	WithHint("see why in the list; what an operator or a key of today may not say, an operator says anew: conclave agent quarantine")

func (s session) remind(ctx context.Context, commands [][]byte) error {
	done, err := s.Admin().Remind(ctx, commands)
	d := remindedDoc{Reminders: []reminderDoc{}}
	for _, r := range done {
		one := reminderDoc{
			Command: r.ID.String(), Principal: r.Tightening.Principal.String(), Says: says(r), Outcome: "known",
		}
		switch {
		case r.Err != nil:
			d.Refused++
			one.Outcome, one.Reason = string(fault.CodeOf(r.Err)), r.Err.Error()
		case r.News:
			d.News++
			one.Outcome = "news"
		default:
			d.Known++
		}
		d.Reminders = append(d.Reminders, one)
	}
	if shown := s.emit(d, d.write); shown != nil {
		return shown
	}
	if err == nil && d.Refused > 0 {
		err = errRefusedReminders
	}
	return err
}

// says is what a tightening does, in words.
func says(r admin.Reminder) string {
	switch r.Type {
	case registry.TypeStatus:
		return r.Tightening.Status.String()
	case registry.TypeLevel:
		return "level " + r.Tightening.Level.String()
	}
	return fmt.Sprintf("epoch %d", r.Tightening.Epoch)
}

func (d remindedDoc) write(w io.Writer) {
	var rows [][]string
	for _, r := range d.Reminders {
		outcome := r.Outcome
		if r.Reason != "" {
			outcome += ": " + visible(r.Reason)
		}
		rows = append(rows, []string{r.Principal, visible(r.Says), outcome})
	}
	if len(rows) > 0 {
		table(w, []string{"PRINCIPAL", "SAYS", "OUTCOME"}, rows)
	}
	fmt.Fprintf(w, "%d took effect, %d known, %d refused\n", d.News, d.Known, d.Refused)
}
