package feed

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func roomy() Bounds { return Bounds{Items: 8, Bytes: 1 << 10} }

func TestDrainHandlesWhatIsQueuedInOrder(t *testing.T) {
	var got []int
	f := New(roomy(), func(n int) { got = append(got, n) })
	for n := range 5 {
		f.Put(n, 1)
	}
	f.Drain()
	f.Drain()
	f.Put(5, 1)
	f.Run()
	<-f.Done()
	if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("got %v, want 0 to 4", got)
	}
	if f.Dropped() != 0 {
		t.Errorf("counted %d that came after the end", f.Dropped())
	}
}

func TestEndDropsWhatIsQueued(t *testing.T) {
	calls := 0
	var f *Feed[int]
	f = New(roomy(), func(int) { calls++; f.End() })
	for n := range 8 {
		f.Put(n, 1)
	}
	f.Run()
	<-f.Done()
	if calls != 1 {
		t.Errorf("called %d times, want once", calls)
	}
	f.End()
	f.Drain() // does not wake what has ended
	f.Put(1, 1)
	if items, bytes := f.Held(); items != 0 || bytes != 0 {
		t.Errorf("holds %d items, %d bytes", items, bytes)
	}
}

func TestEndOfAnIdleFeed(t *testing.T) {
	f := New(roomy(), func(int) { t.Error("called") })
	f.Run()
	f.End()
	<-f.Done()
}

func TestBounds(t *testing.T) {
	for _, row := range []struct {
		name   string
		bounds Bounds
		put    []int // bytes of each
		kept   []int
	}{
		{"all fit", Bounds{3, 30}, []int{10, 10, 10}, []int{10, 10, 10}},
		{"one too many", Bounds{3, 31}, []int{10, 10, 10, 1}, []int{10, 10, 10}},
		{"one byte too much", Bounds{4, 30}, []int{10, 10, 11}, []int{10, 10}},
		{"a smaller one still fits", Bounds{4, 30}, []int{20, 11, 10}, []int{20, 10}},
		{"larger than all", Bounds{4, 30}, []int{31, 30}, []int{30}},
		{"no bytes", Bounds{2, 30}, []int{0, 0, 0}, []int{0, 0}},
		{"no overflow", Bounds{4, 30}, []int{1, int(^uint(0) >> 1)}, []int{1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []int
			f := New(row.bounds, func(n int) { got = append(got, n) })
			for _, n := range row.put {
				f.Put(n, n)
			}
			if want := uint64(len(row.put) - len(row.kept)); f.Dropped() != want {
				t.Errorf("dropped %d, want %d", f.Dropped(), want)
			}
			f.Drain()
			f.Run()
			<-f.Done()
			if !slices.Equal(got, row.kept) {
				t.Errorf("kept %v, want %v", got, row.kept)
			}
			if items, bytes := f.Held(); items != 0 || bytes != 0 {
				t.Errorf("still holds %d items, %d bytes", items, bytes)
			}
		})
	}
}

// TestLossIsToldWhenItBegins drops twice, frees less than half, drops again, frees half, drops again.
func TestLossIsToldWhenItBegins(t *testing.T) {
	f := New(Bounds{Items: 4, Bytes: 100}, func(int) {})
	put := func(times int) (told []uint64) {
		for range times {
			told = append(told, f.Put(0, 10))
		}
		return told
	}
	for _, row := range []struct {
		take, put int
		told      []uint64
	}{
		{0, 6, []uint64{0, 0, 0, 0, 1, 0}},
		{1, 2, []uint64{0, 0}},
		{2, 3, []uint64{0, 0, 3}},
		{0, 18, []uint64{0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, // the 10th of this losing
		{4, 5, []uint64{0, 0, 0, 0, 10}},
	} {
		for range row.take {
			f.next()
		}
		if told := put(row.put); !slices.Equal(told, row.told) {
			t.Errorf("after taking %d: told %v, want %v", row.take, told, row.told)
		}
	}
	if f.Dropped() != 23 {
		t.Errorf("dropped %d, want 23", f.Dropped())
	}
}

// TestAgainstModel puts and takes at random and compares with a plain slice.
func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	bounds := Bounds{Items: 20, Bytes: 150}
	f := New(bounds, func(int) {})
	var model []int
	sum, dropped := 0, uint64(0)
	for i := range 20_000 {
		if r.IntN(20) < 9 && len(model) > 0 {
			m, ok := f.next()
			if !ok || m != model[0] {
				t.Fatalf("step %d: took %d, want %d", i, m, model[0])
			}
			sum, model = sum-model[0], model[1:]
			continue
		}
		n := r.IntN(20)
		f.Put(n, n)
		if len(model) == bounds.Items || sum+n > bounds.Bytes {
			dropped++
		} else {
			sum, model = sum+n, append(model, n)
		}
		if items, bytes := f.Held(); items != len(model) || bytes != sum || f.Dropped() != dropped {
			t.Fatalf("step %d: %d items, %d bytes, %d dropped; want %d, %d, %d", i, items, bytes, f.Dropped(), len(model), sum, dropped)
		}
	}
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
}

func TestPuttingDoesNotAllocate(t *testing.T) {
	f := New(Bounds{Items: 64, Bytes: 1 << 20}, func(*int) {})
	n := new(int)
	for range 65 {
		f.Put(n, 1)
	}
	for range 64 {
		f.next()
	}
	if allocs := testing.AllocsPerRun(1000, func() { f.Put(n, 1); f.next() }); allocs != 0 {
		t.Errorf("%v allocations an item", allocs)
	}
}

// BenchmarkFeed is one item's way from one goroutine to another.
func BenchmarkFeed(b *testing.B) {
	done := make(chan struct{})
	left := b.N
	f := New(Bounds{Items: 1 << 20, Bytes: 1 << 40}, func(*int) {
		if left--; left == 0 {
			close(done)
		}
	})
	f.Run()
	n := new(int)
	b.ReportAllocs()
	for range b.N {
		for f.Put(n, 1) != 0 || f.Dropped() != 0 {
			b.Fatal("dropped")
		}
	}
	<-done
	f.End()
}
