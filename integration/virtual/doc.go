// Package virtual plays schedules of faults on three nodes in virtual time: a bubble of testing/synctest holds real raft
// logs over connections in memory, real ledgers, real registrars over a bus in memory, and clients that change, read and
// decide. Links can be cut, delayed, lossy and disorderly, nodes killed, and each node's wall clock can jump, drift or
// stand still. The checkers of package check judge what was seen.
//
// Half a minute of a realm's life takes about a second here. What it cannot show is what an operating system does: a
// process that is stopped, a disk that lies, packets. That is played in package integration, on real processes.
package virtual
