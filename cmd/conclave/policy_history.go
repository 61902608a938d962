package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// reignDoc is one policy of the realm's history.
type reignDoc struct {
	admin.Reign
	At      string   `json:"time,omitempty"` // when it was signed, by its author's clock
	Preset  string   `json:"preset,omitempty"`
	By      string   `json:"by,omitempty"`      // its author's name
	Signers []string `json:"signers,omitempty"` // names of the operators that signed it, or keys that were theirs
	InForce bool     `json:"in_force"`
}

func (p policyCommands) history() *cobra.Command {
	var show int
	c := &cobra.Command{
		Use: "history", Short: "List the policies that were in force", Args: cobra.NoArgs,
		Long: "List all policies since the genesis, the one in force last: since when, by its author's clock, and which\n" +
			"operators have signed it. The chain is verified from the realm's id: each was signed by as many as the one\n" +
			"before it asks for. --show prints one of them as a policy file, from 1; the genesis's stands in the data\n" +
			"directory of each node.",
		Example: "  conclave policy history\n  conclave policy history --show 1 > policy-1.yaml",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			all, err := s.Admin().History()
			if err != nil {
				return err
			}
			if show >= 0 {
				return s.showReign(all, show)
			}
			names := s.namesOf(ctx)
			docs := make([]reignDoc, len(all))
			for i, r := range all {
				docs[i] = reigned(r, names, i == len(all)-1)
			}
			return s.emit(map[string]any{"policies": docs}, func(w io.Writer) { writeReigns(w, docs) })
		}),
	}
	c.Flags().IntVar(&show, "show", -1, "print the policy of this number as a file")
	return c
}

func (s session) showReign(all []admin.Reign, number int) error {
	if number >= len(all) || all[number].Policy == nil {
		return fault.New(fault.NotFound, fmt.Sprintf("no policy %d to show", number)).WithHint("see which there were: conclave policy history")
	}
	text, err := policyfile.Marshal(*all[number].Policy)
	if err != nil {
		return err
	}
	doc := map[string]any{"number": number, "digest": all[number].Digest, "file": string(text)}
	return s.emit(doc, func(w io.Writer) { _, _ = w.Write(text) }) // a reader that has gone wants no more
}

func reigned(r admin.Reign, names names, inForce bool) reignDoc {
	d := reignDoc{Reign: r, At: stamp(r.Signed), InForce: inForce}
	if r.Policy != nil {
		d.Preset = r.Policy.Preset
	}
	if r.Number > 0 {
		d.By = names.of(r.Author)
	}
	for _, key := range r.Keys {
		d.Signers = append(d.Signers, names.signer(key))
	}
	return d
}

// signer names the operator of a key; one that has taken another key since is shown by the beginning of the old one.
func (n names) signer(key wire.PublicKey) string {
	for id, name := range n {
		if id.Role() == identity.Operator && id.Key() == key {
			return visible(name)
		}
	}
	return fmt.Sprintf("%x", key[:8])
}

func writeReigns(w io.Writer, docs []reignDoc) {
	rows := make([][]string, len(docs))
	for i, d := range docs {
		when, signed := d.At, strings.Join(d.Signers, " ")
		if d.Number == 0 {
			when, signed = "genesis", "the roots"
		}
		state := ""
		if d.InForce {
			state = "in force"
		}
		rows[i] = []string{strconv.FormatUint(d.Number, 10), when, short16(d.Digest), signed, state}
	}
	table(w, []string{"POLICY", "SIGNED", "DIGEST", "BY", ""}, rows)
}
