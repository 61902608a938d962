package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// outlet is a connection that keeps what is published and confirms it when the test lets it.
type outlet struct {
	bus.Conn
	confirm chan struct{} // closed: always; nil: always
	fails   error         // of confirming, once it is let

	mu        sync.Mutex
	published []arrival
	broken    error // of further publications
}

func (o *outlet) Publish(_ context.Context, subject string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	o.published = append(o.published, arrival{subject, bytes.Clone(data)})
	return nil
}

func (o *outlet) Flush(ctx context.Context) error {
	if o.confirm == nil {
		return o.fails
	}
	select {
	case <-o.confirm:
		return o.fails
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done implements [bus.Conn].
func (o *outlet) Done() <-chan struct{} { return nil }

func (o *outlet) breaks(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = err
}

// all returns what was published, once everybody waits.
func (o *outlet) all() []arrival {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.published)
}

// exit is an egress with its surroundings.
type exit struct {
	*egress
	t       *testing.T
	conn    *outlet
	process *identity.Process
	key     *envelope.Key
	logged  []error
	cuts    atomic.Uint64
}

// leaving runs a test of an egress whose connection confirms nothing before confirm is closed.
func leaving(t *testing.T, fn func(t *testing.T, x *exit, confirm chan struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		confirm := make(chan struct{})
		x := &exit{t: t, conn: &outlet{confirm: confirm}, process: newTestProcess(t)}
		var err error
		if x.key, err = envelope.NewSenderKey(nil); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		x.egress = newEgress(x.process, x.conn, &x.cuts, testNow, func(_ string, err error) {
			mu.Lock()
			defer mu.Unlock()
			x.logged = append(x.logged, err)
		})
		fn(t, x, confirm)
		select {
		case <-confirm:
		default:
			close(confirm)
		}
		if err := x.close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func testNow() int64 { return time.Now().UnixMilli() }

func newTestProcess(t *testing.T) *identity.Process {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	p, err := identity.NewProcess(wire.Realm{1}, s, 1, testNow(), time.Hour.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (x *exit) topic(name string) *route {
	return &route{
		to: envelope.ToTopic(name), subject: "t." + name, purpose: envelope.Event, limit: frameBytes,
		protect: func(int64) (envelope.Protection, error) { return envelope.Under(x.key), nil },
	}
}

func (x *exit) post(r *route, text string) Receipt {
	x.t.Helper()
	receipt, err := x.egress.post(x.t.Context(), r, envelope.Member{Content: []byte(text)})
	if err != nil {
		x.t.Fatalf("post %q: %v", text, err)
	}
	return receipt
}

// request makes a lot for a process of its own.
func (x *exit) request(n byte) *lot {
	to := identity.NewID(identity.Agent, wire.NewKey([32]byte{n}).Public())
	l := newLot(&route{
		to: envelope.ToProcess(to, wire.Digest{n}), subject: fmt.Sprintf("r.%d", n), purpose: envelope.Request,
		protect: func(int64) (envelope.Protection, error) { return envelope.SealedTo(x.process.SealingKey()), nil },
	})
	l.put(envelope.Member{Content: []byte{n}})
	l.awaited = true
	return l
}

// Sender implements [envelope.Authority].
func (x *exit) Sender(identity.ID, wire.Digest, int64) (envelope.Sender, error) {
	return envelope.Sender{Credential: x.process.Credential(), Level: identity.Journeyer}, nil
}

// Authorise implements [envelope.Authority].
func (x *exit) Authorise(envelope.Sender, envelope.Envelope) error { return nil }

// Key implements [envelope.Keys].
func (x *exit) Key(wire.Digest) *envelope.Key { return x.key }

// texts opens one topic's publication and returns its messages' contents.
func (x *exit) texts(a arrival) []string {
	x.t.Helper()
	in := envelope.Inbound{Realm: wire.Realm{1}, Process: x.process, Topic: a.subject[2:], Subject: a.subject, Keys: x}
	windows := envelope.NewLiveWindows(1)
	stream := envelope.Stream{Credential: x.process.Credential().ID(), To: envelope.ToTopic(in.Topic)}
	if err := windows.Join(x.process.Principal(), stream, 1, testNow()+1000, testNow()); err != nil {
		x.t.Fatal(err)
	}
	c, err := envelope.Check(a.data, in, x, testNow())
	if err != nil {
		x.t.Fatalf("what was published on %s: %v", a.subject, err)
	}
	var list []string
	for _, o := range c.Commit(windows, testNow()) {
		if o.Err != nil {
			x.t.Fatalf("what was published on %s: %v", a.subject, o.Err)
		}
		list = append(list, string(o.Message.Content()))
	}
	return list
}

func shape(a arrival) string {
	switch a.data[0] {
	case 0xd2:
		return "single"
	case 0x85:
		return "member"
	}
	return "frame"
}

func TestALoneMessageLeavesAtOnceByItself(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		r := x.post(x.topic("news"), "one")
		all := x.conn.all()
		if len(all) != 1 || shape(all[0]) != "single" || !slices.Equal(x.texts(all[0]), []string{"one"}) {
			t.Fatalf("published %q", all)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the node confirmed it: %v", err)
		}
		close(confirm)
		id, err := r.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, want, err := envelope.Attest(all[0].data, len(all[0].data), wire.Realm{1}, x.process.Credential().Statement().Signing); err != nil || id != want {
			t.Errorf("id %s, want %s: %v", id, want, err)
		}
		if id, err := (Receipt{}).Wait(t.Context()); err == nil || !id.IsZero() {
			t.Error("a receipt of nothing waits for nothing")
		}
	})
}

// A connection that went down and stands again has confirmed nothing that was published before.
func TestALoneMessageOfAConnectionThatWentDown(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		close(confirm)
		news := x.topic("news")
		before := x.post(news, "before")
		synctest.Wait()
		if _, err := before.Wait(t.Context()); err != nil { // the honest twin
			t.Error(err)
		}
		x.cuts.Add(1)
		after := x.post(news, "after")
		synctest.Wait()
		if _, err := before.Wait(t.Context()); !errors.Is(err, bus.ErrUnreachable) || fault.CodeOf(err) != fault.Uncertain {
			t.Errorf("what was published before: %v", err)
		}
		if _, err := after.Wait(t.Context()); err != nil {
			t.Errorf("what was published after: %v", err)
		}
	})
}

func TestAFrameOfAConnectionThatWentDown(t *testing.T) {
	for cuts, want := range map[uint64]error{0: nil, 1: bus.ErrUnreachable} {
		leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
			x.hold()
			first := x.post(x.topic("news"), "one")
			second := x.post(x.topic("news"), "two")
			x.release()
			synctest.Wait()
			x.cuts.Add(cuts)
			close(confirm)
			for _, r := range []Receipt{first, second} {
				_, err := r.Wait(t.Context())
				if !errors.Is(err, want) || want != nil && fault.CodeOf(err) != fault.Uncertain {
					t.Errorf("after %d cuts: %v has code %q", cuts, err, fault.CodeOf(err))
				}
			}
		})
	}
}

