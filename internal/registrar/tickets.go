package registrar

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// tickets gives out tickets signed by a majority and keeps each until half of its life is over or its principal
// changes. It is safe for concurrent use.
type tickets struct {
	panel panel
	may   func() error // whether this node may vouch for anybody now
	hands func() bool  // whether it hands on, although it may not, what it was given before

	mu     sync.Mutex
	kept   map[identity.ID]keptTicket
	asking map[identity.ID]*ticketRound
}

type keptTicket struct {
	raw    []byte
	issued int64
	roster uint64
}

// ticketRound is one collection of signatures that several callers wait for.
type ticketRound struct {
	done chan struct{}
	raw  []byte
	err  error
}

func newTickets(p panel, may func() error, hands func() bool) *tickets {
	return &tickets{
		panel: p, may: may, hands: hands, kept: map[identity.ID]keptTicket{}, asking: map[identity.ID]*ticketRound{},
	}
}

// signTime bounds one collection of signatures.
const signTime = 2 * time.Second

// of returns a signed ticket on the principal, whatever its status. now is the node's clock in Unix milliseconds. A node
// that may not vouch for anybody signs none; if it hands on what it has, that is a ticket which has not ended.
// Errors: [ErrLease], [ErrMajority], ctx's, those of the ledger.
func (t *tickets) of(ctx context.Context, id identity.ID, now int64) ([]byte, error) {
	if err := t.may(); err != nil {
		return t.earlier(id, now, err)
	}
	t.mu.Lock()
	if k, ok := t.kept[id]; ok && now >= k.issued && now-k.issued < trust.MaxTicketLife/2 &&
		k.roster == t.panel.ledger.Authority().Number {
		t.mu.Unlock()
		return k.raw, nil
	}
	round, ok := t.asking[id]
	if !ok {
		round = &ticketRound{done: make(chan struct{})}
		t.asking[id] = round
	}
	t.mu.Unlock()
	if !ok {
		t.collect(context.WithoutCancel(ctx), round, id, now)
	}
	select {
	case <-round.done:
		return round.raw, round.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// earlier returns the ticket on the principal that a majority signed before, while this node may not vouch for anybody.
// The ticket ends when it says, for whoever gets it.
func (t *tickets) earlier(id identity.ID, now int64, why error) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.kept[id]
	if !ok || !t.hands() || now < k.issued || now-k.issued >= trust.MaxTicketLife ||
		k.roster != t.panel.ledger.Authority().Number {
		return nil, why
	}
	return k.raw, nil
}

// collect has a ticket signed and ends the round. What changes meanwhile ends the ticket: see [tickets.forget].
func (t *tickets) collect(ctx context.Context, round *ticketRound, id identity.ID, now int64) {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	var ticket trust.Ticket
	for range 2 { // the principal may change while the others look
		if ticket, round.raw, round.err = t.sign(ctx, id, now); round.err == nil {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking[id] == round {
		delete(t.asking, id)
		if round.err == nil {
			t.kept[id] = keptTicket{raw: round.raw, issued: now, roster: ticket.Roster}
		}
	}
	close(round.done)
}

func (t *tickets) sign(ctx context.Context, id identity.ID, now int64) (trust.Ticket, []byte, error) {
	authority := t.panel.ledger.Authority()
	ticket, err := t.panel.ledger.Ticket(id, now)
	if err != nil {
		return ticket, nil, err
	}
	raw, err := t.panel.signer.Cosign(authority.Realm, ticket)
	if err != nil {
		return ticket, nil, err
	}
	raw, _, err = majority[trust.Ticket](ctx, t.panel, authority, raw)
	return ticket, raw, err
}

// forget drops the tickets of principals that changed, or all where ids is nil. Signatures that are being collected
// are for those who wait already.
func (t *tickets) forget(ids []identity.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ids == nil {
		clear(t.kept)
		clear(t.asking)
	}
	for _, id := range ids {
		delete(t.kept, id)
		delete(t.asking, id)
	}
}

var (
	errOtherTicket = fault.New(fault.Conflict, "registrar: this node knows otherwise of the principal")
	errTicketTime  = fault.New(fault.Conflict, "registrar: the ticket was not issued just now").
			WithHint("the nodes' clocks differ by more than 30 s: check them")
)

// cosign signs a ticket that a peer has signed, if this node would say the same now.
func (t *tickets) cosign(raw []byte, now int64) (cosignAnswer, error) {
	if err := t.may(); err != nil {
		return cosignAnswer{}, err
	}
	c, err := wire.ParseCosigned[trust.Ticket](raw, wire.MaxStatement)
	if err != nil {
		return cosignAnswer{}, err
	}
	theirs := c.Claim
	if theirs.Issued > now+identity.Skew || theirs.Issued < now-identity.Skew {
		return cosignAnswer{}, fmt.Errorf("%w: %d ms apart", errTicketTime, theirs.Issued-now)
	}
	own, err := t.panel.ledger.Ticket(theirs.Principal, theirs.Issued)
	if err != nil {
		return cosignAnswer{}, err
	}
	if !sameTicket(own, theirs) {
		return cosignAnswer{}, errOtherTicket
	}
	signed, err := identity.AddTo[trust.Ticket](t.panel.signer, t.panel.ledger.Authority().Realm, raw)
	return cosignAnswer{Signed: signed}, err
}

// sameTicket reports whether two nodes say the same of a principal, though one may have applied more since.
func sameTicket(own, theirs trust.Ticket) bool {
	if theirs.Index > own.Index || !slices.Equal(own.Serves, theirs.Serves) {
		return false
	}
	own.Index, own.Serves, theirs.Serves = theirs.Index, nil, nil
	a, errA := wire.Encode(own)
	b, errB := wire.Encode(theirs)
	return errA == nil && errB == nil && string(a) == string(b)
}
