package sdk

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// presence is how one process says that it is there, what it serves and on what it publishes.
type presence struct {
	session *session

	turn     lane        // for handing in a presence: they must come in order
	ever     atomic.Bool // announced once
	current  atomic.Bool // announced since the session connected last
	sequence uint64      // under turn
	over     bool        // under turn: it serves and publishes nothing any more
}

// once announces the process once a connection, so that whoever it asks can find the key to seal the reply with.
func (p *presence) once(ctx context.Context) error {
	if p.current.Load() {
		return nil
	}
	if err := p.turn.enter(ctx); err != nil {
		return err
	}
	defer p.turn.leave()
	if p.current.Load() {
		return nil
	}
	return p.next(ctx)
}

// due reports whether a node that the process has come to should hear of it at once.
func (p *presence) due() bool {
	serves, topics := p.session.agent.service.offered()
	return p.ever.Load() || len(serves)+len(topics) > 0 && p.session == p.session.agent.link.current()
}

// announce signs a presence and hands it to the node.
func (p *presence) announce(ctx context.Context) error {
	if err := p.turn.enter(ctx); err != nil {
		return err
	}
	defer p.turn.leave()
	return p.next(ctx)
}

// next hands in the next presence. The caller has entered p.turn.
func (p *presence) next(ctx context.Context) error {
	s, a := p.session, p.session.agent
	said := discovery.Presence{
		Version: 1, Principal: a.ID(), Credential: s.process.Credential().ID(), Sealing: s.process.SealingKey(),
		Issued: a.link.now(),
	}
	said.Expires = said.Issued + presenceTime
	if !a.crew.closing() && !p.over {
		said.Serves, said.Topics = a.service.offered()
	}
	p.sequence++
	said.Sequence = p.sequence
	raw, err := s.process.Sign(said)
	if err != nil {
		return err
	}
	if err := s.control.Ask(ctx, control.OpAnnounce, control.Announce{Presence: raw}, nil); err != nil {
		return err
	}
	p.ever.Store(true)
	p.current.Store(true)
	return nil
}

// withdraw announces that the process serves and publishes nothing any more, so that nobody picks it, if it has ever
// been announced. It is best effort: a presence ends by itself.
func (p *presence) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, withdrawTime)
	defer cancel()
	if !p.ever.Load() || p.turn.enter(ctx) != nil {
		return
	}
	defer p.turn.leave()
	p.over = true
	_ = p.next(ctx)
}

// keepPresent announces the process as long as it serves or publishes anything, keeps readers joined, and learns new
// tickets of those who read its topics.
func keepPresent(a *Agent) {
	tick := time.NewTicker(announceTime)
	defer tick.Stop()
	for {
		select {
		case <-a.crew.ctx.Done():
			return
		case <-tick.C:
		}
		serves, topics := a.service.offered()
		ctx, cancel := context.WithTimeout(a.crew.ctx, askTime)
		if len(serves)+len(topics) > 0 {
			if err := a.link.current().presence.announce(ctx); err != nil && a.crew.ctx.Err() == nil {
				a.link.options.logger.Warn("presence not announced", "error", err)
			}
		}
		a.reading.rejoin(ctx)
		a.circle.renewReaders()
		cancel()
	}
}
