package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Log tells l of every delivery handled: its id, who sent it, at what level, on which capability or topic, the sizes of
// content and answer in bytes, the time taken, and the error's code, "" for none. Failures are warnings. Neither
// content nor an error's text is logged: texts quote content.
func Log(l *slog.Logger) sdk.Middleware {
	l = orDiscard(l)
	return func(next sdk.HandlerFunc) sdk.HandlerFunc {
		return func(ctx context.Context, d *sdk.Delivery) (out []byte, err error) {
			begun, returned := time.Now(), false
			defer func() {
				level, code := slog.LevelInfo, sdk.CodeOf(err)
				if !returned {
					code = sdk.CodeOf(ErrPanicked)
				}
				if code != "" {
					level = slog.LevelWarn
				}
				l.LogAttrs(ctx, level, "handled", slog.String("id", d.ID().String()),
					slog.String("from", d.From.ID.String()), slog.String("name", d.From.Name),
					slog.String("level", d.From.Level.String()), place(d), slog.Int("in", len(d.Content)),
					slog.Int("out", len(out)), slog.Duration("took", time.Since(begun)), slog.String("code", string(code)))
			}()
			out, err = next(ctx, d)
			returned = true
			return out, err
		}
	}
}
