//go:build !race

package virtual

// raced says whether the race detector is in this build.
const raced = false
