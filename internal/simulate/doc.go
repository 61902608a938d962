// Package simulate plays populations of agents against the trust book that a node keeps, in virtual time: the same
// arithmetic, the same ladder, years in seconds. Beside it three common rules are fed with the same events: the plain mean,
// an exponential moving average and a Beta reputation with forgetting. [Run] plays a [Scenario]; [Replay] feeds a list of
// ratings, as trust networks are published, into the book.
//
// Nothing here reads a clock or true randomness: a scenario names its seed, and the same seed gives the same result
// everywhere. There are no floats.
package simulate
