package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func (p clusterCommands) remove() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "remove NODE", Short: "Take a node out of the realm for ever", Args: cobra.ExactArgs(1),
		Long: "Take a node out: the others close their connections to it, and it counts no more. Its directory is of no use\n" +
			"afterwards; the machine can join again as a new node with an empty one. Root operators remove nodes; where\n" +
			"the realm needs several, --out writes the change down for the others to sign, for 10 minutes.",
		Example: "  conclave cluster remove NAB7\n  conclave cluster remove NAB7 --out remove.roster",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			return s.removeNode(ctx, args[0], out)
		}),
	}
	c.Flags().StringVar(&out, "out", "", "`file` for the signed roster, for others to sign; it is not handed in")
	return c
}

func (s session) removeNode(ctx context.Context, typed, out string) error {
	c, err := s.Admin().Cluster(ctx)
	if err != nil {
		return err
	}
	id, err := find(c, typed)
	if err != nil {
		return err
	}
	raw, lacks, err := s.Admin().RemoveNode(id)
	if err != nil {
		return err
	}
	if lacks > 0 && out == "" {
		return fault.New(fault.NoQuorum, fmt.Sprintf("removing a node needs the signatures of %d more root operators", lacks)).
			WithHint("run it again with --out FILE; each further root runs: conclave cluster sign FILE; then: conclave cluster apply FILE")
	}
	s.changes()
	if err := s.confirm("take node " + id.String() + " out for ever?"); err != nil {
		return err
	}
	if out != "" {
		return s.keepRoster(out, raw, lacks)
	}
	return s.seat(ctx, raw)
}

// rosterFile is a roster that was written down.
type rosterFile struct {
	File       string `json:"file"`
	Roster     uint64 `json:"roster"`
	Signatures int    `json:"signatures"`
	Lacks      uint64 `json:"lacks"`
	Recovery   bool   `json:"recovery"`
}

// keepRoster keeps a signed roster in a file, and says who goes on.
func (p *program) keepRoster(path string, raw []byte, lacks uint64) error {
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	if err := datadir.WritePrivate(path, raw); err != nil {
		return err
	}
	doc := rosterFile{File: path, Roster: c.Claim.Number, Signatures: rootsOn(c), Lacks: lacks, Recovery: c.Claim.Recovery}
	return p.emit(doc, func(w io.Writer) {
		fmt.Fprintf(w, "%s: roster %d, signed by %d of %d root operators\n", path, doc.Roster, doc.Signatures, c.Claim.Threshold)
		switch {
		case lacks > 0:
			fmt.Fprintf(w, "%d more needed, each with: conclave cluster sign %s\n", lacks, path)
		case doc.Recovery:
			fmt.Fprintln(w, "next: start the node, conclave server run")
		default:
			fmt.Fprintf(w, "next: conclave cluster apply %s\n", path)
		}
	})
}

// rootsOn counts the roots whose key has a signature on the roster; the nodes verify them.
func rootsOn(c wire.Cosigned[identity.Roster]) int {
	n := 0
	for _, root := range c.Claim.Roots {
		if slices.Contains(c.Keys(), root.Key()) {
			n++
		}
	}
	return n
}

// readRoster reads a roster that was written down.
func readRoster(path string) ([]byte, wire.Cosigned[identity.Roster], error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, wire.Cosigned[identity.Roster]{}, err
	}
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	return raw, c, err
}

func (p clusterCommands) sign() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign FILE", Short: "Add a root's signature to a change of the nodes", Args: cobra.ExactArgs(1),
		Long: "Add your signature to a change that another root operator wrote down, with `cluster remove --out` or with\n" +
			"`cluster recover`. It needs no connection. Look at the nodes that it names: they alone run the realm then.",
		Example: "  conclave --context bob cluster sign remove.roster\n  conclave cluster sign ./node/recovery.cbor --key bob.key",
		RunE: func(_ *cobra.Command, args []string) error {
			raw, c, err := readRoster(args[0])
			if err != nil {
				return err
			}
			realm, signer, err := operatorCommands(p).signer(key)
			if err != nil {
				return err
			}
			if !slices.Contains(c.Claim.Roots, signer.ID()) {
				return fmt.Errorf("%w: %s is none", errNoRoot, signer.ID())
			}
			p.say("roster %d of realm %s: nodes %s, joining %s", c.Claim.Number, short(realm.String()), list(texts(c.Claim.Nodes)),
				list(texts(c.Claim.Joining)))
			if c.Claim.Recovery {
				p.say("it is a recovery: only do this if the other nodes are lost for good")
			}
			if err := p.confirm("sign it as " + signer.ID().String() + "?"); err != nil {
				return err
			}
			if raw, err = identity.AddTo[identity.Roster](signer, realm, raw); err != nil {
				return err
			}
			if c, err = wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement); err != nil {
				return err
			}
			return p.keepRoster(args[0], raw, c.Claim.Threshold-min(c.Claim.Threshold, uint64(rootsOn(c))))
		},
	}
	c.Flags().StringVar(&key, "key", "", "file of the root operator's key (default the context's)")
	return c
}

var errNoRoot = fault.New(fault.Denied, "only the realm's root operators sign rosters").
	WithHint("name a root's context or key: --context NAME, or --key FILE")

func (p clusterCommands) apply() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Hand in a change of the nodes that the roots have signed", Args: cobra.ExactArgs(1),
		Long: "Hand in a change that was written down with --out, once enough root operators have signed it. The nodes\n" +
			"sign it too before it takes effect.",
		Example: "  conclave cluster apply remove.roster",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			raw, _, err := readRoster(args[0])
			if err != nil {
				return err
			}
			s.changes()
			return s.seat(ctx, raw)
		}),
	}
}

// seat hands in a roster and tells what the nodes are then.
func (s session) seat(ctx context.Context, raw []byte) error {
	seated, err := s.Admin().SeatRoster(ctx, raw)
	if err != nil {
		return err
	}
	return s.emit(seatedDoc(seated), func(w io.Writer) {
		fmt.Fprintf(w, "roster %d: %s\n", seated.Number, list(texts(seated.Nodes)))
		fmt.Fprintln(w, verdict(len(seated.Nodes), len(seated.Nodes)))
	})
}

func seatedDoc(s registry.Seated) map[string]any {
	return map[string]any{"roster": s.Number, "nodes": texts(s.Nodes), "joining": texts(s.Joining)}
}
