package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// operatorCommands are what stands under `conclave operator`.
type operatorCommands struct{ *program }

func (p operatorCommands) group() *cobra.Command {
	return group("operator", "The people who govern a realm",
		"An operator is a person with a key. What loosens needs as many of them as the policy says.",
		"  conclave operator new --out alice.key", p.newKey(), p.sign(), p.ls(), p.add())
}

func (p operatorCommands) newKey() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "new", Short: "Make an operator's key", Args: cobra.NoArgs,
		Long:    "Make a key file for a person and print the public name O..., which others need. The file is never replaced.",
		Example: "  conclave operator new --out alice.key",
		RunE: func(*cobra.Command, []string) error {
			path, err := keyPath(p.env, out, "operator")
			if err != nil {
				return err
			}
			signer, err := newOperator(path)
			if err != nil {
				return err
			}
			p.say("key written to %s; whoever reads it is you", path)
			doc := map[string]string{"operator": signer.ID().String(), "key": path}
			return p.emit(doc, func(w io.Writer) { fmt.Fprintln(w, signer.ID()) })
		},
	}
	c.Flags().StringVar(&out, "out", "", "file for the key (default among your keys)")
	return c
}

func (p operatorCommands) sign() *cobra.Command {
	var data, key string
	var submit bool
	c := &cobra.Command{
		Use: "sign [FILE]", Short: "Sign a new realm's genesis, or a command that loosens", Args: cobra.MaximumNArgs(1),
		Long: "With --data, sign the genesis of a new realm as one of its roots. With FILE, add your signature to a command\n" +
			"that another operator wrote down with --out; --submit hands it in.",
		Example: "  conclave operator sign --data ./realm --key alice.key\n  conclave operator sign raise.cmd --submit",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case (data == "") == (len(args) == 0):
				return usage("sign either --data DIR or FILE")
			case data != "" && (key == "" || submit):
				return usage("--data needs --key FILE, and there is nothing to submit")
			case data != "":
				return p.signGenesis(data, key)
			}
			return p.countersign(c.Context(), args[0], key, submit)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory of a new realm")
	c.Flags().StringVar(&key, "key", "", "file of the operator's key (default the context's)")
	c.Flags().BoolVar(&submit, "submit", false, "hand the command in once it is signed")
	return c
}

func (p operatorCommands) signGenesis(dir, key string) error {
	signer, err := loadOperator(key)
	if err != nil {
		return err
	}
	d, err := readGenesis(dir)
	if err != nil {
		return err
	}
	if !slices.Contains(d.genesis.Roots, signer.ID()) {
		return usageHint(fmt.Sprintf("%s is no root of this realm", signer.ID()),
			"roots are named when it is made: conclave server init --root O...")
	}
	if err := node.SignGenesis(dir, signer); err != nil {
		return err
	}
	if d, err = readGenesis(dir); err != nil {
		return err
	}
	doc := map[string]any{
		"realm": d.realm.String(), "operator": signer.ID().String(), "signed": d.signed, "needed": d.genesis.Threshold,
	}
	return p.emit(doc, func(w io.Writer) {
		fmt.Fprintf(w, "realm %s: %d of %d roots have signed\n", d.realm, d.signed, d.genesis.Threshold)
		if d.signed >= d.genesis.Threshold {
			fmt.Fprintf(w, "next: conclave server run --data %s\n", dir)
		}
	})
}

// countersign adds a signature to a command in a file, by the context's realm and, unless key names another, its key.
func (p operatorCommands) countersign(ctx context.Context, path, key string, submit bool) error {
	raw, c, err := readCommand(path)
	if err != nil {
		return err
	}
	what, err := explain(c.Claim)
	if err != nil {
		return err
	}
	realm, signer, err := p.signer(key)
	if err != nil {
		return err
	}
	p.say("%s asks to %s; good until %s", c.Claim.Author, what, stamp(c.Claim.Expires))
	if err := p.confirm("sign it as " + signer.ID().String() + "?"); err != nil {
		return err
	}
	if raw, err = identity.AddTo[registry.Command](signer, realm, raw); err != nil {
		return err
	}
	if !submit {
		return p.writeDown(path, raw, 0)
	}
	return p.with(ctx, askTime, nil, func(ctx context.Context, s session) error {
		s.changes()
		return s.submit(ctx, raw)
	})
}

// signer returns the realm of the context in use and the operator who signs.
func (p operatorCommands) signer(key string) (wire.Realm, identity.Signer, error) {
	store, err := openContexts()
	if err != nil {
		return wire.Realm{}, identity.Signer{}, err
	}
	name, err := store.Resolve(p.flags.context, p.env(contexts.EnvVar))
	if err != nil {
		return wire.Realm{}, identity.Signer{}, err
	}
	c, err := store.Load(name)
	if err != nil {
		return wire.Realm{}, identity.Signer{}, err
	}
	realm, err := wire.ParseRealm(c.Realm)
	if err != nil {
		return wire.Realm{}, identity.Signer{}, fmt.Errorf("%w: %w", contexts.ErrInvalid, err)
	}
	load := loadOperator
	if key == "" {
		key, load = c.Key, func(path string) (identity.Signer, error) { return agefile.Load(path, nil) }
	}
	signer, err := load(key)
	if err == nil && signer.ID().Role() != identity.Operator {
		err = usageHint("context "+name+" is not an operator's", "name an operator's: --context NAME, or --key FILE")
	}
	return realm, signer, err
}

func (p operatorCommands) ls() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the operators", Args: cobra.NoArgs, Example: "  conclave operator ls",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			docs, err := s.membersOf(ctx, identity.Operator)
			if err != nil {
				return err
			}
			return s.emit(map[string]any{"operators": docs}, func(w io.Writer) {
				var rows [][]string
				for _, m := range docs {
					rows = append(rows, []string{visible(m.Name), visible(m.Status), m.Joined, m.ID.String()})
				}
				table(w, []string{"NAME", "STATUS", "JOINED", "OPERATOR"}, rows)
			})
		}),
	}
}

func (p operatorCommands) add() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "add NAME OPERATOR", Short: "Make a person an operator", Args: cobra.ExactArgs(2),
		Long:    "Make the person with the key O... an operator. This loosens: it needs the policy's quorum.",
		Example: "  conclave operator add bob OB... --out add-bob.cmd",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			if err := asUsage(identity.CheckName(args[0])); err != nil {
				return err
			}
			ids, err := parseIDs(args[1:], identity.Operator)
			if err != nil {
				return err
			}
			body := registry.AddOperator{Operator: ids[0], Name: args[0]}
			return s.change(ctx, change{typ: registry.TypeOperator, body: body, loosens: true, out: out})
		}),
	}
	c.Flags().StringVar(&out, "out", "", "`file` for the signed command, for others to sign; it is not handed in")
	return c
}
