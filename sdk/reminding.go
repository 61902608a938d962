package sdk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

const (
	maxTightenings = control.MaxTightenings // tightenings that an agent remembers
	remindWait     = time.Second            // at most, before it asks which are in force: not when all others do
	remindGap      = 2 * time.Second        // between two questions
)

// reminding is an agent's memory of tightenings: of who was quarantined or revoked, of lowered levels and raised epochs,
// by the commands that did it. Where the nodes have forgotten one, as after a restore, it shows it to them again. It
// works in the background and is asked for nothing. It is safe for concurrent use.
type reminding struct {
	link  *link
	knows func(identity.ID) bool // whom the agent has dealt with
	vouch func(ctx context.Context, id identity.ID) (wire.PublicKey, error)
	path  string        // of the file; "" keeps it in memory only
	wake  chan struct{} // holds one: there may be something new

	filing sync.Mutex // held while the file is read and written

	mu     sync.Mutex
	held   []heldTightening // in the order of their issue
	digest wire.Digest      // of the set in force, as the last look found it; zero if that is to be asked anew
}

// heldTightening is one command that the agent knows to have been accepted.
type heldTightening struct {
	id     wire.Digest
	raw    []byte
	issued int64
	author identity.ID
	of     identity.ID // whom it tightens
}

func newReminding(l *link, q *acquaintances) *reminding {
	r := &reminding{link: l, knows: q.peers.Knows, wake: make(chan struct{}, 1)}
	if l.known.StateDir != "" {
		r.path = filepath.Clean(l.known.StateDir) + ".tightenings"
	}
	r.vouch = func(ctx context.Context, id identity.ID) (wire.PublicKey, error) {
		v, err := q.ticket(ctx, control.Who{ID: id})
		if err != nil {
			return wire.PublicKey{}, err
		}
		return v.Statement().Key, nil
	}
	return r
}

// soon has the nodes' set looked at in the background.
func (r *reminding) soon() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// loop looks whenever it is woken, not more often than remindGap, until the agent closes.
func (r *reminding) loop() {
	ctx := r.link.crew.ctx
	if err := r.load(); err != nil {
		r.warn("the file of tightenings is not used", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		if sleep(ctx, rand.N(remindWait)) != nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, askTime)
		if err := r.look(limited); err != nil && ctx.Err() == nil {
			r.link.options.logger.Debug("tightenings not looked at", "code", string(fault.CodeOf(err)), "error", err)
		}
		cancel()
		if sleep(ctx, remindGap) != nil {
			return
		}
	}
}

func (r *reminding) warn(what string, err error) {
	r.link.options.logger.Warn(what, "code", string(fault.CodeOf(err)), "error", err)
}

// look asks the node which tightenings are in force, remembers those that verify, and reminds it of those that it lacks.
func (r *reminding) look(ctx context.Context) error {
	have, before := r.all()
	in := control.Tightenings{Digest: before}
	for _, one := range have {
		in.Have = append(in.Have, one.id)
	}
	var out control.InForce
	if err := r.link.ask(ctx, control.OpTightenings, in, &out); err != nil {
		return err
	}
	if out.Digest == before {
		return nil
	}
	err := r.learn(ctx, out.Commands)
	for _, one := range have { // in the order of their issue: who gave one may be in another
		if !slices.Contains(out.Lacks, one.id) {
			continue
		}
		if failure := r.remind(ctx, one); failure != nil {
			err = errors.Join(err, failure)
		}
	}
	if err == nil {
		r.mu.Lock()
		r.digest = out.Digest // a reminder that was news has changed it: the next look sees that
		r.mu.Unlock()
	}
	return errors.Join(err, r.save())
}

// learn remembers what a node says is in force, as far as somebody signed it who may have.
func (r *reminding) learn(ctx context.Context, commands [][]byte) error {
	keys := map[identity.ID]wire.PublicKey{}
	for _, raw := range commands {
		c, t, err := registry.ParseTightening(raw)
		author := c.Claim.Author
		own := c.Claim.Type == registry.TypeEpoch && author == t.Principal
		if err != nil || author.Role() != identity.Operator && !own {
			continue
		}
		key, asked := keys[author]
		if !asked {
			if key, err = r.vouch(ctx, author); err != nil {
				if worthAnother(err) || ctx.Err() != nil {
					return err
				}
				continue
			}
			keys[author] = key
		}
		if _, err := c.Verify(r.link.realm, 1, []wire.PublicKey{key}); err == nil {
			r.keep(raw)
		}
	}
	return nil
}

