package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const (
	quarantineNodes = 3
	floodTopic      = "bench.flood"
	floodTime       = 100 * time.Millisecond // of a flood before the command
	silence         = 250 * time.Millisecond // after which nothing more is under way
	pollEvery       = 5 * time.Millisecond
)

// answered is the name of how long the operator waits.
const answered = "until the operator has the answer"

// measureQuarantine measures for how long after an operator's command an agent is still heard, which floods all nodes.
func measureQuarantine(ctx context.Context, b *bout) (Result, error) {
	rules, err := policy.Preset(policy.Solo)
	if err != nil {
		return Result{}, err
	}
	f, err := openFleet(ctx, b, rules, quarantineNodes)
	if err != nil {
		return Result{}, err
	}
	victim, err := enrolOne(ctx, f.admin, "victim", identity.Journeyer)
	if err != nil {
		return Result{}, err
	}
	var receivers []*receiver
	var names []string
	for i, m := range f.members {
		r, err := f.receive(ctx, m, fmt.Sprintf("receiver-%d", i+1))
		if err != nil {
			return Result{}, err
		}
		receivers, names = append(receivers, r), append(names, fmt.Sprintf("heard at node %d", i+1))
	}
	perSecond := rules.Rights(identity.Journeyer).Rate / 60 * 9 / 10
	if err := f.inundate(victim, int(perSecond)); err != nil {
		return Result{}, err
	}
	r, err := f.finish(b.hold(ctx, plan{
		what: fmt.Sprintf("a realm of %d nodes, processes on this machine; an agent has a connection to each, never reads from it, and "+
			"publishes %d messages a second on each, nine tenths of what its level may; an agent at each node hears all of them. "+
			"From the moment the operator sends the quarantine until the last message is heard, wherever that is",
			quarantineNodes, perSecond),
		unit: "ms", lower: true, delay: "command to last message", scale: "ms",
		bound: "the command's way through the log to the last node that applies it, then what was under way",
		ours:  silences(f, victim.ID(), receivers), peer: nobody(),
		beside: append(names, answered),
	}))
	r.Clients = quarantineNodes
	return r, err
}

// receiver hears the flood at one node. It is safe for concurrent use.
type receiver struct {
	mu   sync.Mutex
	last [quarantineNodes]time.Time // by the connection that sent it
}

// receive connects an agent to a node, and has it hear the flood, until the bout's end.
func (f *fleet) receive(ctx context.Context, m *member, name string) (*receiver, error) {
	signer, err := enrolOne(ctx, f.admin, name, identity.Journeyer)
	if err != nil {
		return nil, err
	}
	p, err := f.newProcess(signer)
	if err != nil {
		return nil, err
	}
	var conn *natsbus.Conn
	err = f.bout.insist(ctx, func() (err error) { // the node may have yet to hear of the agent
		conn, err = natsbus.Dial(ctx, natsbus.Options{Addresses: []string{m.address}, Pins: []identity.ID{m.pin}, Present: shows(p)})
		return err
	})
	if err != nil {
		return nil, err
	}
	f.bout.later(func() error {
		ctx, cancel := closing()
		defer cancel()
		return conn.Close(ctx)
	})
	pattern, err := bus.In(f.id).Topics(floodTopic)
	if err != nil {
		return nil, err
	}
	r := &receiver{}
	_, err = conn.Subscribe(pattern, func(_ string, data []byte) { r.take(data) })
	return r, err
}

// newProcess makes keys for a connection that the SDK does not make.
func (f *fleet) newProcess(signer identity.Signer) (*identity.Process, error) {
	now := time.Now()
	return identity.NewProcess(f.id, signer, uint64(now.Unix()), now.UnixMilli(), identity.MaxCredentialLife)
}

func shows(p *identity.Process) func() (natsbus.Presentation, error) {
	return func() (natsbus.Presentation, error) {
		return natsbus.Presentation{Connect: p.Connect(), Statement: p.Credential().Raw()}, nil
	}
}

