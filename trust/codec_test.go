package trust_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// lived returns a book in which everything that an account can hold occurs.
func lived(events int) *trust.Book {
	b, s := peopled(20, 5), stream(3)
	for i := range events {
		at := now + int64(i)*3_600_000
		b.Apply(s.event(20, 5), at)
		if i%24 == 0 {
			b.Sample(at, func(id identity.ID) identity.Level { return identity.Level(int(id[3]) % 6) })
		}
	}
	return b
}

// restored returns a book with what the other writes.
func restored(t testing.TB, b *trust.Book) *trust.Book {
	t.Helper()
	again := trust.NewBook(trust.Defaults(), nil)
	for _, id := range b.Operators() {
		if err := again.RestoreOperator(b.AppendOperator(nil, id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range b.Agents() {
		if err := again.RestoreAccount(b.AppendAccount(nil, id)); err != nil {
			t.Fatal(err)
		}
	}
	return again
}

func TestSnapshotInMidstream(t *testing.T) {
	const agents, operators = 20, 5
	b, s := peopled(agents, operators), stream(4)
	at := now
	for round := range 20 {
		again := restored(t, b)
		if again.Digest() != b.Digest() {
			t.Fatalf("round %d: digests differ", round)
		}
		for range 100 {
			at += 1_800_000
			e, when := s.event(agents, operators), at-int64(s.below(10))*aDay // the newest time seen is restored too
			if got, want := again.Apply(e, when), b.Apply(e, when); got != want {
				t.Fatalf("%+v, not %+v", got, want)
			}
		}
		if again.Digest() != b.Digest() {
			t.Fatalf("round %d: digests differ later", round)
		}
	}
}

func TestListsAreSorted(t *testing.T) {
	b := lived(100)
	for _, ids := range [][]identity.ID{b.Agents(), b.Operators()} {
		if len(ids) < 5 || !slices.IsSortedFunc(ids, identity.ID.Compare) {
			t.Fatal(ids)
		}
	}
	if len(b.Agents()) != 20 || len(b.Operators()) != 5 {
		t.Fatal(len(b.Agents()), len(b.Operators()))
	}
}

func TestStrangersHaveNothingToWrite(t *testing.T) {
	b := opened(1)
	head := []byte{1, 2}
	if got := b.AppendAccount(head, agent(9)); !bytes.Equal(got, head) {
		t.Fatal(got)
	}
	if got := b.AppendOperator(head, operator(0)); !bytes.Equal(got, head) {
		t.Fatal(got)
	}
	if got := b.AppendAccount(head, agent(0)); !bytes.HasPrefix(got, head) || len(got) < 100 {
		t.Fatal(got)
	}
}

// TestAnAccountIsSmall: half a kilobyte with the voices of five operators, apart from its traces and samples.
func TestAnAccountIsSmall(t *testing.T) {
	b := opened(2)
	for n := range 5 {
		b.Apply(attested(n, true), now)
	}
	bare := len(b.AppendAccount(nil, agent(1)))
	full := len(b.AppendAccount(nil, agent(0)))
	if bare > 300 || full-5*100 > 600 { // a trace without statement has fewer than a hundred bytes
		t.Fatalf("%d bytes at first, %d after five events", bare, full)
	}
}

func TestDigestsTellBooksApart(t *testing.T) {
	seen := map[wire.Digest]string{}
	note := func(name string, b *trust.Book) {
		d := b.Digest()
		if was, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, was)
		}
		seen[d] = name
	}
	note("empty", trust.NewBook(trust.Defaults(), nil))
	p := trust.Defaults()
	p.Gamma = 499
	note("other parameters", trust.NewBook(p, nil))
	note("a rung", trust.NewBook(trust.Defaults(), []trust.Rung{{People: 1}}))
	note("two agents", opened(2))
	b := opened(2)
	b.Apply(attested(1, true), now)
	note("an outcome", b)
	b.Apply(trust.Event{Act: trust.Pardon, Subject: agent(0)}, now)
	note("a pardon of nothing", b) // it leaves a trace
	b.Sample(now, func(identity.ID) identity.Level { return 1 })
	note("a sample", b)
}

// TestRestoreRefuses what was not written: each row spoils one thing in an account that was accepted.
func TestRestoreRefuses(t *testing.T) {
	b := lived(300)
	honest := b.AppendAccount(nil, agent(0))
	if err := trust.NewBook(trust.Defaults(), nil).RestoreAccount(honest); err != nil {
		t.Fatal(err)
	}
	const at = 1 + 33 + 33 // of the first number
	for name, spoil := range map[string]func([]byte) []byte{
		"nothing":         func([]byte) []byte { return nil },
		"another version": func(x []byte) []byte { x[0] = 2; return x },
		"a byte too many": func(x []byte) []byte { return append(x, 0) },
		"a byte too few":  func(x []byte) []byte { return x[:len(x)-1] },
		"half":            func(x []byte) []byte { return x[:len(x)/2] },
		"a time of 2^63": func(x []byte) []byte {
			return slices.Concat(x[:at], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, x[at+6:])
		},
		"a longer number": func(x []byte) []byte { x[at+5] |= 0x80; return slices.Insert(x, at+6, 0) },
		"an amount over the bound": func(x []byte) []byte {
			return slices.Insert(x, at+6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
		},
	} {
		raw := spoil(bytes.Clone(honest))
		again := trust.NewBook(trust.Defaults(), nil)
		if err := again.RestoreAccount(raw); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if len(again.Agents()) != 0 {
			t.Errorf("%s: refused and kept", name)
		}
	}
	if err := b.RestoreAccount(honest); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("an agent twice: %v", err)
	}
}

func TestRestoreOperatorRefuses(t *testing.T) {
	b := lived(300)
	honest := b.AppendOperator(nil, operator(0))
	again := trust.NewBook(trust.Defaults(), nil)
	if err := again.RestoreOperator(honest); err != nil {
		t.Fatal(err)
	}
	if err := again.RestoreOperator(honest); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("an operator twice: %v", err)
	}
	for n := range honest {
		if err := trust.NewBook(trust.Defaults(), nil).RestoreOperator(honest[:n]); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%d bytes of %d: %v", n, len(honest), err)
		}
	}
	if err := trust.NewBook(trust.Defaults(), nil).RestoreOperator(append(honest, 0)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
}

