package trust

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// accountVersion begins the form in which a snapshot keeps accounts and operators. What follows has one form only: numbers
// are LEB128 of the fewest bytes, signed ones zigzag, lists begin with their length, and there is nothing behind the last.
const accountVersion = 1

// Agents returns the IDs of all accounts, sorted.
func (b *Book) Agents() []identity.ID { return sorted(b.agents) }

// Operators returns the IDs of all operators of whom the book keeps anything, sorted.
func (b *Book) Operators() []identity.ID { return sorted(b.operators) }

func sorted[T any](m map[identity.ID]T) []identity.ID {
	return slices.SortedFunc(maps.Keys(m), identity.ID.Compare)
}

// AppendAccount appends the agent's account to dst, for a snapshot; nothing if there is none.
func (b *Book) AppendAccount(dst []byte, agent identity.ID) []byte {
	a := b.agents[agent]
	if a == nil {
		return dst
	}
	dst = append(dst, accountVersion)
	dst = append(dst, a.Agent[:]...)
	dst = append(dst, a.Operator[:]...)
	dst = binary.AppendUvarint(dst, uint64(a.At))
	for _, x := range a.amounts() {
		dst = binary.AppendUvarint(dst, uint64(*x))
	}
	for _, x := range a.numbers() {
		dst = binary.AppendUvarint(dst, uint64(*x))
	}
	dst = appendList(dst, a.voices, (*voice).append)
	dst = appendList(dst, a.Traces, (*Trace).append)
	dst = appendList(dst, a.Turns, (*Turn).append)
	dst = appendList(dst, a.Samples, (*Sample).append)
	return a.Climb.append(dst)
}

// RestoreAccount adds an account as [Book.AppendAccount] wrote it. It refuses one that is there already, and bytes that were
// not written so: [wire.ErrMalformed].
func (b *Book) RestoreAccount(raw []byte) error {
	r := &reader{rest: raw}
	r.version()
	a := &Account{Agent: r.id(), Operator: r.id(), At: int64(r.number(latest))}
	for _, x := range a.amounts() {
		*x = Micro(r.number(uint64(most)))
	}
	for _, x := range a.numbers() {
		*x = uint32(r.number(1<<32 - 1))
	}
	a.voices = readList(r, maxVoices+1, (*reader).voice)
	a.Traces = readList(r, maxTraces, (*reader).trace)
	a.Turns = readList(r, maxTurns, (*reader).turn)
	a.Samples = readList(r, maxSamples, (*reader).sample)
	a.Climb = r.climb()
	if a.Suspicion > 1000*Unit || a.Fairness > fair {
		r.fail("suspicion or fairness over its bound")
	}
	for i := range a.voices {
		if slices.ContainsFunc(a.voices[:i], func(v voice) bool { return v.operator == a.voices[i].operator }) {
			r.fail("an operator twice")
		}
	}
	if len(a.voices) > maxVoices && a.heard(identity.ID{}) == nil {
		r.fail("more operators than have a voice")
	}
	for i := range a.Samples {
		if i > 0 && a.Samples[i].Day <= a.Samples[i-1].Day {
			r.fail("samples out of order")
		}
	}
	if b.agents[a.Agent] != nil {
		r.fail("an agent twice")
	}
	if err := r.end("account"); err != nil {
		return err
	}
	b.agents[a.Agent], b.newest = a, max(b.newest, a.At)
	return nil
}

// AppendOperator appends what the book keeps of the operator to dst, for a snapshot; nothing if it keeps nothing.
func (b *Book) AppendOperator(dst []byte, operator identity.ID) []byte {
	o := b.operators[operator]
	if o == nil {
		return dst
	}
	dst = append(dst, accountVersion)
	dst = append(dst, o.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(o.At))
	dst = binary.AppendUvarint(dst, uint64(o.Debt))
	dst = binary.AppendUvarint(dst, uint64(o.day))
	dst = binary.AppendUvarint(dst, uint64(o.used))
	for _, at := range o.Severity {
		dst = binary.AppendUvarint(dst, uint64(at))
	}
	return dst
}

// RestoreOperator adds an operator as [Book.AppendOperator] wrote it. It refuses one that is there already, and bytes that
// were not written so: [wire.ErrMalformed].
func (b *Book) RestoreOperator(raw []byte) error {
	r := &reader{rest: raw}
	r.version()
	o := &Operator{ID: r.id(), At: int64(r.number(latest)), Debt: Micro(r.number(uint64(most)))}
	o.day, o.used = uint32(r.number(1<<32-1)), Micro(r.number(uint64(most)))
	for i := range o.Severity {
		o.Severity[i] = int64(r.number(latest))
	}
	if b.operators[o.ID] != nil {
		r.fail("an operator twice")
	}
	if err := r.end("operator"); err != nil {
		return err
	}
	b.operators[o.ID], b.newest = o, max(b.newest, o.At)
	return nil
}

