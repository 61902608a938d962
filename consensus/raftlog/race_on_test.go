//go:build race

package raftlog

// raced says whether the race detector is in this build.
const raced = true
