package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// devContext is the context that dev writes.
const devContext = "dev"

func devCommand(p *program) *cobra.Command {
	var data, listen, metrics string
	c := &cobra.Command{
		Use: "dev", Short: "Run a realm of your own to try things", Args: cobra.NoArgs,
		Long: "Make a solo realm in a private temporary directory, run its node, and select a context `dev` that names its\n" +
			"operator's key. The log is a real one, synced to disk; everything is gone at exit unless --data keeps it.",
		Example: "  conclave dev\n  conclave dev --data ./dev-realm",
		RunE: func(c *cobra.Command, _ []string) error {
			return runDev(c.Context(), p, data, node.Config{Listen: listen, Metrics: metricsAddress(metrics)})
		},
	}
	c.Flags().StringVar(&data, "data", "", "directory that keeps the realm; none: a temporary one")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "host:port; port 0 takes a free one")
	metricsFlag(c, &metrics)
	return c
}

// devRealm is one run of dev.
type devRealm struct {
	*program
	dir       string // holds node/ and keys/
	temporary bool
	store     *contexts.Store
	before    string // context that was selected
	realm     string
}

func runDev(ctx context.Context, p *program, data string, config node.Config) (err error) {
	d := &devRealm{program: p, temporary: data == ""}
	if d.store, err = openContexts(); err != nil {
		return err
	}
	if d.before, err = d.store.Selected(); err != nil && !errors.Is(err, contexts.ErrNoneSelected) {
		return err
	}
	if d.dir, err = filepath.Abs(data); err != nil {
		return err
	}
	if d.temporary {
		if d.dir, err = os.MkdirTemp("", "conclave-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.forget()) }()
	}
	config.Dir, config.Logger = d.at("node"), p.logger(slog.LevelWarn)
	operator, err := d.operator(config.Listen)
	if err != nil {
		return err
	}
	return serve(ctx, config, func(n *node.Node) error { return d.ready(n, operator) })
}

func (d *devRealm) at(path ...string) string {
	return filepath.Join(append([]string{d.dir}, path...)...)
}

// operator returns whose realm it is, after making it if the directory holds none.
func (d *devRealm) operator(listen string) (identity.ID, error) {
	key := d.at("keys", "operator.key")
	if _, err := readGenesis(d.at("node")); err == nil {
		signer, err := loadOperator(key)
		return signer.ID(), err
	} else if !errors.Is(err, node.ErrNotInitialised) {
		return identity.ID{}, err
	}
	rules, err := policy.Preset(policy.Solo)
	if err != nil {
		return identity.ID{}, err
	}
	for _, dir := range []string{d.at("node"), d.at("keys")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return identity.ID{}, err
		}
	}
	_, id, err := found(initFlags{data: d.at("node"), place: node.Place{Listen: listen}, key: key}, rules)
	return id, err
}

// ready writes and selects the context, and says what to type next.
func (d *devRealm) ready(n *node.Node, operator identity.ID) error {
	d.realm = n.Realm().String()
	c := realmContext(n.Realm(), []string{n.Addr()}, []identity.ID{n.ID()}, d.at("keys", "operator.key"), operator)
	if old, err := d.store.Load(devContext); err == nil && old.Realm == c.Realm {
		c.Seen = old.Seen
	}
	if err := keep(d.store, devContext, c); err != nil {
		return err
	}
	doc := map[string]any{
		"address": n.Addr(), "realm": d.realm, "node": n.ID().String(), "context": devContext, "data": d.dir,
		"temporary": d.temporary, "metrics": n.MetricsAddr(),
	}
	return d.emit(doc, func(w io.Writer) { d.banner(w, n) })
}

func (d *devRealm) banner(w io.Writer, n *node.Node) {
	kept := "kept in " + d.dir
	if d.temporary {
		kept = "in " + d.dir + ", synced to disk, and gone at exit; keep it with --data DIR"
	}
	fmt.Fprintf(w, "%s   a realm of your own, one node, one operator: you\n\n", d.strong("conclave dev"))
	pairs(w, [][2]string{
		{"  bus", n.Addr()}, {"  metrics", n.MetricsAddr()}, {"  realm", d.realm}, {"  data", kept},
		{"  context", devContext + ", selected; it names your operator key"},
	})
	fmt.Fprint(w, `
In another terminal:

  go run ./examples/hello                                  two agents that talk
  conclave discover                                        who is there
  conclave guard --as worker -- /bin/echo done             a command that waits for you
  conclave inbox --watch                                   what waits for you, and how to decide it
  conclave agent token --name reviewer                     let another agent in

Without an installed conclave, type in the source tree: go run ./cmd/conclave
Ctrl-C ends it.
`)
}

// forget takes away what a temporary realm leaves behind, and selects again what was selected before.
func (d *devRealm) forget() error {
	err := os.RemoveAll(d.dir)
	c, loadErr := d.store.Load(devContext)
	if loadErr != nil || c.Realm != d.realm {
		return err // never written, or another dev's by now
	}
	err = errors.Join(err, d.store.Remove(devContext))
	if d.before == "" || d.before == devContext {
		return err
	}
	if _, selectedErr := d.store.Selected(); !errors.Is(selectedErr, contexts.ErrNoneSelected) {
		return err // somebody has selected another one meanwhile
	}
	if _, loadErr := d.store.Load(d.before); loadErr != nil {
		return err // it is gone
	}
	return errors.Join(err, d.store.Select(d.before))
}
