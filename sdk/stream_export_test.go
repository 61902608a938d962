package sdk

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Part encodes one answer of a stream.
func Part(sequence uint64, part uint8, item []byte) []byte {
	raw, err := wire.Encode(partContent{Sequence: sequence, Part: part, Item: item})
	if err != nil {
		panic(err)
	}
	return raw
}

// Steer sends what a reader would about a stream, from the agent to the process that serves the target, and waits for
// nothing.
func Steer(ctx context.Context, a *Agent, to Target, stream Digest, items uint64, stop bool) error {
	s := a.link.current()
	r, err := pickRemote(ctx, s, to)
	if err != nil {
		return err
	}
	in := &inflow{session: s, remote: r, exchange: &exchange{to: r.agent}}
	body, err := wire.Encode(flowContent{Stream: stream, Granted: windowContent{items, 1 << 30}, Stop: stop})
	if err != nil {
		return err
	}
	l := in.request(flowType, body)
	if err := s.egress.send(ctx, l); err != nil {
		return err
	}
	<-l.done
	return l.err
}

// IgnoreWindow makes the stream whose handler has this ctx one that sends more than its reader takes.
func IgnoreWindow(ctx context.Context) {
	h := handlingOf(ctx)
	h.flow.grant(windowContent{1 << 60, 1 << 60})
}

// DenyHandling tells the reader of the stream whose handler has this ctx that its request was not handled, because
// the session is not known (1) or the process ends (2), though neither is so.
func DenyHandling(ctx context.Context, why uint64) {
	h := handlingOf(ctx)
	h.session.reply(ctx, h.message, nil, &unhandled{why: why, err: ErrNoResponder})
}

// StreamsServed returns how many streams an agent serves.
func StreamsServed(a *Agent) int {
	a.streams.mu.Lock()
	defer a.streams.mu.Unlock()
	return len(a.streams.open)
}

// StreamsRead returns how many requests of an agent wait for what comes back.
func StreamsRead(a *Agent) int {
	x := &a.link.current().exchanges
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.waiting)
}
