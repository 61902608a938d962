package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// GuardSpec says what a guarded handler does.
type GuardSpec[In any] struct {
	// Action describes exactly what handling the request will do. It is what is decided.
	Action func(r *Request[In]) (Action, error)
	// Reason, if not nil, is shown to voters as the proposer's words.
	Reason func(r *Request[In]) string
	// Timeout bounds the wait for votes; 0: as long as the policy allows.
	Timeout time.Duration
}

// Guard returns a handler that runs h only with a certificate for the action that spec describes, consumed in the
// registry for this one run. The decision is bound to the request: the same request never makes two.
func Guard[In, Out any](a *Agent, spec GuardSpec[In], h Handler[In, Out]) Handler[In, Out] {
	return func(ctx context.Context, r *Request[In]) (Out, error) {
		var out Out
		if spec.Action == nil {
			return out, Errorf(fault.Usage, "sdk: a guard without an action")
		}
		action, err := spec.Action(r)
		if err != nil {
			return out, err
		}
		p := Proposal{Action: action, Key: "request " + r.ID.String(), Timeout: spec.Timeout}
		if spec.Reason != nil {
			p.Reason = spec.Reason(r)
		}
		d, err := a.Propose(ctx, p)
		if err != nil {
			return out, err
		}
		err = a.Execute(ctx, d, action, func(ctx context.Context) error {
			var err error
			out, err = h(ctx, r)
			return err
		})
		return out, err
	}
}

// Execute waits for the decision's certificate, consumes it, and calls act, at most once in the life of this agent's
// spent store, whatever crashes. It acts only on proofs: the certificate recomputed from the signed policy and the
// voters' own ballots, and the consumption under a majority-signed head. It then reports the outcome. An error of act
// comes back as it is. Other errors: those of [Decision.Wait]; [ErrSpent]; [ErrUncertain] where an earlier process
// began and did not finish; misaddressed where the certificate is for another action, executor or store.
func (a *Agent) Execute(ctx context.Context, d *Decision, action Action, act func(ctx context.Context) error) error {
	store, err := a.spentStore()
	if err != nil {
		return err
	}
	if !a.enter(d.id) {
		return errExecuting
	}
	defer a.leave(d.id)
	if err := a.unspent(ctx, store, d.id); err != nil {
		return err
	}
	c, err := d.Wait(ctx)
	if err != nil {
		return err
	}
	if err := c.verified.Allows(action, a.ID(), store.ID(), a.now()); err != nil {
		return err
	}
	if err := a.consume(ctx, store, c); err != nil {
		return err
	}
	if err := a.mark(func() error { return store.Start(d.id) }); err != nil {
		return err
	}
	failure := act(ctx)
	return errors.Join(failure, a.settled(context.WithoutCancel(ctx), store, d.id, failure))
}

var errCopied = fault.New(fault.Spent, "sdk: the certificate was used before, by a copy of this spent store or before it was rewound")

var errExecuting = fault.New(fault.Conflict, "sdk: this process executes the decision already")

// enter notes that this process works on the decision. To the store alone, what runs now looks like what a crash left.
func (a *Agent) enter(id Digest) bool {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	if a.executing[id] {
		return false
	}
	a.executing[id] = true
	return true
}

func (a *Agent) leave(id Digest) {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	delete(a.executing, id)
}

// mark changes the spent store, which is not safe for concurrent use.
func (a *Agent) mark(change func() error) error {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	return change()
}

// unspent refuses decisions that this store has begun before.
func (a *Agent) unspent(ctx context.Context, store *spent.Store, id Digest) error {
	var r spent.Record
	err := a.mark(func() (err error) {
		r, err = store.Record(id)
		return err
	})
	if err != nil {
		return err
	}
	switch r.State {
	case spent.Finished:
		return ErrSpent
	case spent.Started:
		return errors.Join(ErrUncertain, a.report(ctx, id, r))
	}
	return nil
}

// consume claims the certificate in the registry, or finds that this very store has claimed it before a crash, and
// verifies the proof of it. Where the registry knows of a claim and the store does not, the store is a copy, or was
// rewound, and the other one may have acted.
func (a *Agent) consume(ctx context.Context, store *spent.Store, c *Certificate) error {
	id := c.ID()
	resumed := false
	err := a.mark(func() error {
		r, err := store.Record(id)
		resumed = r.State == spent.Claimed
		return errors.Join(err, store.Claim(id))
	})
	if err != nil {
		return err
	}
	consumption, receipt, err := a.claim(ctx, store, id)
	if CodeOf(err) == fault.Spent && !resumed {
		return errors.Join(errCopied, a.mark(func() error { return store.Forfeit(id) }))
	}
	if CodeOf(err) == fault.Spent {
		consumption, receipt, err = a.claimed(ctx, id)
	}
	if err != nil {
		return err
	}
	if receipt == nil {
		return fmt.Errorf("consumption: %w", errForm)
	}
	if err := c.verified.VerifyConsumption(consumption, *receipt); err != nil {
		return fmt.Errorf("consumption: %w", err)
	}
	return nil
}

