package broker

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/bustest"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// TestConnectionsThatHaveGoneDoNotCount opens and closes more processes of one principal than it may have at a time,
// on a broker that never samples. Only what lives counts.
func TestConnectionsThatHaveGoneDoNotCount(t *testing.T) {
	f := start(t, func(c *Config) { c.SampleEvery = time.Hour })
	id := bustest.ID(identity.Agent, 200)
	for i := range 3 * MaxPerPrincipal {
		conn := f.dial(t, f.process(id, allow("x", "x")))
		if err := conn.Close(ctx(t)); err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		f.gone(t)
	}
	for range MaxPerPrincipal { // and as many as it may have are let in at once
		f.dial(t, f.process(id, allow("x", "x")))
	}
}

// gone waits until the server has noticed that every client has left.
func (f *fixture) gone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for f.server.NumClients() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("a client that closed is still there")
		}
	}
}
