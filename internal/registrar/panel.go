package registrar

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Peers reaches the other nodes of the realm. Its method is safe for concurrent use; errors keep the codes that the peer
// gave them.
type Peers interface {
	// Call asks one node and returns its answer.
	Call(ctx context.Context, to identity.ID, op string, body []byte) ([]byte, error)
}

// What nodes ask each other.
const (
	opCosign  = "cosign"  // cosignRequest → cosignAnswer
	opSender  = "sender"  // control.Process → word
	opPresent = "present" // nothing → words
)

// cosignRequest asks a node for its signature beneath a statement that the asker has signed.
type cosignRequest struct {
	Kind      wire.Kind `cbor:"1,keyasint"`
	Statement []byte    `cbor:"2,keyasint"`
}

// cosignAnswer is the statement with the peer's signature added, or another one that the peer has signed instead: its
// own head of that size, or the roster of that number.
type cosignAnswer struct {
	Signed  []byte `cbor:"1,keyasint,omitempty"`
	Instead []byte `cbor:"2,keyasint,omitempty"`
}

var (
	// ErrMajority is returned when too few nodes sign what this node signed: they do not answer, or know otherwise.
	ErrMajority = fault.New(fault.Unreachable, "registrar: a majority of the nodes did not sign").
			WithHint("see which nodes answer: conclave cluster members")
	// errInstead is why a panel fails when a peer has signed something else.
	errInstead = errors.New("registrar: a node has signed another statement")
)

// panel collects the signatures of a majority of the roster's nodes. It is safe for concurrent use.
type panel struct {
	signer identity.Signer
	ledger *ledger.Ledger
	peers  Peers  // nil: there are none
	least  uint64 // number of the first roster whose nodes are asked
}

// errOldRoster says that a node has not yet applied who runs the realm now.
var errOldRoster = fault.New(fault.Unreachable, "registrar: this node has not caught up with the roster that it knew before its start")

// reply is what one peer said.
type reply struct {
	from    identity.ID
	signed  []byte
	instead []byte
	err     error
}

// majority returns raw, which this node has signed, with the signatures of a majority of a's nodes. Where peers have
// signed other statements instead, it returns those too, by node, and an error if the majority was not reached.
func majority[T wire.Statement](ctx context.Context, p panel, a *identity.Authority, raw []byte) ([]byte, map[identity.ID][]byte, error) {
	if a.Number < p.least {
		return nil, nil, errOldRoster
	}
	others, have := p.others(a)
	if have >= a.Majority() {
		return raw, nil, nil
	}
	if p.peers == nil {
		return nil, nil, ErrMajority
	}
	var t T
	body, err := wire.Encode(cosignRequest{Kind: t.Kind(), Statement: raw})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replies := make(chan reply, len(others))
	for _, id := range others {
		go func() { replies <- p.ask(ctx, id, body) }() // ends with ctx; nobody blocks on the channel
	}
	instead := map[identity.ID][]byte{}
	var refused error
	for range others {
		r := <-replies
		if r.err == nil {
			raw, r.err = join[T](a, raw, r)
		}
		if r.err == nil {
			have++
		} else {
			refused = errors.Join(refused, fmt.Errorf("%s: %w", r.from, r.err))
		}
		if errors.Is(r.err, errInstead) {
			instead[r.from] = r.instead
		}
		if have >= a.Majority() {
			return raw, instead, nil
		}
	}
	return nil, instead, fmt.Errorf("%w: %d of %d: %w", ErrMajority, have, a.Majority(), refused)
}

// others returns the roster's nodes but this one, and how many of them this node is: 0 or 1.
func (p panel) others(a *identity.Authority) (rest []identity.ID, self int) {
	for _, id := range a.Nodes {
		if id == p.signer.ID() {
			self = 1
		} else {
			rest = append(rest, id)
		}
	}
	return rest, self
}

func (p panel) ask(ctx context.Context, id identity.ID, body []byte) reply {
	r := reply{from: id}
	var raw []byte
	if raw, r.err = p.peers.Call(ctx, id, opCosign, body); r.err != nil {
		return r
	}
	var a cosignAnswer
	if r.err = wire.Decode(raw, &a); r.err == nil {
		r.signed, r.instead = a.Signed, a.Instead
	}
	return r
}

// join adds the signature of r's node to raw, if that is what it sent and the signature holds. It returns raw
// otherwise.
func join[T wire.Statement](a *identity.Authority, raw []byte, r reply) ([]byte, error) {
	if r.instead != nil {
		return raw, errInstead
	}
	c, err := wire.ParseCosigned[T](r.signed, wire.MaxStatement)
	if err != nil {
		return raw, err
	}
	if _, err := c.Verify(a.Realm, 1, []wire.PublicKey{r.from.Key()}); err != nil {
		return raw, err
	}
	merged, err := wire.MergeCosigned[T](raw, r.signed)
	if err != nil {
		return raw, err
	}
	return merged, nil
}
