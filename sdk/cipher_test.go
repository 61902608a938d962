package sdk_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// published returns what an agent has published of one kind, as far as it can be read without a key.
func published(t *testing.T, realm *sdktest.Realm, from *sdk.Agent, kind bus.Kind) []envelope.Envelope {
	t.Helper()
	settle()
	var list []envelope.Envelope
	for _, p := range realm.Packets() {
		subject, err := bus.In(realm.ID()).Parse(p.Subject)
		if err != nil || subject.Kind != kind || p.From != from.ID() {
			continue
		}
		e, err := envelope.Peek(p.Data, envelope.DefaultLimit)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func encryptions(list []envelope.Envelope) (levels []envelope.Encryption) {
	for _, e := range list {
		levels = append(levels, e.Encryption)
	}
	return levels
}

func wantLevels(t *testing.T, what string, list []envelope.Envelope, want ...envelope.Encryption) {
	t.Helper()
	if got := encryptions(list); !slices.Equal(got, want) {
		t.Fatalf("%s are encrypted as %v, want %v", what, got, want)
	}
}

func TestTwoProcessesAgreeOnASession(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		for range 3 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		requests := published(t, realm, alice, bus.Request)
		wantLevels(t, "requests", requests, envelope.Sealed, envelope.Session, envelope.Session)
		wantLevels(t, "replies", published(t, realm, bob, bus.Reply), envelope.Session, envelope.Session, envelope.Session)
		if requests[1].Key != requests[2].Key {
			t.Error("each request has a session of its own")
		}
		time.Sleep(time.Hour) // of the bubble's clock
		mustCall(t, alice, sdk.Any("text.upper"))
		wantLevels(t, "requests", published(t, realm, alice, bus.Request)[3:], envelope.Sealed)
		mustCall(t, realm.Agent(t, "alice"), sdk.Any("text.upper")) // another process of the same agent
		wantLevels(t, "requests", published(t, realm, alice, bus.Request)[4:], envelope.Sealed)
	})
}

// A request under a session that the other side has forgotten was not handled, and is sent once more.
func TestAForgottenSessionIsAgreedAnew(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		var handled list[string]
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			handled.add(r.Data.Text)
			return upper(ctx, r)
		})
		for range 2 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		sdk.ForgetSessions(bob)
		for range 2 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		if n := len(handled.all()); n != 4 {
			t.Errorf("handled %d times", n)
		}
		wantLevels(t, "requests", published(t, realm, alice, bus.Request),
			envelope.Sealed, envelope.Session, envelope.Session, envelope.Sealed, envelope.Session)
		wantLevels(t, "replies", published(t, realm, bob, bus.Reply),
			envelope.Session, envelope.Session, envelope.Sealed, envelope.Session, envelope.Session)
	})
}

// Requests of one moment that all find the session forgotten are all answered in the end.
func TestManyRequestsUnderAForgottenSession(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		for range 2 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		sdk.ForgetSessions(bob)
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, err := call(t, alice, sdk.Any("text.upper")); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestASessionEndsWithTheProcess(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		handle(t, bob, "text.upper", upper)
		for range 2 {
			mustCall(t, alice, sdk.Any("text.upper"))
		}
		if err := bob.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := realm.Agent(t, "bob")
		handle(t, again, "text.upper", upper)
		time.Sleep(time.Minute) // of the bubble's clock
		mustCall(t, alice, sdk.Any("text.upper"))
		requests := published(t, realm, alice, bus.Request)
		wantLevels(t, "requests", requests, envelope.Sealed, envelope.Session, envelope.Sealed)
		if requests[2].To.Instance != again.Self().Process {
			t.Error("sent to the process that has ended")
		}
	})
}

// plainly is a policy that leaves some topics plain.
func plainly(t *testing.T, topics ...string) sdktest.Option {
	t.Helper()
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	p.Plain = topics
	return sdktest.WithPolicy(p, 1)
}

