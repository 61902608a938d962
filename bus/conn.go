package bus

import (
	"context"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	// ErrClosed is returned when the connection has ended.
	ErrClosed = fault.New(fault.Unreachable, "bus: the connection is closed")
	// ErrUnreachable is returned when there is no connection at the moment, or none in time.
	ErrUnreachable = fault.New(fault.Unreachable, "bus: no connection to a node")
	// ErrDenied is returned when the permissions do not cover a subject, or a node refuses the connection.
	ErrDenied = fault.New(fault.Denied, "bus: not allowed")
	// ErrTooLarge is returned when a message exceeds what the node takes.
	ErrTooLarge = fault.New(fault.TooLarge, "bus: message too large")
)

// Conn carries messages to and from one node at a time. It is safe for concurrent use.
//
// Delivery is at most once. Messages that one connection publishes on one subject reach a subscription in that order,
// and those on different subjects too as long as one subscription hears both. A subscription's queue is bounded, in
// messages and in bytes of their data, beside the message being handled: what does not fit is dropped, counted
// ([Subscription.Dropped]) and reported ([Observer.Dropped]); nothing else is lost while the connection stands, and
// nobody else notices. A publisher hears its own messages where it subscribes.
//
// When the connection breaks, an implementation over a network reconnects by itself and subscribes anew. What was
// under way may be lost, and what is published meanwhile is refused with [ErrUnreachable], never kept for later: a
// stale envelope is worth nothing.
type Conn interface {
	// Publish hands over one message; data is copied or written before it returns. nil does not say that anybody
	// received it, nor that the node allowed it: that is reported to [Observer.Refused]. ctx is only looked at
	// first; the call then lasts no longer than a write to the network may. Errors: [ErrSubject], [ErrTooLarge],
	// [ErrUnreachable], [ErrClosed], [ErrDenied] where it is known at once, ctx's.
	Publish(ctx context.Context, subject string, data []byte) error
	// Subscribe has fn called for every message that pattern matches, in one goroutine of the subscription's own; fn
	// owns data. When it returns nil the node has the subscription. Errors: [ErrSubject], [ErrDenied],
	// [ErrUnreachable], [ErrClosed].
	Subscribe(pattern string, fn func(subject string, data []byte)) (Subscription, error)
	// Flush returns when the node has taken all that was published before. Errors: [ErrUnreachable], [ErrClosed],
	// ctx's.
	Flush(ctx context.Context) error
	// Close flushes, ends all subscriptions, has what they had queued handled, and returns when no fn runs or will
	// run, or when ctx ends. It must not be called from an fn. A second Close returns nil.
	Close(ctx context.Context) error
	// Done is closed when the connection has ended for good: by Close, or because the nodes refuse it.
	Done() <-chan struct{}
	// Err returns nil before Done is closed, and then why it ended: [ErrClosed] after Close, otherwise an error with
	// a code.
	Err() error
}

// Located is a [Conn] that knows which node it speaks to. Connections over a network are; those in one process, or in
// memory, need not be.
type Located interface {
	// Node returns the node whose key the connection proved, and zero while there is none. It changes when the
	// connection comes back at another node, before [Observer.Connected] is told.
	Node() identity.ID
}

// Subscription is one subscription of a [Conn]. It is safe for concurrent use.
type Subscription interface {
	// Unsubscribe ends it: what is not yet handled is dropped, and fn is not called after it returns, except by a
	// call that is running then. A second call does nothing.
	Unsubscribe() error
	// Drain ends it and has everything handled first that the node took before the call. It returns when fn will not
	// run again, or when ctx ends; it must not be called from fn. Errors: as [Conn.Flush].
	Drain(ctx context.Context) error
	// Dropped returns how many messages did not fit its queue so far.
	Dropped() uint64
}

// Observer is told what a connection cannot return from a call. Every field may be nil. The functions are called one
// at a time and must not block or call the connection.
type Observer struct {
	// Dropped: a subscription to pattern has lost n messages more. It is called when losing begins and again at the
	// 10th, 100th and so on while it lasts; losing ends when half of the queue is free. [Subscription.Dropped] has the
	// exact number.
	Dropped func(pattern string, n uint64)
	// Refused: the node refused something published or subscribed to earlier; [ErrDenied] is in err's chain.
	Refused func(err error)
	// Disconnected: the connection broke and is being made anew; err says why and may be nil.
	Disconnected func(err error)
	// Connected: it stands again, with all subscriptions.
	Connected func()
	// Redialling: another connection is about to be tried, so whatever was published before is confirmed by none that
	// will stand. Unlike the others it is called on the way, before anything can come over the new connection; it must
	// only count, and may be called several times for one break, and before the first connection.
	Redialling func()
}
