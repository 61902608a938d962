package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/cedar"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

// The files of a data directory, beside the log's and the trail's own folders.
const (
	genesisFile  = "genesis.cbor"
	settingsFile = "conclave.yaml"
	policyFile   = "policy.yaml"
	keyFile      = "node.key"
)

// Settings is what conclave.yaml says.
type Settings struct {
	Listen    string `yaml:"listen"`              // host:port of the broker
	Cluster   string `yaml:"cluster,omitempty"`   // host:port for other nodes; empty: the node stays alone
	Routes    string `yaml:"routes,omitempty"`    // host:port for other brokers; empty: cluster's host and its next port
	Advertise string `yaml:"advertise,omitempty"` // host that others reach, where cluster listens on all addresses
	Cedar     string `yaml:"cedar,omitempty"`     // file of Cedar policies that judge proposals too, private; from the data directory
}

// ErrSettings is returned when conclave.yaml is wrong.
var ErrSettings = fault.New(fault.InvalidInput, "node: conclave.yaml")

// ErrNotInitialised is returned for a data directory without a realm in it.
var ErrNotInitialised = fault.New(fault.NotFound, "node: no realm in this data directory").
	WithHint("make one: conclave server init --data DIR")

// ErrExists is returned when a realm is to be made where one is.
var ErrExists = fault.New(fault.Conflict, "node: the data directory holds a realm already")

func parseSettings(text []byte) (Settings, error) {
	var s Settings
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return s, s.check()
}

