package middleware

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

var (
	// ErrFull is returned when there is no room to remember one more delivery. None is forgotten before its time.
	ErrFull = fault.New(fault.Rate, "middleware: no room to remember one more request")
	// ErrHandled is returned for a duplicate of what was handled, when the answer was too large to be kept.
	ErrHandled = fault.New(fault.Spent, "middleware: the request was handled before, and its answer was not kept")
	// ErrNoKey is returned when [Window.Key] finds no idempotency key.
	ErrNoKey = fault.New(fault.InvalidInput, "middleware: the request has no idempotency key")
)

// Window bounds what [Dedup] remembers. The zero value is ready.
type Window struct {
	// Key returns a delivery's idempotency key, of any length; one sender's keys say nothing about another's. "" is
	// refused with [ErrNoKey]. nil takes the content for the key. It must be safe for concurrent use.
	Key func(d *sdk.Delivery) string

	For    time.Duration // remembered so long after it was handled; 10 min if 0
	Size   int           // deliveries remembered at a time; 1,024 if 0
	Share  int           // of these, of one sender; an eighth of Size if 0
	Answer int           // bytes of an answer that are kept at most; 16 KiB if 0
}

func (w Window) filled() Window {
	if w.For <= 0 {
		w.For = 10 * time.Minute
	}
	if w.Size <= 0 {
		w.Size = 1024
	}
	if w.Share <= 0 {
		w.Share = max(1, w.Size/8)
	}
	if w.Answer <= 0 {
		w.Answer = 16 << 10
	}
	return w
}

// Dedup has the handler called once for deliveries of the same sender, capability or topic, and key; duplicates get
// the first one's answer or error, and wait for it while it is being made. An error that may pass (retryable, and not
// "uncertain") is not remembered: the next one tries anew. What does not fit the window is refused with [ErrFull].
//
// The window is the process's own: it does not outlive it, and says nothing about other processes of the agent.
func Dedup(w Window) sdk.Middleware {
	w = w.filled()
	m := &memory{window: w, entries: map[request]*entry{}, of: map[sdk.ID]int{}}
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) ([]byte, error) {
			r, err := w.request(d)
			if err != nil {
				return nil, err
			}
			e, first, err := m.enter(r, time.Now())
			if err != nil {
				return nil, err
			}
			if first {
				return m.handle(ctx, r, e, next, d)
			}
			select {
			case <-e.done:
				return bytes.Clone(e.answer), e.err
			case <-ctx.Done():
				return nil, errors.Join(sdk.ErrTimeout, ctx.Err())
			}
		}
	}
}

// request is what makes two deliveries the same.
type request struct {
	from              sdk.ID
	capability, topic string
	key               [sha256.Size]byte
}

func (w Window) request(d *sdk.Delivery) (request, error) {
	r := request{from: d.From.ID, capability: d.Capability, topic: d.Topic}
	if w.Key == nil {
		r.key = sha256.Sum256(d.Content)
		return r, nil
	}
	key := w.Key(d)
	if key == "" {
		return r, ErrNoKey
	}
	r.key = sha256.Sum256([]byte(key))
	return r, nil
}

// memory is what Dedup remembers.
type memory struct {
	window Window

	mu      sync.Mutex
	entries map[request]*entry
	of      map[sdk.ID]int // entries of each sender
	next    time.Time      // when the next of them may be forgotten
}

// entry is one delivery that was or is being handled. Answer and error are there to read once done is closed.
type entry struct {
	done   chan struct{}
	answer []byte
	err    error
	until  time.Time // under memory.mu; zero while it is being handled
}

// enter returns the entry of a request and whether it was made now.
func (m *memory) enter(r request, now time.Time) (*entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[r]; e != nil {
		if !e.over(now) {
			return e, false, nil
		}
		m.forget(r)
	}
	if m.full(r.from) {
		m.sweep(now)
	}
	if m.full(r.from) {
		return nil, false, ErrFull
	}
	e := &entry{done: make(chan struct{})}
	m.entries[r] = e
	m.of[r.from]++
	return e, true, nil
}

func (e *entry) over(now time.Time) bool { return !e.until.IsZero() && !now.Before(e.until) }

func (m *memory) full(from sdk.ID) bool {
	return len(m.entries) >= m.window.Size || m.of[from] >= m.window.Share
}

// sweep forgets what is over. It looks through all entries only when one of them can be.
func (m *memory) sweep(now time.Time) {
	if now.Before(m.next) {
		return
	}
	m.next = now.Add(m.window.For)
	for r, e := range maps.All(m.entries) {
		switch {
		case e.over(now):
			m.forget(r)
		case !e.until.IsZero() && e.until.Before(m.next):
			m.next = e.until
		}
	}
}

func (m *memory) forget(r request) {
	delete(m.entries, r)
	if m.of[r.from]--; m.of[r.from] == 0 {
		delete(m.of, r.from)
	}
}

// handle has the first delivery handled, and files what came of it.
func (m *memory) handle(
	ctx context.Context, r request, e *entry, next sdk.HandlerFunc, d *sdk.Delivery,
) ([]byte, error) {
	err := error(ErrPanicked)
	var out []byte
	defer func() { m.file(r, e, out, err) }()
	out, err = next(ctx, d)
	return out, err
}

func (m *memory) file(r request, e *entry, out []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.err = err
	switch {
	case err != nil:
		if passing(err) {
			m.forget(r)
		}
	case len(out) > m.window.Answer:
		e.err = ErrHandled
	default:
		e.answer = bytes.Clone(out)
	}
	e.until = time.Now().Add(m.window.For)
	if m.next.IsZero() || e.until.Before(m.next) {
		m.next = e.until
	}
	close(e.done)
}
