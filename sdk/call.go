package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
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
	if a.ctx.Err() != nil {
		return nil, ErrClosed
	}
	s := a.current()
	if level := s.listens(); !identity.MatchCapability(a.lore.Load().policy.Rights(level).Call, to.capability) {
		return nil, fmt.Errorf("%w: %s at %s may not call %s", bus.ErrDenied, a.ID().Role(), level, to.capability)
	}
	i, err := a.pick(ctx, to)
	if err != nil {
		return nil, err
	}
	body, err := wire.Encode(requestContent{Capability: to.capability, Body: content})
	if err != nil {
		return nil, err
	}
	m, err := s.exchange(ctx, i, envelope.Request, body)
	if err != nil {
		return nil, err
	}
	return m.Content(), nil
}

// pick returns a live process that serves the target: among several the next one in turn.
func (a *Agent) pick(ctx context.Context, to Target) (instance, error) {
	f := control.Find{Capability: to.capability}
	if to.who != "" {
		w, err := whoOf(to.who)
		if err != nil {
			return instance{}, err
		}
		f.ID, f.Name = w.ID, w.Name
	}
	found, err := a.find(ctx, f)
	if err != nil {
		return instance{}, err
	}
	own := a.current().process.Credential().ID()
	candidates := found[:0]
	for _, i := range found {
		named := to.who == "" || i.ticket.Statement().Name == to.who || i.ticket.Statement().Principal.String() == to.who
		if named && i.credential.ID() != own {
			candidates = append(candidates, i)
		}
	}
	if len(candidates) == 0 {
		return instance{}, fmt.Errorf("%w: %s", ErrNoResponder, to)
	}
	return candidates[turns.next(to)%uint64(len(candidates))], nil
}

// turns spreads calls over the processes that serve a target.
var turns = turnstile{last: map[Target]uint64{}}

type turnstile struct {
	mu   sync.Mutex
	last map[Target]uint64
}

func (t *turnstile) next(to Target) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) > 4096 { // forgetting only changes whose turn it is
		clear(t.last)
	}
	t.last[to]++
	return t.last[to]
}

// find asks the node who is there, verifies each answer, and remembers the senders. What does not verify is left out.
func (a *Agent) find(ctx context.Context, f control.Find) ([]instance, error) {
	var found control.Found
	if err := a.ask(ctx, control.OpFind, f, &found); err != nil {
		return nil, err
	}
	l := *a.lore.Load()
	var list []instance
	for _, v := range found.Processes {
		i, err := verifyInstance(v, l, a.now())
		if err != nil {
			a.options.logger.Warn("process left out", "code", string(fault.CodeOf(err)), "error", err)
			continue
		}
		if i.presence.IsZero() || !offers(i, f, l) {
			continue
		}
		if err := a.peers.Add(v.Credential, i.ticket, a.now()); err != nil {
			continue // superseded or quarantined meanwhile
		}
		list = append(list, i)
	}
	return list, nil
}

// offers checks that the process itself, its principal's granted card, and its level say what was looked for.
func offers(i instance, f control.Find, l lore) bool {
	if f.Capability == "" {
		return true
	}
	t := i.ticket.Statement()
	if i.card.IsZero() || !identity.MatchCapability(t.Serves, f.Capability) ||
		!identity.MatchCapability(l.policy.Rights(t.Level).Serve, f.Capability) {
		return false
	}
	return contains(i.card.Statement().Names(), f.Capability) && contains(i.presence.Statement().Serves, f.Capability)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// sealingKey returns the key to seal replies with: the one in the sender's newest presence, verified.
func (a *Agent) sealingKey(ctx context.Context, id identity.ID, credential wire.Digest) ([]byte, error) {
	if key, ok := a.keys.get(credential); ok {
		return key, nil
	}
	var v control.Vouched
	if err := a.ask(ctx, control.OpSender, control.Process{Principal: id, Credential: credential}, &v); err != nil {
		return nil, err
	}
	presence, err := wire.Parse[discovery.Presence](v.Presence, wire.MaxStatement)
	if err != nil {
		return nil, errNoSealingKey
	}
	v.Presence = nil // it may be over; the key is good as long as the credential, which names it
	i, err := verifyInstance(v, *a.lore.Load(), a.now())
	if err != nil {
		return nil, err
	}
	key := presence.Claim.Sealing
	if i.credential.ID() != credential || i.credential.Statement().Sealing != wire.Hash(key) {
		return nil, errNoSealingKey
	}
	a.keys.put(credential, key)
	return key, nil
}

// sealingKeys remembers verified sealing keys by credential, which names exactly one. It is safe for concurrent use.
type sealingKeys struct {
	mu   sync.Mutex
	keys map[wire.Digest][]byte
}

const maxSealingKeys = 4096

func (k *sealingKeys) get(credential wire.Digest) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[credential]
	return key, ok
}

func (k *sealingKeys) put(credential wire.Digest, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil || len(k.keys) >= maxSealingKeys { // they can all be asked for again
		k.keys = map[wire.Digest][]byte{}
	}
	k.keys[credential] = key
}

// exchange sends a request or join to a process and waits for its reply.
func (s *session) exchange(ctx context.Context, i instance, purpose envelope.Purpose, content []byte) (*envelope.Message, error) {
	to := i.credential.Statement().Principal
	process := i.credential.ID()
	draft := envelope.Draft{
		To: envelope.ToProcess(to, process), Purpose: purpose, Content: content,
		Subject: s.subject.Request(to, bus.TokenOf(process), s.agent.ID()),
	}
	e := &exchange{to: to, reply: make(chan *envelope.Message, 1)}
	if err := s.present(ctx); err != nil {
		return nil, err
	}
	raw, err := s.prepare(draft, i.presence.Statement().Sealing, e)
	if err != nil {
		return nil, err
	}
	token := bus.TokenOf(e.id)
	defer s.forget(token)
	if err := s.conn.Publish(ctx, draft.Subject, raw); err != nil {
		return nil, err
	}
	select {
	case m := <-e.reply:
		return m, faultOf(m)
	case <-s.conn.Done():
		return nil, s.conn.Err()
	case <-ctx.Done():
		return nil, errors.Join(ErrTimeout, ctx.Err())
	}
}

func (s *session) forget(token bus.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, token)
}

// onReply hands a verified reply to the exchange that waits for it. Everything else is dropped.
func (s *session) onReply(subject string, data []byte) {
	parsed, err := s.subject.Parse(subject)
	if err != nil {
		return
	}
	s.mu.Lock()
	e := s.calls[parsed.ID]
	s.mu.Unlock()
	if e == nil {
		return
	}
	if !s.agent.chore(func() { s.accept(e, parsed.ID, subject, data) }) {
		s.agent.options.logger.Warn("reply dropped", "error", errBusy)
	}
}

func (s *session) accept(e *exchange, token bus.Token, subject string, data []byte) {
	ctx, cancel := context.WithTimeout(s.agent.ctx, askTime)
	defer cancel()
	m, err := s.open(ctx, data, envelope.Inbound{Subject: subject, InReplyTo: e.id, ReplyFrom: e.to})
	if err != nil {
		s.agent.options.logger.Warn("reply refused", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[token] == e {
		delete(s.calls, token)
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
