package main

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func (p clusterCommands) recover() *cobra.Command {
	var data string
	var keys []string
	var yes bool
	c := &cobra.Command{
		Use: "recover", Short: "Go on with one node when most of them are lost for good", Args: cobra.NoArgs,
		Long: "For a realm that has lost most of its nodes for good, with their disks. On the machine of a node that is left,\n" +
			"and while none runs on its directory, make that node the realm's only one. What only the lost nodes had is\n" +
			"lost: of several nodes that are left, take the one whose log has the highest term, and then the highest entry;\n" +
			"without --yes and a terminal to ask at, that is shown and nothing is done.\n\n" +
			"The others must never run again with the directories they had. Remove these, and let the machines join as\n" +
			"new nodes with empty ones: conclave server token, conclave server join.\n\n" +
			"It needs the keys of as many root operators as the realm's threshold says, by --key, or added afterwards with\n" +
			"`conclave cluster sign`. The node takes the change up at its next start.",
		Example: "  conclave cluster recover --data ./node --key operator\n" +
			"  conclave cluster recover --data ./node --key alice.key --key bob.key --yes",
		RunE: func(*cobra.Command, []string) error {
			dir, err := dataDir(p.env, data)
			if err != nil {
				return err
			}
			return p.recoverNode(dir, keys, yes)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory of the node that is left (default $XDG_DATA_HOME/conclave)")
	c.Flags().StringArrayVar(&keys, "key", nil, "a root operator's key file, or the name of its context; may be repeated")
	c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	require(c, "key")
	return c
}

// remainsDoc is what a data directory holds.
type remainsDoc struct {
	Node      string   `json:"node"`
	Roster    uint64   `json:"roster"`
	Nodes     []string `json:"nodes"`
	Term      uint64   `json:"last_term"`
	Last      uint64   `json:"last_entry"`
	Committed uint64   `json:"committed_entry"`
	File      string   `json:"file,omitempty"` // the roster, if one was made
	Lacks     uint64   `json:"lacks"`          // signatures of further roots
}

func (d remainsDoc) write(w io.Writer) {
	pairs(w, [][2]string{
		{"node", d.Node}, {"roster", fmt.Sprint(d.Roster)}, {"nodes", list(d.Nodes)}, {"last term", fmt.Sprint(d.Term)},
		{"last entry", fmt.Sprint(d.Last)}, {"committed", fmt.Sprintf("%d at least", d.Committed)},
	})
}

func (p clusterCommands) recoverNode(dir string, keys []string, yes bool) error {
	signers, err := rootKeys(keys)
	if err != nil {
		return err
	}
	remains, err := node.Inspect(dir)
	if err != nil {
		return err
	}
	a := remains.Authority
	for _, s := range signers {
		if !slices.Contains(a.Roots, s.ID()) {
			return fmt.Errorf("%w: %s is none", errNoRoot, s.ID())
		}
	}
	doc := remainsDoc{
		Node: remains.Node.String(), Roster: a.Number, Nodes: texts(a.Members()), Term: remains.Log.LastTerm,
		Last: remains.Log.LastIndex, Committed: remains.Log.Committed,
		Lacks: a.Threshold - min(a.Threshold, uint64(len(signers))),
	}
	if !yes {
		doc.write(p.stderr)
		if p.flags.noInput || !p.terminal(p.stdin) {
			return usageHint("not confirmed: nothing was done", "if all other nodes are lost for good, say so: --yes")
		}
		if err := p.confirm("make it the realm's only node? the others are lost for good, and never run again"); err != nil {
			return err
		}
	}
	sign := func(realm wire.Realm, r identity.Roster) ([]byte, error) { return cosignRoster(signers, realm, r) }
	if err := node.Recover(dir, sign, p.logger(slog.LevelWarn)); err != nil {
		return err
	}
	doc.File = filepath.Join(dir, node.RecoveryFile)
	return p.emit(doc, func(w io.Writer) {
		if yes {
			doc.write(w)
		}
		fmt.Fprintf(w, "%s is the realm's only node from its next start on\n", doc.Node)
		if doc.Lacks > 0 {
			fmt.Fprintf(w, "before, %d more root operators sign, each with: conclave cluster sign %s\n", doc.Lacks, doc.File)
		}
		fmt.Fprintf(w, "next: conclave server run --data %s; the others join as new nodes with empty directories\n", dir)
	})
}

// rootKeys reads operators' keys, each from a file or by the name of a context; each key once.
func rootKeys(names []string) ([]identity.Signer, error) {
	var signers []identity.Signer
	for _, name := range names {
		s, err := rootKey(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(signers, func(o identity.Signer) bool { return o.ID() == s.ID() }) {
			signers = append(signers, s)
		}
	}
	return signers, nil
}

func rootKey(name string) (identity.Signer, error) {
	if _, err := os.Lstat(name); err == nil {
		return loadOperator(name)
	}
	store, err := openContexts()
	if err != nil {
		return identity.Signer{}, err
	}
	c, err := store.Load(name)
	if err != nil {
		return identity.Signer{}, fmt.Errorf("--key %s is neither a file nor a context: %w", visible(name), &fault.Error{
			Code: fault.NotFound, Message: fs.ErrNotExist.Error(), Hint: "see which contexts there are: conclave context ls", Err: err,
		})
	}
	signer, err := agefile.Load(c.Key, nil)
	if err == nil && signer.ID().Role() != identity.Operator {
		err = usage("context %s is not an operator's", name)
	}
	return signer, err
}

// cosignRoster has each of the signers sign.
func cosignRoster(signers []identity.Signer, realm wire.Realm, r identity.Roster) ([]byte, error) {
	raw, err := signers[0].Cosign(realm, r)
	for _, s := range signers[1:] {
		if err == nil {
			raw, err = identity.AddTo[identity.Roster](s, realm, raw)
		}
	}
	return raw, err
}
