package ledger

import (
	"bytes"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// record is one of a snapshot's.
type record struct {
	kind byte
	body []byte
}

// encode writes the book and what was counted as records of a snapshot.
func (r *reckoner) encode(out *bytes.Buffer) error {
	for _, id := range r.book.Agents() {
		appendRecord(out, recordAccount, r.book.AppendAccount(nil, id))
	}
	for _, id := range r.book.Operators() {
		appendRecord(out, recordOperator, r.book.AppendOperator(nil, id))
	}
	for _, id := range sortedKeys(r.counted, compareDigests) {
		if err := writeRecord(out, recordEvidence, r.counted[id]); err != nil {
			return err
		}
	}
	return nil
}

// read takes one such record. The book's are kept until it is known which policy is in force.
func (r *reckoner) read(kind byte, body []byte) error {
	if r == nil {
		return wire.ErrVersion
	}
	if kind != recordEvidence {
		r.stored = append(r.stored, record{kind, body})
		return nil
	}
	var c testimony
	if err := wire.Decode(body, &c); err != nil {
		return err
	}
	r.remember(c)
	return nil
}

// restore makes the book of what was read: an account of each agent, and of nobody else.
func (r *reckoner) restore() error {
	if r == nil {
		return nil
	}
	s := r.state
	r.book = trust.NewBook(s.policy.Params(), s.policy.Ladder())
	for _, stored := range r.stored {
		put := r.book.RestoreAccount
		if stored.kind == recordOperator {
			put = r.book.RestoreOperator
		}
		if err := put(stored.body); err != nil {
			return fmt.Errorf("%w: record %q: %w", errSnapshot, stored.kind, err)
		}
	}
	r.stored = nil
	agents := 0
	for _, id := range sortedKeys(s.members, identity.ID.Compare) { // in order: whoever is known comes to the end of the list
		m := s.members[id]
		if m.ID.Role() != identity.Agent {
			continue
		}
		agents++
		account, ok := r.book.Account(m.ID)
		if !ok || account.Operator != m.Operator {
			return fmt.Errorf("%w: account of %s", errSnapshot, m.Name)
		}
		if err := r.orphaned(m); err != nil {
			return err
		}
		r.know(m)
		m.Throttle = r.throttled(m)
	}
	if agents != len(r.book.Agents()) {
		return fmt.Errorf("%w: accounts of nobody", errSnapshot)
	}
	return nil
}

// orphaned refuses an agent whose parent is not there, or another operator's.
func (r *reckoner) orphaned(m *Member) error {
	if m.Parent.IsZero() {
		return nil
	}
	parent := r.state.members[m.Parent]
	if parent == nil || parent == m || parent.ID.Role() != identity.Agent || parent.Operator != m.Operator {
		return fmt.Errorf("%w: parent of %s", errSnapshot, m.Name)
	}
	return nil
}