func (r *receiver) take(content []byte) {
	if len(content) < heading {
		return
	}
	if stream, _, _ := read(content); stream < quarantineNodes {
		r.mu.Lock()
		r.last[stream] = time.Now()
		r.mu.Unlock()
	}
}

// heard returns when the last message was heard, and when the last of that connection was that has been silent longest.
func (r *receiver) heard() (newest, oldest time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest, oldest = r.last[0], r.last[0]
	for _, at := range r.last[1:] {
		if at.After(newest) {
			newest = at
		}
		if at.Before(oldest) {
			oldest = at
		}
	}
	return newest, oldest
}

var errDry = fault.New(fault.Unreachable, "bench: the flood is not heard everywhere")

// flooded waits until every receiver hears every connection.
func (f *fleet) flooded(ctx context.Context, receivers []*receiver) error {
	since := time.Now()
	return f.bout.insist(ctx, func() error {
		for _, r := range receivers {
			if _, oldest := r.heard(); oldest.Before(since) {
				return errDry
			}
		}
		return nil
	})
}

// silences quarantines the victim while it floods, and releases it when nothing is heard any more.
func silences(f *fleet, victim identity.ID, receivers []*receiver) contender {
	return contender{name: "conclave", run: func(ctx context.Context) (s sample, err error) {
		if err := f.flooded(ctx, receivers); err != nil {
			return s, err
		}
		if err := pause(ctx, floodTime); err != nil {
			return s, err
		}
		raw, err := f.admin.Prepare(registry.TypeStatus, registry.SetStatus{Principal: victim, Status: trust.Quarantined, Reason: "flood"}, 0)
		if err != nil {
			return s, err
		}
		sent := time.Now()
		if _, err := f.admin.Submit(ctx, raw); err != nil {
			return s, err
		}
		took := millis(time.Since(sent))
		last, err := f.ebb(ctx, receivers)
		if err != nil {
			return s, err
		}
		for _, at := range last {
			if at.Before(sent.Add(-floodTime / 2)) {
				return s, errDry
			}
			s.beside = append(s.beside, max(0, millis(at.Sub(sent))))
			s.value = max(s.value, millis(at.Sub(sent)))
		}
		s.beside, s.delays = append(s.beside, took), []float64{s.value}
		return s, f.order(ctx, registry.TypeStatus, registry.SetStatus{Principal: victim, Status: trust.Active})
	}}
}

var errNotSilent = fault.New(fault.Internal, "bench: a quarantined agent is still heard")

// ebb waits until nothing has been heard for a while, and returns when the last message was, by receiver.
func (f *fleet) ebb(ctx context.Context, receivers []*receiver) ([]time.Time, error) {
	began := time.Now()
	for {
		last, newest := make([]time.Time, len(receivers)), time.Time{}
		for i, r := range receivers {
			last[i], _ = r.heard()
			if last[i].After(newest) {
				newest = last[i]
			}
		}
		if time.Since(newest) > silence && time.Since(began) > silence {
			return last, nil
		}
		if time.Since(began) > f.bout.patience {
			return nil, fmt.Errorf("%w: for %s", errNotSilent, f.bout.patience)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// inundate has the victim flood every node until the bout's end.
func (f *fleet) inundate(victim identity.Signer, perSecond int) error {
	ctx, cancel := context.WithCancel(context.Background())
	var flooding sync.WaitGroup
	f.bout.later(func() error {
		cancel()
		flooding.Wait()
		return nil
	})
	subject, err := bus.In(f.id).Topic(victim.ID(), floodTopic)
	if err != nil {
		return err
	}
	for i, m := range f.members {
		p, err := f.newProcess(victim)
		if err != nil {
			return err
		}
		content := filler(f.bout.Size)
		write(content, uint64(i), 0, time.Time{})
		fl, err := newFlood(m.door, p, fmt.Appendf(nil, "PUB %s %d\r\n%s\r\n", subject, len(content), content), perSecond)
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		flooding.Go(func() { fl.run(ctx) })
	}
	return nil
}