// claim asks the registry. The nonce is the same after a restart, so that a lost answer is given again.
func (a *Agent) claim(ctx context.Context, store *spent.Store, id Digest) (c consensus.Consumption, r *receipt, err error) {
	storeID := store.ID()
	seed := wire.Hash(append(append([]byte("conclave consume\x00"), id[:]...), storeID[:]...))
	body := registry.Consume{Proposal: id, Store: storeID}
	session := a.current()
	out, err := submitFull(ctx, session.conn, session.control, a.known.Signer, a.realm, registry.TypeConsume, body, [16]byte(seed[:]), true)
	if err != nil {
		return c, nil, err
	}
	c, err = registry.Result[consensus.Consumption](out.Answer)
	return c, out.Receipt, err
}

// claimed returns the claim that the registry has. The caller verifies it: only this store's own passes.
func (a *Agent) claimed(ctx context.Context, id Digest) (consensus.Consumption, *receipt, error) {
	fetched, err := a.fetch(ctx, id)
	if err != nil {
		return consensus.Consumption{}, nil, errors.Join(ErrSpent, err)
	}
	return fetched.consumed, fetched.receipt, nil
}

// settled keeps and reports how the action ended. A report that does not get through is made again at the next start.
func (a *Agent) settled(ctx context.Context, store *spent.Store, id Digest, failure error) error {
	detail := ""
	if failure != nil {
		detail = failure.Error()
		detail = strings.ToValidUTF8(detail[:min(len(detail), registry.MaxDetail)], "")
	}
	if err := a.mark(func() error { return store.Finish(id, failure == nil, detail) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := a.report(ctx, id, spent.Record{State: spent.Finished, OK: failure == nil, Detail: detail})
	if err != nil {
		a.options.logger.Warn("outcome not reported yet", "decision", id.String(), "error", err)
	}
	return nil
}

// report tells the registry how an action ended, and the store that it was told.
func (a *Agent) report(ctx context.Context, id Digest, r spent.Record) error {
	store, err := a.spentStore()
	if err != nil {
		return err
	}
	err = a.Report(ctx, Outcome{Decision: id, OK: r.OK, Uncertain: r.State == spent.Started, Detail: r.Detail})
	if code := CodeOf(err); err != nil && code != fault.Spent {
		return err
	}
	return a.mark(func() error { return store.Reported(id) })
}

// Outcome says how a consumed decision's action ended.
type Outcome struct {
	Decision  Digest
	OK        bool
	Uncertain bool   // begun, and not known how far it came
	Detail    string // at most 256 bytes
}

// Report tells the registry the outcome of a decision that this agent consumed, once. [Agent.Execute] does it itself.
func (a *Agent) Report(ctx context.Context, o Outcome) error {
	_, err := command[registry.Report](ctx, a, registry.TypeReport, registry.Report{
		Proposal: o.Decision, OK: o.OK, Uncertain: o.Uncertain, Detail: o.Detail,
	})
	return err
}

// spentStore opens the agent's spent store at first use.
func (a *Agent) spentStore() (*spent.Store, error) {
	a.storeMu.Lock()
	defer a.storeMu.Unlock()
	if a.store != nil {
		return a.store, nil
	}
	dir := a.known.StateDir
	if dir == "" {
		temp, err := os.MkdirTemp("", "conclave-spent-")
		if err != nil {
			return nil, fmt.Errorf("sdk: spent store: %w", err)
		}
		dir, a.tempDir = temp, temp
	}
	store, err := spent.Open(dir)
	a.store = store
	return store, err
}

// fetched is what a node shows of an approved decision: the certificate is verified, the rest not.
type fetched struct {
	certificate *Certificate
	consumed    consensus.Consumption
	receipt     *receipt
}

func (a *Agent) fetch(ctx context.Context, id Digest) (fetched, error) {
	var c control.Certificate
	if err := a.ask(ctx, control.OpCertificate, control.DecisionID{Prefix: id[:]}, &c); err != nil {
		return fetched{}, err
	}
	certificate, _, err := ParseCertificate(c.Certificate, TrustRoot{Realm: a.realm, Roster: a.lore.Load().authority.Number})
	if err != nil {
		return fetched{}, err
	}
	if certificate.ID() != id {
		return fetched{}, proof.ErrMismatch
	}
	return fetched{certificate: certificate, consumed: c.Consumed, receipt: c.Receipt}, nil
}

// matchKind reports whether an action's kind is covered by the patterns.
func matchKind(patterns []string, kind string) bool { return identity.MatchCapability(patterns, kind) }