// What has left and cannot be confirmed is in doubt; what has not left is not.
func TestWhatTheNodeDoesNotConfirm(t *testing.T) {
	for _, c := range []struct {
		name     string
		together bool
		broken   bool
		want     fault.Code
	}{
		{"a lone message in doubt", false, false, fault.Uncertain},
		{"a bundle in doubt", true, false, fault.Uncertain},
		{"a lone message that has not left", false, true, fault.Unreachable},
		{"a bundle that has not left", true, true, fault.Unreachable},
	} {
		leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
			close(confirm)
			if _, err := x.post(x.topic("news"), "honest").Wait(t.Context()); err != nil {
				t.Error(err)
			}
			x.conn.fails = bus.ErrUnreachable
			if c.broken {
				x.conn.breaks(bus.ErrUnreachable)
			}
			x.hold()
			receipts := []Receipt{x.post(x.topic("news"), "one")}
			if c.together {
				receipts = append(receipts, x.post(x.topic("weather"), "two"))
			}
			x.release()
			for _, r := range receipts {
				if _, err := r.Wait(t.Context()); fault.CodeOf(err) != c.want || !errors.Is(err, bus.ErrUnreachable) {
					t.Errorf("%s: %v has code %q", c.name, err, fault.CodeOf(err))
				}
			}
			x.conn.fails = nil
		})
	}
}

