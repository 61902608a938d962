package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// clerk is a client that submits commands: an agent that hands in what another agent has signed, which is not there
// and ends its own old credentials, of which it has none, again and again. So a command changes the registry and
// nobody's connection. One goroutine at a time uses it.
type clerk struct {
	admin  admin.Admin
	realm  wire.Realm
	author identity.Signer
	epoch  uint64 // of the command before
}

// next signs one command more.
func (c *clerk) next() ([]byte, error) {
	c.epoch++
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	id := c.author.ID()
	command, err := registry.New(
		id, registry.TypeEpoch, registry.RaiseEpoch{Principal: id, Epoch: c.epoch}, nonce, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	return c.author.Cosign(c.realm, command)
}

// clerks lets n clients in and connects them, spread over the nodes.
func (f *fleet) clerks(ctx context.Context, n int) ([]*clerk, error) {
	signers, err := f.enrol(ctx, 2*n)
	if err != nil {
		return nil, err
	}
	list := make([]*clerk, n)
	for i := range list { // one after the other: what they leave behind is put away in the end
		f.bout.say("connecting clients", i, n)
		p := f.profileOf(signers[i])
		nth := i % len(p.Addresses)
		p.Addresses = p.Addresses[nth : nth+1] // the SDK learns of the others by itself
		a, err := f.connect(ctx, p)
		if err != nil {
			return nil, err
		}
		list[i] = &clerk{admin: a.Admin(), realm: f.id, author: signers[n+i]}
	}
	return list, nil
}

var errCommands = fault.New(fault.Internal, "bench: the realm does not have exactly the commands that it acknowledged")

// applied waits until the node that the operator asks has applied as many commands, and fails if it has more.
func (f *fleet) applied(ctx context.Context, size uint64) error {
	var now uint64
	err := f.bout.insist(ctx, func() error {
		status, err := f.admin.Status(ctx)
		if now = status.Size; err == nil && now < size {
			return errNotSeated
		}
		return err
	})
	if err != nil || now != size {
		return fmt.Errorf("%w: %d, not %d: %w", errCommands, now, size, err)
	}
	return nil
}
