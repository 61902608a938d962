package sdk

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// remote is the one process that is asked for a stream.
type remote struct {
	agent   identity.ID
	process wire.Digest
	sealing []byte // seals to it
}

// pickRemote picks a process that serves the target, if the session's agent may call it.
func pickRemote(ctx context.Context, s *session, to Target) (remote, error) {
	if err := mayCall(s, to.capability); err != nil {
		return remote{}, err
	}
	i, err := s.agent.circle.pick(ctx, to)
	if err != nil {
		return remote{}, err
	}
	return remote{i.credential.Statement().Principal, i.credential.ID(), i.presence.Statement().Sealing}, nil
}

// mayCall refuses what the agent's own level may not call.
func mayCall(s *session, capability string) error {
	a := s.agent
	if a.crew.ctx.Err() != nil {
		return ErrClosed
	}
	return a.link.mayCall(s.hearing.at(), capability)
}

// read asks for a stream and yields its items. What the process has not handled because it does not know the session
// any more is asked for once again, with a new one. It reports whether the request was not handled, for sure; then it
// has yielded nothing.
func (r remote) read(
	ctx context.Context, s *session, content requestContent, yield func([]byte, error) bool,
) *unhandled {
	key := s.exchanges.agreed.use(r.process, s.agent.link.now())
	refused := r.readUnder(ctx, s, key, content, yield)
	if refused != nil && refused.why == unknownSession && key != nil {
		s.exchanges.agreed.forget(r.process, key)
		refused = r.readUnder(ctx, s, nil, content, yield)
	}
	return refused
}

func (r remote) readUnder(
	ctx context.Context, s *session, key *envelope.Key, content requestContent, yield func([]byte, error) bool,
) *unhandled {
	in := newInflow(s, r, traceOf(ctx), content.Window)
	in.exchange = &exchange{to: r.agent, process: r.process, key: key, silent: make(chan struct{}), stream: in}
	defer s.exchanges.forget(in.exchange)
	if err := in.ask(ctx, content); err != nil {
		yield(nil, err)
		return nil
	}
	tended, cancel := context.WithCancel(ctx)
	var tender sync.WaitGroup
	tender.Go(func() { in.tend(tended) })
	defer tender.Wait()
	defer cancel()
	defer in.stop(ctx)
	for begun := false; ; begun = true {
		item, err := in.take(ctx)
		if refused := (*unhandled)(nil); !begun && errors.As(err, &refused) {
			return refused
		}
		if err != nil {
			yield(nil, err)
			return nil
		}
		if item == nil || !yield(*item, nil) {
			return nil
		}
		in.release(ctx, *item)
	}
}

// ask files the stream, so that nothing of it is missed, and sends the request.
func (in *inflow) ask(ctx context.Context, content requestContent) error {
	body, err := wire.Encode(content)
	if err != nil {
		return err
	}
	s := in.session
	if err := s.presence.once(ctx); err != nil {
		return err
	}
	l := in.request(streamType, body)
	filed := make(chan struct{})
	l.signed = func(signed envelope.Signed) {
		s.exchanges.file(in.exchange, signed)
		close(filed)
	}
	if err := s.egress.send(ctx, l); err != nil {
		return err
	}
	select {
	case <-filed:
		return nil
	case <-l.done:
	case <-ctx.Done():
		return errors.Join(ErrTimeout, ctx.Err())
	}
	select {
	case <-filed:
		return nil
	default:
		return l.err
	}
}

// request is one to the stream's sender, under the key of the exchange once there is one.
func (in *inflow) request(contentType string, content []byte) *lot {
	s, to := in.session, in.remote
	protection := envelope.SealedTo(to.sealing)
	in.mu.Lock()
	confirmed := in.confirmed
	in.mu.Unlock()
	if key := in.exchange.key; key != nil && (contentType == streamType || confirmed) {
		protection = envelope.Under(key)
	}
	l := newLot(&route{
		to: envelope.ToProcess(to.agent, to.process), purpose: envelope.Request,
		subject: s.spelling.of(to.agent, to.process).request,
		protect: func(int64) (envelope.Protection, error) { return protection, nil },
	})
	l.awaited = true
	l.put(envelope.Member{Content: content, ContentType: contentType, Trace: in.trace})
	return l
}

// steer tells the sender how much may come in all, and what else f says.
func (in *inflow) steer(ctx context.Context, f flowContent) error {
	f.Stream, f.Granted = in.exchange.id, in.granted()
	body, err := wire.Encode(f)
	if err != nil {
		return err
	}
	return in.session.egress.send(ctx, in.request(flowType, body)) // if it is lost, the next ping says the same
}

func (in *inflow) granted() windowContent {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.told = in.taken
	return windowContent{Items: in.taken.Items + in.window.Items, Bytes: in.taken.Bytes + in.window.Bytes}
}

// stop tells the sender that the reader has gone, unless the stream is over. If that is lost, the sender misses the
// reader's signs of life.
func (in *inflow) stop(ctx context.Context) {
	in.mu.Lock()
	ended, dropped := in.ended, in.dropped
	in.mu.Unlock()
	if dropped > 0 {
		in.session.agent.link.options.logger.Warn("stream dropped", "error", errFlood, "count", dropped)
	}
	if ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if err := in.steer(ctx, flowContent{Stop: true}); err != nil {
		in.session.agent.link.options.logger.Debug("stream not stopped", "error", err)
	}
}