// Lone messages wait for no confirmation of those before, and are confirmed when somebody asks.
func TestLoneMessagesAreConfirmedOnDemand(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		news := x.topic("news")
		var last Receipt
		for n := range 5 {
			last = x.post(news, fmt.Sprint(n))
			if all := x.conn.all(); len(all) != n+1 || shape(all[n]) != "single" {
				t.Fatalf("%d publications of %d messages", len(all), n+1)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.drained(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained before the node confirmed anything: %v", err)
		}
		close(confirm)
		if err := x.drained(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := last.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// While two publications are not confirmed, what follows gathers in frames, in order.
func TestFramesFormUnderLoad(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		news, sport := x.topic("news"), x.topic("sport")
		var want []string
		var receipts []Receipt
		say := func(text string) {
			receipts = append(receipts, x.post(news, text))
			want = append(want, text)
		}
		for n := range maxUnflushed {
			x.hold()
			say(fmt.Sprint(2 * n))
			say(fmt.Sprint(2*n + 1))
			x.release()
			x.conn.all()
		}
		for n := 2 * maxUnflushed; n < 50; n++ {
			say(fmt.Sprint(n))
			x.post(sport, fmt.Sprint(n))
		}
		if n := len(x.conn.all()); n != maxUnflushed {
			t.Fatalf("%d publications, none of them confirmed", n)
		}
		close(confirm)
		if err := x.drained(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		forms := map[string]int{}
		for _, a := range x.conn.all() {
			forms[shape(a)]++
			if a.subject == news.subject {
				got = append(got, x.texts(a)...)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if forms["single"] != 0 || forms["frame"] != maxUnflushed+2 {
			t.Errorf("forms %v", forms)
		}
		seen := map[Digest]bool{}
		for _, r := range receipts {
			id, err := r.Wait(t.Context())
			if err != nil || id.IsZero() || seen[id] {
				t.Fatalf("receipt %s %v", id, err)
			}
			seen[id] = true
		}
	})
}

func TestAFrameIsBounded(t *testing.T) {
	for size, want := range map[int][]int{1: {envelope.MaxBatch, 76}, 256: {731, 369}, 4 << 10: {58, 42}, 100 << 10: {1, 1, 1}} {
		leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
			x.hold()
			news, total := x.topic("news"), 0
			for _, n := range want {
				total += n
			}
			for range total {
				x.post(news, string(make([]byte, size)))
			}
			x.release()
			close(confirm)
			var sizes []int
			for _, a := range x.conn.all() {
				sizes = append(sizes, len(x.texts(a)))
			}
			if !slices.Equal(sizes, want) {
				t.Errorf("%d messages of %d bytes in frames of %v, want %v", total, size, sizes, want)
			}
		})
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	for name, size := range map[string]int{"by number": 1, "by bytes": 200 << 10} {
		t.Run(name, func(t *testing.T) {
			leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
				x.hold()
				news, text := x.topic("news"), string(bytes.Repeat([]byte("x"), size))
				fits := min(maxQueued, maxQueuedBytes/(size+memberBytes))
				for range fits {
					x.post(news, text)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := x.egress.post(ctx, news, envelope.Member{Content: []byte(text)})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("one more than fits: %v", err)
				}
				waited := make(chan error, 1)
				go func() {
					_, err := x.egress.post(t.Context(), news, envelope.Member{Content: []byte(text)})
					waited <- err
				}()
				synctest.Wait()
				select {
				case err := <-waited:
					t.Fatalf("a full queue takes more: %v", err)
				default:
				}
				close(confirm)
				x.release()
				if err := <-waited; err != nil {
					t.Errorf("when there is room again: %v", err)
				}
			})
		})
	}
}

// Envelopes to many receivers share a signature, each with its proof.
func TestManyRequestsShareASignature(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		close(confirm)
		x.hold()
		var lots []*lot
		var filed []Digest
		for n := range byte(5) {
			l := x.request(n + 1)
			l.signed = func(s envelope.Signed) {
				if s.Session == nil {
					t.Error("no session")
				}
				filed = append(filed, s.ID)
			}
			lots = append(lots, l)
			if err := x.send(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		x.release()
		all := x.conn.all()
		if len(all) != 5 {
			t.Fatalf("%d publications", len(all))
		}
		for i, a := range all {
			e, id, err := envelope.Attest(a.data, len(a.data), wire.Realm{1}, x.process.Credential().Statement().Signing)
			if err != nil || shape(a) != "member" || e.To.Instance != (wire.Digest{byte(i + 1)}) || id != filed[i] {
				t.Errorf("%d: %s to %v, %v", i, shape(a), e.To, err)
			}
			if <-lots[i].done; lots[i].err != nil {
				t.Error(lots[i].err)
			}
		}
	})
}

// With nothing else under way a request is on the wire when send returns, and was filed before that.
func TestALoneRequestLeavesInTheCallersGoroutine(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, _ chan struct{}) {
		for n := range byte(3) { // the node confirms nothing, and nobody waits for that
			l := x.request(n + 1)
			filed := 0
			l.signed = func(envelope.Signed) { filed = len(x.conn.published) + 1 }
			if err := x.send(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if len(x.conn.published) != int(n)+1 || filed != int(n)+1 || shape(x.conn.published[n]) != "single" {
				t.Errorf("%d published, filed before number %d", len(x.conn.published), filed)
			}
		}
	})
}

var errProtect = errors.New("no key")

func TestFailuresAreTold(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		close(confirm)
		good, bad := x.topic("good"), x.topic("bad")
		bad.protect = func(int64) (envelope.Protection, error) { return envelope.Protection{}, errProtect }
		_, err := x.egress.post(t.Context(), good, envelope.Member{Content: make([]byte, envelope.DefaultLimit+1)})
		if !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("too large at once: %v", err)
		}
		x.hold()
		first, failing, last := x.post(good, "1"), x.post(bad, "2"), x.post(x.topic("other"), "3")
		x.release()
		for _, r := range []Receipt{first, last} {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Errorf("beside one that fails: %v", err)
			}
		}
		if _, err := failing.Wait(t.Context()); !errors.Is(err, errProtect) {
			t.Errorf("receipt: %v", err)
		}
		if err := x.drained(t.Context()); !errors.Is(err, errProtect) {
			t.Errorf("flush: %v", err)
		}
		if err := x.drained(t.Context()); err != nil {
			t.Errorf("flush again: %v", err)
		}
		almost := x.post(good, string(make([]byte, envelope.DefaultLimit)))
		if _, err := almost.Wait(t.Context()); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("too large when sealed: %v", err)
		}
		x.conn.breaks(bus.ErrUnreachable)
		if _, err := x.post(good, "4").Wait(t.Context()); !errors.Is(err, bus.ErrUnreachable) {
			t.Errorf("not published: %v", err)
		}
		l := x.request(1)
		if err := x.send(t.Context(), l); err != nil {
			t.Errorf("request: %v", err)
		}
		if <-l.done; !errors.Is(l.err, bus.ErrUnreachable) {
			t.Errorf("request not published: %v", l.err)
		}
		x.conn.breaks(nil)
		if _, err := x.post(good, "5").Wait(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if len(x.logged) != 3 {
			t.Errorf("logged %v", x.logged)
		}
	})
}

