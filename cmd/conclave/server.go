package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

// serverCommands are what stands under `conclave server`.
type serverCommands struct{ *program }

func (p serverCommands) group() *cobra.Command {
	return group("server", "Make and run a realm's node",
		"A realm begins with `init`, which fixes its root operators and its policy for everybody who knows its id.",
		"  conclave server init --data ./realm\n  conclave server run --data ./realm\n  conclave help cluster",
		p.create(), p.operate(), p.token(), p.join(), p.status())
}

// defaultListen is where a new node listens, unless it is told.
const defaultListen = "127.0.0.1:7415"

// placeFlags are those that say where a node listens; without a default they stand in for conclave.yaml.
func placeFlags(c *cobra.Command, to *node.Place, listen string) {
	instead := ""
	if listen == "" {
		instead = " instead of the one in conclave.yaml"
	}
	fl := c.Flags()
	fl.StringVar(&to.Listen, "listen", listen, "host:port for agents and operators"+instead)
	fl.StringVar(&to.Cluster, "cluster", "", "host:port for other nodes"+instead+"")
	fl.StringVar(&to.Advertise, "advertise", "", "host that others reach, where cluster is all addresses")
}

// checkCluster refuses a cluster address that cannot be one.
func checkCluster(address string) error {
	if host, _, err := net.SplitHostPort(address); address != "" && (err != nil || host == "") {
		return usage("--cluster is host:port, not %.64q", address)
	}
	return nil
}

// initFlags are those of server init.
type initFlags struct {
	data, preset, policy, key, name string
	place                           node.Place
	roots                           []string
}

func (p serverCommands) create() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use: "init", Short: "Make a new realm in a data directory", Args: cobra.NoArgs,
		Long: "Make a new realm. solo (the default) makes one new operator key, signs with it, and selects a context for\n" +
			"it. standard and strict need --root for each root operator; each of them then runs `conclave operator sign`.",
		Example: "  conclave server init --data ./realm\n" +
			"  conclave server init --data ./realm --listen 10.0.0.1:7415 --cluster 10.0.0.1:7416\n" +
			"  conclave server init --data ./realm --preset standard --root OA... --root OB...",
		RunE: func(*cobra.Command, []string) error { return p.createRealm(f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.data, "data", "", "data directory (default $XDG_DATA_HOME/conclave)")
	fl.StringVar(&f.preset, "preset", "", "solo, standard or strict (default solo)")
	fl.StringVar(&f.policy, "policy", "", "policy file instead of a preset as it is")
	fl.StringArrayVar(&f.roots, "root", nil, "root operator O...; may be repeated")
	placeFlags(c, &f.place, defaultListen)
	fl.StringVar(&f.key, "operator-key", "", "file for the new operator key of a solo realm")
	fl.StringVar(&f.name, "context-name", "operator", "context to write and select, of a solo realm")
	c.MarkFlagsMutuallyExclusive("preset", "policy")
	return c
}

// made is what init tells.
type made struct {
	Realm    string   `json:"realm"`
	Data     string   `json:"data"`
	Policy   string   `json:"policy"`
	Listen   string   `json:"listen"`
	Cluster  string   `json:"cluster,omitempty"`
	Pins     []string `json:"pins"`
	Roots    []string `json:"roots"`
	Signed   uint64   `json:"signed"`
	Needed   uint64   `json:"needed"`
	Operator string   `json:"operator_key,omitempty"`
	Context  string   `json:"context,omitempty"`
}

func (p serverCommands) createRealm(f initFlags) error {
	rules, err := f.rules()
	if err != nil {
		return err
	}
	if f.data, err = dataDir(p.env, f.data); err != nil {
		return err
	}
	roots, err := parseIDs(f.roots, identity.Operator)
	if err != nil {
		return err
	}
	if rules.Preset == policy.Solo && len(roots) == 0 {
		return p.createSolo(f, rules)
	}
	slices.SortFunc(roots, identity.ID.Compare)
	roots = slices.Compact(roots)
	if uint64(len(roots)) < rules.Loosen {
		return usageHint(fmt.Sprintf("this policy is governed by %d operators: name %d of them by --root, not %d",
			rules.Loosen, rules.Loosen, len(roots)), "each of them makes a key: conclave operator new --out FILE")
	}
	if _, err := node.Init(f.data, plan(f, rules, roots)); err != nil {
		return err
	}
	return p.tellMade(f, rules.Preset, "")
}

// initSolo makes the one operator, who signs at once.
func (p serverCommands) createSolo(f initFlags, rules policy.Policy) error {
	if _, err := readGenesis(f.data); err == nil {
		return node.ErrExists.WithHint("run it: conclave server run --data " + f.data)
	}
	store, err := newContext(f.name)
	if err != nil {
		return err
	}
	if f.key, err = keyPath(p.env, f.key, f.name); err != nil {
		return err
	}
	d, operator, err := found(f, rules)
	if err != nil {
		return err
	}
	c := realmContext(d.realm, []string{f.place.Listen}, d.genesis.Nodes, f.key, operator)
	if err := keep(store, f.name, c); err != nil {
		return err
	}
	return p.tellMade(f, rules.Preset, f.key)
}

// found makes a solo realm, signed by a new operator whose key it writes to f.key.
func found(f initFlags, rules policy.Policy) (beginning, identity.ID, error) {
	operator, err := newOperator(f.key)
	if err != nil {
		return beginning{}, identity.ID{}, err
	}
	if _, err := node.Init(f.data, plan(f, rules, []identity.ID{operator.ID()})); err != nil {
		return beginning{}, identity.ID{}, errors.Join(err, os.Remove(f.key)) // the key of no realm
	}
	if err := node.SignGenesis(f.data, operator); err != nil {
		return beginning{}, identity.ID{}, err
	}
	d, err := readGenesis(f.data)
	return d, operator.ID(), err
}

