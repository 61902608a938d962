package envelope

import (
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	start   = int64(1_800_000_000_000) // when the processes begin, Unix milliseconds
	now     = start + 60_000
	life    = 60 * 60 * 1000
	subject = "c1.realm.req.bob.process.alice"
	topic   = "news.local"
	topicOn = "c1.realm.top.alice.news.local"
)

// world is two agents' processes, a stranger's, and what the receiver knows.
type world struct {
	t                 testing.TB
	realm             wire.Realm
	alice, bob        identity.Signer
	from, me, mallory *identity.Process
	mail              wire.Digest // my inbox
	mailPrivate       hpke.PrivateKey
	mailKey           []byte
	authority         *fakeAuthority
	windows           *countingWindows
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, realm: wire.Realm{1, 2, 3}, authority: &fakeAuthority{senders: map[wire.Digest]Sender{}}}
	w.alice, w.bob = newAgent(t), newAgent(t)
	w.from, w.me, w.mallory = w.process(w.alice), w.process(w.bob), w.process(newAgent(t))
	w.vouch(w.from)
	w.vouch(w.mallory)
	w.windows = &countingWindows{Windows: NewLiveWindows(16)}
	key, err := identity.SealingKEM().GenerateKey()
	must(t, err)
	w.mail, w.mailPrivate, w.mailKey = wire.Digest{7}, key, key.PublicKey().Bytes()
	return w
}

func newAgent(t testing.TB) identity.Signer {
	s, _, err := identity.GenerateSigner(identity.Agent)
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) process(s identity.Signer) *identity.Process {
	p, err := identity.NewProcess(w.realm, s, 1, start, life)
	must(w.t, err)
	return p
}

// vouch makes the authority know a process.
func (w *world) vouch(p *identity.Process) {
	w.authority.senders[p.Credential().ID()] = Sender{
		Credential: p.Credential(), Name: "alice", Operator: identity.NewID(identity.Operator, w.alice.Public()),
		Level: identity.Journeyer,
	}
}

// request is a draft from alice's process to mine.
func (w *world) request() Draft {
	return Draft{
		To: ToProcess(w.bob.ID(), w.me.Credential().ID()), Subject: subject, Purpose: Request, Issued: now,
		Expires: now + 5_000, Counter: 1, ContentType: "text/plain", Content: []byte("hello"),
		Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Protection: SealedTo(w.me.SealingKey()),
	}
}

func (w *world) event() Draft {
	d := w.request()
	d.To, d.Subject, d.Purpose, d.Protection = ToTopic(topic), topicOn, Event, Unencrypted()
	return d
}

func (w *world) letter() Draft {
	d := w.request()
	d.To, d.Expires, d.Protection = ToInbox(w.bob.ID(), w.mail), now+MaxMailLife, SealedTo(w.mailKey)
	return d
}

// inbound is what the receiver says about the delivery of request, letter or event.
func (w *world) inbound() Inbound { return Inbound{Realm: w.realm, Process: w.me, Subject: subject} }

func (w *world) inboundLetter() Inbound {
	in := w.inbound()
	in.Inbox, in.InboxKey = w.mail, w.mailPrivate
	return in
}

func (w *world) inboundEvent() Inbound {
	in := w.inbound()
	in.Topic, in.Subject = topic, topicOn
	return in
}

// compose makes the statement that alice's process would sign, for tests that change it before it is signed.
func (w *world) compose(d Draft) Envelope {
	e, _, err := compose(w.from, &d, rand.Reader)
	must(w.t, err)
	return e
}

// seal is the honest sender.
func (w *world) seal(d Draft) []byte { return w.sign(w.from, w.compose(d)) }

// unchecked is an envelope that a hostile sender signs whatever its Check says.
type unchecked Envelope

func (unchecked) Kind() wire.Kind { return wire.Envelope }
func (unchecked) Check() error    { return nil }

func (w *world) sign(p *identity.Process, e Envelope) []byte {
	raw, err := p.Sign(unchecked(e))
	must(w.t, err)
	return raw
}

func (w *world) open(raw []byte, in Inbound) (*Message, error) {
	return Open(raw, in, w.authority, w.windows, now)
}

// refuse fails the test unless raw is refused with the error and the windows stay as they were.
func (w *world) refuse(raw []byte, in Inbound, want error) {
	w.t.Helper()
	before := w.windows.commits
	m, err := w.open(raw, in)
	if !errors.Is(err, want) || m != nil {
		w.t.Fatalf("got %v, want %v", err, want)
	}
	if fault.CodeOf(err) == fault.Internal {
		w.t.Errorf("%v has no code", err)
	}
	if w.windows.commits != before {
		w.t.Error("the refusal reached the replay windows")
	}
}

// fakeAuthority knows the senders it was told and refuses as it was told.
type fakeAuthority struct {
	senders map[wire.Digest]Sender
	refusal error // of every sender
	denial  error // of every envelope
}

var errUnknown = fault.New(fault.Unknown, "test: unknown")

func (a *fakeAuthority) Sender(_ identity.ID, credential wire.Digest, _ int64) (Sender, error) {
	if a.refusal != nil {
		return Sender{}, a.refusal
	}
	s, ok := a.senders[credential]
	if !ok {
		return Sender{}, errUnknown
	}
	return s, nil
}

func (a *fakeAuthority) Authorise(Sender, Envelope) error { return a.denial }

// countingWindows counts the commits that were tried.
type countingWindows struct {
	Windows
	commits int
	last    Uses
}

func (w *countingWindows) Commit(uses Uses, verdicts []error, now int64) {
	w.commits++
	w.last = uses
	w.Windows.Commit(uses, verdicts, now)
}

// commitOne gives the windows one counter.
func commitOne(w Windows, uses Uses, now int64) error {
	verdicts := []error{nil}
	w.Commit(uses, verdicts, now)
	return verdicts[0]
}

// mailWindows remember mail by its id, as a durable store would.
type mailWindows map[wire.Digest]bool

func (w mailWindows) Commit(uses Uses, verdicts []error, _ int64) {
	if w[uses.ID] {
		verdicts[0] = ErrReplayed
	}
	w[uses.ID] = true
}
