package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestAHealthyStartWarnsOfNothing also shows that what the server warns of later is passed on.
func TestAHealthyStartWarnsOfNothing(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f := start(t, func(c *Config) { c.Logger = log })
	f.Close()
	if said.Len() != 0 {
		t.Errorf("a healthy start said: %s", &said)
	}
	late := &logger{to: log}
	late.Warnf("before %d", 1)
	late.started.Store(true)
	late.Warnf("after %d", 2)
	if got := said.String(); strings.Contains(got, "before 1") || !strings.Contains(got, "after 2") {
		t.Errorf("passed on: %s", got)
	}
}
