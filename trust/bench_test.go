package trust_test

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// BenchmarkApply counts a mixed stream over ten thousand agents, a second apart.
func BenchmarkApply(b *testing.B) {
	const agents = 10_000
	book, s := peopled(agents, 100), stream(1)
	events := make([]trust.Event, 1<<16)
	for i := range events {
		events[i] = s.event(agents, 100)
	}
	for i, e := range events { // every account has its traces and voices
		book.Apply(e, now+int64(i)*1000)
	}
	b.ReportAllocs()
	at := now + int64(len(events))*1000
	for i := 0; b.Loop(); i++ {
		book.Apply(events[i%len(events)], at+int64(i)*1000)
	}
}

// BenchmarkSnapshot writes the accounts of 100,000 agents that a few events each have filled, and reads them again.
func BenchmarkSnapshot(b *testing.B) {
	const agents = 100_000
	book, s := peopled(agents, 100), stream(2)
	for i := range 5 * agents {
		book.Apply(s.event(agents, 100), now+int64(i)*100)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = buf[:0]
			for _, id := range book.Operators() {
				buf = book.AppendOperator(buf, id)
			}
			for _, id := range book.Agents() {
				buf = book.AppendAccount(buf, id)
			}
		}
		b.ReportMetric(float64(len(buf))/agents, "B/agent")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		var all [][]byte
		for _, id := range book.Agents() {
			all = append(all, book.AppendAccount(nil, id))
		}
		for b.Loop() {
			again := trust.NewBook(trust.Defaults(), nil)
			for _, raw := range all {
				if err := again.RestoreAccount(raw); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("digest", func(b *testing.B) {
		for b.Loop() {
			book.Digest()
		}
	})
}

// BenchmarkScores asks for an agent's scores.
func BenchmarkScores(b *testing.B) {
	book := peopled(100, 10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Scores(agent(i%100), now+int64(i))
	}
}

var _ = identity.Agent
