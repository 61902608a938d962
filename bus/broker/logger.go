package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

var _ server.Logger = (*logger)(nil)

// linesPerSecond bounds what clients can make the server write.
const linesPerSecond = 20

// insecureWarning is what the server says at each reload of a TLS configuration without a certificate authority. Ours
// compares the key itself, so the line is wrong and is left out.
const insecureWarning = "TLS certificate chain and hostname of solicited routes will not be verified. DO NOT USE IN PRODUCTION!"

// logger passes the server's lines on and keeps fatal ones instead of ending the process.
type logger struct {
	to      *slog.Logger
	started atomic.Bool // the server listens

	mu         sync.Mutex
	fatal      error
	second     int64 // Unix seconds of the count below
	lines      int
	suppressed int
}

// Noticef implements [server.Logger].
func (l *logger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Warnf implements [server.Logger]. What the server warns of while it starts is its own configuration, which is ours and
// meant: clients that do not begin with TLS fail, for one.
func (l *logger) Warnf(format string, v ...any) {
	if format == insecureWarning {
		return
	}
	level := slog.LevelWarn
	if !l.started.Load() {
		level = slog.LevelDebug
	}
	l.write(level, format, v)
}

// Errorf implements [server.Logger]. Most of what the server calls an error is a client's fault.
func (l *logger) Errorf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }

// Debugf implements [server.Logger]; never asked for.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements [server.Logger]; it would carry payloads.
func (l *logger) Tracef(string, ...any) {}

// Fatalf implements [server.Logger].
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf("nats-server: "+format, v...)
	}
}

// failure returns the first fatal line, or nil.
func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *logger) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if !l.to.Enabled(ctx, level) {
		return
	}
	suppressed, ok := l.admit(time.Now().Unix())
	if !ok {
		return
	}
	line := slog.String("line", fmt.Sprintf(format, v...))
	if suppressed > 0 {
		l.to.LogAttrs(ctx, level, "nats-server", line, slog.Int("suppressed", suppressed))
		return
	}
	l.to.LogAttrs(ctx, level, "nats-server", line)
}

// admit counts a line of the second given, and returns how many were left out before it.
func (l *logger) admit(second int64) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second != l.second {
		l.second, l.lines = second, 0
	}
	if l.lines >= linesPerSecond {
		l.suppressed++
		return 0, false
	}
	l.lines++
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
