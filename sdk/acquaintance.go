package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// acquaintances are the principals and processes that an agent deals with: what was verified of them, and what is
// remembered so that it need not be asked for again. It is safe for concurrent use.
type acquaintances struct {
	link      *link
	peers     *bus.Peers
	windows   *envelope.LiveWindows // of all sessions: streams name the process they go to
	keys      sealingKeys
	strangers strangers // whom the node is asked about
	unjoined  strangers // whose topics it is asked about
	disowned  strangers // who are told that their sessions are not known
	instances instances
	turns     turnstile
	roots     *envelope.Roots // of batches whose signatures were checked
	senders   *keyring        // keys of topics that were joined
	hints     hints
}

func newAcquaintances(l *link) *acquaintances {
	q := &acquaintances{
		link: l, peers: bus.NewPeers(l.realm, maxPeers, l.rights, l.plain), windows: envelope.NewLiveWindows(maxStreams),
		strangers: strangers{most: strangerAsks}, unjoined: strangers{most: strangerAsks},
		disowned: strangers{most: disownAsks},
		roots:    envelope.NewRoots(maxRoots), senders: newKeyring(maxStreams, l.now),
	}
	q.hints.circle = q
	return q
}

func (q *acquaintances) who(ctx context.Context, w control.Who) (Peer, error) {
	v, err := q.ticket(ctx, w)
	if err != nil {
		return Peer{}, err
	}
	return vouchedPeer(v.Statement()), nil
}

// ticket asks the node for a principal's ticket and verifies it.
func (q *acquaintances) ticket(ctx context.Context, w control.Who) (v wire.Verified[trust.Ticket], err error) {
	err = vouched(ctx, q.link, nil, control.OpWho, w, func(p control.Principal, l lore) (err error) {
		if v, _, err = verifyPrincipal(p, l, q.link.now()); err != nil {
			return err
		}
		if t := v.Statement(); (!w.ID.IsZero() && t.Principal != w.ID) || (w.Name != "" && t.Name != w.Name) {
			return errForm
		}
		return nil
	})
	return v, err
}

// vouchedPeer is what a verified ticket says of its principal.
func vouchedPeer(t trust.Ticket) Peer {
	return Peer{ID: t.Principal, Name: t.Name, Operator: t.Operator, Level: t.Level, Status: t.Status.String()}
}

func whoOf(nameOrKey string) (control.Who, error) {
	if id, err := identity.ParseID(nameOrKey); err == nil {
		return control.Who{ID: id}, nil
	}
	return control.Who{Name: nameOrKey}, identity.CheckName(nameOrKey)
}

// find asks the node who is there, verifies each answer, and remembers the senders. What does not verify is left out.
func (q *acquaintances) find(ctx context.Context, f control.Find) ([]*instance, error) {
	var list []*instance
	var refused []error
	err := vouched(ctx, q.link, nil, control.OpFind, f, func(found control.Found, l lore) error {
		list, refused = q.sift(found, f, l)
		return errors.Join(refused...)
	})
	if err != nil && len(refused) == 0 {
		return nil, err // of asking
	}
	for _, err := range refused {
		q.link.options.logger.Warn("process left out", "code", string(fault.CodeOf(err)), "error", err)
	}
	return list, nil
}

// sift returns the processes that a node has named which are what was looked for, and why it refuses others.
func (q *acquaintances) sift(found control.Found, f control.Find, l lore) (list []*instance, refused []error) {
	for _, v := range found.Processes {
		i, err := verifyInstance(v, l, q.link.now())
		if err != nil {
			refused = append(refused, err)
			continue
		}
		if i.presence.IsZero() || !offers(&i, f, l) {
			continue
		}
		if err := q.peers.Add(v.Credential, i.ticket, q.link.now()); err != nil {
			continue // superseded or quarantined meanwhile
		}
		list = append(list, &i)
	}
	return list, refused
}

// offers checks that the process itself, its principal's granted card, and its level say what was looked for.
func offers(i *instance, f control.Find, l lore) bool {
	if f.Capability == "" {
		return true
	}
	t := i.ticket.Statement()
	if i.card.IsZero() || !identity.MatchCapability(t.Serves, f.Capability) ||
		!identity.MatchCapability(l.policy.Rights(t.Level).Serve, f.Capability) {
		return false
	}
	return contains(i.card.Statement().Names(), f.Capability) && contains(i.presence.Statement().Serves, f.Capability)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// pick returns a live process that serves the target: among several the next one in turn.
func (q *acquaintances) pick(ctx context.Context, to Target) (*instance, error) {
	candidates, err := q.candidates(ctx, to)
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		return nil, q.nobody(to)
	}
	return candidates[q.turns.next(to)%uint64(len(candidates))], nil
}

