package node

import (
	"context"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/metrics"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
)

var _ registrar.Meter = (*metrics.Meter)(nil)

// openMonitor begins to serve metrics and health, if the configuration names an address.
func (n *Node) openMonitor() error {
	if n.config.Metrics == "" {
		return nil
	}
	m, err := metrics.Listen(metrics.Config{
		Address: n.config.Metrics, Meter: n.meter, Sample: n.sample, Checks: n.checks(),
		Logger: n.config.Logger.With("part", "metrics"),
	})
	if err != nil {
		return err
	}
	n.monitor.Store(m)
	n.config.Logger.Info("metrics and health", "address", m.Addr())
	return nil
}

// MetricsAddr returns where metrics and health are served, host:port; empty if nowhere.
func (n *Node) MetricsAddr() string {
	if m := n.monitor.Load(); m != nil {
		return m.Addr()
	}
	return ""
}

// errClosing is why a node that is being closed is not ready.
var errClosing = fault.New(fault.Unreachable, "node: closing")

// checks is the table of what readiness depends on.
func (n *Node) checks() []metrics.Check {
	return []metrics.Check{
		{Name: "node", Test: n.alive},
		{Name: "log", Test: n.log.Writable},
		{Name: "registrar", Test: n.registrar.Ready},
		{Name: "broker", Test: n.broker.Accepting},
		{Name: "trail", Test: n.trail.Flushed},
	}
}

// alive returns nil until the node begins to close.
func (n *Node) alive() error {
	if n.ended.Load() {
		return errClosing
	}
	return nil
}

// sample returns how the node is now.
func (n *Node) sample() metrics.Sample {
	traffic, log, held := n.broker.Traffic(), n.log.Stats(), n.registrar.Stats()
	s := metrics.Sample{
		Open: float64(traffic.Open), Admitted: float64(traffic.Admitted), Opened: float64(traffic.Opened),
		Subscriptions: float64(traffic.Subscriptions), SlowConsumers: float64(traffic.SlowConsumers),
		In:        metrics.Flow{Messages: float64(traffic.InMessages), Bytes: float64(traffic.InBytes)},
		Out:       metrics.Flow{Messages: float64(traffic.OutMessages), Bytes: float64(traffic.OutBytes)},
		Committed: float64(log.Committed), Applied: float64(log.Applied), Leader: log.Leader,
		Snapshot: float64(log.SnapshotBytes), Commands: float64(held.Commands), Presences: float64(held.Presences),
		HeadsSigned: float64(held.HeadsSigned), TrailEntries: float64(n.trail.Entries()),
		Principals: map[metrics.Standing]int{}, Decisions: map[string]int{},
	}
	for kind, count := range held.Principals {
		s.Principals[metrics.Standing{Role: kind.Role.String(), Status: kind.Status.String()}] += count
	}
	for state, count := range held.Decisions {
		s.Decisions[state.String()] += count
	}
	return s
}

// count tells the meter what happened at the broker's door.
func (n *Node) count(e broker.Event) {
	if e.Principal == n.ID() {
		return // its own connection
	}
	switch e.Kind {
	case broker.Admitted:
		n.meter.Admitted()
	case broker.Refused:
		n.meter.Refused(e.Code)
	case broker.Cut:
		n.meter.Cut(e.Code)
	case broker.RateClosed:
		n.meter.Throttled()
	}
}

// meteredLog tells the meter of every append.
type meteredLog struct {
	consensus.Log
	meter *metrics.Meter
}

// Append implements [consensus.Log].
func (l meteredLog) Append(ctx context.Context, entry []byte) ([]byte, uint64, error) {
	began := time.Now()
	result, index, err := l.Log.Append(ctx, entry)
	l.meter.Appended(fault.CodeOf(err), time.Since(began))
	return result, index, err
}
