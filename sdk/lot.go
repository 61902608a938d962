package sdk

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	frameBytes  = 240 << 10 // of contents in one frame, with what each adds
	memberBytes = 80        // what a message adds to its content, about
	firstArena  = 16 << 10
)

// route is where envelopes go, and how their bodies are protected. Its lots hold messages of one kind.
type route struct {
	to        envelope.Destination
	subject   string
	purpose   envelope.Purpose
	inReplyTo wire.Digest
	limit     int // bytes of a frame
	// protect is asked when the counters are taken.
	protect func(now int64) (envelope.Protection, error)

	open *lot // the queued one that takes further messages; under egress.mu
}

// lot is what has queued for one route, sealed together.
type lot struct {
	route   *route
	members []envelope.Member
	arena   []byte   // where further contents are copied to
	buffers *buffers // that both are of, if they are not the lot's own
	size    int      // bytes, estimated
	event   bool
	awaited bool // somebody waits for the outcome
	// lost is told, if nobody awaits the outcome, why it has not left or is in doubt; it reports whether it sees to that.
	lost func(err error) bool
	// signed is told of the envelope before it is published; for lots of one.
	signed func(envelope.Signed)
	salt   io.Reader // of the envelope of a lot of one; crypto/rand if nil

	done chan struct{} // closed when the outcome below is known
	err  error
	left bool // it was published; err is that nobody knows whether the node has it
	ids  func(index int) Digest
	// confirm asks the node whether it has taken the message, if nobody did so before done; else nil.
	confirm func(ctx context.Context, cuts uint64) error
	cuts    uint64 // how often the connection had gone down when it was published
}

func newLot(r *route) *lot { return &lot{route: r, done: make(chan struct{})} }

// buffers are what the messages of a lot stand in until they are sealed.
type buffers struct {
	members []envelope.Member
	arena   []byte // where contents are copied to
}

// spare keeps buffers of lots that were sealed, for those that fill next.
var spare = sync.Pool{New: func() any { return new(buffers) }}

// add copies a message into the lot and returns its index.
func (l *lot) add(m envelope.Member) int {
	if len(l.members) == 0 { // often the only one
		l.put(m)
		l.members[0].Content = bytes.Clone(m.Content)
		return 0
	}
	if l.buffers == nil {
		l.buffers = spare.Get().(*buffers)
		l.members = append(l.buffers.members[:0], l.members...)
		l.arena = l.buffers.arena[:0]
	}
	n := len(m.Content)
	if cap(l.arena)-len(l.arena) < n { // those before keep the old one
		l.arena = make([]byte, 0, max(n, firstArena, min(2*cap(l.arena), frameBytes)))
	}
	at := len(l.arena)
	l.arena = append(l.arena, m.Content...)
	m.Content = l.arena[at:len(l.arena):len(l.arena)]
	l.members = append(l.members, m)
	l.size += weight(m)
	return len(l.members) - 1
}

// sealed gives the buffers back: nothing refers to the contents any more.
func (l *lot) sealed() {
	if l.buffers != nil {
		clear(l.members)
		l.buffers.members, l.buffers.arena = l.members[:0], l.arena[:0]
		spare.Put(l.buffers)
	}
	l.buffers, l.members, l.arena = nil, nil, nil
}

// put makes m, whose content is the lot's from now on, its only message.
func (l *lot) put(m envelope.Member) {
	l.members = []envelope.Member{m}
	l.size = weight(m)
}

// weight is about what a message costs in a frame, in bytes.
func weight(m envelope.Member) int {
	return len(m.Content) + len(m.ContentType) + len(m.Trace) + memberBytes
}

func (l *lot) finish(err error) {
	l.err = err
	close(l.done)
}

// settled returns when the node has taken the lot, or why it has not.
func (l *lot) settled(ctx context.Context) error {
	select {
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.err != nil || l.confirm == nil {
		return l.err
	}
	return l.confirm(ctx, l.cuts)
}
