// Package planted names faults that the product must not have, each at the one place where it would break an invariant.
// A build with the tag planted has those that the environment variable CONCLAVE_PLANTED lists; it serves to show that the
// checkers of package integration/check see them. A normal build has none: what is here are constants and functions that
// do nothing, and the compiler removes what stands behind them.
//
//	if planted.Fault(planted.EndlessLease) {
//		return l.length
//	}
//
// Some names are hardships instead: what an honest node or agent must withstand, and without which a fault would stay
// hidden. The honest twin of every run has all the hardships and no fault.
package planted

// Name names a fault. The list is closed: a build with the tag panics at a name that is not in it.
type Name string

// The hardships.
const (
	Resubmits Name = "hardship-resubmits" // a node hands every command to the log twice
	Replays   Name = "hardship-replays"   // the bus delivers everything twice
	Shuffles  Name = "hardship-shuffles"  // the bus delivers some of a topic's messages after the next one
	Stalls    Name = "hardship-stalls"    // a node, see [At], applies nothing, as behind a log that hangs
)

// The faults, one for each invariant.
const (
	KeepsSpeaking  Name = "fault-keeps-speaking"  // a quarantine does not reach live connections
	EndlessLease   Name = "fault-endless-lease"   // a node serves without a lease
	ForgetsAnswers Name = "fault-forgets-answers" // the ledger executes a command again
	IgnoresExpect  Name = "fault-ignores-expect"  // the ledger compares nothing before it sets
	AnswersEarly   Name = "fault-answers-early"   // a command is answered and not appended
	TellsFalse     Name = "fault-tells-false"     // a node, see [At], tells members otherwise than they are
	Diverges       Name = "fault-diverges"        // a node, see [At], applies another command than the others, and goes on
	HandlesTwice   Name = "fault-handles-twice"   // an agent does not remember which messages it has had
	HandlesLate    Name = "fault-handles-late"    // an agent handles messages that come after newer ones
	ActsTwice      Name = "fault-acts-twice"      // an agent does twice what was decided once
)
