package sdk

import (
	"context"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Target says who shall handle a request.
type Target struct {
	who        string // name or nkey; empty for anybody
	capability string
}

// Any is whoever serves the capability, picked among the live, verified processes.
func Any(capability string) Target { return Target{capability: capability} }

// To is exactly one agent, by name or nkey.
func To(nameOrKey, capability string) Target { return Target{who: nameOrKey, capability: capability} }

// String returns the target as people read it.
func (t Target) String() string {
	if t.who == "" {
		return t.capability
	}
	return t.who + "/" + t.capability
}

// CallBytes sends one request and returns the reply's bytes. The reply is verified to come from the agent that was
// asked, for this request. Without a deadline in ctx it waits 30 s. Errors: [ErrNoResponder]; [ErrTimeout], after
// which the request may have been handled; denied, at once, for what this agent's own level may not call; and the
// handler's, with its code.
func (a *Agent) CallBytes(ctx context.Context, to Target, content []byte) ([]byte, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	if a.crew.ctx.Err() != nil {
		return nil, ErrClosed
	}
	s := a.link.current()
	if level := s.hearing.at(); !identity.MatchCapability(a.link.rights(level).Call, to.capability) {
		return nil, fmt.Errorf("%w: %s at %s may not call %s", bus.ErrDenied, a.ID().Role(), level, to.capability)
	}
	i, err := a.circle.pick(ctx, to)
	if err != nil {
		return nil, err
	}
	body, err := wire.Encode(requestContent{Capability: to.capability, Body: content})
	if err != nil {
		return nil, err
	}
	m, err := s.exchanges.ask(ctx, i, envelope.Request, body)
	if err != nil {
		return nil, err
	}
	return m.Content(), nil
}
