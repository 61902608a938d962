package sdk_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// scene is a hostile node between alice, who calls, and bob, who counts what reaches his handler.
type scene struct {
	realm      *sdktest.Realm
	alice, bob *sdk.Agent
	handled    list[string]
	refused    codes
}

func attack(t *testing.T, fn func(t *testing.T, s *scene)) {
	t.Helper()
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		s := &scene{realm: realm, alice: realm.Agent(t, "alice")}
		s.bob = realm.Agent(t, "bob", s.refused.option())
		s.serve(t, s.bob, "bob")
		fn(t, s)
	})
}

func (s *scene) serve(t *testing.T, a *sdk.Agent, name string) {
	t.Helper()
	handle(t, a, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
		s.handled.add(name + " " + r.From.Name + " " + r.Data.Text)
		return upper(ctx, r)
	})
}

func (s *scene) subject(kind bus.Kind) string {
	return strings.TrimSuffix(bus.In(s.realm.ID()).All(), ">") + string(kind) + "."
}

// last returns the newest packet of a kind that somebody published.
func (s *scene) last(t *testing.T, from sdk.ID, kind bus.Kind) sdktest.Packet {
	t.Helper()
	for _, p := range slices.Backward(s.realm.Packets()) {
		if p.From == from && strings.HasPrefix(p.Subject, s.subject(kind)) {
			return p
		}
	}
	t.Fatalf("nothing of kind %s was published", kind)
	return sdktest.Packet{}
}

// captured returns a request of alice to bob that the node has kept back.
func (s *scene) captured(t *testing.T) sdktest.Packet {
	t.Helper()
	mustCall(t, s.alice, sdk.To("bob", "text.upper"))
	s.realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
		if strings.HasPrefix(p.Subject, s.subject(bus.Request)) {
			return nil
		}
		return []sdktest.Packet{p}
	})
	defer s.realm.Intercept(nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := sdk.Call[answer](ctx, s.alice, sdk.To("bob", "text.upper"), ask{Text: "held back"})
	wantCode(t, err, code.Uncertain)
	return s.last(t, s.alice.ID(), bus.Request)
}

func (s *scene) wantHandled(t *testing.T, want ...string) {
	t.Helper()
	if got := s.handled.all(); !slices.Equal(got, want) {
		t.Fatalf("handled %q, want %q", got, want)
	}
}

func (s *scene) wantRefused(t *testing.T, want string) {
	t.Helper()
	if got := s.refused.take(); !slices.Equal(got, []string{want}) {
		t.Fatalf("refused as %q, want %q", got, want)
	}
}

func TestAttackReplay(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		p := s.captured(t)
		s.realm.Inject(t, p) // the honest twin, late
		s.wantHandled(t, "bob alice hello", "bob alice held back")
		for range 3 {
			s.realm.Inject(t, p)
			s.wantRefused(t, "replayed")
		}
		s.wantHandled(t, "bob alice hello", "bob alice held back")
	})
}

func TestAttackReplayOfAReply(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		mustCall(t, s.alice, sdk.To("bob", "text.upper"))
		old := s.last(t, s.bob.ID(), bus.Reply)
		s.realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if strings.HasPrefix(p.Subject, s.subject(bus.Reply)) { // an older answer, put under the new request
				return []sdktest.Packet{{From: p.From, Subject: p.Subject, Data: old.Data}}
			}
			return []sdktest.Packet{p}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sdk.Call[answer](ctx, s.alice, sdk.To("bob", "text.upper"), ask{Text: "second"})
		wantCode(t, err, code.Uncertain)
		s.realm.Intercept(nil)
		mustCall(t, s.alice, sdk.To("bob", "text.upper"))
	})
}

func TestAttackReplayAfterARestart(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		p := s.captured(t)
		if err := s.bob.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := s.realm.Agent(t, "bob", s.refused.option())
		s.serve(t, again, "bob again")
		s.refused.take()
		s.realm.Inject(t, p) // nobody listens there
		s.wantHandled(t, "bob alice hello")
		subject, err := bus.In(s.realm.ID()).Parse(p.Subject)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range s.realm.Packets() { // the new process, as the node knows it
			if to, err := bus.In(s.realm.ID()).Parse(q.Subject); err == nil && q.From == again.ID() && to.Kind == bus.Control {
				subject.Process = to.Process
			}
		}
		p.Subject = bus.In(s.realm.ID()).Request(subject.To, subject.Process, subject.From)
		s.realm.Inject(t, p)
		s.wantRefused(t, "misaddressed")
		s.wantHandled(t, "bob alice hello")
	})
}

