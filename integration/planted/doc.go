// Package planted holds tests that break each invariant of the product once, by package internal/planted, and want the
// checkers of package check to say so: three nodes in one process, under load, through a restart of the leader or a node
// that hangs. The same run without the fault must please every checker. The tests need the build tag planted.
package planted
