package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

func testBout(size int) *bout {
	return &bout{Config: Config{Size: size, patience: 50 * time.Millisecond, Progress: func(Progress) {}}}
}

// message returns the content that a sender makes.
func message(size int, stream, number uint64) []byte {
	b := filler(size)
	write(b, stream, number, time.Time{})
	return b
}

func TestTallyTakesEachMessageOnce(t *testing.T) {
	honest := [][]byte{message(64, 0, 0), message(64, 1, 0), message(64, 0, 1), message(64, 0, 2), message(64, 1, 1)}
	altered := slices.Clone(honest[2])
	altered[len(altered)-1] ^= 1
	for _, row := range []struct {
		name  string
		heard func() [][]byte
		good  bool
	}{
		{"all", func() [][]byte { return honest }, true},
		{"one missing", func() [][]byte { return slices.Delete(slices.Clone(honest), 2, 3) }, false},
		{"last missing", func() [][]byte { return honest[:4] }, false},
		{"one twice", func() [][]byte { return slices.Insert(slices.Clone(honest), 3, honest[2]) }, false},
		{"last twice", func() [][]byte { return append(slices.Clone(honest), honest[4]) }, false},
		{"out of order", func() [][]byte { return [][]byte{honest[1], honest[4], honest[2], honest[0], honest[3]} }, false},
		{"altered", func() [][]byte { return slices.Replace(slices.Clone(honest), 2, 3, altered) }, false},
		{"cut short", func() [][]byte { return slices.Replace(slices.Clone(honest), 2, 3, honest[2][:63]) }, false},
		{"empty", func() [][]byte { return slices.Replace(slices.Clone(honest), 2, 3, nil) }, false},
		{"of another stream", func() [][]byte { return append(slices.Clone(honest), message(64, 2, 0)) }, false},
	} {
		tally := newTally(testBout(64), 2)
		for _, content := range row.heard() {
			tally.take(content)
		}
		if err := tally.settled(5); (err == nil) != row.good || err != nil && !errors.Is(err, errLost) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestTallyTakesFrames(t *testing.T) {
	framed := func(contents ...[]byte) (out []byte) {
		for _, c := range contents {
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(c))), c...)
		}
		return out
	}
	whole := framed(message(64, 0, 0), message(64, 0, 1))
	for _, row := range []struct {
		name string
		data []byte
		good bool
	}{
		{"whole", whole, true},
		{"cut short", whole[:len(whole)-1], false},
		{"bytes behind", append(slices.Clone(whole), 0), false},
		{"length beyond the end", append(slices.Clone(whole), 0xff, 0xff, 0xff, 0xff), false},
	} {
		tally := newTally(testBout(64), 1)
		tally.takeFrame(row.data)
		if err := tally.settled(2); (err == nil) != row.good {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestAwait(t *testing.T) {
	ctx := context.Background()
	tally := newTally(testBout(64), 1)
	for n := range uint64(3) {
		tally.take(message(64, 0, n))
	}
	if err := tally.await(ctx, 3); err != nil {
		t.Errorf("what was heard already: %v", err)
	}
	if err := tally.await(ctx, 4); !errors.Is(err, errLost) {
		t.Errorf("silence: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	tally.patience = time.Minute
	if err := tally.await(ended, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	waiting := make(chan error)
	go func() { waiting <- tally.await(ctx, 5) }()
	tally.take(message(64, 0, 3))
	tally.take(message(64, 0, 4))
	if err := <-waiting; err != nil {
		t.Errorf("while it waits: %v", err)
	}
	tally.take(message(64, 0, 4))
	for range 2 { // it stays so
		if err := tally.await(ctx, 6); !errors.Is(err, errLost) {
			t.Errorf("a double: %v", err)
		}
	}
}

func TestTimesAreTakenOut(t *testing.T) {
	tally := newTally(testBout(64), 1)
	b := filler(64)
	write(b, 0, 0, time.Now().Add(-time.Second))
	tally.take(b)
	tally.take(message(64, 0, 1))
	if d := tally.times(); len(d) != 1 || d[0] < 1e6 {
		t.Errorf("delays %v", d)
	}
	if d := tally.times(); len(d) != 0 {
		t.Errorf("again: %v", d)
	}
}

func TestWindowFitsOneReceiver(t *testing.T) {
	for _, row := range []struct{ size, want int }{{minSize, 8192}, {256, 8192}, {1024, 3276}, {maxSize, 63}} {
		if got := testBout(row.size).window(); got != row.want {
			t.Errorf("%d bytes: %d, want %d", row.size, got, row.want)
		}
	}
}

// loop is a route in memory, on which a fault may be planted.
func loop(b *bout, underWay int, fault func(number uint64, heard func([]byte), content []byte)) *route {
	r := newRoute(b, underWay)
	r.send = func(_ context.Context, content []byte) error {
		_, number, _ := read(content)
		fault(number, r.heard.take, slices.Clone(content))
		return nil
	}
	r.flush = func(context.Context) error { return nil }
	return r
}

// TestFaultyReceiverFailsTheRun plants receivers that miss, double or alter a single message of many.
func TestFaultyReceiverFailsTheRun(t *testing.T) {
	const n = 100
	for _, row := range []struct {
		name  string
		good  bool
		fault func(number uint64, heard func([]byte), content []byte)
	}{
		{"honest", true, func(_ uint64, heard func([]byte), content []byte) { heard(content) }},
		{"misses one", false, func(number uint64, heard func([]byte), content []byte) {
			if number != 57 {
				heard(content)
			}
		}},
		{"misses the last", false, func(number uint64, heard func([]byte), content []byte) {
			if number != 2*n-1 {
				heard(content)
			}
		}},
		{"doubles the last", false, func(number uint64, heard func([]byte), content []byte) {
			heard(content)
			if number == 2*n-1 {
				heard(content)
			}
		}},
		{"alters one", false, func(number uint64, heard func([]byte), content []byte) {
			if number == 57 {
				content[40] ^= 1
			}
			heard(content)
		}},
	} {
		b := testBout(64)
		b.Rounds, b.Messages = 1, n
		c := flows(b, row.name, loop(b, 16, row.fault), n)
		_, err := b.hold(context.Background(), plan{ours: c, peer: signing(b, "peer", func(Crypto) float64 { return 1 })})
		err = errors.Join(err, b.end())
		if (err == nil) != row.good || err != nil && !errors.Is(err, errLost) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestRouteKeepsItsWindow is a receiver that hears nothing until the sender must stop.
func TestRouteKeepsItsWindow(t *testing.T) {
	b := testBout(64)
	b.patience = time.Minute
	var held [][]byte
	most := 0
	r := newRoute(b, 8)
	r.heard.step = 1
	full := make(chan struct{})
	r.send = func(_ context.Context, content []byte) error {
		held = append(held, slices.Clone(content))
		if most = max(most, len(held)); len(held) == 8 {
			batch := held
			held = nil
			go func() {
				<-full
				for _, content := range batch {
					r.heard.take(content)
				}
			}()
		}
		return nil
	}
	r.flush = func(context.Context) error { return nil }
	close(full)
	if err := r.pour(context.Background(), 32); err != nil {
		t.Fatal(err)
	}
	if most > 8 || r.sent != 32 || r.heard.settled(32) != nil {
		t.Errorf("%d under way, %d sent, %d heard", most, r.sent, r.heard.total())
	}
}
