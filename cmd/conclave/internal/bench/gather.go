package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// burst is how many messages a signer sends at a time where they may share signatures.
const burst = 64

// Names of what is measured beside a gather.
const (
	burstName   = "signers that send 64 at a time"
	plainGather = "plain NATS, lone messages of as many clients"
	loneBound   = "bound: cores / (signature + check)"
)

// signer is one of many senders to the one receiver of a gathering.
type signer struct {
	send  func(ctx context.Context, content []byte) error
	sent  uint64
	goal  atomic.Uint64 // how many are heard when it may go on
	ready chan struct{} // holds one
}

// gathering is many senders to one receiver.
type gathering struct {
	bout    *bout
	signers []*signer
	heard   *tally
	primed  []chan struct{} // by signer: each holds one
}

// first is the number of a message that only says that its signer is heard.
const first = ^uint64(0)

func newGathering(b *bout, n int) *gathering {
	g := &gathering{bout: b, heard: newTally(b, n), signers: make([]*signer, n), primed: make([]chan struct{}, n)}
	for i := range n {
		g.signers[i] = &signer{ready: make(chan struct{}, 1)}
		g.primed[i] = make(chan struct{}, 1)
	}
	g.heard.told = func(stream, number uint64) {
		if s := g.signers[stream]; number+1 == s.goal.Load() {
			s.ready <- struct{}{}
		}
	}
	return g
}

// take takes what the receiver heard.
func (g *gathering) take(content []byte) {
	if len(content) >= heading {
		if stream, number, _ := read(content); number == first && stream < uint64(len(g.primed)) {
			select {
			case g.primed[stream] <- struct{}{}:
			default:
			}
			return
		}
	}
	g.heard.take(content)
}

// Until they are heard for the first time, signers try this often, and this many at a time.
const (
	primeTime = time.Second
	priming   = 128
)

// prime has each signer send until it is heard: who reads a topic joins its publishers one by one.
func (g *gathering) prime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var done atomic.Int64
	return crowd(ctx, len(g.signers), priming, func(ctx context.Context, i int) error {
		defer func() { g.bout.say("joining signers", int(done.Add(1)), len(g.signers)) }()
		content := filler(g.bout.Size)
		write(content, uint64(i), first, time.Time{})
		again := time.NewTicker(primeTime)
		defer again.Stop()
		for {
			if err := g.signers[i].send(ctx, content); err != nil {
				return err
			}
			select {
			case <-g.primed[i]:
				return nil
			case <-again.C:
			case <-ctx.Done():
				return fmt.Errorf("%w: signer %d is never heard", errLost, i)
			}
		}
	})
}

// contend has every signer send some messages at a time and go on when they are heard; atOnce of them at a time.
func (g *gathering) contend(name string, each, atOnce int) contender {
	per := max(1, g.bout.Messages/len(g.signers)/each) * each
	return contender{name: name, of: loneBound, run: func(ctx context.Context) (sample, error) {
		g.heard.times()
		s, err := timed(per*len(g.signers), func() error {
			return crowd(ctx, len(g.signers), atOnce, func(ctx context.Context, i int) error {
				return g.sendMany(ctx, i, per/each, each)
			})
		})
		s.delays = g.heard.times()
		return s, err
	}}
}

func (g *gathering) sendMany(ctx context.Context, i, times, n int) error {
	for range times {
		if err := g.sendSome(ctx, i, n); err != nil {
			return err
		}
	}
	return nil
}

// sendSome sends one signer's next messages and returns when the last of them was heard.
func (g *gathering) sendSome(ctx context.Context, i, n int) error {
	s := g.signers[i]
	s.goal.Store(s.sent + uint64(n))
	for range n {
		content := filler(g.bout.Size)
		var at time.Time
		if (s.sent+uint64(i))%timeEvery == 0 {
			at = time.Now()
		}
		write(content, uint64(i), s.sent, at)
		if err := s.send(ctx, content); err != nil {
			return err
		}
		s.sent++
	}
	silence := time.NewTimer(g.bout.patience)
	defer silence.Stop()
	select {
	case <-s.ready:
		return g.heard.err()
	case <-silence.C:
		if err := g.heard.err(); err != nil {
			return err
		}
		return fmt.Errorf("%w: message %d of signer %d is not heard", errLost, s.sent-1, i)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settled says whether exactly what all signers sent was heard.
func (g *gathering) settled() error {
	var sent uint64
	for _, s := range g.signers {
		sent += s.sent
	}
	return g.heard.settled(sent)
}

// measureGather measures many signers that send to one receiver.
func measureGather(ctx context.Context, b *bout) (Result, error) {
	r, err := openRealm(ctx, b)
	if err != nil {
		return Result{}, err
	}
	agents, err := r.agents(ctx, b.Agents+1)
	if err != nil {
		return Result{}, err
	}
	ours, err := gatherOurs(ctx, b, agents[0], agents[1:])
	if err != nil {
		return Result{}, err
	}
	conns, err := connectPlain(ctx, b, b.Agents+1)
	if err != nil {
		return Result{}, err
	}
	plain, err := gatherPlain(ctx, b, conns[0], conns[1:])
	if err != nil {
		return Result{}, err
	}
	c := float64(cores())
	return b.hold(ctx, plan{
		what: fmt.Sprintf("%d agents' messages to one agent on a topic, one of each under way, each with a signature of "+
			"its own, against how many signatures all cores make and check in that time", b.Agents),
		unit: "msg/s", window: b.Agents, delay: "publish to handler", scale: "us",
		bound: "one signature and one check a message, on all cores; the node and TLS take their part of the same cores",
		ours:  ours.contend("conclave", 1, b.Agents),
		peer:  signing(b, loneBound, func(k Crypto) float64 { return over(c*1e9, k.Sign+k.Verify) }),
		variants: []contender{
			ours.contend(burstName, burst, max(1, b.window()/burst)), plain.contend(plainGather, 1, b.Agents),
		},
	})
}

func gatherOurs(ctx context.Context, b *bout, receiver *sdk.Agent, agents []*sdk.Agent) (*gathering, error) {
	g := newGathering(b, len(agents))
	for i, a := range agents {
		g.signers[i].send = func(ctx context.Context, content []byte) error {
			_, err := sdk.PublishBytes(ctx, a, plainTopic, content)
			return err
		}
	}
	err := crowd(ctx, len(agents), atOnce, func(ctx context.Context, i int) error {
		return agents[i].Advertise(ctx, plainTopic)
	})
	if err != nil {
		return nil, err
	}
	sub, err := sdk.SubscribeBytes(receiver, plainTopic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		g.take(d.Content)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	b.later(sub.Stop)
	b.check(g.settled)
	return g, g.prime(ctx)
}

func gatherPlain(ctx context.Context, b *bout, receiver *nats.Conn, clients []*nats.Conn) (*gathering, error) {
	g := newGathering(b, len(clients))
	for i, nc := range clients {
		g.signers[i].send = func(_ context.Context, content []byte) error { return nc.Publish(plainTopic, content) }
	}
	if err := hear(receiver, plainTopic, g.take); err != nil {
		return nil, err
	}
	b.check(g.settled)
	return g, g.prime(ctx)
}
