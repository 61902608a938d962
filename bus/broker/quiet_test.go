package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// lines is what a broker logs as warnings and worse, those that fit.
type lines chan string

// Write implements [io.Writer].
func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

func (l lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// wants waits for a line that holds the words.
func (l lines) wants(t *testing.T, words string) {
	t.Helper()
	for bound := ctx(t); ; {
		select {
		case s := <-l:
			if strings.Contains(s, words) {
				return
			}
		case <-bound.Done():
			t.Fatalf("nothing said of %q", words)
		}
	}
}

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
