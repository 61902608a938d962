package sdk

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

const (
	learnEvery = time.Second     // between two questions about the realm
	catchUp    = 3 * time.Second // for which a node may be behind what was seen of another one
	lookAround = time.Minute     // after which the realm is looked at again, whatever happened: so long on average
)

// learning is how a link hears of changes of its realm: of nodes that came and went, and how to reach them. It puts one
// question at a time, at most one a second, and never goes back. It is safe for concurrent use.
type learning struct {
	link  *link
	turn  lane          // for asking
	begun atomic.Uint64 // questions; changed under turn
	last  time.Time     // when the last one began; under turn

	wanted atomic.Bool // somebody is to learn the realm anew
}

// first learns the realm over a session that begins.
func (g *learning) first(ctx context.Context, s *session) error {
	if err := g.turn.enter(ctx); err != nil {
		return err
	}
	defer g.turn.leave()
	return g.ask(ctx, s)
}

// again learns the realm anew over a session, unless somebody else's question that began after the call was answered
// meanwhile.
func (g *learning) again(ctx context.Context, s *session) error {
	before := g.begun.Load()
	if err := g.turn.enter(ctx); err != nil {
		return err
	}
	defer g.turn.leave()
	if g.begun.Load() > before {
		return nil
	}
	if err := sleep(ctx, time.Until(g.last.Add(learnEvery))); err != nil {
		return err
	}
	return g.ask(ctx, s)
}

// ask puts the question until the answer follows what was seen before, or the node has had time enough to catch up. The
// caller has entered g.turn.
func (g *learning) ask(ctx context.Context, s *session) error {
	g.begun.Add(1)
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	for began := time.Now(); ; {
		g.last = time.Now()
		err := persist(ctx, s.way, func(ctx context.Context) error {
			learned, err := learn(ctx, s.control, g.link.realm, g.link.lore.Load(), g.link.known.seen.Roster)
			if err != nil {
				return err
			}
			return g.take(s, learned)
		})
		if !behind(err) || time.Since(began) >= catchUp {
			return err
		}
		if sleep(ctx, learnEvery) != nil {
			return err
		}
	}
}

// take makes what was learned the lore, if that goes nowhere back, and has the connections find the nodes. The caller
// has entered g.turn.
func (g *learning) take(s *session, learned lore) error {
	l := g.link
	nodes := l.nodes.Load().with(learned)
	if err := l.remember(learned, nodes); err != nil {
		return err
	}
	l.lore.Store(&learned)
	l.nodes.Store(&nodes)
	for _, one := range append(l.sessions(), s) { // s may be one that only begins
		r, ok := one.conn.(roaming)
		if !ok || one.told.equal(nodes) {
			continue
		}
		if err := r.Extend(nodes.addresses, nodes.pins); err != nil {
			l.options.logger.Warn("nodes not made known", "code", string(fault.CodeOf(err)), "error", err)
			continue
		}
		one.told = nodes
	}
	return nil
}

// loop looks at the realm now and then: a node that came is to be known before the others go.
func (g *learning) loop() {
	for sleep(g.link.crew.ctx, lookAround/2+rand.N(lookAround)) == nil { // not when all others do
		g.quietly(g.link.current())
	}
}

// soon has the realm learned anew in the background, once, however often it is called until that begins.
func (g *learning) soon(s *session) {
	if g.wanted.Swap(true) {
		return
	}
	if !g.link.crew.chore(func() { g.wanted.Store(false); g.quietly(s) }) {
		g.wanted.Store(false)
	}
}

// quietly learns the realm anew where nobody waits for that.
func (g *learning) quietly(s *session) {
	ctx, cancel := context.WithTimeout(g.link.crew.ctx, askTime)
	defer cancel()
	if err := g.again(ctx, s); err != nil && g.link.crew.ctx.Err() == nil {
		g.link.options.logger.Warn("realm not looked at", "code", string(fault.CodeOf(err)), "error", err)
	}
	if current := g.link.current(); current != nil && !current.hearing.under(g.link.lore.Load().inForce()) {
		current.hearing.relevel()
	}
}

// behind reports whether an answer was refused because it is older than what was seen, as that of a node may be that
// has not heard of it yet.
func behind(err error) bool {
	return errors.Is(err, identity.ErrRollback) || errors.Is(err, contexts.ErrRollback) || errors.Is(err, audit.ErrOldRoster)
}

// vouched puts a control request, over the session given or else the one in use, whose answer check verifies by what is known of the realm. Where it does not verify
// because other nodes have signed it than those of the newest roster known, the realm is learned anew: the answer may
// be of a newer one. If it is of an older one, the node is asked once more, and what it says then counts.
func vouched[T any](ctx context.Context, l *link, over *session, op control.Op, in any, check func(T, lore) error) error {
	ask := l.ask
	if over != nil {
		ask = over.ask
	} else {
		over = l.current()
	}
	var out T
	if err := ask(ctx, op, in, &out); err != nil {
		return err
	}
	err := check(out, *l.lore.Load())
	if !errors.As(err, new(otherNodes)) {
		return err
	}
	if failure := l.learning.again(ctx, over); failure != nil {
		return errors.Join(failure, err)
	}
	if err = check(out, *l.lore.Load()); !errors.As(err, new(otherNodes)) {
		return err
	}
	var newer T
	if err := ask(ctx, op, in, &newer); err != nil {
		return err
	}
	return check(newer, *l.lore.Load())
}

// sleep returns nil after d, or ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
