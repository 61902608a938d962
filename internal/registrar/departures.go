package registrar

import (
	"context"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// opGone says which processes have left a node: departed → nothing. Nothing but the node's word shows that, so it goes
// over the links, where nodes are who they say, and not over the bus, where a node may speak in another's name.
const opGone = "gone"

// departed is the body of opGone.
type departed struct {
	Processes []control.Process `cbor:"1,keyasint,omitempty"`
}

// maxDepartures bounds those that wait to be told. Of one more the others learn when its presence ends.
const maxDepartures = 4096

// departures are the processes that have left this node and of which the other nodes have not been told. It is safe for
// concurrent use.
type departures struct {
	ready chan struct{} // holds one: there are some

	mu   sync.Mutex
	list []control.Process
}

func newDepartures() *departures { return &departures{ready: make(chan struct{}, 1)} }

func (d *departures) add(p control.Process) {
	d.mu.Lock()
	if len(d.list) < maxDepartures {
		d.list = append(d.list, p)
	}
	d.mu.Unlock()
	select {
	case d.ready <- struct{}{}:
	default: // it is known
	}
}

func (d *departures) take() []control.Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	return list
}

// tellDepartures tells the other nodes who has left, until ctx ends. What does not arrive is made good by presences,
// which end.
func (r whereabouts) tellDepartures(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.departures.ready:
		}
		left := slices.DeleteFunc(r.departures.take(), func(p control.Process) bool {
			q, err := r.presences.process(p.Principal, p.Credential)
			return err == nil && slices.Contains(q.homes, r.ID()) // it is back
		})
		body, err := wire.Encode(departed{Processes: left})
		if err != nil {
			continue // names and digests: cannot happen
		}
		calling, cancel := context.WithTimeout(ctx, signTime)
		var all sync.WaitGroup
		for _, id := range r.ledger.Authority().Members() {
			if id == r.ID() {
				continue
			}
			all.Go(func() {
				if _, err := r.config.Peers.Call(calling, id, opGone, body); err != nil {
					r.config.Logger.Debug("departures not told", "node", id.String(), "error", err)
				}
			})
		}
		all.Wait()
		cancel()
	}
}

// onGone takes back what a peer has said of processes at its door.
func (r whereabouts) onGone(_ context.Context, from identity.ID, body []byte) ([]byte, error) {
	var in departed
	if err := wire.Decode(body, &in); err != nil {
		return nil, err
	}
	for _, p := range in.Processes {
		r.presences.leave(p.Principal, p.Credential, from)
	}
	return nil, nil
}
