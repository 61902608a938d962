//go:build !soak

package integration

// slowEnough returns what says when the publisher of TestSlowReader has sent enough: 128 MiB.
func slowEnough() func(sent int) bool { return func(sent int) bool { return sent >= 8192 } }
