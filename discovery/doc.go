// Package discovery holds what tells agents of each other: a [Card], an agent's signed capabilities, kept in the
// registry; and a [Presence], a process's signed word that it is there now, which never is.
//
// It is pure: no clock, socket, goroutine or randomness; time is a parameter in Unix milliseconds.
package discovery
