// Package identity says who is who: principals named by nkeys, the realm's genesis and rosters, the credentials that
// bind a process's keys to its principal, successions of identity keys, and by one-time key the enrolment of agents and
// the admission of nodes.
//
// A [Signer] holds an identity key and signs only the kinds of statement its role may make; a [Process] holds the keys
// that live in memory and signs only envelopes, batches and presences. Nothing in this package signs bytes that
// somebody else chose. What is read from outside is verified by the Verify functions, each of which names the keys it
// trusts; none takes a key from the message itself.
package identity
