package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// dialler makes the i-th client of a server and says how to end it.
type dialler func(ctx context.Context, c *child, i int) (end func() error, err error)

// measureAgents measures what idle connections cost a node in a process of its own, and the peer likewise.
func measureAgents(ctx context.Context, b *bout) (Result, error) {
	r, signers, err := enrolled(ctx, b)
	if err != nil {
		return Result{}, err
	}
	ours := func(ctx context.Context, c *child, i int) (func() error, error) {
		at, err := c.door()
		if err != nil {
			return nil, err
		}
		a, err := sdk.Connect(ctx, sdk.WithProfile(r.profileAt(at, signers[i])))
		if err != nil {
			return nil, err
		}
		return func() error { return shut(a) }, nil
	}
	peer := func(_ context.Context, c *child, _ int) (func() error, error) {
		nc, err := dialPlain(c.Address, c.Certificate)
		return func() error { return hangUp(nc) }, err
	}
	return b.hold(ctx, plan{
		what: fmt.Sprintf("memory of a node's process for each of %d idle agents that are connected to it over TLS, and of a "+
			"plain nats-server's for as many clients, of which %d connect at a time", b.Agents, cores()),
		unit: "KiB", lower: true, delay: "one connect", scale: "ms",
		bound: "TLS and the connection's buffers, which the peer's clients have as well; beyond them its certificate, credential, " +
			"permissions and ticket",
		ours: idle(b, "conclave", kindNode, r.dir, ours), peer: idle(b, plainName, kindPlain, "", peer),
	})
}

// enrolled makes a realm with as many agents as the bout has, whose node does not run.
func enrolled(ctx context.Context, b *bout) (r *realm, signers []identity.Signer, err error) {
	setup := &bout{Config: b.Config, name: b.name, dir: b.dir}
	defer func() { err = errors.Join(err, setup.end()) }()
	if r, err = openRealm(ctx, setup); err != nil {
		return nil, nil, err
	}
	signers, err = r.enrol(ctx, b.Agents)
	return r, signers, err
}

// idle starts a server, connects to it, and sees by how much its memory grew for each connection.
func idle(b *bout, name, kind, dir string, dial dialler) contender {
	return contender{name: name, run: func(ctx context.Context) (s sample, err error) {
		round := &bout{Config: b.Config}
		defer func() { err = errors.Join(err, round.end()) }()
		c, err := round.spawn(ctx, kind, dir)
		if err != nil {
			return s, err
		}
		before, err := c.resident()
		if err != nil {
			return s, err
		}
		ends := make([]func() error, b.Agents)
		round.later(func() error { return endAll(ends) })
		s.delays = make([]float64, b.Agents)
		err = crowd(ctx, b.Agents, cores(), func(ctx context.Context, i int) (err error) {
			began := time.Now()
			ends[i], err = dial(ctx, c, i)
			s.delays[i] = millis(time.Since(began))
			return err
		})
		if err != nil {
			return s, err
		}
		after, err := c.resident()
		s.value = (float64(after) - float64(before)) / 1024 / float64(b.Agents)
		return s, err
	}}
}

func endAll(ends []func() error) error {
	return crowd(context.Background(), len(ends), atOnce, func(_ context.Context, i int) error {
		if ends[i] == nil {
			return nil
		}
		return ends[i]()
	})
}
