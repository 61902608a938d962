package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Option says how to connect.
type Option func(*options)

// Transport connects a process to a node: natsbus.Dial, unless [Over] says otherwise.
type Transport func(ctx context.Context, o natsbus.Options) (bus.Conn, error)

type options struct {
	name      string
	context   string
	level     identity.Level
	serves    []string
	logger    *slog.Logger
	profile   *Profile
	transport Transport
	life      time.Duration // of a credential
}

// Profile is everything that a connection needs, given directly instead of by a context.
type Profile struct {
	Realm     Realm
	Addresses []string        // host:port of nodes
	Pins      []ID            // their keys
	Signer    identity.Signer // the principal's identity key
	StateDir  string          // keeps what certificates were used; a copy of it is another store. Empty: a temporary one, gone at Close. Beside it, with ".tightenings" added: who was quarantined
}

// Name names the agent. With a context whose key is an operator's, as `conclave dev` writes one, it is also enrolled
// under this name at first use, with a key of its own kept beside the operator's.
func Name(name string) Option { return func(o *options) { o.name = name } }

// Context uses the context of this name instead of $CONCLAVE_CONTEXT or the selected one.
func Context(name string) Option { return func(o *options) { o.context = name } }

// AtLevel asks for an autonomy level when [Name] enrols; L3 otherwise.
func AtLevel(l Level) Option { return func(o *options) { o.level = l } }

// Serves asks for capability patterns when [Name] enrols; all ("*") otherwise.
func Serves(patterns ...string) Option { return func(o *options) { o.serves = patterns } }

// WithLogger receives what goes wrong in the background; it never gets payloads or keys.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithProfile connects by the profile and reads no context.
func WithProfile(p Profile) Option { return func(o *options) { o.profile = &p } }

// Over connects over another transport, as sdk/sdktest does.
func Over(t Transport) Option { return func(o *options) { o.transport = t } }

// CredentialLife sets how long a process's keys are used before new ones replace them, at most and by default 24 h.
func CredentialLife(d time.Duration) Option { return func(o *options) { o.life = d } }

func (o *options) fill(opts []Option) error {
	for _, opt := range opts {
		opt(o)
	}
	if o.logger == nil {
		o.logger = slog.New(slog.DiscardHandler)
	}
	if o.transport == nil {
		o.transport = dial
	}
	if o.life <= 0 || o.life > identity.MaxCredentialLife*time.Millisecond {
		o.life = identity.MaxCredentialLife * time.Millisecond
	}
	if o.serves == nil {
		o.serves = []string{"*"}
	}
	if o.name != "" {
		return identity.CheckName(o.name)
	}
	return nil
}

// dial is the transport over NATS.
func dial(ctx context.Context, o natsbus.Options) (bus.Conn, error) {
	c, err := natsbus.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// known is a profile with where it came from.
type known struct {
	Profile
	store   *contexts.Store // nil without a context
	context string
	seen    contexts.Seen
}

// resolve finds out which realm to connect to, and as whom: profile, context, environment, selection.
func (o *options) resolve(ctx context.Context) (known, error) {
	if o.profile != nil {
		return known{Profile: *o.profile}, nil
	}
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		return known{}, err
	}
	name, err := store.Resolve(o.context, os.Getenv(contexts.EnvVar))
	if err != nil {
		return known{}, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	c, err := store.Load(name)
	if err != nil {
		return known{}, err
	}
	k := known{store: store, context: name, seen: c.Seen}
	if k.Profile, err = profileOf(c); err != nil {
		return known{}, fmt.Errorf("context %s: %w", name, err)
	}
	if k.Signer, err = agefile.Load(c.Key, nil); err != nil {
		return known{}, fmt.Errorf("context %s: %w", name, err)
	}
	k.StateDir = c.Key + ".spent"
	if k.Signer.ID().Role() == identity.Operator && o.name != "" {
		err := o.become(ctx, &k, filepath.Dir(c.Key))
		return k, err
	}
	return k, nil
}

func profileOf(c contexts.Context) (p Profile, err error) {
	if p.Realm, err = wire.ParseRealm(c.Realm); err != nil {
		return p, err
	}
	for _, text := range c.Pins {
		pin, err := identity.ParseID(text)
		if err != nil {
			return p, err
		}
		p.Pins = append(p.Pins, pin)
	}
	p.Addresses = c.Addresses
	return p, nil
}

// become turns an operator's profile into that of an agent of its own, which it enrols at first use.
func (o *options) become(ctx context.Context, k *known, dir string) error {
	path := filepath.Join(dir, "agent-"+o.name+".key")
	agent, err := agefile.Load(path, nil)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, agefile.ErrNotFound) {
		agent, err = o.mint(ctx, k, path)
	}
	if err != nil {
		return err
	}
	k.Signer, k.StateDir = agent, path+".spent"
	k.store = nil // the context is the operator's; what this agent sees is not its
	return nil
}

// mint invites and enrols an agent under the operator's key.
func (o *options) mint(ctx context.Context, k *known, path string) (identity.Signer, error) {
	level := o.level
	if level == 0 {
		level = identity.Journeyer
	}
	now := time.Now().UnixMilli()
	invitation, err := identity.NewInvitation(k.Signer, k.Realm, identity.Token{
		Version: 1, Operator: k.Signer.ID(), Name: o.name, Level: level, Issued: now, Expires: now + 60_000,
		Addresses: k.Addresses, Pins: k.Pins, Serves: o.serves,
	})
	if err != nil {
		return identity.Signer{}, err
	}
	text, err := invitation.Encode()
	if err != nil {
		return identity.Signer{}, err
	}
	signer, _, err := Enrol(ctx, text, KeepKey(path), Over(o.transport))
	return signer, err
}
