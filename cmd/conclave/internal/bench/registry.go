package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// howToCompare says how to have a registry's peers.
const howToCompare = "for the peers give their programs: --etcd PATH (etcd, 3.4 or later) and --rqlite PATH (rqlited, 8 or later)"

// measureRegistry measures how many commands a second many clients get through the log of a realm.
func measureRegistry(ctx context.Context, b *bout) (Result, error) {
	rules, err := rules()
	if err != nil {
		return Result{}, err
	}
	f, err := openFleet(ctx, b, rules, b.Nodes)
	if err != nil {
		return Result{}, err
	}
	clerks, err := f.clerks(ctx, b.Clients)
	if err != nil {
		return Result{}, err
	}
	peers, err := stores(ctx, b)
	if err != nil {
		return Result{}, err
	}
	ours := commands(b, f, clerks)
	p := plan{
		what: fmt.Sprintf("commands of %d clients, each with one under way, to a realm of %s on this machine: each signed by its "+
			"operator, checked and applied by every node, durable on a majority's disk before it is answered; over TLS and the SDK",
			b.Clients, nodesText(b.Nodes)),
		unit: "commands/s", delay: "one command", scale: "ms", window: b.Clients,
		bound: "the log: each round of it is written and synced by a majority; and the processor, which all nodes and clients share: every node " +
			"checks every command's signature and keys",
		ours: ours, peer: nobody(),
	}
	if len(peers) > 0 {
		p.peer, p.variants = peers[0], peers[1:]
		p.bound += "; the peers' clients speak JSON over plain HTTP, unsigned"
	}
	r, err := f.finish(b.hold(ctx, p))
	r.Clients = b.Clients
	r.Commands = map[string]int{"acknowledged": (b.Rounds + 1) * b.Messages, "lost": 0} // else it has failed
	if len(peers) == 0 {
		r.Note = howToCompare
	}
	return r, err
}

func nodesText(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// commands has all clerks submit a round's commands and sees that the realm has them, each once.
func commands(b *bout, f *fleet, clerks []*clerk) contender {
	return contender{name: "conclave", run: func(ctx context.Context) (sample, error) {
		before, err := f.admin.Status(ctx)
		if err != nil {
			return sample{}, err
		}
		s, err := pump(ctx, b, len(clerks), func(ctx context.Context, client, _ int) error {
			raw, err := clerks[client].next()
			if err != nil {
				return err
			}
			_, err = clerks[client].admin.Submit(ctx, raw)
			return err
		})
		if err != nil {
			return s, err
		}
		return s, f.applied(ctx, before.Size+uint64(b.Messages))
	}}
}

// pump has clients make a round's calls, each one after the other, and measures the rate and each call's time.
func pump(ctx context.Context, b *bout, clients int, call func(ctx context.Context, client, nth int) error) (sample, error) {
	delays := make([]float64, b.Messages)
	var taken atomic.Int64
	s, err := timed(b.Messages, func() error {
		return crowd(ctx, clients, clients, func(ctx context.Context, client int) error {
			for nth := int(taken.Add(1)) - 1; nth < b.Messages; nth = int(taken.Add(1)) - 1 {
				began := time.Now()
				if err := call(ctx, client, nth); err != nil {
					return err
				}
				delays[nth] = millis(time.Since(began))
			}
			return nil
		})
	})
	s.delays, s.cpu = delays, 0 // most of the work is others'
	return s, err
}
