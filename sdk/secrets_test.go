package sdk

import (
	"testing"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func testKey(t *testing.T) *envelope.Key {
	t.Helper()
	k, err := envelope.NewSenderKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAKeyringForgetsWhatWasUsedLongestAgo(t *testing.T) {
	now := int64(0)
	r := newKeyring(2, func() int64 { return now })
	a, b, c := testKey(t), testKey(t), testKey(t)
	has := func(want ...*envelope.Key) {
		t.Helper()
		for _, k := range []*envelope.Key{a, b, c} {
			var kept *envelope.Key
			for _, w := range want {
				if w == k {
					kept = k
				}
			}
			if e := r.keys[k.ID()]; (e != nil) != (kept != nil) {
				t.Errorf("%v is there: %v", k, e != nil)
			}
		}
	}
	r.keep(a, 10)
	r.keep(b, 10)
	has(a, b)
	if r.Key(a.ID()) != a {
		t.Error("a is not found")
	}
	r.keep(c, 20)
	has(a, c)
	r.keep(a, 10)
	r.keep(b, 10)
	has(a, b)
	r.keep(c, 20)
	now = 10
	if r.Key(b.ID()) != nil || r.Key(c.ID()) != c || r.Key(wire.Digest{1}) != nil {
		t.Error("keys past their time")
	}
	has(c)
}

func TestAnUnderstandingWearsOut(t *testing.T) {
	process, key := wire.Digest{1}, testKey(t)
	for name, c := range map[string]struct {
		now  int64
		uses int
		want bool
	}{
		"at once":                  {0, 0, true},
		"just before an hour":      {sessionTime - 1, 0, true},
		"after an hour":            {sessionTime, 0, false},
		"after a step of time":     {-1, 0, false},
		"last use":                 {0, sessionUses - 1, true},
		"used up":                  {0, sessionUses, false},
		"the credential has ended": {sessionTime / 2, 0, false},
	} {
		var u understandings
		until := int64(2 * sessionTime)
		if name == "the credential has ended" {
			until = sessionTime / 2
		}
		u.confirm(process, key, until, 0)
		u.confirm(process, testKey(t), until, 0)
		u.with[process].uses = c.uses
		if got := u.use(process, c.now); (got == key) != c.want || (got == nil) == c.want {
			t.Errorf("%s: %v", name, got)
		}
		if (u.use(process, c.now) != nil) != (c.want && name != "last use") {
			t.Errorf("%s: once more", name)
		}
	}
	var u understandings
	u.confirm(process, key, 10, 0)
	u.forget(process, testKey(t))
	if u.use(process, 0) != key {
		t.Error("forgotten for another key's sake")
	}
	u.forget(process, key)
	if u.use(process, 0) != nil || u.use(wire.Digest{2}, 0) != nil {
		t.Error("there is one after all")
	}
	for n := range maxSessions + 1 {
		u.confirm(wire.Digest{byte(n), byte(n >> 8), byte(n >> 16)}, key, 10, 0)
	}
	if len(u.with) > maxSessions {
		t.Errorf("%d are remembered", len(u.with))
	}
}

// The key of a topic is replaced when the first right to it ends, and not before.
func TestATopicsKeyEndsWithTheFirstRightToIt(t *testing.T) {
	topic := &publication{readers: map[wire.Digest]reader{}}
	key := func(now int64) *envelope.Key {
		t.Helper()
		if err := topic.fresh(now); err != nil {
			t.Fatal(err)
		}
		return topic.key
	}
	first := key(0)
	if key(1_000_000) != first {
		t.Error("a key that nobody has was replaced")
	}
	topic.readers[wire.Digest{1}] = reader{epoch: topic.epoch, ends: 2_000_000}
	topic.readers[wire.Digest{2}] = reader{epoch: topic.epoch, ends: 3_000_000}
	topic.until = 2_000_000
	if key(1_999_999) != first {
		t.Error("replaced too early")
	}
	second := key(2_000_000)
	if second == first || key(9_000_000) != second {
		t.Error("not replaced, or again")
	}
	if _, there := topic.readers[wire.Digest{1}]; there || len(topic.readers) != 1 {
		t.Errorf("readers %v", topic.readers)
	}
	topic.stale = true
	if third := key(9_000_000); third == second || topic.epoch != 3 {
		t.Errorf("a stale key is used: epoch %d", topic.epoch)
	}
	if len(topic.former) != 1 || topic.former[0].key != second {
		t.Errorf("former keys %v", topic.former)
	}
}
