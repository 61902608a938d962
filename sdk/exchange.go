package sdk

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// exchanges are a session's requests that wait for their replies.
type exchanges struct {
	session *session

	mu      sync.Mutex
	waiting map[bus.Token]*exchange
}

// exchange is one request that waits for its reply.
type exchange struct {
	id    wire.Digest
	to    identity.ID
	reply chan *envelope.Message // holds one
}

// ask sends a request or join to a process and waits for its reply.
func (x *exchanges) ask(ctx context.Context, i instance, purpose envelope.Purpose, content []byte) (*envelope.Message, error) {
	to := i.credential.Statement().Principal
	process := i.credential.ID()
	draft := envelope.Draft{
		To: envelope.ToProcess(to, process), Purpose: purpose, Content: content,
		Subject: x.session.subject.Request(to, bus.TokenOf(process), x.session.agent.ID()),
	}
	e := &exchange{to: to, reply: make(chan *envelope.Message, 1)}
	if err := x.session.presence.once(ctx); err != nil {
		return nil, err
	}
	raw, err := x.prepare(draft, i.presence.Statement().Sealing, e)
	if err != nil {
		return nil, err
	}
	token := bus.TokenOf(e.id)
	defer x.forget(token)
	if err := x.session.conn.Publish(ctx, draft.Subject, raw); err != nil {
		return nil, err
	}
	select {
	case m := <-e.reply:
		return m, faultOf(m)
	case <-x.session.conn.Done():
		return nil, x.session.conn.Err()
	case <-ctx.Done():
		return nil, errors.Join(ErrTimeout, ctx.Err())
	}
}

// prepare seals a request and files the exchange under its id before anybody can answer.
func (x *exchanges) prepare(d envelope.Draft, sealingKey []byte, e *exchange) ([]byte, error) {
	raw, id, err := x.session.seal(d, sealingKey)
	if err != nil {
		return nil, err
	}
	e.id = id
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting[bus.TokenOf(id)] = e
	return raw, nil
}

func (x *exchanges) forget(token bus.Token) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.waiting, token)
}

// onReply hands a verified reply to the exchange that waits for it. Everything else is dropped.
func (x *exchanges) onReply(subject string, data []byte) {
	parsed, err := x.session.subject.Parse(subject)
	if err != nil {
		return
	}
	x.mu.Lock()
	e := x.waiting[parsed.ID]
	x.mu.Unlock()
	if e == nil {
		return
	}
	if !x.session.agent.crew.chore(func() { x.accept(e, parsed.ID, subject, data) }) {
		x.session.agent.link.options.logger.Warn("reply dropped", "error", errBusy)
	}
}

func (x *exchanges) accept(e *exchange, token bus.Token, subject string, data []byte) {
	ctx, cancel := context.WithTimeout(x.session.agent.crew.ctx, askTime)
	defer cancel()
	m, err := x.session.open(ctx, data, envelope.Inbound{Subject: subject, InReplyTo: e.id, ReplyFrom: e.to})
	if err != nil {
		x.session.agent.link.options.logger.Warn("reply refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting[token] == e {
		delete(x.waiting, token)
		e.reply <- m // holds one, and is taken out here
	}
}

// faultOf returns the error that a fault carries, or nil for a reply.
func faultOf(m *envelope.Message) error {
	if m.Purpose() != envelope.Fault {
		return nil
	}
	var f faultContent
	if err := wire.Decode(m.Content(), &f); err != nil || f.Code == "" {
		return errForm
	}
	return fault.New(f.Code, f.Message)
}
