package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
)

func TestDedupGivesTheFirstAnswerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.Dedup(middleware.Window{})(h.handle)
		alice, mallory := agent(t, 3), agent(t, 3)
		for range 3 {
			if got := mustHandle(t, wrapped, delivery(t, alice, "pay")); got != "PAY" {
				t.Fatal(got)
			}
		}
		h.want(t, 1)
		for i, d := range []*sdk.Delivery{
			delivery(t, alice, "pay more"), delivery(t, mallory, "pay"),
			{From: alice, Capability: "text.lower", Content: []byte("pay")},
			{From: alice, Topic: "text.upper", Content: []byte("pay")},
		} {
			mustHandle(t, wrapped, d)
			h.want(t, 2+i)
		}
		time.Sleep(10*time.Minute - 1)
		mustHandle(t, wrapped, delivery(t, alice, "pay"))
		h.want(t, 5)
		time.Sleep(time.Nanosecond)
		mustHandle(t, wrapped, delivery(t, alice, "pay"))
		h.want(t, 6)
	})
}

func TestDedupByKey(t *testing.T) {
	var h counted
	wrapped := middleware.Dedup(middleware.Window{Key: func(d *sdk.Delivery) string {
		key, _, _ := strings.Cut(string(d.Content), ":")
		return key
	}})(h.handle)
	alice := agent(t, 3)
	if got := mustHandle(t, wrapped, delivery(t, alice, "k1:a")); got != "K1:A" {
		t.Fatal(got)
	}
	if got := mustHandle(t, wrapped, delivery(t, alice, "k1:b")); got != "K1:A" {
		t.Errorf("the second with key k1 got %q", got)
	}
	if got := mustHandle(t, wrapped, delivery(t, agent(t, 3), "k1:b")); got != "K1:B" {
		t.Errorf("another sender's key k1 got %q", got)
	}
	_, err := wrapped(t.Context(), delivery(t, alice, ":a"))
	wantCode(t, err, code.InvalidInput)
	if !errors.Is(err, middleware.ErrNoKey) {
		t.Error(err)
	}
	h.want(t, 2)
}

func TestDedupRemembersErrorsThatDoNotPass(t *testing.T) {
	for _, c := range []struct {
		first error
		calls int
		code  code.Code
	}{
		{sdk.Errorf(code.NotFound, "none"), 1, code.NotFound},
		{errPlain, 1, "internal"},
		{sdk.Errorf(code.Uncertain, "perhaps"), 1, code.Uncertain},
		{sdk.Errorf(code.Unreachable, "away"), 2, ""},
		{sdk.Errorf("rate", "busy"), 2, ""},
	} {
		h := counted{fails: []error{c.first}}
		wrapped := middleware.Dedup(middleware.Window{})(h.handle)
		alice := agent(t, 3)
		_, err := wrapped(t.Context(), delivery(t, alice, "a"))
		if !errors.Is(err, c.first) {
			t.Fatalf("%v became %v", c.first, err)
		}
		_, err = wrapped(t.Context(), delivery(t, alice, "a"))
		wantCode(t, err, c.code)
		h.want(t, c.calls)
	}
}

// Duplicates that come while the first is handled wait for its answer, no longer than their ctx.
func TestDedupWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, gate := 0, make(chan struct{})
		wrapped := middleware.Dedup(middleware.Window{})(func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			calls++
			<-gate
			return bytes.ToUpper(d.Content), nil
		})
		alice := agent(t, 3)
		answers := make(chan string, 10)
		var all sync.WaitGroup
		for range 10 {
			d := delivery(t, alice, "a")
			all.Go(func() {
				out, err := wrapped(t.Context(), d)
				answers <- fmt.Sprintf("%s %v", out, err)
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := wrapped(ctx, delivery(t, alice, "a"))
		wantCode(t, err, code.Uncertain)
		close(gate)
		all.Wait()
		close(answers)
		for a := range answers {
			if a != "A <nil>" {
				t.Error(a)
			}
		}
		if calls != 1 {
			t.Errorf("the handler ran %d times", calls)
		}
	})
}

func TestDedupRefusesWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h counted
		wrapped := middleware.Dedup(middleware.Window{Size: 4, Share: 2, For: time.Minute})(h.handle)
		alice, bob, carol := agent(t, 3), agent(t, 3), agent(t, 3)
		try := func(from sdk.Peer, content string) error {
			_, err := wrapped(t.Context(), delivery(t, from, content))
			return err
		}
		wantCode(t, try(alice, "1"), "")
		wantCode(t, try(alice, "2"), "")
		wantCode(t, try(alice, "3"), "rate") // her share
		wantCode(t, try(bob, "1"), "")
		time.Sleep(30 * time.Second)
		wantCode(t, try(bob, "2"), "")
		wantCode(t, try(carol, "1"), "rate") // the window
		wantCode(t, try(alice, "1"), "")     // what is remembered still is
		h.want(t, 4)
		time.Sleep(30 * time.Second) // three of them are over
		wantCode(t, try(carol, "1"), "")
		wantCode(t, try(carol, "2"), "")
		wantCode(t, try(carol, "3"), "rate")
		wantCode(t, try(bob, "2"), "")
		h.want(t, 6)
		wantCode(t, try(alice, "1"), "")
		h.want(t, 7)
	})
}

func TestDedupKeepsNoLargeAnswer(t *testing.T) {
	var h counted
	wrapped := middleware.Dedup(middleware.Window{Answer: 3})(h.handle)
	alice := agent(t, 3)
	for content, code := range map[string]code.Code{"abc": "", "abcd": code.Spent} {
		if got := mustHandle(t, wrapped, delivery(t, alice, content)); got != strings.ToUpper(content) {
			t.Fatal(got)
		}
		_, err := wrapped(t.Context(), delivery(t, alice, content))
		wantCode(t, err, code)
	}
	h.want(t, 2)
}

// An answer that its receiver changes is not changed for the next one.
func TestDedupOwnsItsAnswers(t *testing.T) {
	answer := []byte("abc")
	wrapped := middleware.Dedup(middleware.Window{})(func(context.Context, *sdk.Delivery) ([]byte, error) { return answer, nil })
	alice := agent(t, 3)
	for range 3 {
		out, err := wrapped(t.Context(), delivery(t, alice, "a"))
		if err != nil || string(out) != "abc" {
			t.Fatalf("%s %v", out, err)
		}
		out[0] = 'x'
		answer = []byte("abc")
	}
}

// A handler that panics is not run again, and nobody waits for it for ever.
func TestDedupAfterAPanic(t *testing.T) {
	calls := 0
	wrapped := middleware.Dedup(middleware.Window{})(func(context.Context, *sdk.Delivery) ([]byte, error) {
		calls++
		panic("boo")
	})
	alice := agent(t, 3)
	_, err := middleware.Recover(nil)(wrapped)(t.Context(), delivery(t, alice, "a"))
	wantCode(t, err, "handler_failed")
	_, err = wrapped(t.Context(), delivery(t, alice, "a"))
	wantCode(t, err, "handler_failed")
	if calls != 1 {
		t.Errorf("the handler ran %d times", calls)
	}
}

func TestDedupUnderConcurrency(t *testing.T) {
	var h counted
	wrapped := middleware.Dedup(middleware.Window{Size: 1 << 10, Share: 1 << 10})(h.handle)
	alice := agent(t, 3)
	var all sync.WaitGroup
	for i := range 500 {
		d := delivery(t, alice, fmt.Sprint(i%50))
		all.Go(func() {
			if out, err := wrapped(t.Context(), d); err != nil || !bytes.Equal(out, d.Content) {
				t.Errorf("%s: %s %v", d.Content, out, err)
			}
		})
	}
	all.Wait()
	h.want(t, 50)
}
