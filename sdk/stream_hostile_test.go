package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// replies picks what an agent answers on the bus, requests what it asks of other agents.
func replies(of *sdk.Agent) func(sdktest.Packet) bool {
	return func(p sdktest.Packet) bool { return p.From == of.ID() && strings.Contains(p.Subject, ".rep.") }
}

func requests(of *sdk.Agent) func(sdktest.Packet) bool {
	return func(p sdktest.Packet) bool { return p.From == of.ID() && strings.Contains(p.Subject, ".req.") }
}

// lose drops the packets that are picked, from one number on, counted from 1, and so many.
func lose(realm *sdktest.Realm, picked func(sdktest.Packet) bool, first, n int64) {
	var seen atomic.Int64
	realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
		if picked(p) {
			if i := seen.Add(1); i >= first && i < first+n {
				return nil
			}
		}
		return []sdktest.Packet{p}
	})
}

// What the bus loses is found out, wherever it is in the stream; nothing comes after a gap.
func TestALostItemIsAnError(t *testing.T) {
	const all = 150
	for _, c := range []struct {
		name  string
		lost  int64 // of the replies
		items int
		want  error
	}{
		{"nothing", 1 << 40, all, nil},
		{"the first", 1, 0, sdk.ErrGap},
		{"one in the middle", 40, 39, sdk.ErrGap},
		{"the last that the window takes", 64, 63, sdk.ErrGap},
		{"the last", all, all - 1, sdk.ErrGap},
		{"the end", all + 1, all, sdk.ErrSilent},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
				handleStream(t, bob, "count.up", func(ctx context.Context, r *sdk.Request[count]) iter.Seq2[number, error] {
					return func(yield func(number, error) bool) {
						for n, err := range counting(ctx, r) {
							time.Sleep(time.Millisecond) // so that each item leaves by itself
							if !yield(n, err) {
								return
							}
						}
						time.Sleep(time.Millisecond)
					}
				})
				lose(realm, replies(bob), c.lost, 1)
				defer realm.Intercept(nil)
				items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{all}))
				if !errors.Is(err, c.want) || len(items) != c.items {
					t.Errorf("%d items, want %d: %v", len(items), c.items, err)
				}
				for i, item := range items {
					if item.N != i {
						t.Fatalf("item %d is %d", i, item.N)
					}
				}
				time.Sleep(time.Second)
				if n := sdk.StreamsServed(bob); n != 0 {
					t.Errorf("%d streams are still served", n)
				}
			})
		})
	}
}

// On a bus that loses, doubles and disorders, a stream is complete or ends with an error, and what it gave is right.
func TestStreamsOverABadBus(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		complete, broken := 0, 0
		for round := range 40 {
			f := membus.Faults{Duplicate: 100}
			if round%2 == 1 {
				f.Drop, f.Reorder = 30, 30
			}
			realm.Faults(f)
			next := 0
			var failure error
			for item, err := range sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{100}, sdk.Window(8, 1<<20)) {
				if failure = err; err != nil {
					break
				}
				if item.N != next {
					t.Fatalf("round %d: item %d is %d", round, next, item.N)
				}
				next++
			}
			switch {
			case failure != nil:
				broken++
				if round%2 == 0 {
					t.Errorf("round %d: doubles broke the stream: %v", round, failure)
				}
			case next != 100:
				t.Errorf("round %d: %d items and no error", round, next)
			default:
				complete++
			}
		}
		realm.Faults(membus.Faults{})
		t.Logf("%d complete, %d broken", complete, broken)
		if complete < 20 || broken == 0 {
			t.Errorf("%d complete, %d broken", complete, broken)
		}
	})
}

// What the reader says may be lost: it says it again.
func TestLostCreditsAreGivenAgain(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		lose(realm, requests(alice), 2, 3) // all but the request itself, for a while
		defer realm.Intercept(nil)
		items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{300}))
		if err != nil || len(items) != 300 {
			t.Errorf("%d items: %v", len(items), err)
		}
	})
}

// A side that is not heard any more is given up by the other, after 30 s.
func TestDeathEndsAStreamOnBothSides(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		e := newEndless()
		handleStreamBytes(t, bob, "count.up", e.stream)
		var failure error
		var at time.Time
		for _, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), nil) {
			if failure = err; err != nil {
				break
			}
			if at.IsZero() {
				at = time.Now()
				realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
					if replies(bob)(p) || requests(alice)(p) {
						return nil
					}
					return []sdktest.Packet{p}
				})
			}
		}
		wantErr(t, failure, sdk.ErrSilent)
		wantErr(t, <-e.ended, sdk.ErrSilent)
		if took := time.Since(at); took < 29*time.Second || took > 31*time.Second {
			t.Errorf("it took %v", took)
		}
		realm.Intercept(nil)
		if n, m := sdk.StreamsServed(bob), sdk.StreamsRead(alice); n+m != 0 {
			t.Errorf("%d streams are served, %d are read", n, m)
		}
	})
}