func TestTopicsAreEncryptedUnlessThePolicyLeavesThemPlain(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		var refused codes
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob", refused.option())
		for _, topic := range []string{"news.local", "news.open"} {
			if err := alice.Advertise(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		var got list[string]
		_, err := sdk.SubscribeBytes(bob, "news.*", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			if _, _, err := envelope.Attest(d.Evidence(), envelope.DefaultLimit, realm.ID(), signing(t, realm, alice)); err != nil {
				t.Errorf("evidence: %v", err)
			}
			got.add(d.Topic + " " + string(d.Content))
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"news.local", "news.open"} {
			if _, err := sdk.PublishBytes(t.Context(), alice, topic, []byte("the secret of "+topic)); err != nil {
				t.Fatal(err)
			}
			if err := alice.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"news.local the secret of news.local", "news.open the secret of news.open"}
		if all := got.all(); !slices.Equal(all, want) {
			t.Fatalf("got %q", all)
		}
		for _, p := range realm.Packets() {
			if bytes.Contains(p.Data, []byte("the secret of news.local")) {
				t.Errorf("readable on %s", p.Subject)
			}
		}
		wantLevels(t, "messages", published(t, realm, alice, bus.Topic), envelope.SenderKey, envelope.Plain)
		refused.take()

		mallory := newOutlaw(t, realm, "mallory")
		for topic, want := range map[string][]string{"news.open": nil, "news.local": {"denied"}} {
			realm.Inject(t, mallory.plainEvent(t, realm, topic)) // what is not joined is not reported
			if codes := refused.take(); !slices.Equal(codes, want) {
				t.Errorf("plain on %s: refused as %q, want %q", topic, codes, want)
			}
		}
	}, plainly(t, "news.open"))
}

// signing returns the key that an agent's process signs with, from the node's answers.
func signing(t *testing.T, realm *sdktest.Realm, a *sdk.Agent) wire.PublicKey {
	t.Helper()
	var key wire.PublicKey
	for _, p := range realm.Packets() {
		var reply control.Reply
		var found control.Found
		if p.From != realm.Node() || wire.Decode(p.Data, &reply) != nil || wire.Decode(reply.Body, &found) != nil {
			continue
		}
		for _, v := range found.Processes {
			c, err := wire.Parse[identity.Credential](v.Credential, wire.MaxStatement)
			if err == nil && c.Claim.Principal == a.ID() {
				key = c.Claim.Signing
			}
		}
	}
	return key
}

