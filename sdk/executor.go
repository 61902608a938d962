package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// executor does what was decided, each decision at most once: it keeps the spent store and claims and reports in the
// registry.
type executor struct {
	link   *link
	docket *docket

	mu        sync.Mutex // also for the store's own methods: it is not safe for concurrent use
	store     *spent.Store
	tempDir   string          // of a store nobody asked to keep
	executing map[Digest]bool // decisions that execute works on now
}

// execute is [Agent.Execute].
func (e *executor) execute(ctx context.Context, d *Decision, action Action, act func(ctx context.Context) error) error {
	store, err := e.open()
	if err != nil {
		return err
	}
	if !e.enter(d.id) {
		return errExecuting
	}
	defer e.leave(d.id)
	if err := e.unspent(ctx, store, d.id); err != nil {
		return err
	}
	c, err := d.Wait(ctx)
	if err != nil {
		return err
	}
	if err := c.Verified().Allows(action, e.link.id(), store.ID(), e.link.now()); err != nil {
		return err
	}
	if err := e.consume(ctx, store, c); err != nil {
		return err
	}
	if err := e.mark(func() error { return store.Start(d.id) }); err != nil {
		return err
	}
	if planted.Fault(planted.ActsTwice) {
		_ = act(ctx)
	}
	failure := act(ctx)
	return errors.Join(failure, e.settled(context.WithoutCancel(ctx), store, d.id, failure))
}

var errCopied = fault.New(fault.Spent, "sdk: the certificate was used before, by a copy of this spent store or before it was rewound")

var errExecuting = fault.New(fault.Conflict, "sdk: this process executes the decision already")

// enter notes that this process works on the decision. To the store alone, what runs now looks like what a crash left.
func (e *executor) enter(id Digest) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.executing[id] {
		return false
	}
	e.executing[id] = true
	return true
}

func (e *executor) leave(id Digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.executing, id)
}

// mark changes the spent store, which is not safe for concurrent use.
func (e *executor) mark(change func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return change()
}

