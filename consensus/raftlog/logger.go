package raftlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// logSink hands raft's log lines to a slog.Logger. Raft talks much: its INFO becomes DEBUG, and until the log is
// ready its warnings too, since every start of a lone voter begins with "heartbeat timeout reached".
type logSink struct {
	to    *slog.Logger
	quiet bool // everything is DEBUG: what a connection says that was cut, raft says again
	ready atomic.Bool
}

var _ hclog.SinkAdapter = (*logSink)(nil)

// newLogger returns a logger that writes nothing itself and passes every line to sink.
func newLogger(sink *logSink) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	logger.RegisterSink(sink)
	return logger
}

// Accept passes one line on.
func (s *logSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	severity := s.severity(level)
	if ctx := context.Background(); s.to.Enabled(ctx, severity) {
		s.to.Log(ctx, severity, "raft: "+msg, plain(args)...)
	}
}

func (s *logSink) severity(level hclog.Level) slog.Level {
	switch {
	case s.quiet:
		return slog.LevelDebug
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn && s.ready.Load():
		return slog.LevelWarn
	case level >= hclog.Info:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

// plain turns raft's own types into text, so that no handler looks inside them.
func plain(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case hclog.Format:
			if format, ok := arg[0].(string); ok {
				out[i] = fmt.Sprintf(format, arg[1:]...)
			}
		case fmt.Stringer:
			out[i] = arg.String()
		default:
			out[i] = arg
		}
	}
	return out
}