// Only the process that asked for a stream is heard about it.
func TestOthersDoNotSteerAStream(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		var seen codes
		bob, alice := realm.Agent(t, "bob", seen.option()), realm.Agent(t, "alice")
		sibling, mallory := realm.Agent(t, "alice"), realm.Agent(t, "mallory")
		e := newEndless()
		var id sdk.Digest
		handleStreamBytes(t, bob, "count.up", func(ctx context.Context, d *sdk.Delivery) iter.Seq2[[]byte, error] {
			id = d.ID()
			return e.stream(ctx, d)
		})
		next, stop := iter.Pull2(sdk.StreamBytes(t.Context(), alice, sdk.Any("count.up"), nil))
		defer stop()
		if _, err, _ := next(); err != nil {
			t.Fatal(err)
		}
		steer := func(a *sdk.Agent, items uint64, stop bool) int64 {
			t.Helper()
			if err := sdk.Steer(t.Context(), a, sdk.Any("count.up"), id, items, stop); err != nil {
				t.Fatal(err)
			}
			settle()
			return e.produced.Load()
		}
		if n := steer(alice, 70, false); n != 70 { // the honest twin
			t.Fatalf("%d items were produced", n)
		}
		seen.take()
		for _, a := range []*sdk.Agent{sibling, mallory} {
			if n := steer(a, 1000, false); n != 70 {
				t.Errorf("%s: %d items were produced", a.ID(), n)
			}
			if got := seen.take(); len(got) != 1 || got[0] != "denied" {
				t.Errorf("%s: the logger was told %q", a.ID(), got)
			}
			steer(a, 0, true)
			if got := seen.take(); len(got) != 1 || got[0] != "denied" {
				t.Errorf("%s: the logger was told %q", a.ID(), got)
			}
			if sdk.StreamsServed(bob) != 1 {
				t.Fatalf("%s ended the stream", a.ID())
			}
		}
		steer(alice, 10, false) // a late word takes nothing back
		if n := steer(alice, 71, false); n != 71 {
			t.Errorf("%d items were produced", n)
		}
		steer(alice, 0, true)
		wantCode(t, <-e.ended, code.Expired)
	})
}

// A sender that ignores the window does not fill the reader's memory: the stream ends.
func TestASenderThatIgnoresTheWindow(t *testing.T) {
	for _, size := range []int{0, 100, 30 << 10} {
		in(t, func(t *testing.T, realm *sdktest.Realm) {
			bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
			ended := make(chan error, 1)
			handleStreamBytes(t, bob, "flood", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
				sdk.IgnoreWindow(ctx)
				return func(yield func([]byte, error) bool) {
					n := 0
					for ; n < 5000 && yield(bytes.Repeat([]byte{1}, size), nil); n++ {
						continue
					}
					<-ctx.Done()
					ended <- context.Cause(ctx)
				}
			})
			items, total := 0, 0
			var failure error
			for item, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("flood"), nil) {
				if failure = err; err != nil {
					break
				}
				settle() // everything has been sent
				items++
				total += len(item)
			}
			wantCode(t, failure, "window_full")
			if items > 65 || total > 3<<20 {
				t.Errorf("%d items of %d bytes in all were kept", items, total)
			}
			<-ended
		})
	}
}

// Answers that belong to no stream, or are none, end it as errors.
func TestAnswersThatAreNoStream(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		var answer []byte
		serveBytes(t, bob, "odd", func(context.Context, *sdk.Delivery) ([]byte, error) { return answer, nil })
		for _, c := range []struct {
			name   string
			answer []byte
			code   code.Code
		}{
			{"the end of an empty stream", sdk.Part(0, 2, nil), ""},
			{"the end of another", sdk.Part(5, 2, nil), code.Unreachable},
			{"an item from the middle", sdk.Part(5, 1, nil), code.Unreachable},
			{"no kind of part", sdk.Part(0, 0, nil), "malformed"},
			{"an unknown kind of part", sdk.Part(0, 4, nil), "malformed"},
			{"nothing", nil, code.InvalidInput},
			{"something else", []byte(`{"text":"a"}`), code.InvalidInput},
			{"something after it", append(sdk.Part(0, 2, nil), 0), code.InvalidInput},
			{"one item and nothing more", sdk.Part(0, 1, []byte("a")), code.Uncertain},
		} {
			answer = c.answer
			_, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("odd"), nil))
			if sdk.CodeOf(err) != c.code {
				t.Errorf("%s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.code)
			}
		}
	})
}

// Garbage on the way of the answers does no harm.
func TestForgedItemsAreNotTaken(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if !replies(bob)(p) {
				return []sdktest.Packet{p}
			}
			flipped := bytes.Clone(p.Data)
			flipped[len(flipped)/2] ^= 1
			return []sdktest.Packet{
				{From: p.From, Subject: p.Subject, Data: flipped}, {From: p.From, Subject: p.Subject, Data: []byte("boo")}, p, p,
			}
		})
		defer realm.Intercept(nil)
		items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{100}))
		if err != nil || len(items) != 100 {
			t.Errorf("%d items: %v", len(items), err)
		}
	})
}

