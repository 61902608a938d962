package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Bounds of streams.
const (
	streamItems  = 64               // the window, unless [Window] says otherwise
	streamBytes  = 1 << 20          // the same
	mostItems    = 1 << 16          // of a window
	mostBytes    = 1 << 30          // the same
	maxItem      = 250 << 10        // bytes
	maxServed    = 64               // streams that a process serves at a time
	maxServedFor = 16               // of these, for one principal
	pingTime     = 10 * time.Second // between signs of life
	silentTime   = 30 * time.Second // without one, the other side is given up
)

var (
	// ErrGap is the last element of a stream some of whose items were lost on the way.
	ErrGap = fault.New(fault.Unreachable, "sdk: items of the stream were lost on the way")
	// ErrSilent is the last element of a stream whose other side has not been heard for 30 s, though it was asked
	// twice. What it has done is unknown.
	ErrSilent = fault.New(fault.Uncertain, "sdk: nothing was heard from the other side of the stream")
	// ErrNoStream is returned where one side streams and the other does not.
	ErrNoStream = fault.New(fault.InvalidInput, "sdk: one side streams and the other does not").
			WithHint("what HandleStream serves is called with Stream, what Handle serves with Call")
	errCancelled = fault.New(fault.Expired, "sdk: the stream's reader has gone")
	errServed    = fault.New(fault.Rate, "sdk: the process serves too many streams")
	errBegun     = fault.New(fault.Spent, "sdk: the stream was begun before")
	errFlood     = fault.New(fault.WindowFull, "sdk: the other side sent more than the stream's window allows")
)

// StreamFunc answers one delivery with a sequence of items. An error is its last element; code and text go to the
// reader. ctx ends when the reader stops reading, has not been heard for 30 s, or the agent closes; the sequence must
// end then. Its yield blocks while the reader's window is full. An item is 250 KiB at most.
type StreamFunc func(ctx context.Context, d *Delivery) iter.Seq2[[]byte, error]

// StreamHandler answers typed requests with a sequence of items, as a [StreamFunc] does.
type StreamHandler[In, Item any] func(ctx context.Context, r *Request[In]) iter.Seq2[Item, error]

// HandleStreamBytes serves a capability with a stream for each request. Middleware goes around it as around every
// handler, for as long as the stream lasts. A process serves 64 streams at a time, 16 for one principal; more are
// refused with the code rate.
func HandleStreamBytes(a *Agent, capability string, h StreamFunc, opts ...HandleOption) error {
	return a.service.handle(discovery.Capability{Name: capability}, a.streams.serving(h), opts)
}

// HandleStream serves a capability with a typed stream for each request. Requests are checked as [Handle] does; the
// agent's card shows the schema of In and that of one item.
func HandleStream[In, Item any](a *Agent, capability string, h StreamHandler[In, Item], opts ...HandleOption) error {
	in, err := formOf[In]()
	if err != nil {
		return err
	}
	item, err := formOf[Item]()
	if err != nil {
		return err
	}
	card := discovery.Capability{Name: capability, Input: in.text, Output: item.text}
	return a.service.handle(card, a.streams.serving(func(ctx context.Context, d *Delivery) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			data, err := in.decode(d.Content)
			if err != nil {
				yield(nil, err)
				return
			}
			r := &Request[In]{Data: data, From: d.From, ID: d.ID(), Capability: d.Capability}
			for v, err := range h(ctx, r) {
				var content []byte
				if err == nil {
					content, err = json.Marshal(v)
				}
				if !yield(content, err) || err != nil {
					return
				}
			}
		}
	}), opts)
}

// StreamOption says how a stream is read.
type StreamOption func(*windowContent)

// Window sets how much of a stream may be under way or wait to be read: so many items, 64 by default, and so many bytes
// of them, 1 MiB by default, that one item may exceed. The sender's sequence waits when it is full. At least 1 of each,
// at most 65,536 items and 1 GiB; what is beyond is taken for that.
func Window(items, bytes int) StreamOption {
	return func(w *windowContent) {
		w.Items = uint64(min(max(items, 1), mostItems))
		w.Bytes = uint64(min(max(bytes, 1), mostBytes))
	}
}

// StreamBytes sends one request and yields the items of its answer, in order and without gaps. An error is the last
// element: [ErrGap], [ErrSilent], [ErrNoStream], those of [CallBytes], and the handler's, with its code; without
// one the stream is complete. Each use of the sequence is a request of its own. Leaving the loop, and ctx, end the
// stream on both sides; a stream without a deadline lasts as long as both sides live.
//
// Items that were received and not yet read are bounded by the [Window]. Every item is signed, and encrypted to this
// process. A stream ends with the credential that it began with.
func StreamBytes(
	ctx context.Context, a *Agent, to Target, content []byte, opts ...StreamOption,
) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var refused error = ErrNoResponder
		for range maxPicks {
			s := a.link.current()
			r, err := pickRemote(ctx, s, to)
			if err != nil {
				yield(nil, err)
				return
			}
			request := requestContent{Capability: to.capability, Body: content, Window: windowOf(opts)}
			u := r.read(ctx, s, request, yield)
			if u == nil {
				return
			}
			refused = u
			a.circle.instances.dropProcess(r.process)
		}
		yield(nil, refused)
	}
}

func windowOf(opts []StreamOption) windowContent {
	w := windowContent{Items: streamItems, Bytes: streamBytes}
	for _, opt := range opts {
		opt(&w)
	}
	return w
}

// Stream sends a typed request and yields the typed items of its answer, each checked against the schema of Item. See
// [StreamBytes].
func Stream[Item, In any](
	ctx context.Context, a *Agent, to Target, in In, opts ...StreamOption,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var none Item
		form, err := formOf[Item]()
		var content []byte
		if err == nil {
			content, err = json.Marshal(in)
		}
		if err != nil {
			yield(none, fmt.Errorf("sdk: stream: %w", err))
			return
		}
		for raw, err := range StreamBytes(ctx, a, to, content, opts...) {
			item := none
			if err == nil {
				item, err = form.decode(raw)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}
