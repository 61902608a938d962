package bus

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// MaxProcesses is how many live credentials of one principal are remembered: the newest. Others can be learned again; what
// was accepted from them is not forgotten here, because the windows remember that.
const MaxProcesses = 8

var (
	// ErrUnknown is returned for senders of whom no ticket, or no such credential, was learned.
	ErrUnknown = fault.New(fault.Unknown, "bus: unknown sender")
	// ErrFull is returned when there is no room for one more principal. None whose ticket is valid is forgotten to make
	// some.
	ErrFull = fault.New(fault.WindowFull, "bus: no room to remember one more sender")
)

var _ envelope.Authority = (*Peers)(nil)

// Peers is who the senders of envelopes are, as far as their verified tickets and credentials were learned, and what
// their levels allow. What was not learned, or whose ticket has ended, is refused. It is safe for concurrent use.
type Peers struct {
	realm  Realm
	id     wire.Realm
	rights func(identity.Level) trust.Rights
	plain  func(topic string) bool
	limit  int

	mu    sync.RWMutex
	peers map[identity.ID]*peer
}

type peer struct {
	ticket    trust.Ticket
	processes map[wire.Digest]processOf
	topics    string                 // what the subjects of its topics' messages begin with
	direct    atomic.Pointer[direct] // of the receiver asked about last: in a process it is always the same one
}

// direct is the spelling of the subjects on which one principal writes to one process. Spelling principals costs more
// than all else that is done with a subject.
type direct struct {
	to      envelope.Destination
	request string
	reply   string // up to the exchange
}

// processOf is a credential and the identity key that has signed it.
type processOf struct {
	credential wire.Verified[identity.Credential]
	key        wire.PublicKey
}

// NewPeers returns a set of at most limit principals of the realm. rights says what a level allows, plain which topics
// may be read by anybody, so that their messages need not be encrypted; nil stands for none. Both must be pure.
func NewPeers(
	realm wire.Realm, limit int, rights func(identity.Level) trust.Rights, plain func(topic string) bool,
) *Peers {
	if plain == nil {
		plain = func(string) bool { return false }
	}
	return &Peers{realm: In(realm), id: realm, rights: rights, plain: plain, limit: limit, peers: map[identity.ID]*peer{}}
}

// Learn takes in a principal's ticket, which the caller has verified by the realm's roster ([trust.VerifyTicket]). It
// replaces an older one; an older one does not replace it. Errors: [trust.ErrSuperseded] for an older ticket,
// [ErrFull]. now is in Unix milliseconds.
func (p *Peers) Learn(ticket wire.Verified[trust.Ticket], now int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.learn(ticket, now)
	return err
}

func (p *Peers) learn(ticket wire.Verified[trust.Ticket], now int64) (*peer, error) {
	if ticket.IsZero() {
		return nil, ErrUnknown
	}
	t := ticket.Statement()
	known := p.peers[t.Principal]
	if known == nil {
		if len(p.peers) >= p.limit {
			p.sweep(now)
		}
		if len(p.peers) >= p.limit {
			return nil, ErrFull
		}
		known = &peer{
			ticket: t, processes: map[wire.Digest]processOf{}, topics: p.realm.join(Topic, t.Principal.String(), ""),
		}
		p.peers[t.Principal] = known
		return known, nil
	}
	if older(t, known.ticket) {
		return known, fmt.Errorf("bus: ticket: %w", trust.ErrSuperseded)
	}
	known.ticket = t
	return known, nil
}

// older reports whether t says less recent things than known: by the log first, which all nodes share.
func older(t, known trust.Ticket) bool {
	if t.Index != known.Index {
		return t.Index < known.Index
	}
	return t.Issued < known.Issued
}