func plan(f initFlags, rules policy.Policy, roots []identity.ID) node.Plan {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	return node.Plan{Policy: rules, Roots: roots, Place: f.place, Nonce: nonce, Now: time.Now().UnixMilli()}
}

func (f initFlags) rules() (policy.Policy, error) {
	if f.policy != "" {
		return policyfile.Load(f.policy)
	}
	if f.preset == "" {
		f.preset = policy.Solo
	}
	rules, err := policy.Preset(f.preset)
	return rules, asUsage(err)
}

func usageHint(message, hint string) error { return fault.New(fault.Usage, message).WithHint(hint) }

// dataDir returns the data directory given, or the user's.
func dataDir(env func(string) string, given string) (string, error) {
	if given == "" {
		return dataHome(env)
	}
	path, err := filepath.Abs(given)
	return path, asUsage(err)
}

func (p serverCommands) tellMade(f initFlags, preset, key string) error {
	d, err := readGenesis(f.data)
	if err != nil {
		return err
	}
	m := made{
		Realm: d.realm.String(), Data: f.data, Policy: preset, Listen: f.place.Listen, Cluster: f.place.Cluster, Pins: texts(d.genesis.Nodes),
		Roots: texts(d.genesis.Roots), Signed: d.signed, Needed: d.genesis.Threshold, Operator: key,
	}
	if key != "" {
		m.Context = f.name
	}
	return p.emit(m, func(w io.Writer) {
		pairs(w, [][2]string{
			{"realm", m.Realm}, {"data", m.Data}, {"listen", m.Listen}, {"cluster", m.Cluster}, {"pins", list(m.Pins)},
			{"roots", list(m.Roots)}, {"operator key", m.Operator}, {"context", m.Context},
		})
		if m.Signed < m.Needed {
			fmt.Fprintf(w, "%d of %d roots have signed; each root runs: conclave operator sign --data %s --key FILE\n",
				m.Signed, m.Needed, m.Data)
			return
		}
		fmt.Fprintf(w, "next: conclave server run --data %s\n", m.Data)
	})
}

func texts(ids []identity.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

func (p serverCommands) operate() *cobra.Command {
	var data, metrics string
	var at node.Place
	c := &cobra.Command{
		Use: "run", Short: "Run a node until it is told to end", Args: cobra.NoArgs,
		Long: "Run the node of a data directory in the foreground. It prints one line on stdout when agents can connect\n" +
			"(a node that is still joining: when it runs; one of several: when a majority does),\n" +
			"logs to stderr, and ends on SIGINT or SIGTERM; it ends by itself when its log or trail fails.\n\n" +
			"With a cluster address, by --cluster or in conclave.yaml, other nodes can join; without one it stays alone.\n\n" +
			"/metrics, /healthz and /readyz are served over HTTP to this machine alone, on a port that the line names.",
		Example: "  conclave server run --data ./realm\n  conclave server run --data ./realm --cluster 10.0.0.1:7416\n" +
			"  conclave server run --data ./realm --metrics-listen 127.0.0.1:9464",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := dataDir(p.env, data)
			if err != nil {
				return err
			}
			if err := checkCluster(at.Cluster); err != nil {
				return err
			}
			if _, err := readGenesis(dir); err != nil {
				return err // before anything is made there
			}
			return serve(c.Context(), node.Config{
				Dir: dir, Listen: at.Listen, Cluster: at.Cluster, Advertise: at.Advertise, Metrics: metricsAddress(metrics),
				Logger: p.logger(slog.LevelInfo),
			}, p.ready)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory (default $XDG_DATA_HOME/conclave)")
	placeFlags(c, &at, "")
	metricsFlag(c, &metrics)
	return c
}

// metricsOff is what --metrics-listen says for no metrics.
const metricsOff = "off"

func metricsFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "metrics-listen", "127.0.0.1:0",
		"where to serve metrics and health, or off")
}

// metricsAddress returns what the node is told: nothing for off, and else the address, which an empty text is not.
func metricsAddress(flag string) string {
	switch flag {
	case metricsOff:
		return ""
	case "":
		return ":" // refused as one that others can reach
	}
	return flag
}

// serve runs a node until ctx ends, after telling that it is there.
func serve(ctx context.Context, config node.Config, tell func(*node.Node) error) error {
	config.Version = buildVersion()
	n, err := node.Open(ctx, config)
	if err != nil {
		return err
	}
	err = n.Serving(ctx)
	if err == nil {
		err = tell(n)
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, n.Close())
	}
	select {
	case <-ctx.Done():
		return n.Close()
	case <-n.Done():
		return errors.Join(n.Err(), n.Close())
	}
}

func (p serverCommands) ready(n *node.Node) error {
	doc := map[string]string{"address": n.Addr(), "realm": n.Realm().String(), "node": n.ID().String()}
	line := fmt.Sprintf("ready %s realm %s", n.Addr(), n.Realm())
	if at := n.MetricsAddr(); at != "" {
		doc["metrics"] = at
		line += " metrics " + at
	}
	if at := n.ClusterAddr(); at != "" {
		doc["cluster"] = at
		line += " cluster " + at
	}
	return p.emit(doc, func(w io.Writer) { fmt.Fprintln(w, line) })
}
