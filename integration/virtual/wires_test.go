package virtual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// weather is what happens to what passes one way between two nodes. The zero value is a perfect link.
type weather struct {
	held  bool          // nothing arrives until it is let go, as behind a cut cable
	delay time.Duration // of everything
	vary  time.Duration // up to so much more, each time anew: what is sent later may come earlier
	loss  int           // per mille: streams and calls have it sent again, bus messages are gone
}

// resend is how long a lost part of a stream takes to be sent again.
const resend = 200 * time.Millisecond

// calm is a healthy link.
var calm = weather{delay: time.Millisecond, vary: time.Millisecond}

// route is one way between two nodes.
type route struct{ from, to int }

// wires are all links between the nodes. They are safe for concurrent use.
type wires struct {
	mu      sync.Mutex
	random  *rand.Rand
	state   map[route]weather
	changed chan struct{} // closed at the next change
	touched int           // what was held, lost, or delayed by more than a healthy link would
}

func newWires(seed uint64) *wires {
	return &wires{random: rand.New(rand.NewPCG(seed, 7)), state: map[route]weather{}, changed: make(chan struct{})}
}

// set changes the weather on all the routes for which match says so.
func (w *wires) set(match func(route) bool, to weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for from := range nodes {
		for dest := range nodes {
			if r := (route{from, dest}); from != dest && match(r) {
				w.state[r] = to
			}
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// heal makes every link healthy.
func (w *wires) heal() { w.set(func(route) bool { return true }, calm) }

// cut holds all links of a node, both ways.
func (w *wires) cut(node int) {
	w.set(func(r route) bool { return r.from == node || r.to == node }, weather{held: true})
}

// took returns how much the weather has touched so far.
func (w *wires) took() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.touched
}

// look returns whether a route is held, and what is closed when that may have changed.
func (w *wires) look(r route) (held bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state[r].held {
		w.touched++
	}
	return w.state[r].held, w.changed
}

// pass returns how long something takes now, and how often it is lost before.
func (w *wires) pass(r route) (takes time.Duration, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := w.state[r]
	takes = is.delay
	if is.vary > 0 {
		takes += time.Duration(w.random.Int64N(int64(is.vary)))
	}
	for is.loss > 0 && w.random.IntN(1000) < is.loss {
		lost++
	}
	if lost > 0 || takes > calm.delay+calm.vary {
		w.touched++
	}
	return takes, lost
}

// carry waits as long as a message takes on a route that repairs losses. It ends early with ctx.
func (w *wires) carry(ctx context.Context, r route) error {
	for {
		held, changed := w.look(r)
		if !held {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	takes, lost := w.pass(r)
	select {
	case <-time.After(takes + time.Duration(lost)*resend):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// callLimit is how long a node waits for another's answer.
const callLimit = 2 * time.Second

var (
	errUnsent  = fault.New(fault.Unreachable, "virtual: the question did not get there")
	errUnheard = fault.New(fault.Uncertain, "virtual: no answer came")
)

// call asks one node from another. The answer is asked for after the question has arrived; an error that wraps
// [errUnsent] says that it has not, and never will.
func call[T any](ctx context.Context, w *wires, from, to int, ask func(context.Context) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var none T
	if err := w.carry(ctx, route{from, to}); err != nil {
		return none, fmt.Errorf("%w: %w", errUnsent, err)
	}
	answer, err = ask(ctx)
	if lost := w.carry(ctx, route{to, from}); lost != nil {
		return none, fmt.Errorf("%w: %w", errUnheard, lost)
	}
	return answer, err
}

func TestCallsKnowWhatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires(1)
		w.heal()
		asked := 0
		ask := func() (int, error) {
			return call(t.Context(), w, 0, 1, func(context.Context) (int, error) { asked++; return asked, nil })
		}
		if n, err := ask(); n != 1 || err != nil || w.took() != 0 {
			t.Fatalf("healthy: %d, %v, touched %d", n, err, w.took())
		}
		for _, test := range []struct {
			name string
			held route
			code fault.Code
			runs int
		}{
			{"the question", route{0, 1}, fault.Unreachable, 1},
			{"the answer", route{1, 0}, fault.Uncertain, 2},
			{"another link", route{1, 2}, "", 3},
		} {
			w.heal()
			w.set(func(r route) bool { return r == test.held }, weather{held: true})
			if _, err := ask(); fault.CodeOf(err) != test.code || asked != test.runs {
				t.Errorf("%s held: %v, asked %d times", test.name, err, asked)
			}
		}
		w.cut(0)
		time.AfterFunc(time.Second, w.heal)
		if _, err := ask(); err != nil {
			t.Errorf("a cut that heals in time: %v", err)
		}
	})
}

func TestWeatherDelaysAndLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires(1)
		all := func(route) bool { return true }
		takes := func(is weather) time.Duration {
			w.set(all, is)
			began := time.Now()
			if err := w.carry(t.Context(), route{0, 1}); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		if got := takes(weather{delay: time.Second}); got != time.Second || w.took() != 1 {
			t.Errorf("delay: %v, touched %d", got, w.took())
		}
		slow := 0
		for range 100 {
			if takes(weather{loss: 500}) >= resend {
				slow++
			}
		}
		if slow < 20 || slow > 80 {
			t.Errorf("%d of 100 were lost", slow)
		}
	})
}
