package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// bench is a caller on a pipe whose other end the test plays. Time is that of the bubble.
type bench struct {
	t      *testing.T
	caller *caller
	far    net.Conn
	ended  chan error
}

func newBench(t *testing.T) *bench {
	near, far := net.Pipe()
	s := &socket{Conn: near}
	b := &bench{t: t, caller: newCaller(newLine(s, s)), far: far, ended: make(chan error, 1)}
	go func() { b.ended <- b.caller.carry() }()
	return b
}

// close ends the line and waits for it.
func (b *bench) close() {
	b.caller.end(errEnded)
	<-b.caller.done
	b.far.Close()
}

type outcome struct {
	body []byte
	err  error
}

func (b *bench) call(ctx context.Context) <-chan outcome {
	got := make(chan outcome, 1)
	go func() {
		body, err := b.caller.call(ctx, "op", []byte("in"))
		got <- outcome{body, err}
	}()
	return got
}

func (b *bench) next() request {
	b.t.Helper()
	frame, err := readFrame(b.far, maxFrame)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := parseRequest(frame)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) say(r reply) {
	b.t.Helper()
	if err := sendOne(b.far, r, maxFrame); err != nil {
		b.t.Fatal(err)
	}
}

func TestAnswersFindTheirCallsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first := b.call(t.Context())
		one := b.next()
		second := b.call(t.Context())
		two := b.next()
		if one.ID == two.ID || one.Op != "op" || string(one.Body) != "in" || one.Left != 0 {
			t.Errorf("requests %+v, %+v", one, two)
		}
		b.say(reply{ID: 99, Body: []byte("nobody asked")})
		b.say(reply{ID: two.ID, Body: []byte("second")})
		b.say(reply{ID: two.ID, Body: []byte("again")})
		b.say(reply{ID: one.ID, Refusal: refuse(ErrBusy)})
		if got := <-second; got.err != nil || string(got.body) != "second" {
			t.Errorf("second: %q, %v", got.body, got.err)
		}
		wantCode(t, (<-first).err, fault.Rate)
		b.close()
	})
}

func TestASilentEndIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		go io.Copy(io.Discard, b.far) // takes everything, answers nothing
		began := time.Now()
		got := <-b.call(t.Context())
		wantErr(t, got.err, ErrUncertain)
		wantErr(t, got.err, errSilent)
		if took := time.Since(began); took != silence {
			t.Errorf("noticed after %v", took)
		}
		wantErr(t, <-b.ended, errSilent)
		b.close()
	})
}

func TestAnIdleLineStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for range 1000 {
			if r := b.next(); r.ID != 0 || r.Op != "" {
				t.Fatalf("got %+v", r)
			}
			b.say(reply{})
		}
		if b.caller.ended() {
			t.Error("it ended")
		}
		got := b.call(t.Context())
		b.say(reply{ID: b.next().ID, Body: []byte("here")})
		if got := <-got; string(got.body) != "here" {
			t.Errorf("got %q, %v", got.body, got.err)
		}
		b.close()
	})
}

func TestAnEndThatReadsNothingIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		calls := make([]<-chan outcome, maxQueue+3) // one is being written, some are queued, some wait for room
		for i := range calls {
			calls[i] = b.call(t.Context())
			synctest.Wait()
		}
		sent := 0
		for _, call := range calls {
			if err := (<-call).err; errors.Is(err, ErrUncertain) {
				sent++
			} else {
				wantErr(t, err, ErrUnreachable)
			}
		}
		if sent != 0 {
			t.Errorf("%d calls count as sent, though not a byte was", sent)
		}
		b.close()
	})
}

func TestHalfAFrameMayHaveTakenEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first := b.call(t.Context())
		if _, err := io.ReadFull(b.far, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		second := b.call(t.Context())
		synctest.Wait()
		b.far.Close()
		wantErr(t, (<-first).err, ErrUncertain)
		wantErr(t, (<-second).err, ErrUnreachable)
		b.close()
	})
}

func TestACancelledCallReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		got := b.call(ctx)
		r := b.next()
		if r.Left != 1000 {
			t.Errorf("%d ms are left", r.Left)
		}
		err := (<-got).err
		wantErr(t, err, ErrUncertain)
		wantErr(t, err, context.DeadlineExceeded)
		if took := time.Since(began); took != time.Second {
			t.Errorf("after %v", took)
		}
		if end := b.next(); end.ID != r.ID || end.Op != "" {
			t.Errorf("the other end is told %+v", end)
		}
		b.say(reply{ID: r.ID, Body: []byte("late")}) // dropped
		again := b.call(t.Context())
		b.say(reply{ID: b.next().ID, Body: []byte("new")})
		if got := <-again; string(got.body) != "new" {
			t.Errorf("got %q, %v", got.body, got.err)
		}
		b.close()
	})
}

func TestACallCancelledInTheQueueIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first := b.call(t.Context()) // stands before the writer, until the test reads
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		queued := b.call(ctx)
		synctest.Wait()
		cancel()
		err := (<-queued).err
		wantErr(t, err, ErrUnreachable)
		wantErr(t, err, context.Canceled)
		third := b.call(t.Context())
		b.say(reply{ID: b.next().ID, Body: []byte("1")})
		b.say(reply{ID: b.next().ID, Body: []byte("3")})
		if one, three := <-first, <-third; string(one.body) != "1" || string(three.body) != "3" {
			t.Errorf("got %q, %q", one.body, three.body)
		}
		b.close()
	})
}

