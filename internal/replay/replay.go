// Package replay remembers which counters of a sender were seen, so that each is accepted once.
//
// A [Window] holds the last [Size] numbers of one sender in the manner of RFC 6479: a ring of 64-bit
// blocks in which moving forward clears whole blocks and nothing is shifted. A [Table] is a bounded
// set of windows, one for each key, each with an expiry.
//
// The work is split in two. Check changes nothing and may run early, as a cheap refusal. Commit
// records the number and must run only after everything else about the message was verified:
// a forged message that reached Commit would use up the honest sender's number.
//
//	if err := w.Check(counter); err != nil {
//		return err
//	}
//	// verify the signature, decrypt, authorise
//	if err := w.Commit(counter); err != nil {
//		return err
//	}
//
// Nothing here locks, reads a clock or starts a goroutine. The caller serialises all calls on one
// Window or Table, and a Commit that follows a Check in the same critical section cannot fail.
package replay

import "errors"

// Size is the number of counters a Window tells apart: the highest accepted one and the
// Size-1 below it. Lower ones are refused.
const Size = 4096

// MaxJump is the furthest a counter may lie above the highest one accepted so far, in numbers.
//
// It bounds what one message can do: without it a single number near 2^64 would leave its sender
// no number to use ever after. A receiver that lost more messages than this from a sender that went
// on asks it where it stands, in a signed request, and calls [Window.Advance].
const MaxJump = 1 << 20

var (
	// ErrReplayed is returned when the counter was committed before.
	ErrReplayed = errors.New("replay: counter was used before")
	// ErrTooOld is returned when the counter is 0, below the window's first number, or Size or
	// more below the highest one accepted, so that nobody can tell whether it was used.
	ErrTooOld = errors.New("replay: counter lies below the window")
	// ErrTooFar is returned when the counter lies more than MaxJump above the highest one accepted.
	ErrTooFar = errors.New("replay: counter lies too far above the window")
)

const (
	blockBits = 64
	// One block more than Size needs: the highest number may stand anywhere in its block.
	blocks = Size/blockBits + 1
)

// A Window says of each counter of one sender whether it is new. It takes 536 bytes. Make one with
// New; the zero Window behaves like New(1). It is not safe for concurrent use.
type Window struct {
	floor uint64 // counters below are refused
	last  uint64 // highest counter committed, or the number before the first one allowed
	ring  [blocks]uint64
}

// New returns a window that accepts counters from first upwards. First may be 0, which means 1:
// counters start at 1.
func New(first uint64) Window {
	if first == 0 {
		first = 1
	}
	return Window{floor: first, last: first - 1}
}

// Check reports whether Commit(counter) would succeed. It changes nothing.
// Errors: ErrReplayed, ErrTooOld, ErrTooFar.
func (w *Window) Check(counter uint64) error {
	switch {
	case counter == 0 || counter < w.floor:
		return ErrTooOld
	case counter > w.last:
		if counter-w.last > MaxJump {
			return ErrTooFar
		}
		return nil
	case w.last-counter >= Size:
		return ErrTooOld
	case w.ring[counter/blockBits%blocks]&bit(counter) != 0:
		return ErrReplayed
	}
	return nil
}

// Commit records counter as used, or changes nothing and returns what Check returns.
func (w *Window) Commit(counter uint64) error {
	if err := w.Check(counter); err != nil {
		return err
	}
	w.moveTo(counter)
	w.ring[counter/blockBits%blocks] |= bit(counter)
	return nil
}

// Advance refuses every counter below first from now on. It never moves a window back: a first
// at or below the window's present lower bound changes nothing. It may jump further than MaxJump,
// so call it only with a number that the sender itself vouched for.
func (w *Window) Advance(first uint64) {
	if first <= w.floor {
		return
	}
	w.floor = first
	w.moveTo(first - 1)
}

// moveTo makes counter the highest number if it is higher, and clears the blocks it enters.
func (w *Window) moveTo(counter uint64) {
	if counter <= w.last {
		return
	}
	from, to := w.last/blockBits, counter/blockBits
	for i := range min(to-from, blocks) {
		w.ring[(to-i)%blocks] = 0
	}
	w.last = counter
}

func bit(counter uint64) uint64 { return 1 << (counter % blockBits) }
