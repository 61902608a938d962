// Package lease holds what agents at a node see when its lease ends, under both ends that a policy may name: real nodes
// and real connections, in one process.
package lease
