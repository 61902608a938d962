package sdk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// inflow is one stream that is read. The bus puts in what arrives, a goroutine of the stream's own opens it at once,
// because what waits longer than an envelope lives cannot be opened any more, and the reader takes it out.
type inflow struct {
	session  *session
	remote   remote
	exchange *exchange
	trace    string
	window   windowContent

	arrived chan struct{} // holds one: something is in raw
	ready   chan struct{} // holds one: something is in items, or over is set

	mu      sync.Mutex
	raw     []arrival
	rawSize int
	dropped int
	items   [][]byte
	next    uint64        // sequence of the next item to arrive
	got     uint64        // bytes of items that arrived
	taken   windowContent // by the reader
	told    windowContent // of what was taken
	over    bool          // no more comes
	ended   bool          // and the sender has said so

	confirmed bool // the sender knows the exchange's key; written by the tending goroutine, under mu
	failure   error
}

func newInflow(s *session, r remote, trace string, window windowContent) *inflow {
	return &inflow{
		session: s, remote: r, trace: trace, window: window,
		arrived: make(chan struct{}, 1), ready: make(chan struct{}, 1),
	}
}

// put takes what the bus brings. It never blocks: what the window has no room for is dropped, which ends the stream.
func (in *inflow) put(a arrival) {
	if on, err := in.session.subject.Parse(a.subject); err != nil || on.From != in.remote.agent {
		return // the broker lets nobody publish there under another's name
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return
	}
	size := max(len(a.data), leastPacket)
	if in.rawSize+size > in.mostRaw() {
		in.dropped++
		in.end(errFlood)
		return
	}
	in.raw, in.rawSize = append(in.raw, a), in.rawSize+size
	signal(in.arrived)
}

const (
	leastPacket = 256  // bytes that a packet is counted as at least
	partCost    = 2048 // bytes that an item grows by at most until it is a packet
)

// mostRaw is what an honest sender's window takes on the wire at most: one item may exceed the window.
func (in *inflow) mostRaw() int {
	return int(in.window.Bytes) + int(in.window.Items+1)*partCost + envelope.DefaultLimit
}

// tend opens what arrives, and asks for signs of life, until the stream is over.
func (in *inflow) tend(ctx context.Context) {
	ping, silence := time.NewTicker(pingTime), time.NewTimer(silentTime)
	defer ping.Stop()
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.session.conn.Done():
			in.fail(in.session.conn.Err())
			return
		case <-in.exchange.silent:
			in.fail(errSilenced)
			return
		case <-silence.C:
			in.fail(ErrSilent)
			return
		case <-ping.C:
			if err := in.steer(ctx, flowContent{Ping: true}); err != nil {
				in.session.agent.link.options.logger.Debug("stream not steered", "error", err)
			}
		case <-in.arrived:
			if in.open(ctx) {
				silence.Reset(silentTime)
			}
		}
	}
}

// open opens what has arrived and reports whether any of it was the sender's.
func (in *inflow) open(ctx context.Context) (heard bool) {
	in.mu.Lock()
	raw := in.raw
	in.raw = nil
	in.mu.Unlock()
	for _, a := range raw {
		opened := in.verify(ctx, a)
		in.mu.Lock()
		in.rawSize -= max(len(a.data), leastPacket)
		for _, m := range opened {
			in.accept(m)
		}
		in.mu.Unlock()
		heard = heard || len(opened) > 0
	}
	return heard
}

// verify returns what an arrival holds of the stream's sender.
func (in *inflow) verify(ctx context.Context, a arrival) (list []*envelope.Message) {
	opened, err := in.session.open(ctx, a.data, envelope.Inbound{
		Subject: a.subject, InReplyTo: in.exchange.id, ReplyFrom: in.remote.agent, Keys: in.exchange,
	})
	for _, o := range opened {
		switch {
		case o.Err != nil:
			err = o.Err
		case o.Message.Process() != in.remote.process:
			err = envelope.ErrMisaddressed
		default:
			list = append(list, o.Message)
		}
	}
	if err != nil && ctx.Err() == nil {
		in.session.agent.link.options.logger.Warn("reply refused", "code", string(fault.CodeOf(err)), "error", err)
	}
	in.confirm(list)
	return list
}

// confirm notes that the sender knows the key that the request has made.
func (in *inflow) confirm(list []*envelope.Message) {
	if in.confirmed || len(list) == 0 || list[0].Envelope().Encryption != envelope.Session {
		return
	}
	in.mu.Lock()
	in.confirmed = true
	in.mu.Unlock()
	s, now := in.session, in.session.agent.link.now()
	sender, err := s.agent.circle.peers.Sender(in.remote.agent, in.remote.process, now)
	if err == nil && in.exchange.fresh {
		s.exchanges.agreed.confirm(in.remote.process, in.exchange.key, sender.Credential.Statement().Expires, now)
	}
}

// accept takes one verified answer. in.mu is held.
func (in *inflow) accept(m *envelope.Message) {
	if m.Purpose() == envelope.Fault {
		in.ended = true
		err := faultOf(m)
		var f faultContent
		if wire.Decode(m.Content(), &f) == nil && f.Sequence > in.next {
			err = errors.Join(err, ErrGap)
		}
		in.end(err)
		return
	}
	var p partContent
	if err := wire.Decode(m.Content(), &p); err != nil {
		in.end(errors.Join(ErrNoStream, err))
		return
	}
	switch {
	case p.Sequence > in.next:
		in.end(ErrGap)
	case p.Sequence < in.next && p.Part != alivePart, p.Part == 0, p.Part > alivePart:
		in.end(errForm)
	case p.Part == endPart:
		in.ended = true
		in.end(nil)
	case p.Part == itemPart && !in.over:
		if in.next-in.taken.Items >= in.window.Items || in.got-in.taken.Bytes >= in.window.Bytes {
			in.dropped++
			in.end(errFlood)
			return
		}
		in.next++
		in.got += uint64(len(p.Item))
		in.items = append(in.items, p.Item)
		signal(in.ready)
	}
}

func (in *inflow) fail(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.end(err)
}

// end ends the stream, with err or complete. The first end counts. in.mu is held.
func (in *inflow) end(err error) {
	if in.over {
		return
	}
	in.over, in.failure = true, err
	signal(in.ready)
}

// take returns the next item; nil once the stream is complete.
func (in *inflow) take(ctx context.Context) (*[]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(ErrTimeout, err)
		}
		in.mu.Lock()
		if len(in.items) > 0 {
			item := in.items[0]
			in.items[0] = nil
			in.items = in.items[1:]
			in.mu.Unlock()
			return &item, nil
		}
		over, failure := in.over, in.failure
		in.mu.Unlock()
		if over {
			return nil, failure
		}
		select {
		case <-in.ready:
		case <-ctx.Done():
		}
	}
}

// release counts an item as read, and tells the sender after every half window.
func (in *inflow) release(ctx context.Context, item []byte) {
	in.mu.Lock()
	in.taken.Items++
	in.taken.Bytes += uint64(len(item))
	items, bytes := in.taken.Items-in.told.Items, in.taken.Bytes-in.told.Bytes
	due := !in.over && (items >= (in.window.Items+1)/2 || bytes >= (in.window.Bytes+1)/2)
	in.mu.Unlock()
	if !due {
		return
	}
	if err := in.steer(ctx, flowContent{}); err != nil { // the next ping says the same
		in.session.agent.link.options.logger.Debug("stream not steered", "error", err)
	}
}

// signal makes a channel that holds one hold one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
