package broker

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// EventKind says what happened to a connection.
type EventKind string

// The kinds of event.
const (
	Admitted   EventKind = "admitted"
	Refused    EventKind = "refused"     // never admitted; Code says why
	Cut        EventKind = "cut"         // its rights were taken away and it was disconnected; Code says why
	Left       EventKind = "left"        // it ended by itself, or at its deadline
	RateClosed EventKind = "rate_closed" // its principal published too fast and may not publish for now
	RateOpened EventKind = "rate_opened" // it may again
	Suspended  EventKind = "suspended"   // of the broker, not one connection: nobody is admitted from now on; Code says why
	Restricted EventKind = "restricted"  // of the broker: as Suspended, and clients that stay have less rights
	Resumed    EventKind = "resumed"     // of the broker: clients are admitted again, those that stayed have all rights
)

// Event is one thing that happened to one connection, or to the broker.
type Event struct {
	Kind      EventKind
	At        int64       // Unix milliseconds
	Client    uint64      // the connection's number, unique while the broker runs
	Address   string      // the remote end
	Principal identity.ID // zero when refused before the Gate said who it is
	Process   wire.Digest // likewise
	Code      fault.Code  // why, for Refused, Cut, Suspended and Restricted
}
