package registrar

import (
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// tickets signs tickets and keeps each until half its life is over or its principal changes. It is safe for concurrent
// use.
type tickets struct {
	signer identity.Signer
	ledger *ledger.Ledger

	mu   sync.Mutex
	kept map[identity.ID]keptTicket
}

type keptTicket struct {
	raw    []byte
	issued int64
}

func newTickets(signer identity.Signer, l *ledger.Ledger) *tickets {
	return &tickets{signer: signer, ledger: l, kept: map[identity.ID]keptTicket{}}
}

// of returns a signed ticket on the principal, whatever its status. now is the node's clock in Unix milliseconds.
func (t *tickets) of(id identity.ID, now int64) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k, ok := t.kept[id]; ok && now >= k.issued && now-k.issued < trust.MaxTicketLife/2 {
		return k.raw, nil
	}
	ticket, err := t.ledger.Ticket(id, now)
	if err != nil {
		return nil, err
	}
	raw, err := t.signer.Cosign(t.ledger.Authority().Realm, ticket)
	if err != nil {
		return nil, err
	}
	t.kept[id] = keptTicket{raw: raw, issued: now}
	return raw, nil
}

// forget drops the tickets of principals that changed, or all where ids is nil.
func (t *tickets) forget(ids []identity.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ids == nil {
		clear(t.kept)
	}
	for _, id := range ids {
		delete(t.kept, id)
	}
}
