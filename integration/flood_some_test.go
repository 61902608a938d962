//go:build !soak

package integration

// floodConnections is how many connections TestFlood drops.
const floodConnections = 1000
