// Package audit holds what proves the record: the [Leaf] of each registry command, the [Head] that a majority of nodes
// signs over the tree of leaves, and [Inclusion], which shows that one leaf is under a head. It also declares the port
// [Trail], a node's wider log of what happened at its doors.
//
// It is pure: no clock, socket, goroutine or randomness.
package audit
