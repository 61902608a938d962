package broker

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Traffic is what is connected to a broker now, and what went through it since its start. The node's own connection is
// in all of it but Admitted. Messages and bytes going out count once for each receiver.
type Traffic struct {
	Open          int    // connections, those that have not logged in yet too
	Admitted      int    // connections of principals
	Opened        uint64 // connections so far, whatever became of them
	Subscriptions uint32
	InMessages    int64
	OutMessages   int64
	InBytes       int64
	OutBytes      int64
	SlowConsumers int64 // connections that were cut because they did not read
}

// Traffic returns the present counts. It is safe after [Broker.Close]; counts of the past stay then.
func (b *Broker) Traffic() Traffic {
	v, err := b.server.Varz(nil)
	if err != nil {
		return Traffic{} // Varz has no way to fail today
	}
	return Traffic{
		Open: v.Connections, Admitted: b.table.size(), Opened: v.TotalConnections, Subscriptions: v.Subscriptions,
		InMessages: v.InMsgs, OutMessages: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
		SlowConsumers: v.SlowConsumers,
	}
}

var (
	errNotRunning = fault.New(fault.Unreachable, "broker: not running")
	errFull       = fault.New(fault.WindowFull, "broker: all connections are taken")
)

// Accepting returns nil if one more client could connect now, and else why not.
func (b *Broker) Accepting() error {
	if !b.server.Running() || b.server.Addr() == nil {
		return errNotRunning
	}
	if why := b.table.bars(); why != nil {
		return why
	}
	if n := b.server.NumClients(); n >= b.config.MaxConnections {
		return fmt.Errorf("%w: %d", errFull, n)
	}
	return nil
}

// size returns how many connections there are.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clients)
}
