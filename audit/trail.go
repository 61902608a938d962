package audit

import "github.com/seed-3e86d5b2/conclave/internal/wire"

// Entry is one thing that happened at a node's door. It holds names and digests, never payloads or keys.
type Entry struct {
	Time    int64       `cbor:"1,keyasint"`           // the node's clock, Unix milliseconds
	Door    Door        `cbor:"2,keyasint"`           // where
	Subject string      `cbor:"3,keyasint,omitempty"` // who or what it was about: a principal's nkey, a subject
	Code    string      `cbor:"4,keyasint,omitempty"` // empty: it was let through; otherwise the refusal's code
	Object  wire.Digest `cbor:"5,keyasint"`           // the statement concerned; zero for none
	Detail  string      `cbor:"6,keyasint,omitempty"` // for people, at most 256 bytes
}

// Door names where an entry was made.
type Door string

// The doors.
const (
	Admission    Door = "admission"   // a connection was let in or refused
	Enrolling    Door = "enrolment"   // a principal enrolled
	Commanding   Door = "command"     // another registry command
	Proposing    Door = "proposal"    // a decision was opened
	Voting       Door = "ballot"      // a ballot was cast
	Certifying   Door = "certificate" // a decision was approved, or its certificate handed out
	Consuming    Door = "consumption" // a certificate was consumed
	Quarantining Door = "quarantine"  // a principal was silenced, released or revoked
	Running      Door = "node"        // the node started or stopped
)

// Trail is a node's own append-only log. Implementations: audit/filetrail. Safe for concurrent use.
type Trail interface {
	// Record appends one entry. It returns when the entry is in the trail's hands; a failed write is reported by this
	// or the next call and is final: a node that cannot record stops.
	Record(Entry) error

	// Close writes what is pending, durably. Calling it again does nothing.
	Close() error
}
