package sdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Use is one use of a permit.
type Use struct {
	Action Action // what will be done: one that the permit covers
	Key    string // the same key again is the same use, also after a restart; empty: always a new one
}

// ExecuteUse waits for the certificate of a permit, has the registry count one use of it, for exactly this action, and calls act, at
// most once for a use in the life of this agent's spent store, whatever crashes. It acts only on proofs, as [Agent.Execute]
// does, and reports the outcome. A use whose process died between the count and the act is not run again under another key:
// it is lost. An error of act comes back as it is. Other errors: those of [Agent.Execute]; spent where all uses are gone;
// denied or misaddressed where the permit does not cover the action; conflict where the key was used for another action.
func (a *Agent) ExecuteUse(ctx context.Context, d *Decision, u Use, act func(ctx context.Context) error) error {
	nonce := newNonce()
	if u.Key != "" {
		h := wire.Hash(append([]byte("conclave use key\x00"+u.Key+"\x00"), d.id[:]...))
		nonce = [16]byte(h[:])
	}
	j := job{decision: d, use: spent.Use{Decision: d.id, Nonce: nonce}, action: u.Action, act: act}
	return a.executor.execute(ctx, j, a.executor.useUp)
}

// counted is one use as the registry has counted it.
type counted struct {
	consumption consensus.Consumption
	receipt     *audit.Receipt
}

// useUp has the registry count a use, or finds that it has, by a command that this store kept before a crash, and verifies
// the proof of it: the leaf must be that very command's, so that no count serves two acts.
func (e *executor) useUp(ctx context.Context, store *spent.Store, j job, c *Certificate) (uint64, error) {
	raw, used, err := e.take(ctx, store, j)
	if err != nil {
		return 0, err
	}
	command, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return 0, err
	}
	id := command.ID(e.link.realm)
	err = proven(c, j.action, id, used)
	if errors.As(byOthers(err), new(otherNodes)) { // the realm's nodes have changed since the certificate was fetched
		var f fetched
		if f, err = e.docket.fetch(ctx, c.ID()); err == nil {
			if used, err = e.found(ctx, c.ID(), id); err == nil {
				err = proven(f.certificate, j.action, id, used)
			}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("consumption: %w", err)
	}
	return used.consumption.Use, nil
}

// proven checks a use that was counted by the command.
func proven(c *Certificate, action Action, command Digest, used counted) error {
	if used.receipt == nil {
		return errForm
	}
	if used.receipt.Inclusion.Leaf.Command != command {
		return errOtherUse
	}
	return c.Verified().VerifyConsumption(used.consumption, action, *used.receipt)
}

var errOtherUse = fault.New(fault.Misaddressed, "sdk: the registry proves another use of the permit than this one")

// take hands in the command that claims the use: the one kept, as long as that can have an effect, or a new one. It returns
// the command that was counted.
func (e *executor) take(ctx context.Context, store *spent.Store, j job) ([]byte, counted, error) {
	r, err := e.record(store, j.use)
	if err != nil {
		return nil, counted{}, err
	}
	if len(r.Command) > 0 {
		used, err := e.takeAgain(ctx, r.Command, j.action)
		if err == nil || CodeOf(err).Retryable() || ctx.Err() != nil || errors.Is(err, errOtherAction) {
			return r.Command, used, err
		}
	}
	raw, err := signed(e.link.known.Signer, e.link.realm, registry.TypeConsume, registry.Consume{
		Proposal: j.use.Decision, Store: store.ID(), Action: &j.action,
	}, newNonce(), e.link.now())
	if err != nil {
		return nil, counted{}, err
	}
	if err := e.mark(func() error { return store.Claim(j.use, raw) }); err != nil {
		return nil, counted{}, err
	}
	used, err := e.handIn(ctx, raw)
	return raw, used, err
}

// takeAgain hands in a command that an earlier attempt has kept, and finds what became of it. An error that may not pass
// means that it had no effect, and has none from now on.
func (e *executor) takeAgain(ctx context.Context, raw []byte, action Action) (counted, error) {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return counted{}, err
	}
	body, err := registry.Body[registry.Consume](c.Claim)
	if err != nil {
		return counted{}, err
	}
	if body.Action == nil || body.Action.Digest() != action.Digest() {
		return counted{}, errOtherAction
	}
	used, err := e.handIn(ctx, raw)
	if err == nil || CodeOf(err).Retryable() || ctx.Err() != nil {
		return used, err
	}
	return e.found(ctx, body.Proposal, c.ID(e.link.realm))
}

func (e *executor) handIn(ctx context.Context, raw []byte) (counted, error) {
	out, err := handIn(ctx, e.link.current().way, raw, true)
	if err != nil {
		return counted{}, err
	}
	c, err := registry.Result[consensus.Consumption](out.Answer)
	return counted{c, out.Receipt}, err
}

// found returns the use that a command made.
func (e *executor) found(ctx context.Context, decision, command Digest) (counted, error) {
	var out control.Used
	err := e.link.ask(ctx, control.OpUse, control.UseID{Decision: decision, Command: command}, &out)
	return counted{out.Consumption, &out.Receipt}, err
}
