package registrar

import (
	"context"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Meter is told what a registrar does. Its methods are called from many goroutines at once and must not block.
type Meter interface {
	// Asked: a control request was answered, with an empty code if it was done. ops are those of the control package.
	Asked(op string, code fault.Code, took time.Duration)
	// Commanded: a command was handed in and applied, with the ledger's verdict, empty if it took effect; or it was
	// not appended, with the code of the error.
	Commanded(code fault.Code, applied bool)
}

// deaf is a meter that keeps nothing.
type deaf struct{}

func (deaf) Asked(string, fault.Code, time.Duration) {}
func (deaf) Commanded(fault.Code, bool)              {}

// metered tells the meter of each request that a handler answers.
func metered(handlers map[control.Op]control.Handler, m Meter) map[control.Op]control.Handler {
	out := make(map[control.Op]control.Handler, len(handlers))
	for op, answer := range handlers {
		out[op] = func(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
			began := time.Now()
			reply, err := answer(ctx, from, body)
			m.Asked(string(op), fault.CodeOf(err), time.Since(began))
			return reply, err
		}
	}
	return out
}

// Stats is what a registrar holds now, and has done since its start.
type Stats struct {
	ledger.Census
	Presences   int    // processes whose announcement stands
	HeadsSigned uint64 // since the start
}

// Stats returns the present counts. It is safe after [Registrar.Close].
func (r *Registrar) Stats() Stats {
	return Stats{Census: r.ledger.Census(), Presences: r.presences.held(r.config.Now().UnixMilli()), HeadsSigned: r.heads.signed.Load()}
}

// Ready returns nil if the registrar serves and takes commands, as far as it knows itself, and else why not: what failed
// it, [ErrClock] or [ErrLease].
func (r *Registrar) Ready() error {
	if err := r.Err(); err != nil {
		return err
	}
	if _, err := r.clock.now(); err != nil {
		return err
	}
	return r.mayServe()
}

// held returns how many processes have a presence that has not ended.
func (p *presences) held(now int64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, list := range p.live {
		for _, q := range list {
			if !q.presence.IsZero() && q.presence.Statement().Expires+identity.Skew > now {
				n++
			}
		}
	}
	return n
}
