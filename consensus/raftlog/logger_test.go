package raftlog

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

// lines returns a logger of everything, without times, and what it has written.
func lines(level slog.Level) (*slog.Logger, *bytes.Buffer) {
	out := new(bytes.Buffer)
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		},
	})), out
}

func TestLogSink(t *testing.T) {
	tests := []struct {
		level hclog.Level
		ready bool
		want  string
	}{
		{hclog.Error, false, "ERROR"},
		{hclog.Error, true, "ERROR"},
		{hclog.Warn, false, "DEBUG"},
		{hclog.Warn, true, "WARN"},
		{hclog.Info, true, "DEBUG"},
		{hclog.Debug, true, "DEBUG-4"},
		{hclog.Trace, true, "DEBUG-4"},
	}
	for _, test := range tests {
		to, out := lines(slog.LevelDebug - 4)
		sink := &logSink{to: to}
		sink.ready.Store(test.ready)
		newLogger(sink).With("a", 1).Log(test.level, "hello", "b", hclog.Fmt("%d-%d", 2, 3), "c", hclog.Info)
		want := "level=" + test.want + ` msg="raft: hello" a=1 b=2-3 c=info` + "\n"
		if out.String() != want {
			t.Errorf("%v, ready %v: %q, want %q", test.level, test.ready, out, want)
		}
	}
}

func TestQuietStart(t *testing.T) {
	to, out := lines(slog.LevelInfo)
	cfg := testConfig(filepath.Join(t.TempDir(), "raft"), new(logtest.Recorder))
	cfg.Logger = to
	for range 2 {
		log, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, log, 0, 1)
		shut(t, log)
	}
	if strings.TrimSpace(out.String()) != "" {
		t.Errorf("a healthy start and stop logs:\n%s", out)
	}
}