// errBelow is an [ErrNoResponder] of those who would answer, were their level high enough.
var errBelow = fmt.Errorf("%w: the level of those who would is too low", ErrNoResponder.
	WithHint("see what they lack for the next level: conclave trust ls, conclave trust explain NAME"))

// nobody returns why a target has no candidates: nobody serves it, or nobody of its least level.
func (q *acquaintances) nobody(to Target) error {
	answer, whoever := q.instances.of(to), to
	whoever.least = 0
	list, refresh := q.instances.live(answer, q.link.now())
	if refresh {
		q.instances.stale(answer) // it is the next caller's to ask
	}
	if to.least > 0 && len(q.worthy(list, whoever)) > 0 {
		return fmt.Errorf("%w, below %s: %s", errBelow, to.least, to)
	}
	return fmt.Errorf("%w: %s", ErrNoResponder, to)
}

// turnstile spreads calls over the processes that serve a target. The zero value is ready.
type turnstile struct {
	mu   sync.Mutex
	last map[Target]uint64
}

func (t *turnstile) next(to Target) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || len(t.last) > 4096 { // forgetting only changes whose turn it is
		t.last = map[Target]uint64{}
	}
	t.last[to]++
	return t.last[to]
}

// sealingKey returns the key to seal replies with: the one in the sender's newest presence, verified.
func (q *acquaintances) sealingKey(ctx context.Context, id identity.ID, credential wire.Digest) ([]byte, error) {
	if key, ok := q.keys.get(credential); ok {
		return key, nil
	}
	i, v, err := q.sender(ctx, id, credential)
	if err != nil {
		return nil, err
	}
	presence, err := wire.Parse[discovery.Presence](v.Presence, wire.MaxStatement)
	if err != nil {
		return nil, errNoSealingKey
	}
	key := presence.Claim.Sealing
	if i.credential.ID() != credential || i.credential.Statement().Sealing != wire.Hash(key) {
		return nil, errNoSealingKey
	}
	q.keys.put(credential, key)
	return key, nil
}

// sender asks the node who a process is, and verifies the answer but for the presence: that of a process that only calls
// may be over, and its key is good as long as the credential, which names it.
func (q *acquaintances) sender(ctx context.Context, id identity.ID, credential wire.Digest) (i instance, said control.Vouched, err error) {
	in := control.Process{Principal: id, Credential: credential}
	err = vouched(ctx, q.link, nil, control.OpSender, in, func(v control.Vouched, l lore) (err error) {
		said = v
		v.Presence = nil
		i, err = verifyInstance(v, l, q.link.now())
		return err
	})
	return i, said, err
}

var errNoSealingKey = fault.New(fault.Unknown, "sdk: the process announced no sealing key of its credential")

// sealingKeys remembers verified sealing keys by credential, which names exactly one. It is safe for concurrent use.
type sealingKeys struct {
	mu   sync.Mutex
	keys map[wire.Digest][]byte
}

const maxSealingKeys = 4096

func (k *sealingKeys) get(credential wire.Digest) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[credential]
	return key, ok
}

func (k *sealingKeys) put(credential wire.Digest, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil || len(k.keys) >= maxSealingKeys { // they can all be asked for again
		k.keys = map[wire.Digest][]byte{}
	}
	k.keys[credential] = key
}

// meet asks the node who a process is, verifies the answer and remembers it.
func (q *acquaintances) meet(ctx context.Context, from identity.ID, credential wire.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	i, v, err := q.sender(ctx, from, credential)
	if err != nil {
		return err
	}
	return q.peers.Add(v.Credential, i.ticket, q.link.now())
}

// heard is told that something of principals has changed: what was said of them before counts no longer.
func (q *acquaintances) heard(ids []identity.ID) {
	q.instances.dropPrincipals(ids)
	q.relearn(ids)
	for _, s := range q.link.sessions() {
		s.publishing.review()
		s.exchanges.review(ids)
	}
}

// renewReaders learns new tickets of those who read this agent's topics, when half of a ticket's life is over. Who gets
// none loses its right when the ticket ends.
func (q *acquaintances) renewReaders() {
	var due []identity.ID
	for _, s := range q.link.sessions() {
		due = append(due, s.publishing.due()...)
	}
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, identity.ID.Compare)
	q.relearn(slices.Compact(due))
	for _, s := range q.link.sessions() {
		s.publishing.review()
	}
}

// relearn fetches new tickets of principals that this agent has dealt with.
func (q *acquaintances) relearn(ids []identity.ID) {
	ctx, cancel := context.WithTimeout(q.link.crew.ctx, askTime)
	defer cancel()
	for _, id := range ids {
		if !q.peers.Knows(id) {
			continue
		}
		v, err := q.ticket(ctx, control.Who{ID: id})
		if err != nil {
			continue // the one known will end by itself
		}
		if err := q.peers.Learn(v, q.link.now()); err != nil {
			q.link.options.logger.Debug("ticket not taken", "principal", id.String(), "error", err)
		}
	}
}
