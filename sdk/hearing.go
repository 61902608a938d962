package sdk

import (
	"context"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// hearing is what one session is subscribed to for its principal's level: requests and replies.
type hearing struct {
	session *session

	mu       sync.Mutex // held while subscriptions change
	level    identity.Level
	rules    wire.Digest // the policy by which it listens
	requests bus.Subscription
	replies  bus.Subscription
}

// listen subscribes to what the level may hear. What it was subscribed to at another level is subscribed to anew: the
// node ends subscriptions that a lower level may not have.
func (h *hearing) listen(level identity.Level) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, a := h.session, h.session.agent
	for _, sub := range []bus.Subscription{h.replies, h.requests} {
		if sub != nil {
			_ = sub.Unsubscribe() // fails only when the connection is gone, which ends it as well
		}
	}
	h.replies, h.requests, h.level, h.rules = nil, nil, level, a.link.lore.Load().inForce()
	rights := a.link.fullRights(level) // what is refused for a while comes back without a word
	if rights.Rate == 0 {
		return nil
	}
	var err error
	if len(rights.Call)+len(rights.Subscribe) > 0 {
		if h.replies, err = s.conn.Subscribe(s.subject.Replies(a.ID(), s.token), s.exchanges.onReply); err != nil {
			return err
		}
	}
	if len(rights.Serve)+len(rights.Publish) > 0 {
		h.requests, err = s.conn.Subscribe(s.subject.Requests(a.ID(), s.token), s.onRequest)
	}
	return err
}

// at returns the level by which the session listens; L0 for who is no agent.
func (h *hearing) at() identity.Level {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.level
}

// under reports whether the session listens by the policy, or never listens.
func (h *hearing) under(rules wire.Digest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rules == rules || h.rules.IsZero()
}

// relevel listens anew where the agent's level, or what the policy lets it do, has changed.
func (h *hearing) relevel() {
	s, a := h.session, h.session.agent
	if a.ID().Role() != identity.Agent {
		return
	}
	ctx, cancel := context.WithTimeout(a.crew.ctx, askTime)
	defer cancel()
	me, err := s.self(ctx)
	if err == nil {
		a.levels.now(me.Level)
	}
	if err == nil && (h.at() != me.Level || !h.under(a.link.lore.Load().inForce())) {
		if err = h.listen(me.Level); err == nil && s == a.link.current() {
			err = a.reading.resubscribe(s)
		}
	}
	if err != nil && a.crew.ctx.Err() == nil {
		a.link.options.logger.Warn("level not followed", "code", string(fault.CodeOf(err)), "error", err)
	}
}
