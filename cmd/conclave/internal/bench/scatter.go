package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// How many requests of one agent wait for their replies at a time, and on how many topics one process may publish.
const (
	callsUnderWay = 64
	mostTopics    = 64
)

// Names of what is measured beside a scatter.
const (
	plainCalls   = "plain NATS, the same requests"
	fanOutName   = "one lone message on a topic to all, deliveries"
	senderName   = "sender's side alone, conclave"
	senderPlain  = "sender's side alone, plain NATS"
	verifyBound  = "bound: cores / check"
	requestBound = "bound of a request with its reply: cores / (2 signatures + 2 checks)"
)

// measureScatter measures one agent's requests to many agents, each with a connection and a memory of its own.
func measureScatter(ctx context.Context, b *bout) (Result, error) {
	r, err := openRealm(ctx, b)
	if err != nil {
		return Result{}, err
	}
	agents, err := r.agents(ctx, b.Agents+1)
	if err != nil {
		return Result{}, err
	}
	sender, receivers := agents[0], agents[1:]
	ours, err := requests(ctx, b, sender, receivers)
	if err != nil {
		return Result{}, err
	}
	fan, err := fanOut(ctx, b, sender, receivers)
	if err != nil {
		return Result{}, err
	}
	conns, err := connectPlain(ctx, b, b.Agents+1)
	if err != nil {
		return Result{}, err
	}
	plainOurs, err := plainRequests(b, conns[0], conns[1:])
	if err != nil {
		return Result{}, err
	}
	alone, err := senderAlone(ctx, b, sender)
	if err != nil {
		return Result{}, err
	}
	c := float64(cores())
	return b.hold(ctx, plan{
		what: fmt.Sprintf("one agent's requests to %d agents in turn, %d under way, handlers that answer nothing; "+
			"against how many signatures all cores check in that time", b.Agents, callsUnderWay),
		unit: "msg/s", window: callsUnderWay, delay: "request to reply", scale: "us",
		bound: "one check a message at the receivers; a request costs another one for its reply, and two signatures",
		ours:  ours, peer: signing(b, verifyBound, func(k Crypto) float64 { return over(c*1e9, k.Verify) }),
		variants: []contender{
			signing(b, requestBound, func(k Crypto) float64 { return over(c*1e9, 2*(k.Sign+k.Verify)) }),
			plainOurs, fan, alone, senderAlonePlain(b, conns[0]),
		},
	})
}

// hits counts what handlers got, and checks it.
type hits struct {
	expected []byte
	count    atomic.Int64
	bad      atomic.Int64
}

func (h *hits) take(content []byte) {
	if len(content) != len(h.expected) || !bytes.Equal(content[heading:], h.expected[heading:]) {
		h.bad.Add(1)
	}
	h.count.Add(1)
}

// settled says whether n contents were taken, all as they were sent.
func (h *hits) settled(n int64) error {
	if count, bad := h.count.Load(), h.bad.Load(); count != n || bad != 0 {
		return fmt.Errorf("%w: %d sent, %d handled, %d altered", errLost, n, count, bad)
	}
	return nil
}

// requests has the receivers serve, and returns the contender that calls them.
func requests(ctx context.Context, b *bout, sender *sdk.Agent, receivers []*sdk.Agent) (contender, error) {
	h := &hits{expected: filler(b.Size)}
	var done atomic.Int64
	err := crowd(ctx, len(receivers), atOnce, func(_ context.Context, i int) error {
		defer func() { b.say("announcing agents", int(done.Add(1)), len(receivers)) }()
		return sdk.HandleBytes(receivers[i], echoCapability, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			h.take(d.Content)
			return nil, nil
		})
	})
	targets := make([]sdk.Target, len(receivers))
	for i, a := range receivers {
		targets[i] = sdk.To(a.ID().String(), echoCapability)
	}
	return manyCalls(b, "conclave", h, func(i int) caller {
		return func(ctx context.Context, content []byte) ([]byte, error) {
			return sdk.CallBytes(ctx, sender, targets[i%len(targets)], content)
		}
	}), err
}

// plainRequests is the same with plain NATS, one connection a receiver.
func plainRequests(b *bout, sender *nats.Conn, receivers []*nats.Conn) (contender, error) {
	h := &hits{expected: filler(b.Size)}
	for i, nc := range receivers {
		_, err := nc.Subscribe(fmt.Sprintf("bench.echo.%d", i), func(m *nats.Msg) {
			h.take(m.Data)
			_ = m.Respond(nil) // a lost reply is seen by who waits
		})
		if err != nil {
			return contender{}, fmt.Errorf("bench: %w", err)
		}
		if err := nc.Flush(); err != nil {
			return contender{}, fmt.Errorf("bench: %w", err)
		}
	}
	return manyCalls(b, plainCalls, h, func(i int) caller {
		return callPlain(sender, fmt.Sprintf("bench.echo.%d", i%len(receivers)))
	}), nil
}