func TestGarbageEndsTheLine(t *testing.T) {
	for name, frame := range map[string][]byte{
		"not CBOR":       {0, 0, 0, 1, 0xff},
		"oversized":      {0, 0x10, 0, 1},
		"empty":          {0, 0, 0, 0},
		"a request":      {0, 0, 0, 8, 0xa2, 1, 1, 2, 0x63, 'f', 'o', 'o'},
		"hint, no code":  {0, 0, 0, 8, 0xa2, 1, 1, 2, 0xa1, 3, 0x61, 'x'},
		"trailing bytes": {0, 0, 0, 4, 0xa1, 2, 0xa0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				got := b.call(t.Context())
				b.next()
				b.far.Write(frame)
				wantErr(t, (<-got).err, ErrUncertain)
				cause := <-b.ended
				if !errors.Is(cause, ErrFrame) && !errors.Is(cause, ErrTooLarge) {
					t.Errorf("ended by %v", cause)
				}
				b.close()
			})
		})
	}
}

// socketless makes a mesh without a socket.
func socketless(ctx context.Context, c *cluster, edits ...func(*Config)) *Mesh {
	config := c.config(1)
	for _, edit := range edits {
		edit(&config)
	}
	m, err := build(config)
	if err != nil {
		c.t.Fatal(err)
	}
	context.AfterFunc(ctx, m.stop)
	return m
}

func TestTheAnsweringEndNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(t)
		c.admit(2, "")
		w := newWaiting()
		m := socketless(t.Context(), c, handling("wait", w.handle))
		near, far := net.Pipe()
		under := &socket{Conn: near, peer: nodeID(2)}
		s := m.newServer(near, under)
		ended := make(chan error, 1)
		go func() { ended <- s.carry() }()
		if err := sendOne(far, request{ID: 1, Op: "wait", Left: 2000}, maxFrame); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wantErr(t, <-w.ended, context.DeadlineExceeded)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the handler was stopped after %v", took)
		}
		var r reply
		if err := receiveOne(far, maxFrame, &r); err != nil || r.Refusal.Code != fault.Uncertain {
			t.Errorf("got %+v, %v", r, err)
		}
		sendOne(far, request{ID: 2, Op: "wait"}, maxFrame)
		<-w.begun
		<-w.begun
		wantErr(t, <-ended, errSilent)
		wantErr(t, <-w.ended, context.Canceled)
		m.stop()
		m.running.Wait()
	})
}

func TestTheAnsweringEndGivesSignsOfLifeAndHeedsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(t)
		c.admit(2, "")
		w := newWaiting()
		m := socketless(t.Context(), c, handling("wait", w.handle))
		near, far := net.Pipe()
		s := m.newServer(near, &socket{Conn: near, peer: nodeID(2)})
		ended := make(chan error, 1)
		go func() { ended <- s.carry() }()
		for range 10 {
			<-time.After(pulse) // of the bubble
			sendOne(far, request{}, maxFrame)
			var r reply
			if err := receiveOne(far, maxFrame, &r); err != nil || r.ID != 0 {
				t.Fatalf("got %+v, %v", r, err)
			}
		}
		sendOne(far, request{ID: 1, Op: "wait"}, maxFrame)
		<-w.begun
		sendOne(far, request{ID: 5}, maxFrame) // nobody's
		sendOne(far, request{ID: 1}, maxFrame)
		wantErr(t, <-w.ended, context.Canceled)
		var r reply
		if err := receiveOne(far, maxFrame, &r); err != nil || r.ID != 1 || r.Refusal.Code != fault.Uncertain {
			t.Errorf("got %+v, %v", r, err)
		}
		far.Close()
		wantErr(t, <-ended, io.EOF)
		m.stop()
		m.running.Wait()
	})
}

func TestStreamsNobodyTakesAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := socketless(t.Context(), bare(t))
		near, far := net.Pipe()
		began := time.Now()
		m.raft.offer(&peerConn{under: &socket{Conn: near}})
		if took := time.Since(began); took != handshakeLimit {
			t.Errorf("after %v", took)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the other end reads %v", err)
		}
		near, far = net.Pipe()
		m.raft.Close()
		m.raft.offer(&peerConn{under: &socket{Conn: near}})
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the other end reads %v", err)
		}
	})
}

func TestAMuteClientIsCutAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := socketless(t.Context(), bare(t))
		near, far := net.Pipe()
		began := time.Now()
		m.entrance.take(near)
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the other end reads %v", err)
		}
		if took := time.Since(began); took != handshakeLimit {
			t.Errorf("after %v", took)
		}
		synctest.Wait()
		if gate := m.entrance.gate; len(m.sockets.open) != 0 || gate.total != 0 || len(gate.from) != 0 {
			t.Errorf("left: %d sockets, %+v", len(m.sockets.open), gate)
		}
	})
}
