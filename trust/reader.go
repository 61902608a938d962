package trust

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// reader takes an account apart. Its first failure stays; after it, all it reads is zero.
type reader struct {
	rest []byte
	why  string
}

func (r *reader) fail(why string) {
	if r.why == "" {
		r.why = why
	}
	r.rest = nil
}

// end returns what was wrong, or that there is more.
func (r *reader) end(what string) error {
	if len(r.rest) > 0 {
		r.fail("bytes behind it")
	}
	if r.why != "" {
		return fmt.Errorf("%w: %s: %s", wire.ErrMalformed, what, r.why)
	}
	return nil
}

func (r *reader) version() {
	if r.small(255) != accountVersion {
		r.fail("another version")
	}
}

// small reads a byte, at most most.
func (r *reader) small(most byte) byte {
	if len(r.rest) == 0 || r.rest[0] > most {
		r.fail("too short, or a code out of range")
		return 0
	}
	x := r.rest[0]
	r.rest = r.rest[1:]
	return x
}

func (r *reader) bytes(n int) []byte {
	if len(r.rest) < n {
		r.fail("too short")
		return make([]byte, n)
	}
	x := r.rest[:n]
	r.rest = r.rest[n:]
	return x
}

func (r *reader) id() identity.ID { return identity.ID(r.bytes(len(identity.ID{}))) }

// number reads an unsigned number of the fewest bytes, at most most.
func (r *reader) number(most uint64) uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 || x > most {
		r.fail("a number cut off, too long or out of range")
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

// signed reads a signed number.
func (r *reader) signed() int64 {
	x := r.number(1<<64 - 1)
	return int64(x>>1) ^ -int64(x&1)
}

func readList[T any](r *reader, most uint64, one func(*reader) T) []T {
	n := r.number(most)
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	for i := range list {
		list[i] = one(r)
	}
	return list
}

func (r *reader) voice() voice {
	v := voice{operator: r.id()}
	for _, n := range [...]*uint32{&v.day, &v.today, &v.yesterday, &v.good, &v.bad} {
		*n = uint32(r.number(1<<32 - 1))
	}
	v.rated = Micro(r.number(uint64(most)))
	return v
}

func (r *reader) trace() Trace {
	has := r.small(3)
	t := Trace{Act: Act(r.small(byte(Settled))), Class: r.small(Classes - 1), Cap: Cap(r.small(byte(ByNothing)))}
	if has&1 != 0 {
		t.By = r.id()
	}
	if has&2 != 0 {
		t.Statement = wire.Digest(r.bytes(len(wire.Digest{})))
	}
	if has&1 != 0 && t.By.IsZero() || has&2 != 0 && t.Statement.IsZero() {
		r.fail("nobody where somebody should be")
	}
	t.At, t.Index = int64(r.number(latest)), r.number(1<<64-1)
	t.Nominal, t.Weight, t.Score = Micro(r.signed()), Micro(r.signed()), r.number(1000)
	return t
}

func (r *reader) turn() Turn {
	const top = byte(identity.Steward)
	t := Turn{From: identity.Level(r.small(top)), To: identity.Level(r.small(top)), Why: Why(r.small(255))}
	t.At, t.Index = r.signed(), r.number(1<<64-1)
	return t
}

func (r *reader) sample() Sample {
	l := identity.Level(r.small(byte(identity.Steward)))
	return Sample{Level: l, Day: uint32(r.number(1<<32 - 1)), Score: uint16(r.number(1000))}
}

func (r *reader) climb() Climb {
	c := Climb{Why: Why(r.small(255))}
	for i := range c.Outcomes {
		c.Outcomes[i] = uint32(r.number(1<<32 - 1))
	}
	c.Votes = uint32(r.number(1<<32 - 1))
	for i := range c.From {
		c.From[i] = r.id()
	}
	for _, at := range c.times() {
		*at = r.signed()
	}
	return c
}