// Add takes in a principal's ticket, as Learn does but with an older one ignored, and one of its credentials as it came.
// The credential must be signed by the ticket's current key and of its epoch. Errors: those of reading and verifying,
// [ErrFull], and what the newest ticket known says: [trust.ErrQuarantined], [trust.ErrRevoked], [trust.ErrSuperseded].
func (p *Peers) Add(credential []byte, ticket wire.Verified[trust.Ticket], now int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, err := p.learn(ticket, now)
	if known == nil {
		return err
	}
	claimed, err := wire.Parse[identity.Credential](credential, wire.MaxStatement)
	if err != nil {
		return err
	}
	if err := known.ticket.Allow(claimed.Claim); err != nil {
		return err
	}
	verified, err := claimed.Verify(p.id, known.ticket.Key)
	if err != nil {
		return err
	}
	if _, again := known.processes[verified.ID()]; !again && len(known.processes) >= MaxProcesses {
		known.sweep(now)
		if len(known.processes) >= MaxProcesses {
			known.dropOldest()
		}
	}
	known.processes[verified.ID()] = processOf{verified, known.ticket.Key}
	return nil
}

// dropOldest forgets the credential that was issued first: most likely of a process that has ended.
func (k *peer) dropOldest() {
	var oldest wire.Digest
	var issued int64
	for id, s := range k.processes {
		at := s.credential.Statement().Issued
		if oldest.IsZero() || at < issued || at == issued && bytes.Compare(id[:], oldest[:]) < 0 {
			oldest, issued = id, at
		}
	}
	delete(k.processes, oldest)
}

// sweep forgets principals whose tickets have ended: they are refused anyway until a new one comes.
func (p *Peers) sweep(now int64) {
	maps.DeleteFunc(p.peers, func(_ identity.ID, k *peer) bool {
		return identity.CheckTime(k.ticket.Issued, k.ticket.Expires, now) != nil
	})
}

// sweep forgets credentials that have ended or were superseded.
func (k *peer) sweep(now int64) {
	maps.DeleteFunc(k.processes, func(_ wire.Digest, s processOf) bool {
		c := s.credential.Statement()
		return now >= c.Expires+identity.Skew || s.key != k.ticket.Key || k.ticket.Allow(c) != nil
	})
}

// Sender implements [envelope.Authority]. Errors: [ErrUnknown], [identity.ErrExpired], [identity.ErrNotYet],
// [trust.ErrQuarantined], [trust.ErrRevoked], [trust.ErrSuperseded].
func (p *Peers) Sender(from identity.ID, credential wire.Digest, now int64) (envelope.Sender, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, _, err := p.sender(from, credential, now)
	return s, err
}

// sender returns who a process is, and its principal's ticket. p.mu is held.
func (p *Peers) sender(from identity.ID, credential wire.Digest, now int64) (envelope.Sender, *trust.Ticket, error) {
	known := p.peers[from]
	if known == nil {
		return envelope.Sender{}, nil, ErrUnknown
	}
	t := &known.ticket
	if err := identity.CheckTime(t.Issued, t.Expires, now); err != nil {
		return envelope.Sender{}, nil, fmt.Errorf("bus: ticket: %w", err)
	}
	if err := t.Status.Check(); err != nil {
		return envelope.Sender{}, nil, err
	}
	s, ok := known.processes[credential]
	if !ok {
		return envelope.Sender{}, nil, ErrUnknown
	}
	if s.key != t.Key {
		return envelope.Sender{}, nil, trust.ErrSuperseded
	}
	if err := t.Allow(s.credential.Statement()); err != nil {
		return envelope.Sender{}, nil, err
	}
	return envelope.Sender{Credential: s.credential, Name: t.Name, Operator: t.Operator, Level: t.Level}, t, nil
}

// Term is how long what was learned of a process holds, in Unix milliseconds.
type Term struct {
	Level identity.Level // by the ticket
	Renew int64          // half of the ticket's life is over: time to learn a new one
	Ends  int64          // of the ticket or the credential, whichever ends first; no skew is added
}

