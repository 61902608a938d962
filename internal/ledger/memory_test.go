package ledger

import (
	"encoding/binary"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// One operator whose agents tell of more than is remembered keeps nobody else from telling anything, and is heard again once
// what it has told is forgotten: that is when nobody can hand it in any more, not before.
func TestOneOperatorsMemoryIsItsOwn(t *testing.T) {
	author, loud, quiet := identity.ID{1}, identity.ID{2}, identity.ID{3}
	s := &state{now: 1_790_000_000_000, members: map[identity.ID]*Member{
		author: {ID: author, Operator: loud}, quiet: {ID: quiet, Operator: quiet},
	}}
	r := &reckoner{state: s, counted: map[wire.Digest]testimony{}, asked: map[wire.Digest]bool{}, load: map[identity.ID]int{}}
	tell := func(by identity.ID, n uint64) error {
		var id wire.Digest
		binary.BigEndian.PutUint64(id[:], n)
		e := trust.Evidence{Act: trust.Outcome, Author: by, Request: id, Issued: s.now, Expires: s.now + 1000}
		entry, err := r.fresh(e, id)
		if err == nil {
			r.remember(entry)
		}
		return err
	}
	want := func(err error, code fault.Code) {
		t.Helper()
		if got := fault.CodeOf(err); got != code {
			t.Fatalf("got %q (%v), want %q", got, err, code)
		}
	}
	for n := range uint64(maxCounted) {
		want(tell(author, n+1), "")
	}
	want(tell(author, maxCounted+1), fault.Rate)
	want(tell(author, 1), fault.Spent)
	want(tell(quiet, maxCounted+1), "")
	s.now += trust.MaxEvidenceLife - 1
	r.forget()
	want(tell(author, 1), fault.Spent)
	want(tell(author, maxCounted+2), fault.Rate)
	s.now++
	r.forget()
	if len(r.counted) != 0 || len(r.asked) != 0 || len(r.load) != 0 {
		t.Errorf("%d, %d and %d are left", len(r.counted), len(r.asked), len(r.load))
	}
	want(tell(author, 1), "")
}
