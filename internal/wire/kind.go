package wire

// Kind names what a statement says. It is part of the signed bytes twice, in the protected header's typ and in the
// external data, so a signature over one kind never passes for another. The registry stands in spec/README.md.
type Kind string

// Every kind of statement there is.
const (
	Genesis    Kind = "genesis"
	Roster     Kind = "roster"
	Token      Kind = "token"
	Enrolment  Kind = "enrolment"
	JoinToken  Kind = "join-token"
	Admission  Kind = "admission"
	Credential Kind = "credential"
	Succession Kind = "succession"
	Presence   Kind = "presence"
	Card       Kind = "card"
	Ticket     Kind = "ticket"
	Envelope   Kind = "envelope"
	Batch      Kind = "batch"
	Head       Kind = "head"
	Command    Kind = "command"
	Proposal   Kind = "proposal"
	Ballot     Kind = "ballot"
	Commitment Kind = "commitment"
	Evidence   Kind = "evidence"
)

// What a kind's media type begins and ends with.
const typBegin, typEnd = "application/conclave-", "+cbor"

// Typ returns the media type that stands in the protected header (RFC 9596).
func (k Kind) Typ() string { return typBegin + string(k) + typEnd }