func TestAttackForgedByte(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		honest := s.captured(t)
		for i := range honest.Data {
			forged := honest
			forged.Data = slices.Clone(honest.Data)
			forged.Data[i] ^= 1
			s.realm.Inject(t, forged)
			if i%64 == 0 {
				settle() // as many at a time as an agent handles
			}
		}
		s.wantHandled(t, "bob alice hello")
		if got := len(s.refused.take()); got != len(honest.Data) {
			t.Errorf("%d of %d forgeries were refused with a code", got, len(honest.Data))
		}
		s.realm.Inject(t, honest)
		s.wantHandled(t, "bob alice hello", "bob alice held back")
	})
}

func TestAttackWrongRecipient(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		s.serve(t, s.realm.Agent(t, "carol", s.refused.option()), "carol")
		mustCall(t, s.alice, sdk.To("carol", "text.upper"))
		toCarol := s.last(t, s.alice.ID(), bus.Request)
		toBob := s.captured(t)
		s.realm.Inject(t, sdktest.Packet{Subject: toCarol.Subject, Data: toBob.Data})
		s.wantRefused(t, "misaddressed")
		s.realm.Inject(t, toBob)
		s.wantHandled(t, "carol alice hello", "bob alice hello", "bob alice held back")
	})
}

func TestAttackUnauthorisedSubject(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		mallory := newOutlaw(t, s.realm, "mallory")
		subjects := bus.In(s.realm.ID())
		to := bus.TokenOf(wire.Hash([]byte("some process")))
		honest := subjects.Request(s.bob.ID(), to, mallory.process.Principal())
		if err := mallory.conn.Publish(t.Context(), honest, []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{
			subjects.Request(s.bob.ID(), to, s.alice.ID()),
			subjects.Reply(s.bob.ID(), to, s.alice.ID(), to),
			subjects.Control(s.realm.Node(), s.alice.ID(), to, to),
			subjects.ControlReply(s.bob.ID(), to, to),
			subjects.Hint(s.realm.Node()),
			"c1.elsewhere.req",
		} {
			if err := mallory.conn.Publish(t.Context(), subject, []byte("x")); !errors.Is(err, bus.ErrDenied) {
				t.Errorf("published on %s: %v", subject, err)
			}
		}
		for _, pattern := range []string{
			subjects.Requests(s.bob.ID(), to), subjects.Replies(s.alice.ID(), to), subjects.All(), ">",
			subjects.Controls(s.realm.Node()),
		} {
			if _, err := mallory.conn.Subscribe(pattern, func(string, []byte) {}); !errors.Is(err, bus.ErrDenied) {
				t.Errorf("subscribed to %s: %v", pattern, err)
			}
		}
	})
}

// outlaw is an agent that signs and publishes by hand.
type outlaw struct {
	process  *identity.Process
	conn     bus.Conn
	counters envelope.Counters
}

func newOutlaw(t *testing.T, realm *sdktest.Realm, name string) *outlaw {
	t.Helper()
	realm.Agent(t, name)
	p := realm.Profile(t, name)
	o := &outlaw{process: newProcess(t, realm, p.Signer)}
	var err error
	o.conn, err = realm.Transport()(t.Context(), natsbus.Options{Addresses: p.Addresses, Pins: p.Pins, Present: o.present})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.conn.Close(context.Background()) }) // the realm ends it in any case
	return o
}