// A process that has forgotten what it agreed with the reader is asked once more.
func TestAStreamUnderAForgottenSession(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		for range 3 {
			items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{70}))
			if err != nil || len(items) != 70 {
				t.Fatalf("%d items: %v", len(items), err)
			}
			sdk.ForgetSessions(bob)
		}
	})
}

// A request is made again only if nothing of its answer was read, and at most a few times.
func TestAStreamThatDeniesItself(t *testing.T) {
	for _, why := range []uint64{1, 2} {
		in(t, func(t *testing.T, realm *sdktest.Realm) {
			bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
			var runs atomic.Int64
			handleStreamBytes(t, bob, "odd", func(ctx context.Context, d *sdk.Delivery) iter.Seq2[[]byte, error] {
				return func(yield func([]byte, error) bool) {
					runs.Add(1)
					if string(d.Content) == "late" {
						yield([]byte("item"), nil)
					}
					time.Sleep(time.Second) // until the item has left
					sdk.DenyHandling(ctx, why)
				}
			})
			items, err := collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("odd"), []byte("late")))
			if len(items) != 1 || err == nil || runs.Load() != 1 {
				t.Errorf("%q %v after %d runs", items, err, runs.Load())
			}
			runs.Store(0)
			items, err = collect(sdk.StreamBytes(t.Context(), alice, sdk.Any("odd"), []byte("early")))
			if n := runs.Load(); len(items) != 0 || sdk.CodeOf(err) != code.NoResponder || n < 1 || n > 6 {
				t.Errorf("%q %v after %d runs", items, err, n)
			}
		})
	}
}

// A reader need not wait for signs of life from an agent that is quarantined, nor once it has closed itself.
func TestStreamsEndAtOnceWhereNothingCanCome(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(t *testing.T, realm *sdktest.Realm, reader *sdk.Agent)
		code code.Code
	}{
		"the sender is quarantined": {func(t *testing.T, realm *sdktest.Realm, _ *sdk.Agent) { realm.Quarantine(t, "bob") },
			code.Uncertain},
		"the reader closes": {func(t *testing.T, _ *sdktest.Realm, reader *sdk.Agent) {
			if err := reader.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}, code.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
				handleStreamBytes(t, bob, "count.once", func(ctx context.Context, _ *sdk.Delivery) iter.Seq2[[]byte, error] {
					return func(yield func([]byte, error) bool) {
						yield([]byte("one"), nil)
						<-ctx.Done()
					}
				})
				begun, items := time.Now(), 0
				var failure error
				for _, err := range sdk.StreamBytes(t.Context(), alice, sdk.Any("count.once"), nil) {
					if failure = err; err != nil {
						break
					}
					items++
					c.end(t, realm, alice)
				}
				wantCode(t, failure, c.code)
				if took := time.Since(begun); items != 1 || took > 5*time.Second {
					t.Errorf("%d items, after %v", items, took)
				}
			})
		})
	}
}

// What another agent publishes for a stream under its own name takes none of the stream's room.
func TestAnotherAgentCannotFillAStream(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice, mallory := realm.Agent(t, "bob"), realm.Agent(t, "alice"), realm.Agent(t, "mallory")
		handleStream(t, bob, "count.up", counting)
		junk := bytes.Repeat([]byte{7}, 200<<10)
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if !replies(bob)(p) {
				return []sdktest.Packet{p}
			}
			own := strings.Replace(p.Subject, "."+bob.ID().String()+".", "."+mallory.ID().String()+".", 1)
			out := []sdktest.Packet{}
			for range 20 {
				out = append(out, sdktest.Packet{From: mallory.ID(), Subject: own, Data: junk})
			}
			return append(out, p)
		})
		defer realm.Intercept(nil)
		items, err := collect(sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{100}))
		if err != nil || len(items) != 100 {
			t.Errorf("%d items: %v", len(items), err)
		}
	})
}

func TestStreamsOfAClosedAgent(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		seq := sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{3})
		if items, err := collect(seq); err != nil || len(items) != 3 {
			t.Fatalf("%d %v", len(items), err)
		}
		if err := alice.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := collect(seq)
		wantErr(t, err, sdk.ErrClosed)
	})
}

// While the agent that serves it closes, a stream goes on until it is complete.
func TestAClosingAgentCompletesItsStreams(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handleStream(t, bob, "count.up", counting)
		closed := make(chan error, 1)
		n := 0
		for item, err := range sdk.Stream[number](t.Context(), alice, sdk.Any("count.up"), count{500}) {
			if err != nil || item.N != n {
				t.Fatalf("item %d is %d: %v", n, item.N, err)
			}
			if n++; n == 1 {
				go func() { closed <- bob.Close(context.Background()) }()
				settle()
			}
		}
		if err := <-closed; err != nil || n != 500 {
			t.Errorf("%d items, %v", n, err)
		}
	})
}
