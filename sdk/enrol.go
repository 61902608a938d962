package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// KeyKeeper stores a new agent's seed before the agent is enrolled, so that no enrolled key is ever lost. Undo is called
// where the enrolment has failed, and not where nobody knows.
type KeyKeeper func(seed [32]byte) (undo func(), err error)

// KeepKey keeps the seed in a private file at path, in the clear. It replaces nothing.
func KeepKey(path string) KeyKeeper {
	return func(seed [32]byte) (func(), error) {
		if err := agefile.Save(path, identity.Agent, seed, nil); err != nil {
			return nil, err
		}
		return func() { _ = os.Remove(path) }, nil // best effort: an unenrolled key is worth nothing
	}
}

// KeepNothing leaves the key in memory only.
func KeepNothing() KeyKeeper {
	return func([32]byte) (func(), error) { return func() {}, nil }
}

// Enrol makes a new agent's key and enrols it by an invitation, the text that an operator's `agent token` printed. It
// returns the agent's key and the profile to connect by. Errors: those of the text, the node's refusal (expired,
// spent, name taken, level above what one operator may give), the connection's.
func Enrol(ctx context.Context, invitation string, keep KeyKeeper, opts ...Option) (identity.Signer, Profile, error) {
	var o options
	if err := o.fill(opts); err != nil {
		return identity.Signer{}, Profile{}, err
	}
	i, token, err := identity.ParseInvitation(invitation)
	if err != nil {
		return identity.Signer{}, Profile{}, err
	}
	signer, seed, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		return identity.Signer{}, Profile{}, err
	}
	undo, err := keep(seed)
	if err != nil {
		return identity.Signer{}, Profile{}, err
	}
	p := Profile{Realm: i.Realm, Addresses: token.Addresses, Pins: token.Pins, Signer: signer}
	handedIn, err := o.enrol(ctx, i, token, &p)
	if err == nil {
		return signer, p, nil
	}
	if handedIn && unanswered(err) {
		return identity.Signer{}, Profile{}, fmt.Errorf("%w; the key is kept, because it may be enrolled", err)
	}
	undo()
	return identity.Signer{}, Profile{}, err
}

// unanswered reports whether an error leaves open what the node did.
func unanswered(err error) bool {
	return worthAnother(err) || errors.Is(err, natsbus.ErrRefused) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}

// enrol connects by the one-time key, verifies the realm, whose nodes the profile names from then on, and hands the
// enrolment in; it reports whether it came to that.
func (o *options) enrol(ctx context.Context, i identity.Invitation, token identity.Token, p *Profile) (handedIn bool, err error) {
	once := wire.NewKey(i.Seed)
	w := newWay()
	w.conn, err = o.transport(ctx, natsbus.Options{
		Addresses: p.Addresses, Pins: p.Pins, Name: "enrolment", Refusals: 1,
		Observer: bus.Observer{Disconnected: w.cut, Connected: w.up.ring},
		Present: func() (natsbus.Presentation, error) {
			return natsbus.Presentation{Connect: once, Statement: i.Token, Invitation: true}, nil
		},
	})
	if err != nil {
		return false, fmt.Errorf("enrol: %w", err)
	}
	defer func() { _ = w.conn.Close(context.WithoutCancel(ctx)) }() // everything that matters was answered
	w.control, err = control.NewClient(w.conn, control.Party{
		Realm: i.Realm, Node: p.Pins[0], OneTime: once.Public(), Cut: w.down.next,
	})
	if err != nil {
		return false, err
	}
	err = persist(ctx, w, func(ctx context.Context) error {
		learned, err := learn(ctx, w.control, i.Realm, nil, token.Roster)
		if err == nil {
			known := nodes{p.Addresses, p.Pins}.with(learned)
			p.Addresses, p.Pins = known.addresses, known.pins
		}
		return err
	})
	if err != nil {
		return false, err
	}
	now := time.Now().UnixMilli()
	enrolment, err := i.Enrol(p.Signer, now)
	if err != nil {
		return false, err
	}
	_, err = submit[registry.Change](ctx, w, p.Signer, i.Realm, registry.TypeEnrol, registry.Enrol{Enrolment: enrolment})
	return true, err
}

// submit signs and hands in one command and returns its result.
func submit[R any](ctx context.Context, w *way, s identity.Signer, realm wire.Realm, typ registry.Type, body any) (R, error) {
	out, err := submitFull(ctx, w, s, realm, typ, body, newNonce(), false)
	if err != nil {
		var none R
		return none, err
	}
	return registry.Result[R](out.Answer)
}

// submitFull signs one command and hands it in until it is answered: the same bytes each time, to whichever node the
// connection stands at then, so that it takes effect once.
func submitFull(ctx context.Context, w *way, s identity.Signer, realm wire.Realm, typ registry.Type, body any, nonce [16]byte, receipt bool) (control.Submitted, error) {
	raw, err := signed(s, realm, typ, body, nonce, time.Now().UnixMilli())
	if err != nil {
		return control.Submitted{}, err
	}
	return handIn(ctx, w, raw, receipt)
}

func signed(s identity.Signer, realm wire.Realm, typ registry.Type, body any, nonce [16]byte, now int64) ([]byte, error) {
	c, err := registry.New(s.ID(), typ, body, nonce, now)
	if err != nil {
		return nil, err
	}
	return s.Cosign(realm, c)
}

// handIn hands in a signed command until it is answered.
func handIn(ctx context.Context, w *way, raw []byte, receipt bool) (out control.Submitted, err error) {
	err = persist(ctx, w, func(ctx context.Context) error {
		return w.control.Ask(ctx, control.OpSubmit, control.Submit{Command: raw, Receipt: receipt}, &out)
	})
	return out, err
}

func newNonce() (nonce [16]byte) {
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	return nonce
}
