// Package trust says what an agent may do now: its standing (status and autonomy level), the rights that a level has,
// and the ticket, a majority of nodes' signed word on both.
//
// A [Book] says what agents have earned. It counts evidence, signed statements of which [Evidence.Admit] says who may make
// them, into one account an agent: what went right and wrong by risk class, over months and over days; broken rules, and what
// of them an operator's agents owe together; suspicion. From these come four scores, [Book.Scores], and from scores, time and
// people's signatures the level, [Book.Promotable] and [Book.Judge]. Three rules keep scores from being bought: who has
// received nothing can give nothing, and less is given than was received; one operator's words of a day weigh as one; what is
// unknown is neither good nor bad. All amounts are integers and decay by ticks counted from 1970, so that every replica
// reckons alike.
//
// It is pure: no clock, socket, goroutine or randomness; time is a parameter in Unix milliseconds. What is absent or
// unknown has no rights.
package trust