func (o *outlaw) plainEvent(t *testing.T, realm *sdktest.Realm, topic string) sdktest.Packet {
	t.Helper()
	subject, err := bus.In(realm.ID()).Topic(o.process.Principal(), topic)
	if err != nil {
		t.Fatal(err)
	}
	to, now := envelope.ToTopic(topic), time.Now().UnixMilli()
	signed, err := envelope.Seal(o.process, envelope.Draft{
		To: to, Subject: subject, Purpose: envelope.Event, Issued: now, Expires: now + 60_000, Counter: o.counters.Next(to),
		Content: []byte("by hand"), Protection: envelope.Unencrypted(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.Packet{From: o.process.Principal(), Subject: subject, Data: signed.Raw}
}

// newsroom is a publisher with two readers.
type newsroom struct {
	alice, bob, eve *sdk.Agent
	bobs, eves      *list[int]
	published       []int
}

func newNewsroom(t *testing.T, realm *sdktest.Realm) *newsroom {
	t.Helper()
	n := &newsroom{alice: realm.Agent(t, "alice"), bob: realm.Agent(t, "bob"), eve: realm.Agent(t, "eve")}
	if err := n.alice.Advertise(t.Context(), "news.local"); err != nil {
		t.Fatal(err)
	}
	n.bobs, _ = read(t, n.bob, "news.local")
	n.eves, _ = read(t, n.eve, "news.local")
	return n
}

// publish has alice say further numbers, all at once.
func (n *newsroom) publish(t *testing.T, count int) {
	t.Helper()
	for range count {
		n.published = append(n.published, len(n.published))
		if _, err := sdk.Publish(t.Context(), n.alice, "news.local", note{len(n.published) - 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.alice.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// key returns the id of the key of what alice published last.
func (n *newsroom) key(t *testing.T, realm *sdktest.Realm) sdk.Digest {
	t.Helper()
	all := published(t, realm, n.alice, bus.Topic)
	return all[len(all)-1].Key
}

// Who may not read any more does not have the key of what is published from then on; the others lose nothing.
func TestWhoLosesTheRightGetsNoFurtherKey(t *testing.T) {
	readReports := func(p *policy.Policy) { p.Levels[1].Rights.Subscribe = []string{"report.*"} }
	for name, c := range map[string]struct {
		change func(p *policy.Policy)
		lose   func(t *testing.T, realm *sdktest.Realm)
	}{
		"quarantine": {func(*policy.Policy) {}, func(t *testing.T, realm *sdktest.Realm) { realm.Quarantine(t, "eve") }},
		"demotion": {readReports, func(t *testing.T, realm *sdktest.Realm) {
			realm.SetLevel(t, "eve", identity.Observer)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Preset(policy.Solo)
			if err != nil {
				t.Fatal(err)
			}
			c.change(&p)
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				n := newNewsroom(t, realm)
				n.publish(t, 50)
				wantList(t, n.bobs, n.published...)
				wantList(t, n.eves, n.published...)
				old := n.key(t, realm)
				if sdk.SenderKey(n.bob, old) == nil || sdk.SenderKey(n.eve, old) == nil {
					t.Fatal("a reader does not have the key")
				}
				until := slices.Clone(n.published)
				c.lose(t, realm)
				settle() // until alice has heard of it
				for range 3 {
					n.publish(t, 50)
				}
				wantList(t, n.bobs, n.published...)
				wantList(t, n.eves, until...)
				fresh := n.key(t, realm)
				if fresh == old || sdk.SenderKey(n.bob, fresh) == nil || sdk.SenderKey(n.eve, fresh) != nil {
					t.Errorf("key %s after %s; bob has it: %v, eve: %v", fresh, old,
						sdk.SenderKey(n.bob, fresh) != nil, sdk.SenderKey(n.eve, fresh) != nil)
				}
			}, sdktest.WithPolicy(p, 1))
		})
	}
}

// Tickets are renewed before they end, so that the key stays as long as all readers may read; a node that does not
// renew one makes its reader lose the key.
func TestTheKeyLastsAsLongAsItsReadersTickets(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		n := newNewsroom(t, realm)
		n.publish(t, 10)
		old := n.key(t, realm)
		for range 6 {
			time.Sleep(10 * time.Minute) // of the bubble's clock
			n.publish(t, 10)
		}
		if n.key(t, realm) != old {
			t.Error("the key was replaced though everybody may read")
		}
		rewrite(realm, func(p *control.Principal) bool { // no news of anybody
			*p = control.Principal{}
			return true
		})
		time.Sleep(11 * time.Minute)
		realm.Intercept(nil)
		n.publish(t, 10)
		if n.key(t, realm) == old {
			t.Error("the key is used though its readers' tickets have ended")
		}
		wantList(t, n.bobs, n.published...)
		wantList(t, n.eves, n.published...)
	})
}

// A sender of whom a new key is to be learned holds up nobody else.
func TestOneSenderWaitsAlone(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		n := newNewsroom(t, realm)
		anna := realm.Agent(t, "anna")
		if err := anna.Advertise(t.Context(), "news.local"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // of the bubble's clock: bob joins anna
		n.publish(t, 2)
		wantList(t, n.bobs, 0, 1)
		realm.Quarantine(t, "eve")
		settle()
		var kept list[sdktest.Packet]
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if s, err := bus.In(realm.ID()).Parse(p.Subject); err == nil && s.Kind == bus.Reply && p.From == n.alice.ID() {
				kept.add(p)
				return nil
			}
			return []sdktest.Packet{p}
		})
		for range 4 {
			n.publish(t, 10) // under a new key, which bob does not get yet
		}
		for i := range 3 {
			publish(t, anna, "news.local", 100+i)
		}
		wantList(t, n.bobs, 0, 1, 100, 101, 102)
		realm.Intercept(nil)
		late := kept.all()
		if len(late) == 0 {
			t.Fatal("bob has not asked for the new key")
		}
		for _, p := range late {
			realm.Inject(t, p)
		}
		wantList(t, n.bobs, slices.Concat([]int{0, 1, 100, 101, 102}, n.published[2:])...)
		if asked := greetings(realm, n.bob, n.alice); asked != 1 {
			t.Errorf("bob asked the node %d times about alice's new key", asked)
		}
	})
}

