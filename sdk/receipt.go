package sdk

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Receipt is what a publisher gets for one message. The zero value is of none.
type Receipt struct {
	lot   *lot
	index int
}

var errNoReceipt = fault.New(fault.Usage, "sdk: a receipt of nothing")

// Wait returns when the node has taken the message, with its envelope's name. Topics are live: whether anybody reads it
// is not said. Errors: what sealing or publishing it failed with, with the code unreachable if it has not left; one with
// the code uncertain if the connection went down before the node confirmed it: somebody may have got it, and the message
// is not sent again by itself; [ErrClosed]; ctx's. A receipt keeps
// what it was sent with in memory, up to 256 KiB together with the others of its frame.
func (r Receipt) Wait(ctx context.Context) (Digest, error) {
	if r.lot == nil {
		return Digest{}, errNoReceipt
	}
	if err := r.lot.settled(ctx); err != nil {
		return Digest{}, err
	}
	return r.lot.ids(r.index), nil
}
