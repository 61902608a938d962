// Package integration drives the built binary: node and agents as separate processes, through the story and its
// attacks, with clients that obey no rules, and with kills at random points. It holds tests only.
package integration
