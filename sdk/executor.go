package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

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
	tempDir   string             // of a store nobody asked to keep
	executing map[spent.Use]bool // what this process works on now
}

// job is one action that is to be done once.
type job struct {
	decision *Decision
	use      spent.Use
	action   Action
	act      func(ctx context.Context) error
}

// execute does a job, at most once in the life of the store. claim has the registry record it, and proves that.
func (e *executor) execute(ctx context.Context, j job, claim func(context.Context, *spent.Store, job, *Certificate) (uint64, error)) error {
	store, err := e.open()
	if err != nil {
		return err
	}
	if !e.enter(j.use) {
		return errExecuting
	}
	defer e.leave(j.use)
	if err := e.unspent(ctx, store, j.use); err != nil {
		return err
	}
	c, err := j.decision.Wait(ctx)
	if err != nil {
		return err
	}
	if permit := c.Verified().Proposal().Statement().Permit != nil; permit != (j.use.Nonce != [16]byte{}) {
		return errPermit
	}
	if err := e.until(ctx, time.UnixMilli(c.Verified().Verdict().From)); err != nil {
		return err
	}
	if err := c.Verified().Allows(j.action, e.link.id(), store.ID(), e.link.now()); err != nil {
		return err
	}
	number, err := e.whenRipe(ctx, func() (uint64, error) { return claim(ctx, store, j, c) })
	if err != nil {
		return err
	}
	if err := e.mark(func() error { return store.Start(j.use, number) }); err != nil {
		return err
	}
	if planted.Fault(planted.ActsTwice) {
		_ = j.act(ctx)
	}
	failure := j.act(ctx)
	return errors.Join(failure, e.settled(context.WithoutCancel(ctx), store, j.use, number, failure))
}

// until waits for a moment.
func (e *executor) until(ctx context.Context, moment time.Time) error {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-e.link.crew.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return errors.Join(ErrPending, ctx.Err())
	}
}

// ripePause is how long to wait before claiming again what the registry's clock says has not begun.
const ripePause = 200 * time.Millisecond

// whenRipe claims until the registry's clock is where this one is, for as long as clocks may differ.
func (e *executor) whenRipe(ctx context.Context, claim func() (uint64, error)) (uint64, error) {
	for began := time.Now(); ; {
		number, err := claim()
		if CodeOf(err) != fault.NotYet || time.Since(began) > identity.Skew*time.Millisecond {
			return number, err
		}
		if sleep(ctx, ripePause) != nil {
			return 0, err
		}
	}
}

var (
	errCopied    = fault.New(fault.Spent, "sdk: the certificate was used before, by a copy of this spent store or before it was rewound")
	errExecuting = fault.New(fault.Conflict, "sdk: this process executes the decision already")
	errPermit    = fault.New(fault.Usage, "sdk: a permit is used by ExecuteUse, and what is no permit by Execute")
)

// enter notes that this process works on it. To the store alone, what runs now looks like what a crash left.
func (e *executor) enter(u spent.Use) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.executing[u] {
		return false
	}
	e.executing[u] = true
	return true
}

func (e *executor) leave(u spent.Use) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.executing, u)
}

// mark changes the spent store, which is not safe for concurrent use.
func (e *executor) mark(change func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return change()
}

// unspent refuses what this store has begun before.
func (e *executor) unspent(ctx context.Context, store *spent.Store, u spent.Use) error {
	r, err := e.record(store, u)
	if err != nil {
		return err
	}
	switch r.State {
	case spent.Finished:
		return ErrSpent
	case spent.Started:
		return errors.Join(ErrUncertain, e.report(ctx, u, r))
	}
	return nil
}

func (e *executor) record(store *spent.Store, u spent.Use) (r spent.Record, err error) {
	err = e.mark(func() (err error) {
		r, err = store.Record(u)
		return err
	})
	return r, err
}

// consume claims the certificate in the registry, or finds that this very store has claimed it before a crash, and
// verifies the proof of it. Where the registry knows of a claim and the store does not, the store is a copy, or was
// rewound, and the other one may have acted.
func (e *executor) consume(ctx context.Context, store *spent.Store, j job, c *Certificate) (uint64, error) {
	r, err := e.record(store, j.use)
	if err != nil {
		return 0, err
	}
	if err := e.mark(func() error { return store.Claim(j.use, nil) }); err != nil {
		return 0, err
	}
	id, resumed := j.use.Decision, r.State == spent.Claimed
	consumption, receipt, err := e.claim(ctx, store, id)
	if CodeOf(err) == fault.Spent && !resumed {
		return 0, errors.Join(errCopied, e.mark(func() error { return store.Forfeit(j.use) }))
	}
	if CodeOf(err) == fault.Spent {
		consumption, receipt, err = e.claimed(ctx, id)
	}
	if err != nil {
		return 0, err
	}
	if receipt == nil {
		return 0, fmt.Errorf("consumption: %w", errForm)
	}
	err = c.Verified().VerifyConsumption(consumption, j.action, *receipt)
	if errors.As(byOthers(err), new(otherNodes)) {
		err = e.consumed(ctx, j)
	}
	if err != nil {
		return 0, fmt.Errorf("consumption: %w", err)
	}
	return 0, nil
}

// consumed verifies the claim that the registry has, where other nodes have signed it than the certificate: the realm's
// nodes have changed between the two, and both are fetched again. Only this store's own claim passes.
func (e *executor) consumed(ctx context.Context, j job) error {
	f, err := e.docket.fetch(ctx, j.use.Decision)
	if err != nil {
		return err
	}
	if f.receipt == nil {
		return errForm
	}
	return f.certificate.Verified().VerifyConsumption(f.consumed, j.action, *f.receipt)
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
func (e *executor) settled(ctx context.Context, store *spent.Store, u spent.Use, number uint64, failure error) error {
	detail := ""
	if failure != nil {
		detail = failure.Error()
		detail = strings.ToValidUTF8(detail[:min(len(detail), registry.MaxDetail)], "")
	}
	if err := e.mark(func() error { return store.Finish(u, failure == nil, detail) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := e.report(ctx, u, spent.Record{State: spent.Finished, OK: failure == nil, Detail: detail, Number: number})
	if err != nil {
		e.link.options.logger.Warn("outcome not reported yet", "decision", u.Decision.String(), "error", err)
	}
	return nil
}

// report tells the registry how an action ended, and the store that it was told.
func (e *executor) report(ctx context.Context, u spent.Use, r spent.Record) error {
	store, err := e.open()
	if err != nil {
		return err
	}
	err = tell(ctx, e.link, u.Decision, Outcome{OK: r.OK, Uncertain: r.State == spent.Started, Detail: r.Detail, Use: r.Number})
	if code := CodeOf(err); err != nil && code != fault.Spent {
		return err
	}
	return e.mark(func() error { return store.Reported(u) })
}

// Outcome says how a consumed decision's action ended.
type Outcome struct {
	OK        bool
	Uncertain bool   // begun, and not known how far it came
	Detail    string // at most 256 bytes
	Use       uint64 // of a permit, which of its uses; otherwise 0
}

func tell(ctx context.Context, l *link, id Digest, o Outcome) error {
	_, err := command[registry.Report](ctx, l, registry.TypeReport, registry.Report{
		Proposal: id, OK: o.OK, Uncertain: o.Uncertain, Detail: o.Detail, Use: o.Use,
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
	for u, r := range open {
		if err := e.report(ctx, u, r); err != nil {
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
