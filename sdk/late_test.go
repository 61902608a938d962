package sdk_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// What a fault between nodes has held up comes after what took another way since: it is counted as lost and not handled,
// so that no reader sees a publisher's past again.
func TestWhatComesTooLateIsNotHandled(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		for _, topic := range []string{"news.local", "news.world"} {
			if err := alice.Advertise(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		got, sub := read(t, bob, "news.*")
		synctest.Wait() // until bob has joined
		publish(t, alice, "news.local", 1)
		wantList(t, got, 1)
		time.Sleep(time.Minute) // nothing is left of the first session's overlap
		var mu sync.Mutex
		var held []sdktest.Packet
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if p.From != alice.ID() || !strings.Contains(p.Subject, ".top.") {
				return []sdktest.Packet{p}
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, p)
			return nil
		})
		publish(t, alice, "news.local", 2)
		realm.Intercept(nil)
		publish(t, alice, "news.world", 10) // another topic has an order of its own
		publish(t, alice, "news.local", 3)
		wantList(t, got, 1, 10, 3)
		before := sub.Dropped()
		for _, p := range held {
			realm.Inject(t, p)
		}
		publish(t, alice, "news.local", 4)
		synctest.Wait()
		wantList(t, got, 1, 10, 3, 4)
		if lost := sub.Dropped() - before; len(held) == 0 || lost != 1 {
			t.Errorf("%d packets held, %d messages counted as lost", len(held), lost)
		}
	})
}
