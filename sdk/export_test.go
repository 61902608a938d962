package sdk

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/envelope"
)

// SenderKey returns the key of a topic that the agent has been given, or nil.
func SenderKey(a *Agent, id Digest) *envelope.Key { return a.circle.senders.Key(id) }

// ForgetSessions has the agent's process forget what other processes have agreed with it.
func ForgetSessions(a *Agent) {
	r := a.link.current().keys
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.order.Len() > 0 {
		r.drop(r.order.Back())
	}
}

// Relearn has the agent learn its realm anew.
func Relearn(ctx context.Context, a *Agent) error {
	return a.link.learning.again(ctx, a.link.current())
}

// Roster returns the number of the newest roster that the agent knows.
func Roster(a *Agent) uint64 { return a.link.lore.Load().authority.Number }
