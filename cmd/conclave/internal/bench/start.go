package bench

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Names of what is measured beside a start.
const (
	startProcess      = "as a process of its own, conclave"
	startPlainProcess = "as a process of its own, plain NATS"
)

// measureStart measures how long it takes from a node's start to the first message from one agent to another.
func measureStart(ctx context.Context, b *bout) (Result, error) {
	r, signers, err := enrolled(ctx, b)
	if err != nil {
		return Result{}, err
	}
	ours := firstAfter(b, "conclave", func(ctx context.Context, round *bout) error {
		n, err := r.open(ctx)
		if err != nil {
			return err
		}
		round.later(n.Close)
		return firstMessage(ctx, round, r, r.door, signers)
	})
	peer := firstAfter(b, plainName, func(ctx context.Context, round *bout) error {
		p, err := startPlain()
		if err != nil {
			return err
		}
		round.later(func() error { p.close(); return nil })
		return firstPlain(ctx, round, p.address(), p.certificate)
	})
	own := firstAfter(b, startProcess, func(ctx context.Context, round *bout) error {
		c, err := round.spawn(ctx, kindNode, r.dir)
		if err != nil {
			return err
		}
		at, err := c.door()
		if err != nil {
			return err
		}
		return firstMessage(ctx, round, r, at, signers)
	})
	own.of = startPlainProcess
	return b.hold(ctx, plan{
		what: "from the start of a node that has two agents enrolled, with its log and trail on disk, until the first message " +
			"of one on a topic has reached the other, both connecting meanwhile; and the same of a plain nats-server",
		unit: "ms", lower: true, window: 1, delay: "start to first message", scale: "ms",
		bound: "the log's election and its synced writes, then what the agents ask the node and verify",
		ours:  ours, peer: peer,
		variants: []contender{own, firstAfter(b, startPlainProcess, func(ctx context.Context, round *bout) error {
			c, err := round.spawn(ctx, kindPlain, "")
			if err != nil {
				return err
			}
			return firstPlain(ctx, round, c.Address, c.Certificate)
		})},
	})
}

// firstAfter times a server's start together with the first message over it. What is to be closed then is the round's, and
// its closing is not timed.
func firstAfter(b *bout, name string, message func(ctx context.Context, round *bout) error) contender {
	return contender{name: name, run: func(ctx context.Context) (sample, error) {
		round := &bout{Config: b.Config}
		began := time.Now()
		err := message(ctx, round)
		took := millis(time.Since(began))
		return sample{value: took, delays: []float64{took}}, errors.Join(err, round.end())
	}}
}

// firstMessage connects two agents and sends one message from the one to the other.
func firstMessage(ctx context.Context, b *bout, r *realm, at door, signers []identity.Signer) error {
	agents := make([]*sdk.Agent, len(signers))
	b.later(func() error { return shutAll(agents) })
	err := crowd(ctx, len(signers), len(signers), func(ctx context.Context, i int) (err error) {
		agents[i], err = sdk.Connect(ctx, sdk.WithProfile(r.profileAt(at, signers[i])))
		return err
	})
	if err != nil {
		return err
	}
	to, err := overTopic(b, agents[0], agents[1], plainTopic, 1)
	if err != nil {
		return err
	}
	return to.one(ctx)
}

// firstPlain is the same with plain NATS.
func firstPlain(ctx context.Context, b *bout, address string, certificate []byte) error {
	conns := make([]*nats.Conn, 2)
	b.later(func() error { return errors.Join(hangUp(conns[0]), hangUp(conns[1])) })
	err := crowd(ctx, len(conns), len(conns), func(_ context.Context, i int) (err error) {
		conns[i], err = dialPlain(address, certificate)
		return err
	})
	if err != nil {
		return err
	}
	r, err := overPlain(b, conns[0], conns[1], "bench.first", 1)
	if err != nil {
		return err
	}
	return r.one(ctx)
}
