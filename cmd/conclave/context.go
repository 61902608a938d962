package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// contextCommands are what stands under `conclave context`.
type contextCommands struct{ *program }

func (p contextCommands) group() *cobra.Command {
	return group("context", "Which realm, as whom",
		"A context names a realm's nodes, the keys they must show, and the file of your own key. --context goes before\n"+
			"$CONCLAVE_CONTEXT, which goes before the selected one.",
		"  conclave context ls", p.ls(), p.use(), p.show(), p.add(), p.forget())
}

// contextLine is one context as scripts read it.
type contextLine struct {
	Name      string   `json:"name"`
	Selected  bool     `json:"selected"`
	Realm     string   `json:"realm"`
	Addresses []string `json:"addresses"`
	Pins      []string `json:"pins"`
	Key       string   `json:"key"`
	Principal string   `json:"principal"`
	Roster    uint64   `json:"seen_roster"`
	HeadSize  uint64   `json:"seen_head_size"`
	HeadRoot  string   `json:"seen_head_root,omitempty"`
}

func lineOf(name, selected string, c contexts.Context) contextLine {
	return contextLine{
		Name: name, Selected: name == selected, Realm: c.Realm, Addresses: c.Addresses, Pins: c.Pins, Key: c.Key,
		Principal: c.Principal, Roster: c.Seen.Roster, HeadSize: c.Seen.HeadSize, HeadRoot: c.Seen.HeadRoot,
	}
}

func (p contextCommands) ls() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the contexts", Args: cobra.NoArgs, Example: "  conclave context ls --json",
		RunE: func(*cobra.Command, []string) error {
			store, err := openContexts()
			if err != nil {
				return err
			}
			names, err := store.List()
			if err != nil {
				return err
			}
			selected, err := store.Selected()
			if err != nil && !errors.Is(err, contexts.ErrNoneSelected) {
				return err
			}
			lines := []contextLine{}
			for _, name := range names {
				c, err := store.Load(name)
				if err != nil {
					return err
				}
				lines = append(lines, lineOf(name, selected, c))
			}
			return p.emit(map[string]any{"contexts": lines}, func(w io.Writer) { contextTable(w, lines) })
		},
	}
}

func contextTable(w io.Writer, lines []contextLine) {
	var rows [][]string
	for _, l := range lines {
		mark := ""
		if l.Selected {
			mark = "selected"
		}
		rows = append(rows, []string{l.Name, mark, short(l.Realm), list(l.Addresses), l.Principal})
	}
	table(w, []string{"NAME", "", "REALM", "ADDRESSES", "PRINCIPAL"}, rows)
}

func (p contextCommands) use() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Select a context", Args: cobra.ExactArgs(1), Example: "  conclave context use dev",
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := openContexts()
			if err != nil {
				return err
			}
			if err := store.Select(args[0]); err != nil {
				return err
			}
			return p.emit(map[string]string{"selected": args[0]}, func(io.Writer) { p.say("context %s selected", args[0]) })
		},
	}
}

func (p contextCommands) show() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show a context, the one in use by default", Args: cobra.MaximumNArgs(1),
		Example: "  conclave context show", ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := openContexts()
			if err != nil {
				return err
			}
			name := strings.Join(args, "")
			if name == "" {
				if name, err = store.Resolve(p.flags.context, p.env(contexts.EnvVar)); err != nil {
					return err
				}
			}
			c, err := store.Load(name)
			if err != nil {
				return err
			}
			selected, err := store.Selected()
			if err != nil && !errors.Is(err, contexts.ErrNoneSelected) {
				return err
			}
			l := lineOf(name, selected, c)
			return p.emit(l, func(w io.Writer) {
				pairs(w, [][2]string{
					{"name", l.Name}, {"realm", visible(l.Realm)}, {"addresses", list(l.Addresses)}, {"pins", list(l.Pins)},
					{"key", visible(l.Key)}, {"principal", l.Principal},
				})
			})
		},
	}
}

func (p contextCommands) add() *cobra.Command {
	var realm, key string
	var addresses, pins []string
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a context and select it", Args: cobra.ExactArgs(1),
		Long: "Add a context from what `conclave server init` printed and a key that you have. Take the realm id and the\n" +
			"pins from somebody you trust, not from the network.",
		Example: "  conclave context add prod --realm ID --address bus.example.org:7415 --pin N... --key operator.key",
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := contextOf(realm, addresses, pins, key)
			if err != nil {
				return err
			}
			store, err := newContext(args[0])
			if err != nil {
				return err
			}
			if err := keep(store, args[0], c); err != nil {
				return err
			}
			return p.emit(lineOf(args[0], args[0], c), func(io.Writer) { p.say("context %s selected", args[0]) })
		},
	}
	c.Flags().StringVar(&realm, "realm", "", "realm id")
	c.Flags().StringArrayVar(&addresses, "address", nil, "host:port of a node; may be repeated")
	c.Flags().StringArrayVar(&pins, "pin", nil, "key N... that a node must show; may be repeated")
	c.Flags().StringVar(&key, "key", "", "file of your own key")
	require(c, "realm", "address", "pin", "key")
	return c
}

// require makes flags mandatory.
func require(c *cobra.Command, names ...string) {
	for _, name := range names {
		_ = c.MarkFlagRequired(name) // fails only for an unknown flag, which the test of the tree would find
	}
}

func contextOf(realm string, addresses, pins []string, key string) (contexts.Context, error) {
	id, err := wire.ParseRealm(realm)
	if err != nil {
		return contexts.Context{}, asUsage(err)
	}
	ids, err := parseIDs(pins, identity.Node)
	if err != nil {
		return contexts.Context{}, err
	}
	path, err := filepath.Abs(key)
	if err != nil {
		return contexts.Context{}, asUsage(err)
	}
	signer, err := agefile.Load(path, nil)
	if err != nil {
		return contexts.Context{}, err
	}
	return realmContext(id, addresses, ids, path, signer.ID()), nil
}

// parseIDs reads principals' names of one role.
func parseIDs(texts []string, role identity.Role) ([]identity.ID, error) {
	var ids []identity.ID
	for _, text := range texts {
		id, err := identity.ParseID(text)
		if err != nil {
			return nil, asUsage(err)
		}
		if id.Role() != role {
			return nil, usage("%s names one of the %ss, not of the %ss", text, id.Role(), role)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	store, err := openContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := store.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
