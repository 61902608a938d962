package trust_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// replayed is what 20,000 events of replaySeed leave. It may only change together with the arithmetic, that is with a
// feature level: nodes of two builds that disagree here part ways. It is the same on every machine: GOARCH=386 go test.
const (
	replaySeed = 20_261_123
	replayed   = "f953292c8167d02d19465f8126c57b881e7da5e94319ec5e25256fd3582eb2c9"
)

// replay counts the events of a seed, seconds to minutes apart, now and then backwards, opens accounts on the way and changes
// the parameters half-way. It also returns how often each cap held.
func replay(seed uint64, events int) (*trust.Book, map[trust.Cap]int) {
	const agents, operators = 60, 60 // more operators than an account keeps apart
	b, s := trust.NewBook(trust.Defaults(), nil), stream(seed)
	for i := range agents / 2 { // the others come later; until then nobody knows them
		b.Open(agent(i), operator(i%operators), identity.Level(i%6), now)
	}
	at, caps := now, map[trust.Cap]int{}
	for i := range events {
		at += int64(s.below(10*60_000)) + 1000
		when := at
		if s.below(50) == 0 {
			when -= int64(s.below(int(aDay)))
		}
		e := s.event(agents, operators)
		if s.below(4) > 0 {
			e.Subject = agent(0) // of whom everybody speaks
		}
		caps[b.Apply(e, when).Cap]++
		switch {
		case i == events/2:
			p := trust.Defaults()
			p.HalfLife.Slow, p.Gamma, p.Blame = 30*aDay, 400, 4
			b.Replace(p, nil, at)
		case i%500 == 0:
			b.Open(agent(agents/2+i/500), operator(i/500%operators), identity.Observer, at)
			b.Sample(at, func(id identity.ID) identity.Level { return identity.Level(id[3] % 6) })
		}
	}
	return b, caps
}

func TestReplay(t *testing.T) {
	b, caps := replay(replaySeed, 20_000)
	want, err := wire.ParseDigest(replayed)
	if got := b.Digest(); err != nil || got != want {
		t.Errorf("seed %d leaves %v, not %s", replaySeed, got, replayed)
	}
	for c := trust.Uncapped; c <= trust.ByNothing; c++ {
		if caps[c] == 0 {
			t.Errorf("cap %q never held: the digest says nothing of it", c)
		}
	}
}

func TestEqualOrderEqualDigest(t *testing.T) {
	seen := map[wire.Digest]uint64{}
	for seed := range uint64(5) {
		once, _ := replay(seed, 1000)
		again, _ := replay(seed, 1000)
		if once.Digest() != again.Digest() {
			t.Errorf("seed %d: two digests", seed)
		}
		if other, ok := seen[once.Digest()]; ok {
			t.Errorf("seeds %d and %d: one digest", seed, other)
		}
		seen[once.Digest()] = seed
	}
}
