package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

type note struct {
	N int `json:"n"`
}

func publish(t *testing.T, a *sdk.Agent, topic string, n int) {
	t.Helper()
	r, err := sdk.Publish(t.Context(), a, topic, note{n})
	if err == nil {
		_, err = r.Wait(t.Context())
	}
	if err != nil {
		t.Fatalf("publish on %s: %v", topic, err)
	}
}

// read collects the numbers that a subscription brings.
func read(t *testing.T, a *sdk.Agent, pattern string) (*list[int], *sdk.Subscription) {
	t.Helper()
	got := &list[int]{}
	sub, err := sdk.Subscribe(a, pattern, func(_ context.Context, m *sdk.Message[note]) error {
		got.add(m.Data.N)
		return nil
	})
	if err != nil {
		t.Fatalf("subscribe to %s: %v", pattern, err)
	}
	return got, sub
}

func wantList(t *testing.T, got *list[int], want ...int) {
	t.Helper()
	if all := got.all(); !slices.Equal(all, want) {
		t.Fatalf("got %v, want %v", all, want)
	}
}

func TestMessagesComeVerifiedAndInOrder(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		var from list[string]
		_, err := sdk.Subscribe(bob, "news.*", func(_ context.Context, m *sdk.Message[note]) error {
			from.add(fmt.Sprint(m.From.Name, " ", m.From.Level, " ", m.Topic, " ", m.Data.N, " ", !m.ID.IsZero()))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for n := range 100 {
			publish(t, alice, "news.local", n)
			want = append(want, fmt.Sprint("alice L3 news.local ", n, " true"))
		}
		if got := from.all(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestMessagesBeforeTheJoinAreNotDelivered(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		publish(t, alice, "news.local", 1)
		publish(t, alice, "news.local", 2)
		got, _ := read(t, bob, "news.local")
		wantList(t, got)
		publish(t, alice, "news.local", 3)
		wantList(t, got, 3)
	})
}

// Who publishes first after a reader subscribed is joined when it is heard, or at the next look.
func TestAPublisherThatComesLaterIsJoined(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		got, _ := read(t, bob, "*")
		publish(t, alice, "news.local", 1) // heard, not joined: lost
		wantList(t, got)
		publish(t, alice, "news.local", 2)
		wantList(t, got, 2)
		carol := realm.Agent(t, "carol")
		if err := carol.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // of the bubble's clock
		publish(t, carol, "news.local", 3)
		wantList(t, got, 2, 3)
	})
}

func TestADuplicateIsDeliveredOnce(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, _ := read(t, bob, "news.local")
		realm.Faults(membus.Faults{Duplicate: 1000})
		for n := range 10 {
			publish(t, alice, "news.local", n)
		}
		wantList(t, got, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	})
}

func TestTwoReadersAndTwoPublishers(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		publishers := []*sdk.Agent{realm.Agent(t, "alice"), realm.Agent(t, "anna")}
		for _, p := range publishers {
			if err := p.Advertise(t.Context(), "news.local"); err != nil {
				t.Fatal(err)
			}
		}
		var readers []*list[int]
		for _, name := range []string{"bob", "bob", "carol"} { // two processes of bob
			got, _ := read(t, realm.Agent(t, name), "news.local")
			readers = append(readers, got)
		}
		for n, p := range publishers {
			publish(t, p, "news.local", n)
		}
		for i, got := range readers {
			all := got.all()
			slices.Sort(all)
			if !slices.Equal(all, []int{0, 1}) {
				t.Errorf("reader %d got %v", i, all)
			}
		}
	})
}

func TestStopEndsASubscription(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, sub := read(t, bob, "news.local")
		publish(t, alice, "news.local", 1)
		wantList(t, got, 1)
		for range 2 {
			if err := sub.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, alice, "news.local", 2)
		wantList(t, got, 1)
		if n := sub.Dropped(); n != 0 {
			t.Errorf("dropped %d", n)
		}
		again, _ := read(t, bob, "news.local")
		publish(t, alice, "news.local", 3)
		wantList(t, again, 3)
		wantList(t, got, 1)
	})
}

