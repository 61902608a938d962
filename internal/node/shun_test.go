package node

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
)

func nodeID(t *testing.T) identity.ID {
	t.Helper()
	s, _, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

func TestALeaderThatServesIsFollowed(t *testing.T) {
	s, now, a, b := newShun(), time.Now(), nodeID(t), nodeID(t)
	for range 10 { // each time something is in order before the third round
		for _, round := range []struct {
			leader string
			served bool
		}{{a.String(), false}, {a.String(), false}, {a.String(), true}, {"", false}, {"", false}, {a.String(), false}, {b.String(), false}, {a.String(), false}} {
			if id, out := s.judge(round.leader, round.served, now); out {
				t.Fatalf("%s is shunned", id)
			}
		}
	}
	if s.has(a, now) || s.had(a, now) {
		t.Error("a leader is shunned that nobody judged")
	}
}

func TestALeaderThatServesNobodyIsShunnedLongerEachTime(t *testing.T) {
	s, now, a := newShun(), time.Now(), nodeID(t)
	want := shunAtFirst
	for range 10 {
		var id identity.ID
		out := false
		for rounds := 1; !out; rounds++ {
			if id, out = s.judge(a.String(), false, now); rounds > 2*unservedRounds {
				t.Fatal("it is followed for ever")
			}
		}
		if id != a || !s.has(a, now) || !s.has(a, now.Add(want-1)) || s.has(a, now.Add(want)) {
			t.Fatalf("not shunned for %v", want)
		}
		if !s.had(a, now.Add(want)) {
			t.Error("forgotten at once")
		}
		for range 2 * unservedRounds { // it has not had the time to serve yet
			if _, again := s.judge(a.String(), false, now.Add(want+reach-1)); again {
				t.Fatal("judged before it could have come back")
			}
		}
		now = now.Add(want + reach)
		want = min(2*want, shunAtMost)
	}
	if now = now.Add(shunMemory); s.had(a, now) {
		t.Error("never forgotten")
	}
	for range 2 * unservedRounds {
		if _, out := s.judge(a.String(), false, now); out {
			break
		}
	}
	if !s.has(a, now) || s.has(a, now.Add(shunAtFirst)) {
		t.Error("what was forgotten still counts")
	}
	if _, out := s.judge("no node", false, now); out {
		t.Error("nobody is shunned")
	}
}
