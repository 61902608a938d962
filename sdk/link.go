package sdk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// link is an agent's way to the nodes: as whom it connects, what it has verified of the realm, and the session in use,
// which it replaces before the session's credential ends.
type link struct {
	options options
	known   known
	realm   wire.Realm
	crew    *crew
	lore    atomic.Pointer[lore]
	nodes   atomic.Pointer[nodes]
	news    *bell // rung when a node says that decisions have opened

	following following // of decisions
	learning  learning
	reminding *reminding
	limited   atomic.Int32 // sessions at nodes that only let through what is R0

	dial  func(ctx context.Context) (*session, error)
	moved func(to *session) error // has what was subscribed to subscribed to at a new session

	mu      sync.Mutex
	using   atomic.Pointer[session] // changed under mu
	retired []*session              // replaced, still receiving
	ended   bool
}

// begin makes the first session.
func (l *link) begin(ctx context.Context) error {
	s, err := l.dial(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.using.Store(s)
	return nil
}

// end returns the sessions, for the caller to close. There will be no others.
func (l *link) end() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	list := slices.Clone(l.retired)
	if s := l.using.Load(); s != nil {
		list = append(list, s)
	}
	return list
}

func (l *link) id() identity.ID { return l.known.Signer.ID() }

func (l *link) now() int64 { return time.Now().UnixMilli() }

// rights returns what the policy in force lets a level do now: less while a node that the agent is connected to is cut off
// from the majority and says that only R0 goes on there.
func (l *link) rights(level identity.Level) trust.Rights {
	if l.limited.Load() > 0 {
		return l.lore.Load().policy.RestrictedRights(level)
	}
	return l.fullRights(level)
}

// fullRights returns what the policy in force lets a level do at a node that is not cut off.
func (l *link) fullRights(level identity.Level) trust.Rights {
	return l.lore.Load().policy.Rights(level)
}

// mayCall refuses what a level may not call. Errors: [bus.ErrDenied]; errCutOff for what it may at other times.
func (l *link) mayCall(level identity.Level, capability string) error {
	switch {
	case identity.MatchCapability(l.rights(level).Call, capability):
		return nil
	case l.limited.Load() > 0 && identity.MatchCapability(l.fullRights(level).Call, capability):
		return fmt.Errorf("%w: %.128q", errCutOff, capability)
	}
	return fmt.Errorf("%w: %s may not call %.128q", bus.ErrDenied, level, capability)
}

// errCutOff is returned for calls that are not R0 where the node of either side is cut off.
var errCutOff = fault.New(fault.Unreachable, "sdk: the node is cut off from the majority and lets only R0 through").
	WithHint("try again later, or connect to another node; see which are up: conclave cluster members")

// plain reports whether the policy in force leaves a topic's messages readable to anybody.
func (l *link) plain(topic string) bool { return l.lore.Load().policy.PlainTopic(topic) }

// sessions returns the session in use and those that still receive.
func (l *link) sessions() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.retired)
	if s := l.using.Load(); s != nil {
		list = append(list, s)
	}
	return list
}

// current returns the session in use.
func (l *link) current() *session {
	return l.using.Load()
}

// ask puts a control request to the node until it is answered, however often the node goes away meanwhile, or ctx ends,
// or the agent closes. Without a deadline in ctx it gives up after 30 s.
func (l *link) ask(ctx context.Context, op control.Op, in, out any) error {
	if l.crew.ctx.Err() != nil {
		return ErrClosed
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	return persist(ctx, l.current().way, func(ctx context.Context) error {
		if l.crew.ctx.Err() != nil {
			return ErrClosed
		}
		return l.current().control.Ask(ctx, op, in, out)
	})
}

// command signs and hands in one command and returns its result.
func command[R any](ctx context.Context, l *link, typ registry.Type, body any) (R, error) {
	return submit[R](ctx, l.current().way, l.known.Signer, l.realm, typ, body)
}

// newProcess makes a process whose credential's epoch is its time of issue, in seconds: "refuse credentials older than
// this moment" is then one number.
func (l *link) newProcess() (*identity.Process, error) {
	now := l.now()
	return identity.NewProcess(l.realm, l.known.Signer, uint64(now/1000), now, l.options.life.Milliseconds())
}

// remember keeps the newest roster and head seen in the context, and how to reach the nodes. It refuses older ones.
func (l *link) remember(learned lore, known nodes) error {
	if l.known.store == nil || learned.head.IsZero() {
		return nil
	}
	h := learned.head.Statement()
	seen := contexts.Seen{Roster: learned.authority.Number, HeadSize: h.Size, HeadRoot: h.Root.String()}
	if err := l.known.store.Follow(l.known.context, seen, known.addresses, known.names()); err != nil {
		return fmt.Errorf("realm: %w", err)
	}
	return nil
}

func (l *link) onDropped(pattern string, n uint64) {
	l.options.logger.Warn("messages dropped: the handler is slower than the senders", "subject", pattern, "count", n)
}

func (l *link) onUnsent(subject string, err error) {
	l.options.logger.Warn("not sent", "subject", subject, "code", string(fault.CodeOf(err)), "error", err)
}

func (l *link) onRefused(err error) {
	l.options.logger.Warn("the node refused a publication or subscription", "error", err)
}

// renewal returns when to renew a credential, after its issue: before three quarters of its life are over, and not when
// others do that began at the same moment.
func (l *link) renewal() time.Duration {
	eighth := max(l.options.life/8, 1)
	return 5*eighth + rand.N(eighth)
}

// renewLoop replaces the session before its credential ends. The old one goes on receiving
// until nothing that was addressed to it can be under way.
func (l *link) renewLoop() {
	wait := l.renewal()
	for {
		select {
		case <-l.crew.ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = l.renewal()
		if err := l.renew(); err != nil {
			// Some more attempts before the credential ends; each makes a process that the node knows, and it knows 8 of
			// a principal.
			wait = l.options.life / 16
			l.options.logger.Error("credential not renewed", "code", string(fault.CodeOf(err)), "error", err)
		}
	}
}

func (l *link) renew() error {
	ctx, cancel := context.WithTimeout(l.crew.ctx, askTime)
	defer cancel()
	fresh, err := l.dial(ctx)
	if err != nil {
		return err
	}
	if err := l.moved(fresh); err != nil {
		return errors.Join(err, l.moved(l.current()), fresh.close(ctx)) // some may have been moved already
	}
	fresh.egress.hold()
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return fresh.close(ctx)
	}
	old := l.using.Load()
	ended := l.retired
	fresh.publishing.follow(&old.publishing)
	l.using.Store(fresh)
	l.retired = []*session{old}
	l.mu.Unlock()
	old.egress.retire()         // what was queued goes out before what follows it
	_, _ = old.egress.idle(ctx) // its outcome is for those who published it
	err = fresh.presence.announce(ctx)
	fresh.egress.release() // readers can find the process now
	old.presence.withdraw(ctx)
	for _, s := range ended {
		err = errors.Join(err, s.close(ctx))
	}
	return err
}