func TestAMessageThatDoesNotFitIsNotDelivered(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		var logged codes
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob", logged.option())
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		got, _ := read(t, bob, "news.local")
		publish(t, alice, "news.local", 1)
		for _, content := range []string{`{"n":"one"}`, `{}`, `{"n":1,"m":2}`, `x`} {
			if _, err := sdk.PublishBytes(t.Context(), alice, "news.local", []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, alice, "news.local", 2)
		wantList(t, got, 1, 2)
	})
}

func TestAFailingHandlerGoesOn(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		if err := alice.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		var got list[int]
		_, err := sdk.Subscribe(bob, "news.local", func(_ context.Context, m *sdk.Message[note]) error {
			got.add(m.Data.N)
			return errors.New("no")
		})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, alice, "news.local", 1)
		publish(t, alice, "news.local", 2)
		wantList(t, &got, 1, 2)
	})
}

func TestTopicRightsFollowTheLevel(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		observer := realm.Agent(t, "observer", sdktest.Level(identity.Observer))
		publish(t, observer, "report.daily", 1) // what observers may do
		got, _ := read(t, bob, "*")
		publish(t, observer, "report.daily", 2)
		wantList(t, got, 2)
		_, err := sdk.Publish(t.Context(), observer, "news.local", note{3})
		wantCode(t, err, code.Denied)
		_, err = sdk.Publish(t.Context(), observer, "Bad Topic", note{3})
		wantCode(t, err, "malformed")
		_, err = sdk.SubscribeBytes(bob, "bad..pattern", nil)
		wantCode(t, err, "malformed")
		_, err = sdk.SubscribeBytes(bob, strings.Repeat("a.", 20)+"a", nil)
		wantCode(t, err, "malformed")
		wantList(t, got, 2)
	})
}

func TestDiscoverShowsWhatIsVerified(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		carol := realm.Agent(t, "carol", sdktest.Level(identity.Principal))
		alice := realm.Agent(t, "alice")
		err := sdk.Handle(bob, "text.upper", upper, sdk.Describe("in capitals"))
		if err != nil {
			t.Fatal(err)
		}
		handle(t, carol, "text.upper", upper)
		handle(t, carol, "text.lower", upper)
		publish(t, alice, "news.local", 1)
		for _, c := range []struct {
			name  string
			query sdk.Query
			want  []string
		}{
			{"everybody", sdk.Query{}, []string{"alice", "bob", "carol"}},
			{"by capability", sdk.Query{Capability: "text.upper"}, []string{"bob", "carol"}},
			{"by another", sdk.Query{Capability: "text.lower"}, []string{"carol"}},
			{"by one that nobody serves", sdk.Query{Capability: "text.reverse"}, nil},
			{"by name", sdk.Query{Agent: "bob"}, []string{"bob"}},
			{"by nkey", sdk.Query{Agent: carol.ID().String()}, []string{"carol"}},
			{"by level", sdk.Query{MinLevel: identity.Principal}, []string{"carol"}},
			{"by capability and level", sdk.Query{Capability: "text.upper", MinLevel: identity.Steward}, nil},
		} {
			var names []string
			for f, err := range alice.Discover(t.Context(), c.query) {
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				names = append(names, f.Peer.Name)
			}
			slices.Sort(names)
			if !slices.Equal(names, c.want) {
				t.Errorf("%s: %q", c.name, names)
			}
		}
		for f := range alice.Discover(t.Context(), sdk.Query{Agent: "bob"}) {
			if len(f.Capabilities) != 1 || f.Capabilities[0].Description != "in capitals" ||
				!strings.Contains(f.Capabilities[0].Input, "text to work on") {
				t.Errorf("card %+v", f.Capabilities)
			}
		}
		for _, err := range alice.Discover(t.Context(), sdk.Query{Agent: "nobody"}) {
			wantCode(t, err, "unknown")
		}
	})
}

func TestWhoIsGoneIsNotDiscovered(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		mustCall(t, alice, sdk.Any("text.upper"))
		time.Sleep(10 * time.Minute) // of the bubble's clock
		mustCall(t, alice, sdk.Any("text.upper"))
		if err := bob.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		_, err := call(t, alice, sdk.Any("text.upper"))
		wantCode(t, err, code.NoResponder)
	})
}
