package sdk

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func rang(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestFollowersAreWokenForTheirDecisionAlone(t *testing.T) {
	var f following
	one, two := wire.Hash([]byte("one")), wire.Hash([]byte("two"))
	a, b, c := f.follow(one), f.follow(two), f.follow(two)
	if b != c {
		t.Error("two bells of one decision")
	}
	for _, row := range []struct {
		name      string
		ring      func()
		wantA     bool
		wantB     bool
		wantEmpty bool
	}{
		{"one changes", func() { f.told(control.Hint{Decisions: []Digest{one}}) }, true, false, true},
		{"two may be revealed", func() { f.told(control.Hint{Revealing: []Digest{two}}) }, false, true, true},
		{"one opens", func() { f.told(control.Hint{Opened: []Digest{one}}) }, false, false, false},
		{"more than the hint holds", func() { f.told(control.Hint{More: true}) }, true, true, false},
		{"the connection was away", f.missed, true, true, false},
		{"nothing", func() { f.told(control.Hint{}) }, false, false, true},
	} {
		nextA, nextB := a.next(), b.next()
		row.ring()
		if rang(nextA) != row.wantA || rang(nextB) != row.wantB {
			t.Errorf("%s: wakes %t and %t", row.name, rang(nextA), rang(nextB))
		}
		opened, all := f.take()
		if (len(opened) == 0 && !all) != row.wantEmpty {
			t.Errorf("%s: opened %v, all %t", row.name, opened, all)
		}
		if opened, all := f.take(); len(opened) > 0 || all {
			t.Errorf("%s: taken twice", row.name)
		}
	}
	f.unfollow(two)
	next := b.next()
	f.told(control.Hint{Decisions: []Digest{two}})
	if !rang(next) {
		t.Error("one of two has left, and the other is not woken")
	}
	f.unfollow(one)
	f.unfollow(two)
	f.unfollow(two)
	if len(f.bells) != 0 {
		t.Errorf("%d bells of nobody", len(f.bells))
	}
}

func TestTooManyOpenedDecisionsAreAll(t *testing.T) {
	var f following
	for n := range maxOpened + 1 {
		f.told(control.Hint{Opened: []Digest{wire.Hash([]byte{byte(n), byte(n >> 8)})}})
	}
	if opened, all := f.take(); !all || len(opened) != 0 {
		t.Errorf("%d opened, all %t", len(opened), all)
	}
}
