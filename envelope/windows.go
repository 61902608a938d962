package envelope

import (
	"errors"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/replay"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	// ErrReplayed is returned when a counter was used before.
	ErrReplayed = fault.New(fault.Replayed, "envelope: counter was used before")
	// errOutside is returned when a counter lies so far below or above the window that nobody can tell whether it was
	// used, or below what the sender gave as the first one at a join.
	errOutside = fault.New(fault.Replayed, "envelope: counter lies outside the window")
	// ErrNotJoined is returned when a topic's message comes from a process whose first counter is not known: join it.
	ErrNotJoined = fault.New(fault.Unknown, "envelope: topic of this process was not joined")
	// ErrWindowFull is returned when there is no room to remember one more sender. Nothing is forgotten to make some.
	// A principal that fills its own share is refused alone.
	ErrWindowFull = fault.New(fault.WindowFull, "envelope: no room for one more sender's window")
	// errVolatile is returned when mail is given to windows that do not outlive the process.
	errVolatile = fault.New(fault.Internal, "envelope: live windows do not remember mail")
)

// Stream is one line of counters: those of one credential to one destination. It is comparable.
type Stream struct {
	Credential wire.Digest // the sender's process
	To         Destination
}

// Uses are the counters, consecutive on one stream, of one delivery that is about to be accepted.
type Uses struct {
	From   identity.ID // the principal whose credential the stream's is
	Stream Stream
	First  uint64 // the counters are First, First+1 and so on, one for each verdict
	// ID is the envelope's if there is one counter, else zero. Mail, which never comes in a frame, is remembered by it.
	ID wire.Digest
	// Until is when these counters can be forgotten, in Unix milliseconds, because what carries them is refused for its
	// age: for live envelopes the end of the credential and the tolerated skew, for mail its own end and the skew.
	Until int64
}

// Windows remembers which counters were accepted. Commit is the last check of a delivery and the only one that
// changes anything.
type Windows interface {
	// Commit records, at now in Unix milliseconds, the counter of each verdict that is nil, or sets that verdict to why
	// the counter is refused. A verdict that is set already stands, and its counter is not recorded. It is atomic: of
	// two concurrent calls with one counter at most one records it. Topics that were not joined are refused with
	// [ErrNotJoined]; a full store refuses with [ErrWindowFull]. It keeps no verdicts.
	Commit(uses Uses, verdicts []error, now int64)
}

var _ Windows = (*LiveWindows)(nil)

// LiveWindows are the windows of one process, in memory: they begin and end with its credential, which live envelopes
// name. They refuse mail. Make it with [NewLiveWindows]. It is safe for concurrent use.
type LiveWindows struct {
	mu    sync.Mutex
	table *replay.Table[Stream]
}

// Of all streams one principal has a sixteenth, or leastShare if that is more: who connects again and again with fresh
// credentials fills its own share and not that of others.
const (
	shares     = 16
	leastShare = 1024
)

// NewLiveWindows returns windows for at most limit streams, of which one principal has at most a sixteenth, or 1,024 if
// that is more. A limit below 1 refuses everything.
func NewLiveWindows(limit int) *LiveWindows {
	return &LiveWindows{table: replay.NewSharedTable[Stream](limit, max(limit/shares, leastShare))}
}

// Join accepts, from now on, counters of a principal's stream from first upwards, until the time given (Unix milliseconds): the
// end of the sender's credential and [identity.Skew]. Joining again only raises first. Call it with what a verified
// reply to a join says. Errors: [identity.ErrExpired], [ErrWindowFull].
func (w *LiveWindows) Join(from identity.ID, s Stream, first uint64, until, now int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return coded(w.table.OpenFor(from, s, first, until, now))
}

// Commit implements [Windows]. A process's first envelope to this process opens its window at 1.
func (w *LiveWindows) Commit(uses Uses, verdicts []error, now int64) {
	if uses.Stream.To.Place == AtInbox {
		refuseAll(verdicts, errVolatile)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if uses.Stream.To.Place == AtProcess && !w.table.Has(uses.Stream, now) {
		if err := w.table.OpenFor(uses.From, uses.Stream, 1, uses.Until, now); err != nil {
			refuseAll(verdicts, coded(err))
			return
		}
	}
	w.table.CommitRun(uses.Stream, uses.First, verdicts, now)
	for i, err := range verdicts {
		if err != nil {
			verdicts[i] = coded(err)
		}
	}
}

// refuseAll gives every member that was not refused before the verdict.
func refuseAll(verdicts []error, err error) {
	for i := range verdicts {
		if verdicts[i] == nil {
			verdicts[i] = err
		}
	}
}

// coded gives the errors of internal/replay their codes.
func coded(err error) error {
	for _, pair := range []struct{ is, as error }{
		{replay.ErrReplayed, ErrReplayed},
		{replay.ErrTooOld, errOutside},
		{replay.ErrTooFar, errOutside},
		{replay.ErrFull, ErrWindowFull},
		{replay.ErrUnknown, ErrNotJoined},
		{replay.ErrExpired, identity.ErrExpired},
	} {
		if errors.Is(err, pair.is) {
			return pair.as // as it is: a frame that was replayed makes a thousand of them
		}
	}
	return err
}

// Counters gives the counters of one process's envelopes, for each destination from 1 up. It must begin and end with
// the process's credential: a second one for the same credential would use counters twice. The zero value is ready.
// It is not safe for concurrent use.
type Counters struct {
	last map[Destination]uint64
}

// Take returns the first of the next n counters for the destination and counts all of them as used. A negative n is
// taken for 0.
func (c *Counters) Take(to Destination, n int) (first uint64) {
	if c.last == nil {
		c.last = make(map[Destination]uint64)
	}
	first = c.last[to] + 1
	c.last[to] += uint64(max(n, 0))
	return first
}

// Next returns the next counter for the destination and counts it as used.
func (c *Counters) Next(to Destination) uint64 { return c.Take(to, 1) }

// First returns the counter that Next will return: what the reply to a join says.
func (c *Counters) First(to Destination) uint64 { return c.last[to] + 1 }
