package natsbus

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestDelayIsFullJitter(t *testing.T) {
	o := Options{}.withDefaults()
	for n, bound := range map[int]time.Duration{
		0: 250 * time.Millisecond, 1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 7: 16 * time.Second,
		8: 30 * time.Second, 1000: 30 * time.Second,
	} {
		var low, high bool
		for range 1000 {
			d := o.delay(n)
			if d <= 0 || d > bound {
				t.Fatalf("sweep %d: %v, at most %v", n, d, bound)
			}
			low, high = low || d < bound/4, high || d > bound*3/4
		}
		if !low || !high {
			t.Errorf("sweep %d: delays do not spread up to %v", n, bound)
		}
	}
}

func TestOrder(t *testing.T) {
	given := []string{"a", "b", "a", "c"}
	if got := (Options{Ordered: true}).order([]string{"x", "b"}, given); !slices.Equal(got, []string{"x", "b", "a", "c"}) {
		t.Errorf("ordered: %v", got)
	}
	firsts := map[string]int{}
	for range 600 {
		got := Options{}.order(nil, given)
		firsts[got[0]]++
		if slices.Sort(got); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Fatalf("at random: %v", got)
		}
	}
	if len(firsts) != 3 || firsts["a"] < 100 || firsts["b"] < 100 || firsts["c"] < 100 { // 200 each are expected
		t.Errorf("clients begin at %v", firsts)
	}
	if !slices.Equal(given, []string{"a", "b", "a", "c"}) {
		t.Error("the caller's list was changed")
	}
}

// TestKeyAndTokenStayTogether renews the credential between the two questions of one attempt.
func TestKeyAndTokenStayTogether(t *testing.T) {
	n := byte(0)
	p := &presenter{present: func() (Presentation, error) {
		n++
		return Presentation{Connect: wire.NewKey([32]byte{n}), Statement: []byte{n}}, nil
	}}
	if p.connectToken() != "" {
		t.Error("a token before a certificate")
	}
	for _, want := range []string{"AQ", "Ag"} {
		if _, err := p.certificate(); err != nil {
			t.Fatal(err)
		}
		if got := p.connectToken(); got != want || p.connectToken() != want {
			t.Errorf("token %q, want %q", got, want)
		}
	}
	broken := errors.New("broken")
	p.present = func() (Presentation, error) { return Presentation{}, broken }
	if _, err := p.certificate(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
