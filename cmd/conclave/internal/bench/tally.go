package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// A content begins with its number, the time it was sent at (0 for most: asking the clock costs), and its stream. The
// rest is the same in all, and checked.
const (
	heading   = 24
	timeEvery = 64 // of how many messages one carries its time
)

// filler returns a content of the size with an empty heading.
func filler(size int) []byte {
	b := make([]byte, size)
	for i := heading; i < size; i++ {
		b[i] = byte(i*131 + i>>8)
	}
	return b
}

func write(content []byte, stream, number uint64, at time.Time) {
	binary.BigEndian.PutUint64(content, number)
	var stamp uint64
	if !at.IsZero() {
		stamp = uint64(at.UnixNano())
	}
	binary.BigEndian.PutUint64(content[8:], stamp)
	binary.BigEndian.PutUint64(content[16:], stream)
}

func read(content []byte) (stream, number uint64, at int64) {
	return binary.BigEndian.Uint64(content[16:]), binary.BigEndian.Uint64(content),
		int64(binary.BigEndian.Uint64(content[8:]))
}

// errLost is returned when not exactly what was sent was heard: the run is worth nothing then.
var errLost = fault.New(fault.Internal, "bench: not every message was heard once, in order and unaltered")

// tally is what a receiver has heard. It takes each stream's messages in order, each once and unaltered, and nothing
// else. It is safe for concurrent use.
type tally struct {
	expected []byte // content, but for the heading
	step     uint64 // how many messages make it worth telling who waits
	patience time.Duration
	told     func(stream, number uint64) // hears of every message; may be nil

	moved  chan struct{} // holds one: more was heard
	failed chan error    // holds one

	mu     sync.Mutex
	next   []uint64 // by stream
	heard  uint64
	goal   uint64 // what is waited for
	delays []float64
}

func newTally(b *bout, streams int) *tally {
	return &tally{
		expected: filler(b.Size), step: max(1, uint64(b.window())/4), patience: b.patience, moved: make(chan struct{}, 1),
		failed: make(chan error, 1), next: make([]uint64, streams),
	}
}

// take counts one content that was heard.
func (t *tally) take(content []byte) {
	if len(content) != len(t.expected) || !bytes.Equal(content[heading:], t.expected[heading:]) {
		t.fail(fmt.Errorf("%w: a content of %d bytes is not what was sent", errLost, len(content)))
		return
	}
	stream, number, at := read(content)
	t.mu.Lock()
	if stream >= uint64(len(t.next)) || number != t.next[stream] {
		t.mu.Unlock()
		t.fail(fmt.Errorf("%w: heard number %d of stream %d", errLost, number, stream))
		return
	}
	t.next[stream]++
	t.heard++
	if at != 0 {
		t.delays = append(t.delays, float64(time.Now().UnixNano()-at)/1000)
	}
	worth := t.heard%t.step == 0 || t.heard == t.goal
	t.mu.Unlock()
	if worth {
		select {
		case t.moved <- struct{}{}:
		default:
		}
	}
	if t.told != nil {
		t.told(stream, number)
	}
}

func (t *tally) fail(err error) {
	select {
	case t.failed <- err:
	default:
	}
}

// await returns when at least goal messages were heard in all.
func (t *tally) await(ctx context.Context, goal uint64) error {
	if t.has(goal) {
		return t.err()
	}
	silence := time.NewTimer(t.patience)
	defer silence.Stop()
	for {
		select {
		case err := <-t.failed:
			t.fail(err) // whoever asks next is told as well
			return err
		case <-t.moved:
			silence.Reset(t.patience)
		case <-silence.C:
			return fmt.Errorf("%w: %d were awaited, %d heard, and no more for %s", errLost, goal, t.total(), t.patience)
		case <-ctx.Done():
			return ctx.Err()
		}
		if t.has(goal) {
			return t.err()
		}
	}
}

// has reports whether as many were heard; if not, reaching the goal is told.
func (t *tally) has(goal uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.goal = goal
	return t.heard >= goal
}

func (t *tally) err() error {
	select {
	case err := <-t.failed:
		t.fail(err)
		return err
	default:
		return nil
	}
}

func (t *tally) total() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard
}

// settled says whether exactly what was sent was heard. It comes last, when no more can be under way.
func (t *tally) settled(sent uint64) error {
	if err := t.err(); err != nil {
		return err
	}
	if heard := t.total(); heard != sent {
		return fmt.Errorf("%w: %d sent, %d heard", errLost, sent, heard)
	}
	return nil
}

// times returns the delays since it was asked last, in microseconds.
func (t *tally) times() []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.delays
	t.delays = nil
	return d
}
