package membus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/bustest"
	"github.com/seed-3e86d5b2/conclave/bus/internal/feed"
)

type network struct{ *Network }

func (n network) MaxPayload() int { return n.options.MaxPayload }

func (n network) Join(_ *testing.T, s bustest.Seat) bus.Conn {
	return n.join(s.Permissions, s.Observer, feed.Bounds{Items: s.Queue, Bytes: s.QueueBytes})
}

func TestConformance(t *testing.T) {
	bustest.Run(t, func(*testing.T) bustest.Network { return network{New(Options{MaxPayload: 1 << 10})} })
}

func allowAll() bus.Permissions {
	return bus.Permissions{Publish: []string{">"}, Subscribe: []string{">"}}
}

// run publishes 200 messages through a network with faults and returns what arrived.
func run(t *testing.T, f Faults) []string {
	t.Helper()
	n := New(Options{Faults: f})
	from, to := n.Join(allowAll(), bus.Observer{}), n.Join(allowAll(), bus.Observer{})
	var got []string
	if _, err := to.Subscribe("a", func(_ string, data []byte) { got = append(got, string(data)) }); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range 200 {
		if err := from.Publish(ctx, "a", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(from.Flush(ctx), to.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFaults(t *testing.T) {
	var sent []string
	for i := range 200 {
		sent = append(sent, fmt.Sprint(i))
	}
	for _, row := range []struct {
		name   string
		faults Faults
		check  func(got []string) bool
	}{
		{"none", Faults{Seed: 1}, func(got []string) bool { return slices.Equal(got, sent) }},
		{"all lost", Faults{Drop: 1000}, func(got []string) bool { return len(got) == 0 }},
		{"some lost", Faults{Seed: 2, Drop: 300}, func(got []string) bool { return len(got) > 100 && len(got) < 180 }},
		{"all twice", Faults{Duplicate: 1000}, func(got []string) bool { return len(got) == 400 && got[0] == got[1] }},
		{"disorder", Faults{Seed: 3, Reorder: 300}, func(got []string) bool {
			return len(got) == 200 && !slices.Equal(got, sent) && sameSet(got, sent)
		}},
		{"all held until the flush", Faults{Reorder: 1000}, func(got []string) bool { return slices.Equal(got, sent) }},
	} {
		got := run(t, row.faults)
		if !row.check(got) {
			t.Errorf("%s: got %d: %v", row.name, len(got), got)
		}
		if again := run(t, row.faults); !slices.Equal(got, again) {
			t.Errorf("%s: the same seed gave something else", row.name)
		}
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func TestPermitTakesSubscriptionsAway(t *testing.T) {
	n := New(Options{})
	from, to := n.Join(allowAll(), bus.Observer{}), n.Join(allowAll(), bus.Observer{})
	got := make(chan string, 4)
	for _, pattern := range []string{"a", "b"} {
		if _, err := to.Subscribe(pattern, func(s string, _ []byte) { got <- s }); err != nil {
			t.Fatal(err)
		}
	}
	n.Permit(to, bus.Permissions{Subscribe: []string{"b"}})
	ctx := context.Background()
	if err := errors.Join(from.Publish(ctx, "a", nil), from.Publish(ctx, "b", nil)); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "b" {
		t.Errorf("heard %s", s)
	}
	if err := to.Publish(ctx, "a", nil); !errors.Is(err, bus.ErrDenied) {
		t.Errorf("publish: %v", err)
	}
}

func TestExpel(t *testing.T) {
	n := New(Options{})
	c := n.Join(allowAll(), bus.Observer{})
	if _, err := c.Subscribe("a", func(string, []byte) {}); err != nil {
		t.Fatal(err)
	}
	n.Expel(c, bus.ErrDenied)
	n.Expel(c, bus.ErrClosed)
	<-c.Done()
	if !errors.Is(c.Err(), bus.ErrDenied) {
		t.Errorf("err: %v", c.Err())
	}
	if err := c.Close(context.Background()); err != nil || !errors.Is(c.Err(), bus.ErrDenied) {
		t.Errorf("close: %v, err: %v", err, c.Err())
	}
}
