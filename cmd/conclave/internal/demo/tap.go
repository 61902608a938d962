package demo

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// sighting is one message that went over the bus.
type sighting struct {
	subject bus.Subject
	on      string
	raw     []byte
}

// tap is what a node sees of the traffic: subjects and sealed bytes.
type tap struct {
	realm bus.Realm
	seen  chan sighting
}

func listen(conn bus.Conn, realm wire.Realm) (*tap, error) {
	t := &tap{realm: bus.In(realm), seen: make(chan sighting, 1024)}
	_, err := conn.Subscribe(t.realm.All(), func(on string, data []byte) {
		subject, err := t.realm.Parse(on)
		if err != nil || (subject.Kind != bus.Request && subject.Kind != bus.Topic) {
			return
		}
		select {
		case t.seen <- sighting{subject: subject, on: on, raw: data}:
		default: // nobody looks any more
		}
	})
	return t, err
}

// drain forgets what was seen so far.
func (t *tap) drain() {
	for {
		select {
		case <-t.seen:
		default:
			return
		}
	}
}

// next returns the next request that the tap sees.
func (t *tap) next(ctx context.Context) (sighting, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s := <-t.seen:
		return s, nil
	case <-ctx.Done():
		return sighting{}, fmt.Errorf("nothing went over the bus within %s", patience)
	}
}

// await returns when the tap has seen exactly this message, so that it is not taken for a later one.
func (t *tap) await(ctx context.Context, on string, raw []byte) error {
	for {
		s, err := t.next(ctx)
		if err != nil || (s.on == on && bytes.Equal(s.raw, raw)) {
			return err
		}
	}
}

// listener takes from an agent's log the codes with which it refused deliveries.
type listener struct{ refused chan<- fault.Code }

var _ slog.Handler = listener{}

func (listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "request refused" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "code" {
			select {
			case l.refused <- fault.Code(a.Value.String()):
			case <-time.After(patience): // nobody listens
			}
		}
		return true
	})
	return nil
}

func (l listener) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l listener) WithGroup(string) slog.Handler      { return l }