// unspent refuses decisions that this store has begun before.
func (e *executor) unspent(ctx context.Context, store *spent.Store, id Digest) error {
	var r spent.Record
	err := e.mark(func() (err error) {
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
		return errors.Join(ErrUncertain, e.report(ctx, id, r))
	}
	return nil
}

// consume claims the certificate in the registry, or finds that this very store has claimed it before a crash, and
// verifies the proof of it. Where the registry knows of a claim and the store does not, the store is a copy, or was
// rewound, and the other one may have acted.
func (e *executor) consume(ctx context.Context, store *spent.Store, c *Certificate) error {
	id := c.ID()
	resumed := false
	err := e.mark(func() error {
		r, err := store.Record(id)
		resumed = r.State == spent.Claimed
		return errors.Join(err, store.Claim(id))
	})
	if err != nil {
		return err
	}
	consumption, receipt, err := e.claim(ctx, store, id)
	if CodeOf(err) == fault.Spent && !resumed {
		return errors.Join(errCopied, e.mark(func() error { return store.Forfeit(id) }))
	}
	if CodeOf(err) == fault.Spent {
		consumption, receipt, err = e.claimed(ctx, id)
	}
	if err != nil {
		return err
	}
	if receipt == nil {
		return fmt.Errorf("consumption: %w", errForm)
	}
	err = c.Verified().VerifyConsumption(consumption, *receipt)
	if errors.As(byOthers(err), new(otherNodes)) {
		err = e.consumed(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("consumption: %w", err)
	}
	return nil
}

// consumed verifies the claim that the registry has, where other nodes have signed it than the certificate: the realm's
// nodes have changed between the two, and both are fetched again. Only this store's own claim passes.
func (e *executor) consumed(ctx context.Context, id Digest) error {
	f, err := e.docket.fetch(ctx, id)
	if err != nil {
		return err
	}
	if f.receipt == nil {
		return errForm
	}
	return f.certificate.Verified().VerifyConsumption(f.consumed, *f.receipt)
}

// claim asks the registry, by a command of its own: a copy of this store never gets the other's answer.
func (e *executor) claim(ctx context.Context, store *spent.Store, id Digest) (c consensus.Consumption, r *audit.Receipt, err error) {
	body := registry.Consume{Proposal: id, Store: store.ID()}
	out, err := submitFull(ctx, e.link.current().way, e.link.known.Signer, e.link.realm, registry.TypeConsume, body, newNonce(), true)
	if err != nil {
		return c, nil, err
	}
	c, err = registry.Result[consensus.Consumption](out.Answer)
	return c, out.Receipt, err
}

// claimed returns the claim that the registry has. The caller verifies it: only this store's own passes.
func (e *executor) claimed(ctx context.Context, id Digest) (consensus.Consumption, *audit.Receipt, error) {
	fetched, err := e.docket.fetch(ctx, id)
	if err != nil {
		return consensus.Consumption{}, nil, errors.Join(ErrSpent, err)
	}
	return fetched.consumed, fetched.receipt, nil
}

// settled keeps and reports how the action ended. A report that does not get through is made again at the next start.
func (e *executor) settled(ctx context.Context, store *spent.Store, id Digest, failure error) error {
	detail := ""
	if failure != nil {
		detail = failure.Error()
		detail = strings.ToValidUTF8(detail[:min(len(detail), registry.MaxDetail)], "")
	}
	if err := e.mark(func() error { return store.Finish(id, failure == nil, detail) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := e.report(ctx, id, spent.Record{State: spent.Finished, OK: failure == nil, Detail: detail})
	if err != nil {
		e.link.options.logger.Warn("outcome not reported yet", "decision", id.String(), "error", err)
	}
	return nil
}

// report tells the registry how an action ended, and the store that it was told.
func (e *executor) report(ctx context.Context, id Digest, r spent.Record) error {
	store, err := e.open()
	if err != nil {
		return err
	}
	err = tell(ctx, e.link, id, Outcome{OK: r.OK, Uncertain: r.State == spent.Started, Detail: r.Detail})
	if code := CodeOf(err); err != nil && code != fault.Spent {
		return err
	}
	return e.mark(func() error { return store.Reported(id) })
}

// Outcome says how a consumed decision's action ended.
type Outcome struct {
	OK        bool
	Uncertain bool   // begun, and not known how far it came
	Detail    string // at most 256 bytes
}

func tell(ctx context.Context, l *link, id Digest, o Outcome) error {
	_, err := command[registry.Report](ctx, l, registry.TypeReport, registry.Report{
		Proposal: id, OK: o.OK, Uncertain: o.Uncertain, Detail: o.Detail,
	})
	return err
}

// settle reports outcomes that an earlier process of this principal left open: what was begun and never finished is
// uncertain. Only a store that outlives the process can hold any.
func (e *executor) settle(ctx context.Context) error {
	if e.link.known.StateDir == "" || e.link.id().Role() != identity.Agent {
		return nil
	}
	if _, err := os.Stat(e.link.known.StateDir); err != nil {
		return nil // nothing was ever consumed here
	}
	store, err := e.open()
	if err != nil {
		if fault.CodeOf(err) == fault.InUse {
			return nil // another process of this agent executes; it settles its own
		}
		return err
	}
	e.mu.Lock()
	open, err := store.Unsettled()
	e.mu.Unlock()
	if err != nil {
		return err
	}
	for id, r := range open {
		if err := e.report(ctx, id, r); err != nil {
			return err
		}
	}
	return nil
}

// open opens the agent's spent store at first use.
func (e *executor) open() (*spent.Store, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.store != nil {
		return e.store, nil
	}
	dir := e.link.known.StateDir
	if dir == "" {
		temp, err := os.MkdirTemp("", "conclave-spent-")
		if err != nil {
			return nil, fmt.Errorf("sdk: spent store: %w", err)
		}
		dir, e.tempDir = temp, temp
	}
	store, err := spent.Open(dir)
	e.store = store
	return store, err
}

func (e *executor) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.store != nil {
		err = e.store.Close()
	}
	if e.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(e.tempDir))
	}
	return err
}