func newProcess(t *testing.T, realm *sdktest.Realm, s identity.Signer) *identity.Process {
	t.Helper()
	now := time.Now().UnixMilli()
	process, err := identity.NewProcess(realm.ID(), s, uint64(now/1000), now, time.Hour.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	return process
}

func (o *outlaw) present() (natsbus.Presentation, error) {
	return natsbus.Presentation{Connect: o.process.Connect(), Statement: o.process.Credential().Raw()}, nil
}

// request seals a request to the process that another packet went to.
func (o *outlaw) request(t *testing.T, realm *sdktest.Realm, like sdktest.Packet, key []byte, content any) sdktest.Packet {
	t.Helper()
	e, err := wire.Parse[envelope.Envelope](like.Data, envelope.DefaultLimit)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := bus.In(realm.ID()).Parse(like.Subject)
	if err != nil {
		t.Fatal(err)
	}
	body, err := wire.Encode(content)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	d := envelope.Draft{
		To: e.Claim.To, Subject: bus.In(realm.ID()).Request(subject.To, subject.Process, o.process.Principal()),
		Purpose: envelope.Request, Issued: now, Expires: now + 60_000, Counter: o.counters.Next(e.Claim.To), Content: body,
		Protection: envelope.SealedTo(key),
	}
	signed, err := envelope.Seal(o.process, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.Packet{From: o.process.Principal(), Subject: d.Subject, Data: signed.Raw}
}

// content is a request's, as the SDK writes it.
type content struct {
	Capability string `cbor:"1,keyasint"`
	Body       []byte `cbor:"2,keyasint"`
}

// sealingKey returns bob's, from the presence that he announced.
func (s *scene) sealingKey(t *testing.T) []byte {
	t.Helper()
	var key []byte
	for _, p := range s.realm.Packets() {
		if p.From == s.bob.ID() {
			if i := presenceIn(p.Data); i != nil {
				key = i.Sealing
			}
		}
	}
	if key == nil {
		t.Fatal("bob announced nothing")
	}
	return key
}

// presenceIn finds a presence inside a control request.
func presenceIn(data []byte) *discovery.Presence {
	var request struct {
		Op   string   `cbor:"1,keyasint"`
		Body wire.Raw `cbor:"2,keyasint"`
	}
	var announce struct {
		Presence []byte `cbor:"1,keyasint"`
	}
	if wire.Decode(data, &request) != nil || request.Op != "announce" || wire.Decode(request.Body, &announce) != nil {
		return nil
	}
	c, err := wire.Parse[discovery.Presence](announce.Presence, wire.MaxStatement)
	if err != nil {
		return nil
	}
	return &c.Claim
}

func TestAttackUnknownKey(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		mustCall(t, s.alice, sdk.To("bob", "text.upper"))
		like := s.last(t, s.alice.ID(), bus.Request)
		body := content{Capability: "text.upper", Body: []byte(`{"text":"by hand"}`)}
		mallory := newOutlaw(t, s.realm, "mallory")
		s.realm.Inject(t, mallory.request(t, s.realm, like, s.sealingKey(t), body)) // the honest twin
		s.wantHandled(t, "bob alice hello", "bob mallory by hand")
		s.refused.take() // the answer to it: mallory announced no key to seal it with

		signer, _, err := identity.GenerateSigner(identity.Agent)
		if err != nil {
			t.Fatal(err)
		}
		stranger := &outlaw{process: newProcess(t, s.realm, signer)}
		s.realm.Inject(t, stranger.request(t, s.realm, like, s.sealingKey(t), body))
		s.wantRefused(t, "unknown")

		impostor := &outlaw{process: newProcess(t, s.realm, identity.NewSigner(s.alice.ID(), signer.Key()))}
		s.realm.Inject(t, impostor.request(t, s.realm, like, s.sealingKey(t), body)) // alice's name, another's key
		s.wantRefused(t, "unknown")
		s.wantHandled(t, "bob alice hello", "bob mallory by hand")
	})
}

// An agent below the level that calls is denied by the receiver, whatever its own software thinks of it.
func TestAttackByWhoMayNotCall(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		mustCall(t, s.alice, sdk.To("bob", "text.upper"))
		like := s.last(t, s.alice.ID(), bus.Request)
		body := content{Capability: "text.upper", Body: []byte(`{"text":"by hand"}`)}
		mallory := newOutlaw(t, s.realm, "mallory")
		s.realm.Inject(t, mallory.request(t, s.realm, like, s.sealingKey(t), body))
		s.wantHandled(t, "bob alice hello", "bob mallory by hand")
		s.refused.take()
		s.realm.SetLevel(t, "mallory", identity.Observer)
		settle()
		s.realm.Inject(t, mallory.request(t, s.realm, like, s.sealingKey(t), body))
		s.wantRefused(t, "denied")
		s.wantHandled(t, "bob alice hello", "bob mallory by hand")
	})
}

