// Package trust says what an agent may do now: its standing (status and autonomy level), the rights that a level has,
// and the ticket, a majority of nodes' signed word on both.
//
// It is pure: no clock, socket, goroutine or randomness; time is a parameter in Unix milliseconds. What is absent or
// unknown has no rights.
package trust
