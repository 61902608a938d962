//go:build soak

package integration

import "time"

// slowEnough returns what says when the publisher of TestSlowReader has sent enough: for a minute.
func slowEnough() func(sent int) bool {
	end := time.Now().Add(30 * time.Second)
	return func(int) bool { return time.Now().After(end) }
}