// Term returns how long what was learned of a process holds. Errors: those of [Peers.Sender], and
// [identity.ErrExpired] where Ends is not after now.
func (p *Peers) Term(from identity.ID, credential wire.Digest, now int64) (Term, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, t, err := p.sender(from, credential, now)
	if err != nil {
		return Term{}, err
	}
	term := Term{
		Level: t.Level, Renew: t.Issued + (t.Expires-t.Issued)/2, Ends: min(t.Expires, s.Credential.Statement().Expires),
	}
	if now >= term.Ends {
		return Term{}, identity.ErrExpired
	}
	return term, nil
}

// Knows reports whether anything was learned of the principal.
func (p *Peers) Knows(id identity.ID) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.peers[id] != nil
}

// Rights returns what the sender's level allows.
func (p *Peers) Rights(s envelope.Sender) trust.Rights { return p.rights(s.Level) }

// Authorise implements [envelope.Authority]: the subject must be the one that purpose, sender and destination make,
// and the sender's level must allow such messages at all, and this topic. A topic's message must be encrypted unless
// the topic is plain; one that is encrypted all the same is accepted. Which capability a request calls stands in its
// content: whoever reads that checks it with [Peers.Rights]. Errors: [ErrSubject], [ErrDenied].
func (p *Peers) Authorise(s envelope.Sender, e envelope.Envelope) error {
	if err := p.subject(e); err != nil {
		return err
	}
	if e.Encryption == envelope.Plain && !(e.To.Place == envelope.AtTopic && p.plain(e.To.Topic)) {
		return fmt.Errorf("not encrypted on topic %.128q: %w", e.To.Topic, ErrDenied)
	}
	if r := p.rights(s.Level); r.Rate == 0 || !allows(r, e) {
		return fmt.Errorf("bus: purpose %d at level %s: %w", e.Purpose, s.Level, ErrDenied)
	}
	return nil
}

func allows(r trust.Rights, e envelope.Envelope) bool {
	switch e.Purpose {
	case envelope.Request:
		return len(r.Call) > 0
	case envelope.Join:
		return len(r.Subscribe) > 0
	case envelope.Reply, envelope.Fault:
		return len(r.Serve)+len(r.Publish) > 0
	case envelope.Event:
		return identity.MatchCapability(r.Publish, e.To.Topic)
	}
	return false
}

// subject refuses envelopes whose subject is not the one that belongs to them.
func (p *Peers) subject(e envelope.Envelope) error {
	var want string
	switch to := e.To; {
	case to.Place == envelope.AtProcess && e.Purpose.Answers():
		exchange, ok := strings.CutPrefix(e.Subject, p.direct(e.From, to).reply)
		if _, valid := parseToken(exchange); ok && valid {
			return nil
		}
	case to.Place == envelope.AtProcess:
		want = p.direct(e.From, to).request
	case to.Place == envelope.AtInbox:
		want = p.realm.Mail(to.Agent, e.From)
	case to.Place == envelope.AtTopic:
		if topic, ok := strings.CutPrefix(e.Subject, p.topicsOf(e.From)); ok && topic == to.Topic && validTopic(topic) {
			return nil
		}
	}
	if want == "" || e.Subject != want {
		return fmt.Errorf("envelope on %.80q: %w", e.Subject, ErrSubject)
	}
	return nil
}

// topicsOf returns what the subjects of a principal's topics begin with.
func (p *Peers) topicsOf(from identity.ID) string {
	p.mu.RLock()
	known := p.peers[from]
	p.mu.RUnlock()
	if known != nil {
		return known.topics
	}
	return p.realm.join(Topic, from.String(), "")
}

// direct returns how the subjects from a principal to a process are spelled.
func (p *Peers) direct(from identity.ID, to envelope.Destination) *direct {
	p.mu.RLock()
	known := p.peers[from]
	p.mu.RUnlock()
	if known != nil {
		if d := known.direct.Load(); d != nil && d.to == to {
			return d
		}
	}
	process := TokenOf(to.Instance)
	d := &direct{
		to: to, request: p.realm.Request(to.Agent, process, from),
		reply: p.realm.join(Reply, to.Agent.String(), process.String(), from.String(), ""),
	}
	if known != nil {
		known.direct.Store(d)
	}
	return d
}
