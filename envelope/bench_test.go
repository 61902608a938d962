package envelope

import (
	"crypto/rand"
	"fmt"
	"syscall"
	"testing"
)

// unlimited windows accept everything, so that one envelope can be opened again and again.
type unlimited struct{}

func (unlimited) Commit(Uses, []error, int64) {}

// benchmarkKinds runs one benchmark for each way in which one envelope may be protected.
func benchmarkKinds(b *testing.B, run func(b *testing.B, w *joined, k kind)) {
	w := join(b)
	for _, k := range append(w.kinds(), kind{"sealed", w.request(), w.inbound()}) {
		k.d.Content, k.d.Counter, k.in.Limit, k.d.Limit = make([]byte, 256), 5, 1<<20, 1<<20
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, w, k)
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmarkKinds(b, func(b *testing.B, w *joined, k kind) {
		for b.Loop() {
			_, err := Seal(w.from, k.d, rand.Reader)
			must(b, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmarkKinds(b, func(b *testing.B, w *joined, k kind) {
		signed, err := Seal(w.from, k.d, rand.Reader)
		must(b, err)
		for b.Loop() {
			_, err := Open(signed.Raw, k.in, w.authority, unlimited{}, now)
			must(b, err)
		}
	})
}

// processTime returns the CPU time that the process has used, in nanoseconds: unlike the time on the clock, it does not
// depend on what else the machine does.
func processTime(b *testing.B) int64 {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

var frameSizes = []int{1, 16, 64, 256, 1024}

// benchmarkFrames reports what a member costs, 256 bytes each.
func benchmarkFrames(b *testing.B, run func(b *testing.B, w *joined, k kind, members []Member)) {
	w := join(b)
	for _, k := range w.kinds() {
		k.d.Limit, k.in.Limit = 1<<20, 1<<20
		for _, size := range frameSizes {
			all := make([]Member, size)
			for i := range all {
				all[i].Content = make([]byte, 256)
			}
			b.Run(fmt.Sprintf("%s/%d", k.name, size), func(b *testing.B) {
				b.ReportAllocs()
				before := processTime(b)
				run(b, w, k, all)
				b.ReportMetric(float64(processTime(b)-before)/float64(b.N*size), "cpu-ns/member")
			})
		}
	}
}

func BenchmarkSealFrame(b *testing.B) {
	benchmarkFrames(b, func(b *testing.B, w *joined, k kind, members []Member) {
		for b.Loop() {
			_, err := SealFrame(w.from, k.d, members, rand.Reader)
			must(b, err)
		}
	})
}

func BenchmarkOpenFrame(b *testing.B) {
	benchmarkFrames(b, func(b *testing.B, w *joined, k kind, members []Member) {
		f, err := SealFrame(w.from, k.d, members, rand.Reader)
		must(b, err)
		windows := w.fresh()
		for b.Loop() {
			c, err := Check(f.Raw(), k.in, w.authority, now)
			must(b, err)
			must(b, c.verdicts[0])
			if len(c.Commit(windows, now)) != len(members) {
				b.Fatal("not all members")
			}
		}
	})
}

// What a frame costs without its one signature: the target of the line rate counts signatures apart.
func BenchmarkLeaves(b *testing.B) {
	benchmarkFrames(b, func(b *testing.B, w *joined, k kind, members []Member) {
		f, err := SealFrame(w.from, k.d, members, rand.Reader)
		must(b, err)
		key := w.from.Credential().Statement().Signing
		roots := NewRoots(4)
		for b.Loop() {
			read, err := parseFrame(f.Raw(), len(f.Raw()))
			must(b, err)
			must(b, read.verify(w.realm, key, roots))
		}
	})
}

// A message to each of 256 processes, under the session with each, all signed at once: what one of them costs.
func BenchmarkScatter(b *testing.B) {
	const size = 256
	w := join(b)
	drafts := make([]Draft, size)
	for i := range drafts {
		process := w.process(w.bob)
		drafts[i] = w.request()
		drafts[i].To.Instance, drafts[i].Protection = process.Credential().ID(), SealedTo(process.SealingKey())
		signed, err := Seal(w.from, drafts[i], nil)
		must(b, err)
		drafts[i].Protection, drafts[i].Counter, drafts[i].Content = Under(signed.Session), 2, make([]byte, 256)
	}
	b.ReportAllocs()
	before := processTime(b)
	for b.Loop() {
		bundle, err := SealBatch(w.from, drafts, nil)
		must(b, err)
		for i := range drafts {
			_, err := bundle.Member(i)
			must(b, err)
		}
	}
	b.ReportMetric(float64(processTime(b)-before)/float64(b.N*size), "cpu-ns/member")
}

// One member of a batch whose head was verified before, and one whose head was not.
func BenchmarkOpenMember(b *testing.B) {
	w := join(b)
	bundle, err := SealBatch(w.from, []Draft{w.under(w.request(), w.direct), w.event()}, nil)
	must(b, err)
	raw, err := bundle.Member(0)
	must(b, err)
	for name, roots := range map[string]*Roots{"head known": NewRoots(4), "head new": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			in := w.with(w.inbound())
			in.Roots = roots
			for b.Loop() {
				_, err := OpenMember(raw, in, w.authority, unlimited{}, now)
				must(b, err)
			}
		})
	}
}