// Digest returns the SHA-256 of the parameters, the rungs and all that the book keeps: equal digests, equal books.
func (b *Book) Digest() wire.Digest {
	h := sha256.New()
	head, err := wire.Encode(struct {
		Domain    string `cbor:"0,keyasint"`
		Params    Params `cbor:"1,keyasint"`
		Rungs     []Rung `cbor:"2,keyasint"`
		Operators int    `cbor:"3,keyasint"`
		Agents    int    `cbor:"4,keyasint"`
	}{"conclave trust book", b.params, b.rungs, len(b.operators), len(b.agents)})
	if err != nil {
		panic(err) // plain numbers: cannot happen
	}
	h.Write(head)
	var buf []byte
	for _, id := range b.Operators() {
		buf = b.AppendOperator(buf[:0], id)
		h.Write(buf)
	}
	for _, id := range b.Agents() {
		buf = b.AppendAccount(buf[:0], id)
		h.Write(buf)
	}
	return wire.Digest(h.Sum(nil))
}

// amounts are the account's decaying amounts, in the order in which they are written.
func (a *Account) amounts() [3*Classes + 11]*Micro {
	return [...]*Micro{
		&a.Good[0], &a.Good[1], &a.Good[2], &a.Good[3], &a.Bad[0], &a.Bad[1], &a.Bad[2], &a.Bad[3],
		&a.Peers[0], &a.Peers[1], &a.Peers[2], &a.Peers[3],
		&a.Endorsed, &a.Slandered, &a.FundsFor, &a.FundsAgainst, &a.FastGood, &a.FastBad,
		&a.Violations, &a.Recidivism, &a.Suspicion, &a.Own, &a.Inherited,
	}
}

// numbers are the account's other numbers, in the order in which they are written.
func (a *Account) numbers() [4]*uint32 {
	return [...]*uint32{&a.Fairness, &a.day, &a.today, &a.yesterday}
}

func appendList[T any](dst []byte, list []T, one func(*T, []byte) []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for i := range list {
		dst = one(&list[i], dst)
	}
	return dst
}

func (v *voice) append(dst []byte) []byte {
	dst = append(dst, v.operator[:]...)
	for _, n := range [...]uint32{v.day, v.today, v.yesterday, v.good, v.bad} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return binary.AppendUvarint(dst, uint64(v.rated))
}

// append writes who said it, and by which statement, only where there are any.
func (t *Trace) append(dst []byte) []byte {
	var has byte
	if !t.By.IsZero() {
		has |= 1
	}
	if !t.Statement.IsZero() {
		has |= 2
	}
	dst = append(dst, has, byte(t.Act), t.Class, byte(t.Cap))
	if has&1 != 0 {
		dst = append(dst, t.By[:]...)
	}
	if has&2 != 0 {
		dst = append(dst, t.Statement[:]...)
	}
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(t.At)), t.Index)
	dst = binary.AppendVarint(binary.AppendVarint(dst, int64(t.Nominal)), int64(t.Weight))
	return binary.AppendUvarint(dst, t.Score)
}

func (t *Turn) append(dst []byte) []byte {
	dst = append(dst, byte(t.From), byte(t.To), byte(t.Why))
	return binary.AppendUvarint(binary.AppendVarint(dst, t.At), t.Index)
}

func (s *Sample) append(dst []byte) []byte {
	dst = append(dst, byte(s.Level))
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(s.Day)), uint64(s.Score))
}

func (c *Climb) append(dst []byte) []byte {
	dst = append(dst, byte(c.Why))
	for _, n := range c.Outcomes {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendUvarint(dst, uint64(c.Votes))
	for i := range c.From {
		dst = append(dst, c.From[i][:]...)
	}
	for _, at := range c.times() {
		dst = binary.AppendVarint(dst, *at)
	}
	return dst
}

// times are the climb's times, in the order in which they are written.
func (c *Climb) times() [17]*int64 {
	all := [17]*int64{&c.Since, &c.HeldSince, &c.LowSince, &c.Until, &c.Blocked}
	for i := range c.Demoted {
		all[5+i] = &c.Demoted[i]
	}
	for i := range c.Severity {
		all[13+i] = &c.Severity[i]
	}
	return all
}
