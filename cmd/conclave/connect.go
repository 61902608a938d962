package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Limits of a command's own waiting, unless --timeout says otherwise.
const (
	askTime  = 10 * time.Second
	callTime = 30 * time.Second
	byeTime  = 2 * time.Second
)

// session is what a connected command works with.
type session struct {
	*program
	*sdk.Agent
}

// soon bounds a question to the node inside a command that waits for something else, to which --timeout belongs.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTime)
}

// connected returns a command's code that runs with a connection by the context in use. A limit, or --timeout instead,
// bounds connecting and running; a command whose limit is 0 applies --timeout itself, to what it waits for.
func (p *program) connected(limit time.Duration, run func(ctx context.Context, s session, args []string) error) runFunc {
	return func(c *cobra.Command, args []string) error {
		return p.with(c.Context(), limit, nil, func(ctx context.Context, s session) error { return run(ctx, s, args) })
	}
}

type runFunc = func(c *cobra.Command, args []string) error

// with connects, runs, and disconnects, bounded as in connected.
func (p *program) with(ctx context.Context, limit time.Duration, opts []sdk.Option, run func(context.Context, session) error) error {
	name := p.flags.context
	if name == "" {
		name = p.env(contexts.EnvVar)
	}
	opts = append([]sdk.Option{sdk.Context(name), sdk.WithLogger(p.logger(slog.LevelWarn))}, opts...)
	dialling, cancel := soon(ctx)
	if limit > 0 {
		cancel()
		dialling, cancel = p.within(ctx, askTime)
	}
	a, err := sdk.Connect(dialling, opts...)
	cancel()
	if fault.CodeOf(err) == fault.Denied && fault.HintOf(err) == "" {
		return &fault.Error{Code: fault.Denied, Message: err.Error(), Hint: shutOut, Err: err}
	}
	if err != nil {
		return err
	}
	if limit > 0 {
		ctx, cancel = p.within(ctx, limit)
		defer cancel()
	}
	err = run(ctx, session{p, a})
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeTime)
	defer cancel()
	if closing := a.Close(bye); closing != nil && err == nil {
		p.say("conclave: disconnect: %s", visible(closing.Error())) // what was asked for is done
	}
	return err
}

// shutOut is the hint for a connection that the node refuses.
const shutOut = "it may be quarantined, revoked, or of another realm; an operator sees: conclave agent ls"

// changes says on stderr, before anything is changed, by which context.
func (s session) changes() {
	name := s.Self().Context
	if name == "" {
		name = "-"
	}
	s.say("context %s: realm %s, as %s", name, short(s.Self().Realm.String()), s.ID())
}

// short is the beginning of a long digest, enough to tell few of them apart.
func short(digest string) string { return digest[:min(16, len(digest))] }

// asAgent adds --as, by which an operator's context acts as an agent of its own, which its key enrols at first use.
func asAgent(c *cobra.Command, as *string) {
	c.Flags().StringVar(as, "as", "", "act as your agent of this `name`, enrolled at first use")
}

// acting returns the options for --as.
func acting(as string) ([]sdk.Option, error) {
	if as == "" {
		return nil, nil
	}
	if err := asUsage(identity.CheckName(as)); err != nil {
		return nil, err
	}
	return []sdk.Option{sdk.Name(as)}, nil
}

// mustBeAgent refuses to send messages as an operator, who can only control.
func (s session) mustBeAgent() error {
	if s.ID().Role() == identity.Agent {
		return nil
	}
	return fault.New(fault.Usage, "operators send no messages").
		WithHint("act as an agent of yours: --as NAME; or use an agent's context: --context NAME")
}

// openContexts opens the user's contexts.
func openContexts() (*contexts.Store, error) { return contexts.Open(contexts.DefaultDir()) }

// dataHome returns $XDG_DATA_HOME/conclave.
func dataHome(env func(string) string) (string, error) {
	base := env("XDG_DATA_HOME")
	if !filepath.IsAbs(base) {
		home := env("HOME")
		if !filepath.IsAbs(home) {
			return "", usage("neither XDG_DATA_HOME nor HOME is set: name the path by a flag")
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "conclave"), nil
}

// keyPath returns where a new key goes: the path given, or a file of that name among the user's keys. Its folder is
// made.
func keyPath(env func(string) string, given, name string) (string, error) {
	if given == "" {
		base, err := dataHome(env)
		if err != nil {
			return "", err
		}
		given = filepath.Join(base, "keys", name+".key")
		if err := os.MkdirAll(filepath.Dir(given), 0o700); err != nil {
			return "", fmt.Errorf("make the folder of keys: %w", err)
		}
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("key file: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fault.New(fault.Conflict, "a key file is there already, and is never replaced: "+path).
			WithHint("choose another path, or use the key that is there")
	}
	return path, nil
}

// newOperator makes an operator's key file.
func newOperator(path string) (identity.Signer, error) {
	signer, seed, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		return identity.Signer{}, err
	}
	return signer, agefile.Save(path, identity.Operator, seed, nil)
}

// loadOperator reads an operator's key file.
func loadOperator(path string) (identity.Signer, error) {
	signer, err := agefile.Load(path, nil)
	if err == nil && signer.ID().Role() != identity.Operator {
		err = usage("%s holds the key of %s, not of an operator", path, signer.ID().Role())
	}
	return signer, err
}

// newContext refuses a name that a context has, before anything is made for it.
func newContext(name string) (*contexts.Store, error) {
	store, err := openContexts()
	if err != nil {
		return nil, err
	}
	_, err = store.Load(name)
	switch {
	case err == nil:
		return nil, fault.New(fault.Conflict, fmt.Sprintf("there is a context %q already", name)).
			WithHint("choose another name: --context-name NAME")
	case !errors.Is(err, contexts.ErrNotFound):
		return nil, err
	}
	return store, nil
}

// keep saves a context and selects it.
func keep(store *contexts.Store, name string, c contexts.Context) error {
	if err := store.Save(name, c); err != nil {
		return err
	}
	return store.Select(name)
}

// realmContext describes a realm for one principal.
func realmContext(realm sdk.Realm, addresses []string, pins []identity.ID, key string, principal identity.ID) contexts.Context {
	c := contexts.Context{Realm: realm.String(), Addresses: addresses, Key: key, Principal: principal.String()}
	for _, pin := range pins {
		c.Pins = append(c.Pins, pin.String())
	}
	return c
}
