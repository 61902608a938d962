package bench

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Names of what is measured beside a stream.
const (
	framedName = "plain NATS, 256 messages framed by hand"
	byHandName = "plain NATS, each message signed and checked by hand"
)

// frame is how many messages the hand-made frames hold at most, and byHandShare which part of the messages are signed one by
// one, because that takes long.
const (
	frame       = 256
	byHandShare = 20
)

// measureStream compares one agent's messages on a topic to one other agent with plain NATS.
func measureStream(ctx context.Context, b *bout, topic string) (Result, error) {
	r, err := openRealm(ctx, b)
	if err != nil {
		return Result{}, err
	}
	agents, err := r.agents(ctx, 2)
	if err != nil {
		return Result{}, err
	}
	ours, err := overTopic(b, agents[0], agents[1], topic, b.window())
	if err != nil {
		return Result{}, err
	}
	conns, err := connectPlain(ctx, b, 2)
	if err != nil {
		return Result{}, err
	}
	var routes [3]*route
	for i, way := range []way{overPlain, overFrames, overSigned} {
		if routes[i], err = way(b, conns[0], conns[1], fmt.Sprintf("bench.%d", i), b.window()); err != nil {
			return Result{}, err
		}
	}
	n := b.Messages
	framed, byHand := flows(b, framedName, routes[1], n), flows(b, byHandName, routes[2], max(1, n/byHandShare))
	framed.of, byHand.of = plainName, plainName
	return b.hold(ctx, plan{
		what: "one agent's messages on topic " + topic + " to one other agent, each verified and replay-checked, and to " +
			"the same window of plain, unsigned messages",
		unit: "msg/s", window: b.window(), delay: "publish to handler", scale: "us",
		bound: "both ends and the node share this machine's cores; lone messages cost a signature and a check each, " +
			"messages that go in one frame share them",
		ours: flows(b, "conclave", ours, n), peer: flows(b, plainName, routes[0], n),
		variants: []contender{framed, byHand},
	})
}

// overTopic has one agent publish on a topic and another one read it.
func overTopic(b *bout, from, to *sdk.Agent, topic string, underWay int) (*route, error) {
	r := newRoute(b, underWay)
	ctx, cancel := closing()
	defer cancel()
	if err := from.Advertise(ctx, topic); err != nil {
		return nil, err
	}
	sub, err := sdk.SubscribeBytes(to, topic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		if d.From.ID != from.ID() {
			r.heard.fail(fmt.Errorf("%w: a message of %s", errLost, d.From.ID))
		}
		r.heard.take(d.Content)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	b.later(sub.Stop)
	r.send = func(ctx context.Context, content []byte) error {
		_, err := sdk.PublishBytes(ctx, from, topic, content)
		return err
	}
	r.flush = from.Flush
	return r, nil
}

// way makes a route over plain NATS.
type way func(b *bout, from, to *nats.Conn, subject string, underWay int) (*route, error)

// overPlain sends each message as it is.
func overPlain(b *bout, from, to *nats.Conn, subject string, underWay int) (*route, error) {
	r := newRoute(b, underWay)
	r.send = func(_ context.Context, content []byte) error { return from.Publish(subject, content) }
	r.flush = flushing(b, from)
	return r, hear(to, subject, func(data []byte) { r.heard.take(data) })
}

// hear has a client call fn for every message on a subject, and returns when the server knows.
func hear(to *nats.Conn, subject string, fn func(data []byte)) error {
	if _, err := to.Subscribe(subject, func(m *nats.Msg) { fn(m.Data) }); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return to.Flush()
}

// overFrames sends many messages in one, each behind its length.
func overFrames(b *bout, from, to *nats.Conn, subject string, underWay int) (*route, error) {
	r := newRoute(b, underWay)
	var out []byte
	held, most := 0, min(frame, max(1, underWay/4))
	hand := func() error {
		err := from.Publish(subject, out)
		out, held = out[:0], 0
		return err
	}
	r.send = func(_ context.Context, content []byte) error {
		out = binary.BigEndian.AppendUint32(out, uint32(len(content)))
		out = append(out, content...)
		if held++; held < most {
			return nil
		}
		return hand()
	}
	r.flush = func(ctx context.Context) error {
		if held > 0 {
			if err := hand(); err != nil {
				return err
			}
		}
		return flushing(b, from)(ctx)
	}
	return r, hear(to, subject, func(data []byte) { r.heard.takeFrame(data) })
}

// takeFrame takes the messages of one frame.
func (t *tally) takeFrame(data []byte) {
	for len(data) >= 4 {
		size := binary.BigEndian.Uint32(data)
		if uint64(len(data)-4) < uint64(size) {
			break
		}
		t.take(data[4 : 4+size])
		data = data[4+size:]
	}
	if len(data) > 0 {
		t.fail(fmt.Errorf("%w: a frame of another form", errLost))
	}
}

// overSigned signs each message and checks it where it is heard: what a careful engineer writes in an afternoon, without
// encryption, replay check, or knowing who may say what.
func overSigned(b *bout, from, to *nats.Conn, subject string, underWay int) (*route, error) {
	r := newRoute(b, underWay)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r.send = func(_ context.Context, content []byte) error {
		return from.Publish(subject, append(ed25519.Sign(private, content), content...))
	}
	r.flush = flushing(b, from)
	return r, hear(to, subject, func(data []byte) {
		if len(data) < ed25519.SignatureSize || !ed25519.Verify(public, data[ed25519.SignatureSize:], data[:ed25519.SignatureSize]) {
			r.heard.fail(fmt.Errorf("%w: a signature does not verify", errLost))
			return
		}
		r.heard.take(data[ed25519.SignatureSize:])
	})
}
