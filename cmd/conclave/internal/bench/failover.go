package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

const (
	failoverNodes = 3
	// paceOfClerks is how long a clerk waits after each command: as short as tells one outage from another, as long as
	// does not keep the machine busy.
	paceOfClerks = 5 * time.Millisecond
)

// Names of what is measured beside a failover.
const (
	allServed    = "until every client is served again"
	gracefulName = "graceful"
)

// measureFailover measures how long a realm accepts no command after the node that leads was killed, or told to end.
func measureFailover(ctx context.Context, b *bout) (Result, error) {
	rules, err := rules()
	if err != nil {
		return Result{}, err
	}
	f, err := openFleet(ctx, b, rules, failoverNodes)
	if err != nil {
		return Result{}, err
	}
	clerks, err := f.clerks(ctx, failoverNodes)
	if err != nil {
		return Result{}, err
	}
	t := &toll{}
	r, err := f.finish(b.hold(ctx, plan{
		what: fmt.Sprintf("a realm of %d nodes, processes on this machine, and %d clients that submit commands one after the "+
			"other: from the killing (kill -9) of the node that leads until a command begun after it is accepted. Graceful: the "+
			"longest time in which no command was accepted, from the SIGTERM until one begun after the node's end is. The "+
			"node comes back and catches up before the next round, and every command acknowledged is asked for again",
			failoverNodes, len(clerks)),
		unit: "ms", lower: true, delay: "kill to next accepted", scale: "ms", window: len(clerks),
		bound: "the timers by which the other nodes miss the one that led (400 ms, at random up to twice that), then an election",
		ours:  outage(f, clerks, t, "kill -9", (*process).kill, untilNext), peer: nobody(),
		beside:   []string{allServed},
		variants: []contender{outage(f, clerks, t, gracefulName, (*process).stop, longestGap)},
	}))
	r.Clients = len(clerks)
	r.Commands = map[string]int{"acknowledged": t.acknowledged, "failed": t.failed, "lost": t.lost}
	if err == nil && t.lost > 0 {
		err = fmt.Errorf("%w: %d of %d are lost", errCommands, t.lost, t.acknowledged)
	}
	return r, err
}

// toll is what became of all commands.
type toll struct{ acknowledged, failed, lost int }

// acceptance is a command that was acknowledged to a clerk.
type acceptance struct {
	raw          []byte
	index        uint64
	begun, ended time.Time
}

// journal is what clerks got acknowledged in one round. It is safe for concurrent use.
type journal struct {
	moved chan struct{} // holds one: there is more

	mu       sync.Mutex
	accepted [][]acceptance // by clerk
	failed   int
}

func newJournal(clerks int) *journal {
	return &journal{moved: make(chan struct{}, 1), accepted: make([][]acceptance, clerks)}
}

func (j *journal) add(clerk int, a acceptance, err error) {
	j.mu.Lock()
	if err != nil {
		j.failed++
	} else {
		j.accepted[clerk] = append(j.accepted[clerk], a)
	}
	j.mu.Unlock()
	select {
	case j.moved <- struct{}{}:
	default:
	}
}

var errNoneAccepted = fault.New(fault.Unreachable, "bench: commands are no longer accepted")

