package sdk

import (
	"context"
	"errors"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Target says who shall handle a request.
type Target struct {
	who        string // name or nkey; empty for anybody
	capability string
	least      identity.Level
}

// Any is whoever serves the capability, picked among the live, verified processes.
func Any(capability string) Target { return Target{capability: capability} }

// To is exactly one agent, by name or nkey.
func To(nameOrKey, capability string) Target { return Target{who: nameOrKey, capability: capability} }

// MinLevel returns the target without those whose level is below least, as far as it is known when they are picked.
func (t Target) MinLevel(least Level) Target {
	t.least = least
	return t
}

// find is the question to the node.
func (t Target) find() (control.Find, error) {
	f := control.Find{Capability: t.capability}
	if t.who == "" {
		return f, nil
	}
	w, err := whoOf(t.who)
	f.ID, f.Name = w.ID, w.Name
	return f, err
}

// names reports whether the instance is of the agent that the target names.
func (t Target) names(i *instance) bool {
	s := i.ticket.Statement()
	return t.who == "" || s.Name == t.who || s.Principal.String() == t.who
}

// String returns the target as people read it.
func (t Target) String() string {
	if t.who == "" {
		return t.capability
	}
	return t.who + "/" + t.capability
}

// CallBytes sends one request and returns the reply's bytes. The reply is verified to come from the agent that was
// asked, for this request. Without a deadline in ctx it waits 30 s. Errors: [ErrNoResponder], also where all that answer are
// below the target's least level; [ErrTimeout], after
// which the request may have been handled; denied, at once, for what this agent's own level may not call; and the
// handler's, with its code.
//
// When the connection goes down it comes back by itself, at this node or another, and the call ends with an error whose
// code says that it may be made again: unreachable where the request has not left, uncertain where it may have been
// handled. A reply that is still being made then is awaited as long again as the call has lasted, at least 2 s. Where
// the other side's node goes away nothing tells the caller: the call ends with ctx. See middleware.RetryCalls.
func CallBytes(ctx context.Context, a *Agent, to Target, content []byte) ([]byte, error) {
	call := a.calling.around(func(ctx context.Context, to Target, content []byte) ([]byte, error) {
		return callBytes(ctx, a, to, content)
	})
	return call(ctx, to, content)
}

func callBytes(ctx context.Context, a *Agent, to Target, content []byte) ([]byte, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	s := a.link.current()
	if err := mayCall(s, to.capability); err != nil {
		return nil, err
	}
	body, err := wire.Encode(requestContent{Capability: to.capability, Body: content})
	if err != nil {
		return nil, err
	}
	for range maxPicks {
		var i *instance
		if i, err = a.circle.pick(ctx, to); err != nil {
			return nil, unsent(err)
		}
		var m *envelope.Message
		if m, err = s.exchanges.ask(ctx, i, envelope.Request, body); err == nil {
			return m.Content(), nil
		}
		if gone(err) {
			a.circle.instances.dropProcess(i.credential.ID())
		}
		if refused := (*unhandled)(nil); !errors.As(err, &refused) {
			break // it may have been handled
		}
	}
	return nil, err
}

// maxPicks bounds the processes that one call turns to: further ones only where those before have not handled it.
const maxPicks = 3

// gone reports whether an error says that a process may not be there any more.
func gone(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Uncertain, fault.Unreachable, fault.NoResponder:
		return true
	}
	return false
}
