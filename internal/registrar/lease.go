package registrar

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// ErrLease is returned by a node that has not heard from a majority for so long that it may not act on what it knows.
var ErrLease = fault.New(fault.Unreachable, "registrar: this node is cut off from the majority and serves nobody").
	WithHint("connect to another node; see which are up: conclave cluster members")

// DefaultLease is how long a node acts on what it knows of the registry without a sign that a majority has applied what
// it sent (DESIGN §8), unless the policy says otherwise.
const DefaultLease = policy.DefaultLease * time.Millisecond

// renewals is how often a node renews within one lease, or within the default one if that is shorter.
const renewals = 6

// beat is how long one renewal may take, and the time in which there are so many of them.
func (l *lease) beat() time.Duration { return min(l.length, DefaultLease) }

// lease is how long this node may act on its replica. A realm of one node needs none. It is safe for concurrent use.
type lease struct {
	length time.Duration
	now    func() time.Duration // never goes back, nor slower than time does

	changed func() // called after it has run out and after it is held again, maybe late

	mu    sync.Mutex
	until time.Duration
	holds bool
	timer *time.Timer // runs expire; nil before it was first held
	over  bool        // closed
}

func newLease(length time.Duration, now func() time.Duration) *lease {
	return &lease{length: length, now: now, changed: func() {}}
}

// renew counts the lease from the moment sent, by its own clock.
func (l *lease) renew(sent time.Duration) {
	l.mu.Lock()
	until := max(l.until, sent+l.length)
	left := until - l.now()
	if l.over || left <= 0 {
		l.mu.Unlock()
		return
	}
	l.until = until
	began := !l.holds
	l.holds = true
	if l.timer == nil {
		l.timer = time.AfterFunc(left, l.expire)
	} else {
		l.timer.Reset(left)
	}
	l.mu.Unlock()
	if began {
		l.changed()
	}
}

// expire ends the lease, if it was not renewed meanwhile.
func (l *lease) expire() {
	l.mu.Lock()
	if !l.holds || l.over {
		l.mu.Unlock()
		return
	}
	if left := l.until - l.now(); left > 0 {
		l.timer.Reset(left)
		l.mu.Unlock()
		return
	}
	l.holds = false
	l.mu.Unlock()
	l.changed()
}

// left returns how much is left, 0 if nothing.
func (l *lease) left() time.Duration {
	if planted.Fault(planted.EndlessLease) {
		return l.length
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.holds {
		return 0
	}
	return max(l.until-l.now(), 0)
}

// begun reports whether the lease was ever held.
func (l *lease) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timer != nil
}

// close stops the timer: no call of changed begins from now on.
func (l *lease) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// alone reports whether this node is the realm's only one, and so waits for nobody.
func (r *Registrar) alone() bool {
	a := r.ledger.Authority()
	return a.Number >= r.config.Roster && len(a.Nodes) == 1 && a.Nodes[0] == r.ID()
}

// doorway is whom the enforcer serves.
type doorway int32

const (
	open       doorway = iota // everybody
	shut                      // nobody
	restricted                // those who were connected, with what is left to them
)

// door is how far clients are let in, as the enforcer was told last. The zero value is an open one.
type door struct {
	mu   sync.Mutex
	at   atomic.Int32 // a doorway; changed under mu
	lone bool         // the realm had no other node
}

// restricted reports whether those who were connected go on with what is left to them.
func (d *door) restricted() bool { return doorway(d.at.Load()) == restricted }

// widened notes whether this node is alone, and reports whether it was until now and is no more.
func (d *door) widened(alone bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.lone
	d.lone = alone
	return was && !alone
}

// timekeeper tells the time through the log, by which the node's lease is kept and deadlines pass.
type timekeeper struct{ *Registrar }

// attune opens, restricts or shuts the door by whether this node may serve now. Whoever calls it last leaves it right,
// however late.
func (r timekeeper) attune() {
	e := r.enforcer.Load()
	if e == nil {
		return
	}
	r.door.mu.Lock()
	defer r.door.mu.Unlock()
	was, is := doorway(r.door.at.Load()), open
	err := r.mayServe()
	if err != nil {
		is = r.without(was)
	}
	if was == is {
		return
	}
	r.door.at.Store(int32(is))
	switch is {
	case open:
		(*e).Resume()
	case restricted:
		r.config.Logger.Warn("no lease: this node lets in nobody, and those connected do what is R0, until it hears from a majority")
		(*e).Restrict(err)
	default:
		r.config.Logger.Warn("no lease: this node serves nobody until it hears from a majority")
		(*e).Suspend(err)
	}
	if is == restricted || was == restricted {
		r.hints.again()
	}
}

// mayServe returns nil if this node may act on its replica now.
func (r *Registrar) mayServe() error {
	if r.alone() || r.lease.left() > 0 {
		return nil
	}
	return ErrLease
}

// keepTime tells the time through the log again and again, which renews the lease, moves log time and shows the others
// that this node follows. It does nothing while the node is alone or not yet one of those that count.
func (r timekeeper) keepTime(ctx context.Context) {
	every := time.NewTicker(r.lease.beat() / renewals)
	defer every.Stop()
	var under sync.WaitGroup // a node that hangs holds up one question, not the next renewal
	defer under.Wait()
	gathered := false
	for rounds := 0; ; rounds++ {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-r.counted:
		}
		if r.alone() || !r.counts() {
			continue
		}
		r.attune() // the machine may have been suspended, and the lease's timer with it
		if r.door.restricted() {
			r.hints.again() // whoever missed it shall know
		}
		under.Go(func() { r.renewLease(ctx) })
		if !gathered && r.mayServe() == nil {
			under.Go(func() { whereabouts(r).gather(ctx) })
			gathered = true
		}
		if rounds%headRounds == 0 {
			under.Go(func() { r.compareHeads(ctx) })
		}
	}
}

// headRounds is after how many renewals a node compares its state with the others': every 10 s, or oftener where the lease
// is short.
const headRounds = 20

// counts reports whether this node is one of those whose majority decides.
func (r *Registrar) counts() bool {
	_, self := r.panel.others(r.ledger.Authority())
	return self == 1
}

// renewLease tells the time and, once that is applied here, counts the lease from when it was sent.
func (r timekeeper) renewLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.lease.beat())
	defer cancel()
	sent := r.lease.now()
	told, err := r.tellTime(ctx)
	if err != nil {
		r.config.Logger.Debug("lease not renewed", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	if newest, ok := r.ledger.Told(r.ID()); ok && newest >= told {
		r.lease.renew(sent)
		r.attune()
	}
}

// tellTime appends a tick of its own and returns the time that it tells, once it is applied here.
func (r timekeeper) tellTime(ctx context.Context) (int64, error) {
	now, err := r.clock.now()
	if err != nil {
		return 0, err
	}
	tick, err := r.tick(now)
	if err != nil {
		return 0, err
	}
	entry, err := wire.Encode(entryOf(tick, nil))
	if err != nil {
		return 0, err
	}
	_, _, err = r.log.Append(ctx, entry)
	return now, err
}

// compareHeads has the others sign this node's newest head. If most of them know another one of that size, this node
// stops: see [heads.current].
func (r timekeeper) compareHeads(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.lease.beat())
	defer cancel()
	if _, _, err := r.heads.current(ctx, r.ledger.Size()); err != nil {
		r.config.Logger.Debug("head not signed by a majority", "code", string(fault.CodeOf(err)), "error", err)
	}
}

// Joining reports whether this node has a place in the roster and does not count yet.
func (r *Registrar) Joining() bool {
	return slices.Contains(r.ledger.Authority().Joining, r.ID())
}
