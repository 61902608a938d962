package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// maxSecrets bounds the sender keys that are kept of one reply, the last ones: others' are not to make room for them.
const maxSecrets = 64

// heard is one process's topic, as a subscription hears it.
type heard struct {
	turn   lane   // for joining
	joined bool   // under turn
	newest uint64 // counter of the newest message handed over, under the subscription's mu
}

var (
	errOwn    = errors.New("sdk: a process does not read what it publishes")
	errUnseen = fmt.Errorf("%w: the publisher is not there", ErrNoResponder)
)

func (r *Subscription) heard(stream envelope.Stream) *heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.streams[stream]
	if h == nil {
		if len(r.streams) >= maxStreams { // they can all be joined again
			clear(r.streams)
		}
		h = &heard{turn: newLane()}
		r.streams[stream] = h
	}
	return h
}

// join joins every process that publishes on the topics now.
func (r *Subscription) join(ctx context.Context) error {
	found, err := r.agent.circle.find(ctx, control.Find{Topic: r.pattern})
	if err != nil {
		return err
	}
	var joining sync.WaitGroup
	defer joining.Wait()
	atOnce := make(chan struct{}, maxJoins) // one that does not answer holds nobody up
	for _, i := range found {
		select {
		case atOnce <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		joining.Go(func() {
			defer func() { <-atOnce }()
			r.joinAll(ctx, i)
		})
	}
	return nil
}

// joinAll joins the topics of one process, one after the other: however many it says it has, it takes the place of one.
func (r *Subscription) joinAll(ctx context.Context, i *instance) {
	for _, topic := range i.presence.Statement().Topics {
		if !covers(r.pattern, topic) {
			continue
		}
		err := r.joinOne(ctx, i, topic, wire.Digest{})
		if errors.Is(err, errOwn) {
			return
		}
		if err != nil {
			r.agent.link.options.logger.Warn("publisher not joined", "topic", topic, "error", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// maxJoins bounds how many processes a subscription joins at the same time.
const maxJoins = 64

// greet joins the process that an envelope is from, which was not joined, or whose new key is not known. How often that
// happens for nothing is bounded.
func (r *Subscription) greet(ctx context.Context, e envelope.Envelope) error {
	circle, now := r.agent.circle, r.agent.link.now()
	if r.own(e) {
		return errOwn
	}
	if !circle.unjoined.admit(e.From, now) {
		return errBusy // it is joined when publishers are next looked for
	}
	found, err := circle.find(ctx, control.Find{ID: e.From, Topic: e.To.Topic})
	if err != nil {
		return err
	}
	for _, i := range found {
		if i.credential.ID() != e.Credential {
			continue
		}
		if err := r.joinOne(ctx, i, e.To.Topic, e.Key); err != nil {
			return err
		}
		if e.Key.IsZero() || circle.senders.Key(e.Key) != nil {
			circle.unjoined.forgive(e.From)
		}
		return nil
	}
	return errUnseen
}

// joinOne joins one topic of one process, if it was not joined before, or again for the key named, which may be zero.
func (r *Subscription) joinOne(ctx context.Context, i *instance, topic string, key wire.Digest) error {
	s := r.agent.link.current()
	if i.credential.ID() == s.process.Credential().ID() {
		return errOwn
	}
	stream := envelope.Stream{Credential: i.credential.ID(), To: envelope.ToTopic(topic)}
	h := r.heard(stream)
	if err := h.turn.enter(ctx); err != nil {
		return err
	}
	defer h.turn.leave()
	if h.joined && (key.IsZero() || r.agent.circle.senders.Key(key) != nil) {
		return nil
	}
	content, err := wire.Encode(joinContent{Topic: topic})
	if err != nil {
		return err
	}
	m, err := s.exchanges.ask(ctx, i, envelope.Join, content)
	if err != nil {
		return err
	}
	var j joinedContent
	if err := wire.Decode(m.Content(), &j); err != nil {
		return err
	}
	return r.take(h, i.credential.Statement(), stream, j)
}

// take keeps what a publisher answered, as long as its credential c lasts. A window that is open already stays as it is,
// so that what waits to be handled is not refused. The caller has entered h.turn.
func (r *Subscription) take(h *heard, c identity.Credential, stream envelope.Stream, j joinedContent) error {
	circle, until := r.agent.circle, c.Expires+identity.Skew
	for _, secret := range j.Secrets[max(0, len(j.Secrets)-maxSecrets):] {
		key, err := envelope.ParseSenderKey(secret)
		if err != nil {
			return err
		}
		circle.senders.keep(key, until)
	}
	if !h.joined {
		if err := circle.windows.Join(c.Principal, stream, j.First, until, r.agent.link.now()); err != nil {
			return err
		}
	}
	h.joined = true
	return nil
}