// await waits until every clerk has had a command accepted that it began after the moment.
func (j *journal) await(ctx context.Context, after time.Time, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !j.all(after) {
		select {
		case <-j.moved:
		case <-limit.C:
			return fmt.Errorf("%w: for %s", errNoneAccepted, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (j *journal) all(after time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, list := range j.accepted {
		if len(list) == 0 || !list[len(list)-1].begun.After(after) {
			return false
		}
	}
	return true
}

// work has a clerk submit commands, one after the other, until it may rest.
func (j *journal) work(ctx context.Context, rest <-chan struct{}, nth int, c *clerk) error {
	for {
		raw, err := c.next()
		if err != nil {
			return err
		}
		begun := time.Now()
		answer, err := c.admin.Submit(ctx, raw) // the SDK tries for 30 s
		j.add(nth, acceptance{raw, answer.Index, begun, time.Now()}, err)
		select {
		case <-rest:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(paceOfClerks):
		}
	}
}

// gauge measures, in what clerks got accepted, the time without any command accepted and that of the clerk who waited
// longest, for a node that was told to end at one moment and was gone at the other.
type gauge func(accepted [][]acceptance, from, gone time.Time) (all, worst time.Duration)

// outage takes the node that leads down, measures, and has it come back.
func outage(f *fleet, clerks []*clerk, t *toll, name string, down func(*process) error, measure gauge) contender {
	return contender{name: name, run: func(ctx context.Context) (s sample, err error) {
		j, rest, done := newJournal(len(clerks)), make(chan struct{}), make(chan error, 1)
		go func() { // ends when the clerks rest
			done <- crowd(ctx, len(clerks), len(clerks), func(ctx context.Context, i int) error {
				return j.work(ctx, rest, i, clerks[i])
			})
		}()
		from, gone, err := f.fell(ctx, j, down)
		close(rest)
		if err = errors.Join(err, <-done); err != nil {
			return s, err
		}
		all, worst := measure(j.accepted, from, gone)
		s.value, s.beside = millis(all), []float64{millis(worst)}
		s.delays = []float64{s.value}
		return s, t.settle(ctx, clerks, j)
	}}
}

// settle hands every command that was acknowledged in again: the realm answers it as it did before, or it has lost it.
func (t *toll) settle(ctx context.Context, clerks []*clerk, j *journal) error {
	t.failed += j.failed
	var lost atomic.Int64
	err := crowd(ctx, len(clerks), len(clerks), func(ctx context.Context, i int) error {
		return crowd(ctx, len(j.accepted[i]), atOnce, func(ctx context.Context, k int) error {
			a := j.accepted[i][k]
			answer, err := clerks[i].admin.Submit(ctx, a.raw)
			if answer.Command.IsZero() {
				return err // there is no answer
			}
			if answer.Code != "" || answer.Index != a.index {
				lost.Add(1)
			}
			return nil
		})
	})
	for _, list := range j.accepted {
		t.acknowledged += len(list)
	}
	t.lost += int(lost.Load())
	return err
}

// fell takes the node that leads down while clerks work, and has it back. It returns when it was told to end and when it was
// gone.
func (f *fleet) fell(ctx context.Context, j *journal, down func(*process) error) (from, gone time.Time, err error) {
	leader, err := f.leader(ctx)
	if err != nil {
		return from, gone, err
	}
	if err := j.await(ctx, time.Now(), f.bout.patience); err != nil {
		return from, gone, err
	}
	from = time.Now()
	if err := down(leader.running); err != nil {
		return from, gone, err
	}
	leader.running, gone = nil, time.Now()
	if err := j.await(ctx, gone, f.bout.patience); err != nil {
		return from, gone, err
	}
	status, err := f.admin.Status(ctx)
	if err != nil {
		return from, gone, err
	}
	if err := f.start(ctx, leader); err != nil {
		return from, gone, err
	}
	return from, gone, f.serves(ctx, leader, status.Size)
}

// untilNext returns how long it took from a moment until a command begun after it was accepted, and until one of every
// clerk was.
func untilNext(accepted [][]acceptance, from, _ time.Time) (first, last time.Duration) {
	for i, list := range accepted {
		took := nextAfter(list, from).ended.Sub(from)
		if i == 0 || took < first {
			first = took
		}
		last = max(last, took)
	}
	return first, last
}

// nextAfter returns the first acceptance of a command begun after the moment.
func nextAfter(list []acceptance, from time.Time) acceptance {
	for _, a := range list {
		if a.begun.After(from) {
			return a
		}
	}
	return acceptance{}
}

// longestGap returns the longest time in which no command was accepted, from one moment until one begun after the other
// moment was; and the longest of any single clerk.
func longestGap(accepted [][]acceptance, from, gone time.Time) (all, worst time.Duration) {
	var moments []time.Time
	for _, list := range accepted {
		var own []time.Time
		end := nextAfter(list, gone).ended
		for _, a := range list {
			if a.ended.After(from) && !a.ended.After(end) {
				own = append(own, a.ended)
			}
		}
		worst = max(worst, longest(from, own))
		moments = append(moments, own...)
	}
	first, _ := untilNext(accepted, gone, gone)
	return longest(from, upTo(moments, gone.Add(first))), worst
}

// upTo returns the moments that are not after the end.
func upTo(moments []time.Time, end time.Time) []time.Time {
	return slices.DeleteFunc(moments, func(at time.Time) bool { return at.After(end) })
}

// longest returns the longest time between two moments that follow each other, or from the beginning to the first.
func longest(from time.Time, moments []time.Time) (gap time.Duration) {
	slices.SortFunc(moments, time.Time.Compare)
	for _, at := range moments {
		gap = max(gap, at.Sub(from))
		from = at
	}
	return gap
}
