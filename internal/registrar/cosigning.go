package registrar

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

type peerHandler func(ctx context.Context, from identity.ID, body []byte) ([]byte, error)

// peerOps is the table of what other nodes may ask of this one.
var peerOps = map[string]func(*Registrar) peerHandler{
	opCosign:  func(r *Registrar) peerHandler { return cosigner{r}.onCosign },
	opSender:  func(r *Registrar) peerHandler { return whereabouts{r}.onPeerSender },
	opPresent: func(r *Registrar) peerHandler { return whereabouts{r}.onPresent },
	opGone:    func(r *Registrar) peerHandler { return whereabouts{r}.onGone },
}

// PeerOps returns the names of what other nodes may ask, for [Registrar.AnswerPeer].
func PeerOps() []string { return slices.Sorted(maps.Keys(peerOps)) }

// AnswerPeer answers what another node asks. from is a member of the roster: the connection has proved its key.
func (r *Registrar) AnswerPeer(ctx context.Context, op string, from identity.ID, body []byte) ([]byte, error) {
	answer, ok := peerOps[op]
	if !ok {
		return nil, fmt.Errorf("%w: %.32q", errNoCosign, op)
	}
	return answer(r)(ctx, from, body)
}

// cosigner signs beneath what peers have signed, if this node would say the same.
type cosigner struct{ *Registrar }

var errNoCosign = fault.New(fault.Denied, "registrar: nodes do not sign that kind of statement for each other")

// onCosign signs beneath a peer's signature what this node would say too, once it has applied as much.
func (r cosigner) onCosign(ctx context.Context, from identity.ID, body []byte) ([]byte, error) {
	var in cosignRequest
	if err := wire.Decode(body, &in); err != nil {
		return nil, err
	}
	if !r.counts() {
		return nil, errNotCounted
	}
	var out cosignAnswer
	var err error
	switch in.Kind {
	case wire.Head:
		out, err = cosigned(ctx, r, from, in.Statement, func(h audit.Head) uint64 { return h.Size },
			func(raw []byte) (cosignAnswer, error) { return r.heads.cosign(from, raw) })
	case wire.Ticket:
		out, err = cosigned(ctx, r, from, in.Statement, func(t trust.Ticket) uint64 { return t.Index },
			func(raw []byte) (cosignAnswer, error) { return r.tickets.cosign(raw, r.nowMilli()) })
	case wire.Roster:
		out, err = cosigned(ctx, r, from, in.Statement, func(identity.Roster) uint64 { return 0 }, r.seats.cosign)
	default:
		err = fmt.Errorf("%w: %.32q", errNoCosign, string(in.Kind))
	}
	if err != nil {
		return nil, err
	}
	return wire.Encode(out)
}

var errNotCounted = fault.New(fault.Denied, "registrar: this node does not count yet; it is joining")

// cosigned checks that the asker has signed, waits until this node has applied what the statement is about, and signs.
func cosigned[T wire.Statement](ctx context.Context, r cosigner, from identity.ID, raw []byte, index func(T) uint64,
	sign func([]byte) (cosignAnswer, error)) (cosignAnswer, error) {
	c, err := wire.ParseCosigned[T](raw, wire.MaxStatement)
	if err != nil {
		return cosignAnswer{}, err
	}
	if _, err := c.Verify(r.Realm(), 1, []wire.PublicKey{from.Key()}); err != nil {
		return cosignAnswer{}, err
	}
	if err := r.reached(ctx, index(c.Claim)); err != nil {
		return cosignAnswer{}, err
	}
	return sign(raw)
}

// reached waits until the ledger holds that many commands, for [catchUp] at most.
func (r cosigner) reached(ctx context.Context, size uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUp, errBehindPeer)
	defer cancel()
	for {
		changed := r.grown.wait()
		if r.ledger.Size() >= size {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

var errBehindPeer = fault.New(fault.Unreachable, "registrar: this node has not applied as much as the other")

// growth lets any number of goroutines wait for the next change. The zero value is ready.
type growth struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that the next change closes.
func (g *growth) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	return g.next
}

func (g *growth) happened() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next != nil {
		close(g.next)
		g.next = nil
	}
}
