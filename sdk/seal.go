package sdk

import (
	"context"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// sealer makes envelopes of lots and publishes them. Only one goroutine at a time lets it seal.
type sealer struct {
	process *identity.Process
	conn    bus.Conn
	now     func() int64

	mu       sync.Mutex
	counters envelope.Counters
}

// lone lets one lot out by itself: as an envelope or a frame.
func (s *sealer) lone(l *lot) error {
	if len(l.members) == 1 {
		return s.single(l, 0, true)
	}
	d, err := s.draft(l.route, len(l.members))
	if err != nil {
		return err
	}
	f, err := envelope.SealFrame(s.process, d, l.members, nil)
	if err == nil {
		l.ids = f.ID
		return s.publish(l.route.subject, f.Raw())
	}
	return s.singly(l)
}

// singly lets the messages of a lot out one by one, because they do not fit one frame.
func (s *sealer) singly(l *lot) error {
	ids := make([]Digest, len(l.members))
	var first error
	for i := range l.members {
		l.ids = nil
		if err := s.single(l, i, false); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		ids[i] = l.ids(0)
	}
	l.ids = func(index int) Digest { return ids[index] }
	return first
}

func (s *sealer) single(l *lot, index int, alone bool) error {
	d, err := s.draft(l.route, 1)
	if err != nil {
		return err
	}
	m := l.members[index]
	d.Content, d.ContentType, d.Trace = m.Content, m.ContentType, m.Trace
	signed, err := envelope.Seal(s.process, d, l.salt)
	if err != nil {
		return err
	}
	l.ids = func(int) Digest { return signed.ID }
	if alone && l.signed != nil {
		l.signed(signed)
	}
	return s.publish(l.route.subject, signed.Raw)
}

// bundle seals several lots under one signature and returns how to publish each, message by message, in their order. It
// reports whether it could. One with a salt of its own goes by itself.
func (s *sealer) bundle(lots []*lot) (out func(l *lot) error, ok bool) {
	var drafts []envelope.Draft
	for _, l := range lots {
		if l.salt != nil {
			return nil, false
		}
		d, err := s.draft(l.route, len(l.members))
		if err != nil {
			return nil, false
		}
		for _, m := range l.members {
			d.Content, d.ContentType, d.Trace = m.Content, m.ContentType, m.Trace
			drafts = append(drafts, d)
			d.Counter++
		}
	}
	b, err := envelope.SealBatch(s.process, drafts, nil)
	if err != nil {
		return nil, false
	}
	next := 0
	return func(l *lot) error {
		first := next
		next += len(l.members)
		return s.members(l, b, first)
	}, true
}

// members publishes a lot's envelopes, which begin at index first of the bundle.
func (s *sealer) members(l *lot, b *envelope.Bundle, first int) error {
	l.ids = func(index int) Digest { return b.ID(first + index) }
	for i := range l.members {
		raw, err := b.Member(first + i)
		if err != nil {
			return err
		}
		if l.signed != nil {
			l.signed(envelope.Signed{Raw: raw, ID: b.ID(first + i), Session: b.Session(first + i)})
		}
		if err := s.publish(l.route.subject, raw); err != nil {
			return err
		}
	}
	return nil
}

// draft takes n counters and then asks how to protect what has them.
func (s *sealer) draft(r *route, n int) (envelope.Draft, error) {
	now := s.now()
	counter := s.count(r.to, n)
	protection, err := r.protect(now)
	return envelope.Draft{
		To: r.to, Subject: r.subject, Purpose: r.purpose, InReplyTo: r.inReplyTo, Issued: now, Expires: now + liveTime,
		Counter: counter, Protection: protection,
	}, err
}

// count uses n counters of the destination and returns the first.
func (s *sealer) count(to envelope.Destination, n int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters.Take(to, n)
}

// first returns the counter that comes next for the destination.
func (s *sealer) first(to envelope.Destination) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters.First(to)
}

func (s *sealer) publish(subject string, raw []byte) error {
	return s.conn.Publish(context.Background(), subject, raw)
}