// check refuses addresses that are none, that clash, and a node that the others could not find.
func (s Settings) check() error {
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		return fmt.Errorf("%w: listen: %w", ErrSettings, err)
	}
	for name, address := range map[string]string{"cluster": s.Cluster, "routes": s.Routes} {
		if host, _, err := net.SplitHostPort(address); address != "" && (err != nil || host == "") {
			return fmt.Errorf("%w: %s: %q is not host:port", ErrSettings, name, address)
		}
	}
	if s.Cluster == "" {
		if s.Routes != "" || s.Advertise != "" {
			return fmt.Errorf("%w: routes and advertise mean nothing without cluster", ErrSettings)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(s.Cluster)
	if err != nil {
		return fmt.Errorf("%w: cluster: %w", ErrSettings, err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() && s.Advertise == "" {
		return fmt.Errorf("%w: cluster: %s is no address that other nodes reach; say under which host they do: --advertise HOST, or advertise: in conclave.yaml",
			ErrSettings, s.Cluster)
	}
	routes, err := s.routesListen()
	if err != nil {
		return err
	}
	for _, other := range []string{s.Listen, s.Cluster} {
		if _, port, err := net.SplitHostPort(routes); err == nil && routes == other && port != "0" {
			return fmt.Errorf("%w: routes: %s is taken by listen or cluster; other brokers use the port after cluster's unless routes: says where",
				ErrSettings, routes)
		}
	}
	return nil
}

// routesListen returns where the broker takes routes of other brokers.
func (s Settings) routesListen() (string, error) {
	if s.Routes != "" {
		return s.Routes, nil
	}
	host, text, err := net.SplitHostPort(s.Cluster)
	if err != nil {
		return "", fmt.Errorf("%w: cluster: %w", ErrSettings, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 1<<16-1 {
		return "", fmt.Errorf("%w: cluster: port %s has no next one; say where: routes: host:port", ErrSettings, text)
	}
	if port != 0 {
		port++
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// settings returns the text of a new node's conclave.yaml.
func (p Place) settings() string {
	text := "# Where agents and operators connect, host:port.\nlisten: " + p.Listen + "\n"
	if p.Cluster != "" {
		text += "# Where the realm's other nodes connect, host:port; their brokers use the next port.\ncluster: " + p.Cluster + "\n"
	}
	if p.Advertise != "" {
		text += "# The host under which the other nodes reach this one.\nadvertise: " + p.Advertise + "\n"
	}
	return text
}

// reached returns where other nodes reach the new one, as far as is known before it listens.
func (p Place) reached() string {
	host, port, err := net.SplitHostPort(p.Cluster)
	if ip := net.ParseIP(host); err != nil || p.Advertise == "" || ip == nil || !ip.IsUnspecified() {
		return p.Cluster
	}
	return net.JoinHostPort(p.Advertise, port)
}

// Plan is what a new realm shall be.
type Plan struct {
	Policy policy.Policy
	Roots  []identity.ID // root operators, sorted
	Place
	Nonce [16]byte
	Now   int64 // Unix milliseconds
}

// Init makes the files of a new realm in an empty data directory: the node's key, the policy, the settings, and the
// genesis, which nobody has signed yet. It returns the realm id.
func Init(dir string, p Plan) (wire.Realm, error) {
	d, err := datadir.Open(dir)
	if err != nil {
		return wire.Realm{}, err
	}
	defer d.Close()
	if _, err := datadir.ReadPrivate(filepath.Join(dir, genesisFile), wire.MaxStatement); !errors.Is(err, fs.ErrNotExist) {
		return wire.Realm{}, errors.Join(ErrExists, err)
	}
	if err := p.Policy.CheckRoots(len(p.Roots)); err != nil {
		return wire.Realm{}, err
	}
	if _, err := parseSettings([]byte(p.settings())); err != nil {
		return wire.Realm{}, err
	}
	signer, seed, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		return wire.Realm{}, err
	}
	genesis, err := wire.Cosign(wire.Realm{}, identity.Genesis{
		Version: 1, Created: p.Now, Roots: p.Roots, Threshold: p.Policy.Loosen, Nodes: []identity.ID{signer.ID()},
		Policy: p.Policy.Digest(), Solo: p.Policy.Preset == "solo", Nonce: p.Nonce,
	})
	if err != nil {
		return wire.Realm{}, err
	}
	if err := agefile.Save(filepath.Join(dir, keyFile), identity.Node, seed, nil); err != nil {
		return wire.Realm{}, err
	}
	text, err := policyfile.Marshal(p.Policy)
	if err != nil {
		return wire.Realm{}, err
	}
	files := map[string][]byte{
		policyFile:   text,
		settingsFile: []byte(p.settings()),
	}
	for name, content := range files {
		if err := datadir.WritePrivate(filepath.Join(dir, name), content); err != nil {
			return wire.Realm{}, err
		}
	}
	if err := datadir.WritePrivate(filepath.Join(dir, genesisFile), genesis); err != nil {
		return wire.Realm{}, err
	}
	return identity.RealmOf(genesis)
}

// SignGenesis adds a root's signature to the genesis in a data directory that no node runs on.
func SignGenesis(dir string, root identity.Signer) error {
	d, err := datadir.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	path := filepath.Join(dir, genesisFile)
	raw, err := readGenesis(dir)
	if err != nil {
		return err
	}
	if raw, err = identity.AddTo[identity.Genesis](root, wire.Realm{}, raw); err != nil {
		return err
	}
	return datadir.WritePrivate(path, raw)
}

func readGenesis(dir string) ([]byte, error) {
	raw, err := datadir.ReadPrivate(filepath.Join(dir, genesisFile), wire.MaxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNotInitialised)
	}
	return raw, err
}

// contents is what a data directory says at start.
type contents struct {
	realm    wire.Realm
	genesis  []byte
	policy   policy.Policy
	settings Settings
	signer   identity.Signer
	gate     policy.Gate // nil without a Cedar file
}

// loadGate reads the Cedar policies that the settings name. A node whose gate cannot be read does not start.
func (c *contents) loadGate(dir string) error {
	if c.settings.Cedar == "" {
		return nil
	}
	path := c.settings.Cedar
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := datadir.ReadPrivate(path, cedar.MaxText)
	if err != nil {
		return fmt.Errorf("%w: cedar: %w", ErrSettings, err)
	}
	gate, err := cedar.New(c.settings.Cedar, text)
	if err != nil {
		return fmt.Errorf("%w: cedar: %w", ErrSettings, err)
	}
	c.gate = gate
	return nil
}

func load(dir string) (contents, error) {
	var c contents
	var err error
	if c.genesis, err = readGenesis(dir); err != nil {
		return c, err
	}
	if c.realm, err = identity.RealmOf(c.genesis); err != nil {
		return c, err
	}
	text, err := datadir.ReadPrivate(filepath.Join(dir, policyFile), 1<<20)
	if err != nil {
		return c, err
	}
	if c.policy, err = policyfile.Parse(policyFile, text); err != nil {
		return c, err
	}
	if text, err = datadir.ReadPrivate(filepath.Join(dir, settingsFile), 1<<16); err != nil {
		return c, err
	}
	if c.settings, err = parseSettings(text); err != nil {
		return c, err
	}
	if err := c.loadGate(dir); err != nil {
		return c, err
	}
	if c.signer, err = agefile.Load(filepath.Join(dir, keyFile), nil); err != nil {
		return c, err
	}
	return c, c.checkKey(dir)
}

// ErrWrongKey is returned for a data directory whose node.key is not of a node that the genesis names.
var ErrWrongKey = fault.New(fault.Denied, "node: node.key is not the key of a node of this realm")

func (c contents) checkKey(dir string) error {
	g, err := wire.ParseCosigned[identity.Genesis](c.genesis, wire.MaxStatement)
	if err != nil {
		return err
	}
	if slices.Contains(g.Claim.Nodes, c.signer.ID()) {
		return nil
	}
	rosters, err := readChain(dir)
	if err != nil {
		return err
	}
	a, err := identity.VerifyChain(c.realm, c.genesis, rosters, 0)
	if err != nil {
		return registrar.Unsigned(err)
	}
	if !slices.Contains(a.Members(), c.signer.ID()) {
		return fmt.Errorf("%w: %s", ErrWrongKey, c.signer.ID())
	}
	return nil
}

// Identity returns whose key a data directory holds.
func Identity(dir string) (identity.ID, error) {
	signer, err := agefile.Load(filepath.Join(dir, keyFile), nil)
	return signer.ID(), err
}