// manyCalls makes the calls of a round, some at a time.
func manyCalls(b *bout, name string, h *hits, to func(i int) caller) contender {
	return contender{name: name, run: func(ctx context.Context) (sample, error) {
		before := h.count.Load()
		delays := make([]float64, b.Messages)
		s, err := timed(b.Messages, func() error {
			return crowd(ctx, b.Messages, callsUnderWay, func(ctx context.Context, i int) error {
				content := filler(b.Size)
				write(content, 0, uint64(i), time.Time{})
				began := time.Now()
				_, err := to(i)(ctx, content)
				delays[i] = micros(time.Since(began))
				return err
			})
		})
		s.delays = delays
		if err != nil {
			return s, err
		}
		return s, h.settled(before + int64(b.Messages))
	}}
}

// fanOut has all receivers read one topic, each with a tally of its own. A message goes out when all have heard the one
// before, so that none shares a signature with another.
func fanOut(ctx context.Context, b *bout, sender *sdk.Agent, receivers []*sdk.Agent) (contender, error) {
	if err := sender.Advertise(ctx, plainTopic); err != nil {
		return contender{}, err
	}
	all := make(chan struct{}, 1)
	var left atomic.Int64
	tallies := make([]*tally, len(receivers))
	err := crowd(ctx, len(receivers), atOnce, func(_ context.Context, i int) error {
		t := newTally(b, 1)
		t.told = func(uint64, uint64) {
			if left.Add(-1) == 0 {
				all <- struct{}{}
			}
		}
		tallies[i] = t
		sub, err := sdk.SubscribeBytes(receivers[i], plainTopic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			t.take(d.Content)
			return nil, nil
		})
		_ = sub // it ends with its agent
		return err
	})
	sent, content := uint64(0), filler(b.Size)
	one := func(ctx context.Context) error {
		left.Store(int64(len(receivers)))
		write(content, 0, sent, time.Time{})
		sent++
		if _, err := sdk.PublishBytes(ctx, sender, plainTopic, content); err != nil {
			return err
		}
		return arrived(ctx, b, all, &left)
	}
	n := max(1, b.Messages/len(receivers))
	b.check(func() error {
		for _, t := range tallies {
			if err := t.settled(sent); err != nil {
				return err
			}
		}
		return nil
	})
	return contender{name: fanOutName, of: verifyBound, run: func(ctx context.Context) (sample, error) {
		return timed(n*len(receivers), func() error {
			for range n {
				if err := one(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}}, err
}

// arrived returns when all is told.
func arrived(ctx context.Context, b *bout, all <-chan struct{}, left *atomic.Int64) error {
	silence := time.NewTimer(b.patience)
	defer silence.Stop()
	select {
	case <-all:
		return nil
	case <-silence.C:
		return fmt.Errorf("%w: %d did not hear it within %s", errLost, left.Load(), b.patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// senderAlone has the agent publish on many topics that nobody reads, in turn.
func senderAlone(ctx context.Context, b *bout, sender *sdk.Agent) (contender, error) {
	topics := make([]string, min(mostTopics-1, b.Agents))
	for i := range topics {
		topics[i] = fmt.Sprintf("bench.alone-%d", i)
		if err := sender.Advertise(ctx, topics[i]); err != nil {
			return contender{}, err
		}
	}
	return blind(b, senderName, senderPlain, contents(b.window(), b.Size), func(ctx context.Context, i int, content []byte) error {
		_, err := sdk.PublishBytes(ctx, sender, topics[i%len(topics)], content)
		return err
	}, sender.Flush), nil
}

func senderAlonePlain(b *bout, sender *nats.Conn) contender {
	subjects := make([]string, min(mostTopics-1, b.Agents))
	for i := range subjects {
		subjects[i] = fmt.Sprintf("bench.alone-%d", i)
	}
	return blind(b, senderPlain, "", contents(b.window(), b.Size), func(_ context.Context, i int, content []byte) error {
		return sender.Publish(subjects[i%len(subjects)], content)
	}, flushing(b, sender))
}

// blindShare is how many messages are sent to nobody for one that is sent to somebody.
const blindShare = 10

// blind sends to nobody, and flushes whenever as many are under way as may be.
func blind(b *bout, name, of string, contents [][]byte, send func(ctx context.Context, i int, content []byte) error,
	flush func(context.Context) error) contender {
	one := func(ctx context.Context, i int) error {
		content := contents[i%len(contents)]
		write(content, 0, uint64(i), time.Time{})
		if err := send(ctx, i, content); err != nil || (i+1)%len(contents) != 0 {
			return err
		}
		return flush(ctx)
	}
	n := b.Messages * blindShare
	return contender{name: name, of: of, run: func(ctx context.Context) (sample, error) {
		return timed(n, func() error {
			for i := range n {
				if err := one(ctx, i); err != nil {
					return err
				}
			}
			return flush(ctx)
		})
	}}
}