func TestCloseLetsOutWhatIsQueued(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		x.hold()
		news := x.topic("news")
		receipts := []Receipt{x.post(news, "1"), x.post(news, "2")}
		go func() {
			synctest.Wait()
			close(confirm)
		}()
		if err := x.close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, r := range receipts {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if _, err := x.egress.post(t.Context(), news, envelope.Member{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
		if err := x.send(t.Context(), x.request(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		news := x.topic("news")
		var receipts []Receipt
		for range 4 {
			receipts = append(receipts, x.post(news, "text"))
			x.conn.all()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		for i, r := range receipts {
			if _, err := r.Wait(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// A session that is replaced takes no more events, and what it has goes before those of the next one.
func TestARetiredSessionTakesNoEvents(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		close(confirm)
		news := x.topic("news")
		x.post(news, "1")
		x.retire()
		if _, err := x.egress.post(t.Context(), news, envelope.Member{}); !errors.Is(err, errRetired) {
			t.Errorf("an event: %v", err)
		}
		if err := x.send(t.Context(), x.request(1)); err != nil {
			t.Errorf("a request: %v", err)
		}
		if err := x.drained(t.Context()); err != nil || len(x.conn.all()) != 2 {
			t.Errorf("%d published, %v", len(x.conn.all()), err)
		}
	})
}

func TestConcurrentPublishersKeepTheirOrder(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		close(confirm)
		news := x.topic("news")
		var group sync.WaitGroup
		for p := range 8 {
			group.Go(func() {
				for n := range 200 {
					x.post(news, fmt.Sprintf("%d %03d", p, n))
				}
			})
		}
		group.Wait()
		if err := x.drained(t.Context()); err != nil {
			t.Fatal(err)
		}
		last := map[byte]string{}
		total := 0
		for _, a := range x.conn.all() {
			for _, text := range x.texts(a) {
				if text <= last[text[0]] {
					t.Fatalf("%q after %q", text, last[text[0]])
				}
				last[text[0]] = text
				total++
			}
		}
		if total != 1600 {
			t.Errorf("%d messages", total)
		}
	})
}

// next returns the egress of a session that replaces this one's.
func (x *exit) next() *exit {
	n := &exit{t: x.t, conn: &outlet{}, process: newTestProcess(x.t), key: x.key}
	n.egress = newEgress(n.process, n.conn, &n.cuts, testNow, func(string, error) {})
	n.egress.follow(x.egress)
	x.retire()
	return n
}

// Who flushes after a session was replaced waits for what was published before, and is told what became of it.
func TestFlushingReachesTheSessionBefore(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		frame := func(x *exit, text string) {
			x.hold()
			x.post(x.topic("news"), text)
			x.post(x.topic("news"), text)
			x.release()
			synctest.Wait()
		}
		frame(x, "before")
		n := x.next()
		frame(n, "after")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.drained(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the node confirmed the first: %v", err)
		}
		close(confirm)
		if err := n.drained(t.Context()); err != nil {
			t.Error(err)
		}
		x.conn.breaks(bus.ErrUnreachable)
		x.mu.Lock()
		x.retired = false
		x.mu.Unlock()
		frame(x, "lost")
		_, _ = x.idle(t.Context()) // as a renewal does
		if err := n.drained(t.Context()); !errors.Is(err, bus.ErrUnreachable) {
			t.Errorf("what was lost of it: %v", err)
		}
		if err := n.drained(t.Context()); err != nil {
			t.Errorf("once more: %v", err)
		}
		last := n.next()
		if n.former != nil {
			t.Error("all sessions that ever were are kept")
		}
		for _, x := range []*exit{n, last} {
			if err := x.close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// What there will never be room for is refused, and does not wait for it.
func TestWhatNeverFitsIsRefused(t *testing.T) {
	leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
		x.hold()
		l := x.request(1)
		l.put(envelope.Member{Content: make([]byte, maxQueuedBytes-memberBytes)})
		if err := x.send(t.Context(), l); err != nil { // the honest twin; sealing refuses it
			t.Fatal(err)
		}
		l = x.request(2)
		l.put(envelope.Member{Content: make([]byte, maxQueuedBytes)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.send(ctx, l); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%v", err)
		}
		x.release()
	})
}

// A request that may have reached its process is not one that can be made again without a thought.
func TestARequestThatWasNotConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		left bool // before the connection broke
		code fault.Code
	}{
		"sent and not confirmed": {true, fault.Uncertain},
		"not sent":               {false, fault.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			leaving(t, func(t *testing.T, x *exit, confirm chan struct{}) {
				x.hold()
				lots := []*lot{x.request(1), x.request(2)}
				for _, l := range lots {
					if err := x.send(t.Context(), l); err != nil {
						t.Fatal(err)
					}
				}
				x.conn.fails = bus.ErrUnreachable
				if !c.left {
					x.conn.breaks(bus.ErrUnreachable)
				}
				close(confirm)
				x.release()
				waiting := &exchanges{session: &session{way: &way{conn: x.conn}}}
				for _, l := range lots {
					e := &exchange{arrived: make(chan arrival), silent: make(chan struct{})}
					_, err := waiting.await(t.Context(), e, l)
					if fault.CodeOf(err) != c.code || !errors.Is(err, bus.ErrUnreachable) {
						t.Errorf("%v has code %q, want %q", err, fault.CodeOf(err), c.code)
					}
				}
			})
		})
	}
}
