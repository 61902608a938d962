package envelope

import (
	"crypto/rand"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// unlimited windows accept everything, so that one envelope can be opened again and again.
type unlimited struct{}

func (unlimited) Commit(Use, int64) error { return nil }

func benchmarkForms(b *testing.B, run func(b *testing.B, w *world, d Draft, key []byte, in Inbound)) {
	w := newWorld(b)
	for _, c := range []struct {
		name string
		d    Draft
		key  []byte
		in   Inbound
	}{
		{"sealed", w.request(), w.me.SealingKey(), w.inbound()}, {"plain", w.event(), nil, w.inboundEvent()},
	} {
		c.d.Content = make([]byte, 256)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, w, c.d, c.key, c.in)
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmarkForms(b, func(b *testing.B, w *world, d Draft, key []byte, _ Inbound) {
		for b.Loop() {
			_, _, err := Seal(w.from, d, key, rand.Reader)
			must(b, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmarkForms(b, func(b *testing.B, w *world, d Draft, key []byte, in Inbound) {
		raw, _, err := Seal(w.from, d, key, rand.Reader)
		must(b, err)
		for b.Loop() {
			_, err := Open(raw, in, w.authority, unlimited{}, now)
			must(b, err)
		}
	})
}

// One operation is a frame of 64 members.
func BenchmarkFrame(b *testing.B) {
	const size = 64
	w := newWorld(b)
	drafts, keys := make([]Draft, size), make([][]byte, size)
	for i := range drafts {
		drafts[i] = w.event()
		drafts[i].Counter, drafts[i].Content = uint64(i+1), make([]byte, 256)
	}
	seal := func(b *testing.B) []byte {
		bundle, err := SealBatch(w.from, drafts, keys, rand.Reader)
		must(b, err)
		raw, err := bundle.Frame()
		must(b, err)
		return raw
	}
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			seal(b)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		raw, in := seal(b), w.inboundEvent()
		for b.Loop() {
			all, err := openFrame(raw, in, w.authority, unlimited{}, now+identity.Skew)
			must(b, err)
			must(b, all[size-1].Err)
		}
	})
}
