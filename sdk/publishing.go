package sdk

import (
	"fmt"
	"maps"
	"math"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// maxReaders bounds the processes that read one topic of this process.
const maxReaders = 16384

// publishing is the topics that one session publishes on. It is safe for concurrent use.
type publishing struct {
	session *session

	mu     sync.Mutex // held while a publication is added
	topics sync.Map   // by topic: *publication
}

// follow comes after the session that this one replaces. It makes the former's publications, for those who read them:
// each of these processes has heard nothing of this session, so it may accept what is published before it joins.
func (p *publishing) follow(former *publishing) {
	p.session.egress.follow(former.session.egress)
	for _, t := range former.all() {
		next, err := p.to(t.topic)
		if err != nil {
			continue // it made no subject for the former either
		}
		next.inherit(t)
	}
}

// publication is one topic of one session. Its messages are encrypted under a sender key, which everybody who joined
// has, until one of them loses the right to it: then the next message is under a new one, and who still has the right
// asks for that. Topics that the policy leaves plain have no key.
type publication struct {
	session *session
	topic   string
	plain   bool
	route   route

	mu      sync.Mutex
	key     *envelope.Key
	epoch   uint64 // numbers the keys from 1
	stale   bool   // the key must not be used any more
	former  []formerKey
	readers map[wire.Digest]reader // by credential
	heirs   map[wire.Digest]reader // those of the session before that have not joined this one
	until   int64                  // when the first right to the key ends, Unix milliseconds
}

// formerKey is a key that messages may still be under way with.
type formerKey struct {
	key      *envelope.Key
	epoch    uint64
	replaced int64 // Unix milliseconds
}

// reader is a process that has joined.
type reader struct {
	principal identity.ID
	epoch     uint64 // of the newest key that it has
	renew     int64  // when to ask for its next ticket
	ends      int64  // of its right, unless its ticket is renewed
}

// to returns the topic's publication. Errors: that of an invalid topic.
func (p *publishing) to(topic string) (*publication, error) {
	if known := p.known(topic); known != nil {
		return known, nil
	}
	s := p.session
	subject, err := s.subject.Topic(s.agent.ID(), topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.known(topic); known != nil {
		return known, nil
	}
	made := &publication{session: s, topic: topic, plain: s.agent.link.plain(topic), readers: map[wire.Digest]reader{}}
	limit := frameBytes
	if most := s.agent.link.rights(s.hearing.at()).MaxPayload; most > 0 && most*3/4 < frameBytes {
		limit = int(most * 3 / 4)
	}
	made.route = route{
		to: envelope.ToTopic(topic), subject: subject, purpose: envelope.Event, limit: limit, protect: made.protect,
	}
	p.topics.Store(topic, made)
	return made, nil
}

// known returns the topic's publication, or nil. There is one only of topics that the process is announced to publish on.
func (p *publishing) known(topic string) *publication {
	if t, ok := p.topics.Load(topic); ok {
		return t.(*publication)
	}
	return nil
}

// joined answers a verified join: the next counter on the topic and its key, if the reader's level reads it.
func (p *publishing) joined(m *envelope.Message) ([]byte, error) {
	var j joinContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return nil, err
	}
	a := p.session.agent
	if !a.service.publishes(j.Topic) {
		return nil, fmt.Errorf("%w: topic %.128q", ErrNoResponder, j.Topic)
	}
	t, err := p.to(j.Topic)
	if err != nil {
		return nil, err
	}
	joined, err := t.join(m.From().ID, m.Process(), a.link.now())
	if err != nil {
		return nil, err
	}
	return wire.Encode(joined)
}

func (p *publishing) all() []*publication {
	var list []*publication
	p.topics.Range(func(_, t any) bool {
		list = append(list, t.(*publication))
		return true
	})
	return list
}

// review looks again at who may read: something was learned of principals.
func (p *publishing) review() {
	for _, t := range p.all() {
		t.review()
	}
}

// due returns the readers whose tickets are to be renewed.
func (p *publishing) due() []identity.ID {
	var ids []identity.ID
	for _, t := range p.all() {
		ids = t.due(ids)
	}
	return ids
}

// protect returns what the next messages are encrypted with. It makes a new key where somebody who has the old one may
// not read any more.
func (t *publication) protect(now int64) (envelope.Protection, error) {
	if t.plain {
		return envelope.Unencrypted(), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fresh(now); err != nil {
		return envelope.Protection{}, err
	}
	return envelope.Under(t.key), nil
}

// fresh replaces the key if need be. t.mu is held.
func (t *publication) fresh(now int64) error {
	if t.key != nil && !t.stale && now < t.until {
		return nil
	}
	key, err := envelope.NewSenderKey(nil)
	if err != nil {
		return err
	}
	var recent []formerKey
	for _, f := range t.former {
		if now-f.replaced < liveTime {
			recent = append(recent, f)
		}
	}
	if t.key != nil {
		recent = append(recent, formerKey{key: t.key, epoch: t.epoch, replaced: now})
	}
	t.former = recent[max(0, len(recent)-maxSecrets):] // no reader takes more
	for process, r := range t.readers {
		if now >= r.ends {
			delete(t.readers, process)
		}
	}
	t.key, t.stale, t.until = key, false, math.MaxInt64
	t.epoch++
	return nil
}

// join admits a reader and returns what it needs: the next counter, and the keys that it has a right to. Who was a
// reader all along also gets those that were replaced since it last asked.
func (t *publication) join(from identity.ID, process wire.Digest, now int64) (joinedContent, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	term, err := t.term(from, process, now) // under mu: a review that comes now finds the reader
	if err != nil {
		return joinedContent{}, err
	}
	j := joinedContent{First: t.session.egress.sealer.first(t.route.to)}
	heir, inherits := t.heirs[process]
	if inherits {
		j.First = 1
		delete(t.heirs, process)
	}
	before, again := t.readers[process]
	full := !again && len(t.readers) >= maxReaders
	if t.plain {
		if !full {
			t.readers[process] = reader{principal: from, renew: math.MaxInt64, ends: term.Ends}
		}
		return j, nil
	}
	if full {
		return joinedContent{}, errBusy
	}
	if err := t.fresh(now); err != nil {
		return joinedContent{}, err
	}
	if _, still := t.readers[process]; again && still || inherits && now < heir.ends {
		for _, f := range t.former {
			if f.epoch > before.epoch && now-f.replaced < liveTime {
				j.Secrets = append(j.Secrets, f.key.Secret())
			}
		}
	}
	j.Secrets = append(j.Secrets, t.key.Secret())
	t.readers[process] = reader{principal: from, epoch: t.epoch, renew: term.Renew, ends: term.Ends}
	t.until = min(t.until, term.Ends)
	return j, nil
}

// inherit remembers who reads the same topic of the session before, and has heard nothing of this one: at its join it
// gets all keys of this session and the right to everything published under them. The epochs begin anew.
func (t *publication) inherit(former *publication) {
	former.mu.Lock()
	heirs := maps.Clone(former.readers)
	former.mu.Unlock()
	for process, r := range heirs {
		r.epoch = 0
		heirs[process] = r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heirs = heirs
}

// term returns how long a process may read the topic. Errors: those of [bus.Peers.Term], [bus.ErrDenied].
func (t *publication) term(from identity.ID, process wire.Digest, now int64) (bus.Term, error) {
	a := t.session.agent
	term, err := a.circle.peers.Term(from, process, now)
	if err != nil {
		return bus.Term{}, err
	}
	if !identity.MatchCapability(a.link.rights(term.Level).Subscribe, t.topic) {
		return bus.Term{}, fmt.Errorf("%w: %s does not read %s", bus.ErrDenied, term.Level, t.topic)
	}
	return term, nil
}

// review drops readers who may not read any more; the key that they have is then stale.
func (t *publication) review() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.session.agent.link.now()
	t.until = math.MaxInt64
	for process, r := range t.heirs {
		if _, err := t.term(r.principal, process, now); err != nil {
			delete(t.heirs, process)
		}
	}
	for process, r := range t.readers {
		term, err := t.term(r.principal, process, now)
		if err != nil {
			delete(t.readers, process)
			t.stale = t.stale || r.epoch == t.epoch
			continue
		}
		r.renew, r.ends = term.Renew, term.Ends
		t.readers[process] = r
		if r.epoch == t.epoch {
			t.until = min(t.until, r.ends)
		}
	}
}

// due adds the principals of readers whose tickets are to be renewed.
func (t *publication) due(ids []identity.ID) []identity.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.session.agent.link.now()
	for _, r := range t.readers {
		if now >= r.renew {
			ids = append(ids, r.principal)
		}
	}
	return ids
}
