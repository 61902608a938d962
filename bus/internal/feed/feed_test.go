package feed

import "testing"

func TestDrainHandlesWhatIsQueuedInOrder(t *testing.T) {
	var got []int
	f := New(8, func(n int) { got = append(got, n) })
	for n := 1; n <= 5; n++ {
		f.Queue <- n
	}
	f.Drain()
	f.Drain()
	f.Run(0)
	<-f.Done()
	for n := range got {
		if got[n] != n {
			t.Fatalf("got %v", got)
		}
	}
	if len(got) != 6 {
		t.Fatalf("got %v, want 0 to 5", got)
	}
}

func TestEndDropsWhatIsQueued(t *testing.T) {
	calls := 0
	var f *Feed[int]
	f = New(8, func(int) { calls++; f.End() })
	for n := range 8 {
		f.Queue <- n
	}
	f.Run()
	<-f.Done()
	if calls != 1 {
		t.Errorf("called %d times, want once", calls)
	}
	f.End()
}

func TestEndOfAnIdleFeed(t *testing.T) {
	f := Start(1, func(int) { t.Error("called") })
	f.End()
	<-f.Done()
}