// FuzzRestoreAccount: what is accepted is what would be written, and can be lived with.
func FuzzRestoreAccount(f *testing.F) {
	b := lived(300)
	for _, id := range b.Agents() {
		f.Add(b.AppendAccount(nil, id))
	}
	f.Add(opened(1).AppendAccount(nil, agent(0)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := trust.NewBook(trust.Defaults(), trust.Ladder())
		if err := b.RestoreAccount(raw); err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		id := b.Agents()[0]
		if again := b.AppendAccount(nil, id); !bytes.Equal(again, raw) {
			t.Fatalf("%x written as %x", raw, again)
		}
		a, _ := b.Account(id)
		s := stream(uint64(len(raw)))
		for i := range int64(20) {
			e := s.event(3, 3)
			e.Subject = id
			checkEffect(t, b.Apply(e, a.At+i*aDay))
		}
		if again := b.AppendAccount(nil, id); trust.NewBook(trust.Defaults(), nil).RestoreAccount(again) != nil {
			t.Fatalf("%x is not taken back", again)
		}
	})
}

// FuzzRestoreOperator: what is accepted is what would be written.
func FuzzRestoreOperator(f *testing.F) {
	b := lived(300)
	for _, id := range b.Operators() {
		f.Add(b.AppendOperator(nil, id))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := trust.NewBook(trust.Defaults(), nil)
		if err := b.RestoreOperator(raw); err != nil {
			return
		}
		if again := b.AppendOperator(nil, b.Operators()[0]); !bytes.Equal(again, raw) {
			t.Fatalf("%x written as %x", raw, again)
		}
	})
}

// checkEffect fails where scores leave 0 to 1000.
func checkEffect(t *testing.T, e trust.Effect) {
	t.Helper()
	for c := range trust.Classes {
		if e.Before[c] > 1000 || e.After[c] > 1000 {
			t.Fatalf("%+v", e)
		}
	}
}
