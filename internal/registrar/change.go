package registrar

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// onChange carries what the ledger changed to the live connections, before the command is answered. It runs in the
// goroutine that applies, and also while the log is replayed, when nobody is connected.
func (r *Registrar) onChange(c ledger.Change) {
	if r.tickets == nil {
		return // the ledger is being made
	}
	if planted.Fault(planted.KeepsSpeaking) {
		c.Members = nil
	}
	if c.All || c.Roster || len(c.Members) > 0 {
		r.tickets.forget(c.Members) // all of them, if no member is named
	}
	r.grown.happened()
	if c.Roster || c.All {
		r.config.Cluster.Changed()
	}
	if r.enforcer.Load() == nil {
		return // the log is being replayed: nobody is connected
	}
	for _, id := range c.Members {
		consequences{r}.enforce(id)
	}
	if c.Roster || c.All {
		consequences{r}.reseated()
	}
	if c.All {
		consequences{r}.enforceAll()
	}
	r.hints.add(control.Hint{Members: c.Members, Decisions: c.Decisions})
	for _, id := range c.Decisions {
		r.hints.add(r.asks(id))
	}
	if c.Roster || c.All {
		r.TellNodes()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// TellNodes has agents look again at who runs the realm and where: there is a new roster, or a node has moved.
func (r *Registrar) TellNodes() { r.hints.add(control.Hint{Members: r.ledger.Authority().Nodes}) }

// asks returns what a change of a decision asks of its voters: to look at one that has just opened, or to reveal the ballots
// that they have committed to.
func (r *Registrar) asks(id wire.Digest) (h control.Hint) {
	d, err := r.ledger.Decision(id)
	if err != nil || d.Verdict.State != consensus.Open {
		return h
	}
	if len(d.Ballots)+len(d.Commitments) == 0 {
		h.Opened = []wire.Digest{id}
	}
	if r.ledger.Revealing(id, r.nowMilli()) {
		h.Revealing = []wire.Digest{id}
	}
	return h
}

// consequences are what follows from a change of the ledger: for live connections, for the lease, for those who listen.
type consequences struct{ *Registrar }

// reseated follows a new roster: a node that is alone waits for nobody, and one that was until now has a lease until it
// can renew it. No other gets one, as what it has applied may be old: one that counts and has none asks for it now.
func (r consequences) reseated() {
	if r.door.widened(r.alone()) && r.counts() {
		r.lease.renew(r.lease.now())
	}
	if r.mayServe() != nil && r.counts() {
		select {
		case r.counted <- struct{}{}:
		default:
		}
	}
	timekeeper(r).attune()
}

// enforceAll brings everybody's live connections in line with the ledger.
func (r consequences) enforceAll() {
	e := *r.enforcer.Load()
	for _, m := range r.ledger.Members() {
		if e.Live(m.ID) > 0 {
			r.enforce(m.ID)
		}
	}
}

// enforce brings a principal's live connections in line with the ledger. Rights are in the enforcer's hands by the time
// it returns: a quarantined principal is silent.
func (r consequences) enforce(id identity.ID) {
	e := *r.enforcer.Load()
	m, err := r.ledger.Member(id)
	if err != nil || m.Status != trust.Active {
		e.Revoke(id)
		r.presences.forget(id)
		return
	}
	e.Refresh(id)
}

// hintQueue collects what to broadcast, without bound on how often but with one on how much: it holds each name once.
type hintQueue struct {
	mu    *sync.Mutex
	hint  *control.Hint
	ready chan struct{}
}

func newHintQueue() hintQueue {
	return hintQueue{mu: &sync.Mutex{}, hint: &control.Hint{}, ready: make(chan struct{}, 1)}
}

// maxHint bounds the names in one hint; above it, the hint just says that something changed.
const maxHint = 256

func (q hintQueue) add(news control.Hint) {
	if len(news.Members)+len(news.Decisions)+len(news.Opened)+len(news.Revealing) == 0 {
		return
	}
	q.mu.Lock()
	h := q.hint
	h.Members = united(h, h.Members, news.Members)
	h.Decisions = united(h, h.Decisions, news.Decisions)
	h.Opened = united(h, h.Opened, news.Opened)
	h.Revealing = united(h, h.Revealing, news.Revealing)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// united adds names to a list of a hint, each once, or notes that there are more than it may hold.
func united[T comparable](h *control.Hint, list, names []T) []T {
	for _, name := range names {
		switch {
		case slices.Contains(list, name):
		case len(list) < maxHint:
			list = append(list, name)
		default:
			h.More = true
		}
	}
	return list
}

// again has a hint go out even if there is nothing new: it says too whether the node is restricted.
func (q hintQueue) again() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q hintQueue) take() control.Hint {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := *q.hint
	*q.hint = control.Hint{}
	return h
}

// broadcast tells everybody connected where to look again.
func (r consequences) broadcast(ctx context.Context) {
	subject := bus.In(r.Realm()).Hint(r.ID())
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hints.ready:
		}
		h := r.hints.take()
		h.Size, h.Restricted = r.ledger.Size(), r.door.restricted()
		b, err := wire.Encode(h)
		if err != nil {
			continue // a hint holds names only: cannot happen
		}
		if err := r.conn.Publish(ctx, subject, b); err != nil {
			r.config.Logger.Debug("hint not sent", "error", err)
		}
	}
}

// nextLook returns the log time at which the time is to be told: at the next deadline of an open decision, so that silence
// ends it, or when agents' levels are to be looked at, which time takes away too; 0 for never.
func (r timekeeper) nextLook() int64 {
	deadline, review := r.ledger.NextDeadline(), r.ledger.NextReview()
	if deadline == 0 || (review > 0 && review < deadline) {
		return review
	}
	return deadline
}

// watchDeadlines tells the time when it has to go on though nobody commands anything.
func (r timekeeper) watchDeadlines(ctx context.Context) {
	for {
		var timer <-chan time.Time
		if next := r.nextLook(); next > 0 && r.counts() {
			timer = time.After(time.Until(time.UnixMilli(next)))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			continue
		case <-timer:
		}
		if _, err := r.tellTime(ctx); err != nil {
			r.config.Logger.Warn("deadline passed but time could not be told", "error", err)
			select { // the log or the clock is in trouble: do not spin
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		if next := r.nextLook(); next > 0 && next <= r.nowMilli() {
			select { // the others' clocks are not there yet
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}
