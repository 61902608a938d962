// Package consensus holds a decision's life: an [Action] is proposed, an electorate is frozen in an [Opening], voters
// sign [Ballot]s, [Tally] counts them by a [Rule], and a [Certificate] carries all of it to whoever must act. It also
// declares the port [Log], the replicated log that the registry stands on.
//
// What decides is pure: no clock, socket, goroutine, float or randomness; time is a parameter in Unix milliseconds. A
// rule that nobody need meet is invalid, an empty electorate meets no rule, and silence rejects.
package consensus