func TestAttackQuarantinedSender(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		p := s.captured(t)
		s.realm.Inject(t, p)
		s.wantHandled(t, "bob alice hello", "bob alice held back")
		p = s.captured(t)
		s.realm.Quarantine(t, "alice")
		settle()
		s.refused.take()
		s.realm.Inject(t, p) // the node lets it through all the same
		s.wantRefused(t, "quarantined")
		_, err := call(t, s.alice, sdk.To("bob", "text.upper"))
		if err == nil {
			t.Fatal("a quarantined agent called")
		}
		_, err = sdk.Connect(t.Context(), sdk.WithProfile(s.realm.Profile(t, "alice")), sdk.Over(s.realm.Transport()))
		wantCode(t, err, code.Denied)
		s.wantHandled(t, "bob alice hello", "bob alice held back", "bob alice hello")
		s.realm.Release(t, "alice")
		settle() // until bob has heard of it
		mustCall(t, s.realm.Agent(t, "alice"), sdk.To("bob", "text.upper"))
	})
}

func TestAttackQuarantinedServer(t *testing.T) {
	attack(t, func(t *testing.T, s *scene) {
		mustCall(t, s.alice, sdk.To("bob", "text.upper"))
		s.realm.Quarantine(t, "bob")
		settle() // until alice has heard of it
		_, err := call(t, s.alice, sdk.To("bob", "text.upper"))
		wantCode(t, err, code.NoResponder)
		s.wantHandled(t, "bob alice hello")
	})
}

// Who waits for the answer of a process that is silenced does not wait for ever, and is told what is not known.
func TestAttackQuarantineOfWhoIsAsked(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		entered, _ := slow(t, bob)
		result := begin(t, alice, sdk.Any("text.slow"))
		<-entered
		began := time.Now()
		realm.Quarantine(t, "bob")
		wantCode(t, <-result, code.Uncertain)
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestAttackQuarantineInMidConversation(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, bob := realm.Agent(t, "alice"), realm.Agent(t, "bob")
		entered, release := make(chan struct{}), make(chan struct{})
		handle(t, bob, "text.upper", func(ctx context.Context, r *sdk.Request[ask]) (answer, error) {
			close(entered)
			<-release
			return upper(ctx, r)
		})
		result := make(chan error, 1)
		go func() {
			_, err := sdk.Call[answer](t.Context(), alice, sdk.Any("text.upper"), ask{Text: "x"})
			result <- err
		}()
		<-entered
		realm.Quarantine(t, "alice")
		wantCode(t, <-result, code.Denied) // its connection is cut
		close(release)
	})
}

func TestAttackStolenTokenUsedByTheNode(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		invite := func(name string) (string, identity.Invitation) {
			text := realm.Invite(t, name)
			i, _, err := identity.ParseInvitation(text)
			if err != nil {
				t.Fatal(err)
			}
			return text, i
		}
		enrol := func(text string) error {
			_, _, err := sdk.Enrol(t.Context(), text, sdk.KeepNothing(), sdk.Over(realm.Transport()))
			return err
		}
		honest, _ := invite("honest")
		if err := enrol(honest); err != nil {
			t.Fatal(err)
		}
		wantCode(t, enrol(honest), code.Spent)

		text, i := invite("victim")
		evil, _, err := identity.GenerateSigner(identity.Agent)
		if err != nil {
			t.Fatal(err)
		}
		other, err := wire.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		enrolment := identity.Enrolment{Version: 1, Token: i.Token, Agent: evil.ID(), Issued: time.Now().UnixMilli()}
		for name, further := range map[string][]wire.Key{"alone": nil, "with another key": {other}} {
			raw, err := evil.Cosign(realm.ID(), enrolment, further...)
			if err != nil {
				t.Fatal(err)
			}
			c, err := registry.New(evil.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: raw}, [16]byte{1}, enrolment.Issued)
			if err != nil {
				t.Fatal(err)
			}
			command, err := evil.Cosign(realm.ID(), c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := realm.Operator(t, 0).Admin().Submit(t.Context(), command); sdk.CodeOf(err) != "no_quorum" {
				t.Errorf("%s: %v has code %q", name, err, sdk.CodeOf(err))
			}
		}
		if err := enrol(text); err != nil {
			t.Errorf("the invited agent after the attack: %v", err)
		}
	})
}