// remind hands one tightening in. What the registry takes for no news, or refuses for good, is forgotten. It returns only
// errors after which it may be tried again.
func (r *reminding) remind(ctx context.Context, one heldTightening) error {
	did, err := command[registry.Reminded](ctx, r.link, registry.TypeRemind, registry.Remind{Command: one.raw})
	if err == nil && did.News {
		r.link.options.logger.Warn("the realm had lost a tightening and knows it again", "principal", one.of.String())
		return nil
	}
	switch fault.CodeOf(err) {
	case "", fault.Superseded, fault.Denied, fault.NoQuorum, fault.BadSignature, fault.Malformed, fault.WrongKind, fault.WrongRealm:
		r.drop(one.id)
		return nil
	case fault.Unknown, fault.Quarantined, fault.Revoked, fault.Version, fault.NotYet, fault.Expired:
		return nil // kept for when that is different; not asked again before something changes
	}
	return err
}

// keep remembers a tightening that was verified.
func (r *reminding) keep(raw []byte) {
	c, t, err := registry.ParseTightening(raw)
	if err != nil {
		return
	}
	one := heldTightening{
		id: c.ID(r.link.realm), raw: raw, issued: c.Claim.Issued, author: c.Claim.Author, of: t.Principal,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.held, func(h heldTightening) bool { return h.id == one.id }) {
		return
	}
	r.held = append(r.held, one)
	r.trim()
}

// trim drops what is worth least where too many are held: of principals that the agent has not dealt with, and of these
// the oldest. What it signed itself goes last. mu is held.
func (r *reminding) trim() {
	worth := func(h heldTightening) int {
		switch {
		case h.author == r.link.id():
			return 2
		case r.knows(h.of):
			return 1
		}
		return 0
	}
	if len(r.held) > maxTightenings {
		slices.SortFunc(r.held, func(a, b heldTightening) int {
			return cmp.Or(cmp.Compare(worth(a), worth(b)), cmp.Compare(a.issued, b.issued))
		})
		r.held = slices.Delete(r.held, 0, len(r.held)-maxTightenings)
	}
	slices.SortFunc(r.held, func(a, b heldTightening) int {
		return cmp.Or(cmp.Compare(a.issued, b.issued), bytes.Compare(a.id[:], b.id[:]))
	})
}

func (r *reminding) drop(id wire.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = slices.DeleteFunc(r.held, func(h heldTightening) bool { return h.id == id })
}

// all returns what is held, in the order of issue, and the digest of the set that the last look found.
func (r *reminding) all() ([]heldTightening, wire.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.held), r.digest
}

// load adds what the file holds.
func (r *reminding) load() error {
	if r.path == "" {
		return nil
	}
	raw, err := datadir.ReadPrivate(r.path, registry.MaxKeptBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept, err := registry.ParseKept(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	for _, command := range kept.Commands {
		r.keep(command)
	}
	return nil
}

// save writes what is held into the file, unless it stands there already.
func (r *reminding) save() error {
	if r.path == "" {
		return nil
	}
	r.filing.Lock()
	defer r.filing.Unlock()
	var kept registry.Kept
	held, _ := r.all()
	for _, one := range held {
		kept.Commands = append(kept.Commands, one.raw)
	}
	raw, err := kept.Encode()
	if err != nil {
		return err
	}
	before, err := datadir.ReadPrivate(r.path, registry.MaxKeptBytes)
	switch {
	case err == nil && bytes.Equal(before, raw):
		return nil
	case errors.Is(err, fs.ErrNotExist) && len(kept.Commands) == 0:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
			return fmt.Errorf("keep tightenings: %w", err)
		}
	}
	return datadir.WritePrivate(r.path, raw)
}

// submitted keeps a tightening of this principal's own that the registry has accepted.
func (r *reminding) submitted(raw []byte) error {
	if _, _, err := registry.ParseTightening(raw); err != nil {
		return nil // it tightens nothing
	}
	err := r.load() // other processes keep theirs there too
	r.keep(raw)
	r.mu.Lock()
	r.digest = wire.Digest{}
	r.mu.Unlock()
	return errors.Join(err, r.save())
}

// remembered returns the commands held, in the order of issue, with those that the file holds.
func (r *reminding) remembered() ([][]byte, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	held, _ := r.all()
	var commands [][]byte
	for _, one := range held {
		commands = append(commands, one.raw)
	}
	return commands, nil
}
