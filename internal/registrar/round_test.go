package registrar

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestHeadsAreNotWaitedForTooLong: who asks for a head while another's round gets no answer waits no longer than its
// context, and the next finds a head once the others answer.
func TestHeadsAreNotWaitedForTooLong(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		s := w.at[0]
		s.agent("alice")
		if _, err := s.SignedHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.agent("bob")
		for _, other := range w.at[1:] {
			other.stall(opCosign)
		}
		first, end := context.WithCancel(t.Context())
		round := make(chan error)
		go func() {
			_, err := s.SignedHead(first)
			round <- err
		}()
		time.Sleep(time.Millisecond) // the round is under way
		second, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.SignedHead(second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits for another's round: %v", err)
		}
		end()
		if err := <-round; !errors.Is(err, ErrMajority) {
			t.Errorf("the round: %v", err)
		}
		for _, other := range w.at[1:] {
			other.stall()
		}
		if _, err := s.SignedHead(t.Context()); err != nil {
			t.Errorf("once the others answer: %v", err)
		}
	})
}