// greetings counts how often a reader has asked the node where one publisher is.
func greetings(realm *sdktest.Realm, reader, publisher *sdk.Agent) (n int) {
	for _, p := range realm.Packets() {
		var r control.Request
		var f control.Find
		if p.From == reader.ID() && wire.Decode(p.Data, &r) == nil && r.Op == control.OpFind &&
			wire.Decode(r.Body, &f) == nil && f.ID == publisher.ID() {
			n++
		}
	}
	return n
}

// A reader that comes late for one key, because there is another one already, gets both.
func TestAReaderGetsTheKeysThatItMissed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		n := newNewsroom(t, realm)
		_, _ = read(t, realm.Agent(t, "mallory"), "news.local")
		n.publish(t, 2)
		wantList(t, n.bobs, n.published...)
		var kept list[sdktest.Packet]
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if s, err := bus.In(realm.ID()).Parse(p.Subject); err == nil && s.Kind == bus.Request && p.From == n.bob.ID() {
				kept.add(p)
				return nil
			}
			return []sdktest.Packet{p}
		})
		keys := map[sdk.Digest]bool{n.key(t, realm): true}
		for _, name := range []string{"eve", "mallory"} {
			realm.Quarantine(t, name)
			settle()
			n.publish(t, 30)
			keys[n.key(t, realm)] = true
		}
		wantList(t, n.bobs, 0, 1)
		realm.Intercept(nil)
		late := kept.all()
		if len(late) != 1 || len(keys) != 3 {
			t.Fatalf("bob asked %d times, alice used %d keys", len(late), len(keys))
		}
		realm.Inject(t, late[0])
		wantList(t, n.bobs, n.published...)
	})
}

// Each sender's messages come complete and in order, however many send at once, and whatever the network doubles.
func TestEachSendersOrderIsKept(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		const senders, each = 4, 1000
		var agents []*sdk.Agent
		for i := range senders {
			a := realm.Agent(t, fmt.Sprintf("sender-%d", i))
			if err := a.Advertise(t.Context(), "news.local"); err != nil {
				t.Fatal(err)
			}
			agents = append(agents, a)
		}
		got := map[string][]int{}
		_, err := sdk.Subscribe(realm.Agent(t, "bob"), "news.local", func(_ context.Context, m *sdk.Message[note]) error {
			got[m.From.Name] = append(got[m.From.Name], m.Data.N) // one at a time
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		realm.Faults(membus.Faults{Duplicate: 500})
		var group sync.WaitGroup
		for _, a := range agents {
			group.Go(func() {
				for n := range each {
					if _, err := sdk.Publish(t.Context(), a, "news.local", note{n}); err != nil {
						t.Error(err)
					}
				}
				if err := a.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		settle()
		for i := range senders {
			name := fmt.Sprintf("sender-%d", i)
			if len(got[name]) != each || !slices.IsSorted(got[name]) || len(slices.Compact(got[name])) != each {
				t.Errorf("of %s: %d messages, in order: %v", name, len(got[name]), slices.IsSorted(got[name]))
			}
		}
		if n := len(published(t, realm, agents[0], bus.Topic)); n >= each {
			t.Errorf("%d publications for %d messages: no frames", n, each)
		}
	})
}

// What a slow handler does not take is bounded, and lost beyond that, counted and reported; others are not held up.
func TestASlowHandlerLosesAndHoldsUpNobody(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		var logged lines
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob", logged.option())
		for _, topic := range []string{"news.bulk", "news.local"} {
			if err := alice.Advertise(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		release := make(chan struct{})
		var handled list[int]
		sub, err := sdk.SubscribeBytes(bob, "news.bulk", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			<-release
			handled.add(len(d.Content))
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		others, _ := read(t, bob, "news.local")
		const size, count = 200 << 10, 400 // 80 MiB, of which 48 MiB fit
		for n := range count {
			if _, err := sdk.PublishBytes(t.Context(), alice, "news.bulk", make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if n%100 == 0 {
				publish(t, alice, "news.local", n)
			}
		}
		wantList(t, others, 0, 100, 200, 300)
		lost := sub.Dropped()
		if lost < 100 || !slices.ContainsFunc(logged.all(), func(s string) bool { return strings.Contains(s, "dropped") }) {
			t.Errorf("%d of %d lost, logged %q", lost, count, logged.all())
		}
		close(release)
		if n := uint64(len(handled.all())); n+sub.Dropped() != count {
			t.Errorf("%d handled and %d lost of %d", n, sub.Dropped(), count)
		}
	})
}
