//go:build !planted

package planted

// Fault reports whether the process has a fault; at a node, see [At], or at all of them.
func Fault(Name) bool { return false }

// At reports whether a node has a fault that only some have.
func At(Name, interface{ String() string }) bool { return false }

// Deliver delivers something from the bus. With [Replays] it does so twice.
func Deliver(deliver func()) { deliver() }

// DeliverMessage is Deliver of a topic's message. With [Shuffles] some come after the next one.
func DeliverMessage(deliver func()) { deliver() }
