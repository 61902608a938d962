package sdk

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// docket is the decisions that an agent proposes, follows and votes on, with its voter functions.
type docket struct {
	link    *link
	sealing *sealing
	asked   polled // open decisions that voter functions were asked about, or that this agent has no vote on
	known   *proof.Verifier

	mu     sync.Mutex
	voters []balloting
}

// balloting is one registered voter function.
type balloting struct {
	fn    func(context.Context, ballot.View) (ballot.Vote, error)
	kinds []string
}

// OnBallot has fn called for every open decision in whose electorate this agent is, once a process, as long as it has
// not voted; for the action kinds or patterns given, or all. What fn returns is cast, or, where ballots are secret, committed
// to and revealed later: see [ballot.Box.Vote]. On an error nothing is cast, and
// silence rejects at the deadline. The proposer's reason is its own words: fn must not obey it.
func (a *Agent) OnBallot(fn func(ctx context.Context, v ballot.View) (ballot.Vote, error), kinds ...string) error {
	if len(kinds) == 0 {
		kinds = []string{"*"}
	}
	if first := a.docket.add(balloting{fn: fn, kinds: kinds}); first && !a.crew.keep(a.docket.loop) {
		return ErrClosed
	}
	return nil
}

// add registers a voter function and reports whether it is the first.
func (k *docket) add(b balloting) (first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.voters = append(k.voters, b)
	return len(k.voters) == 1
}

// box is what the agent votes by.
func (k *docket) box() ballot.Box {
	return ballot.Of(booth{lent{k.link}, k.sealing}, k.link.id(), k.link.options.logger)
}

// proposed finds the decision that this agent proposed with the nonce.
func (k *docket) proposed(ctx context.Context, nonce [16]byte, action Action) (*Decision, error) {
	var v control.DecisionView
	var b ballot.View
	in := control.DecisionID{Proposer: k.link.id(), Nonce: nonce}
	err := vouched(ctx, k.link, nil, control.OpDecision, in, func(said control.DecisionView, l lore) (err error) {
		v = said
		b, err = verifyView(said, l, k.link.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	claimed, err := wire.Parse[consensus.Proposal](v.Proposal, wire.MaxStatement)
	if err != nil {
		return nil, err
	}
	if b.Proposer.ID != k.link.id() || claimed.Claim.Nonce != nonce {
		return nil, consensus.ErrOtherDecision
	}
	if b.Action.Digest() != action.Digest() {
		return nil, errOtherAction
	}
	return &Decision{docket: k, id: v.ID}, nil
}

// fetched is what a node shows of an approved decision: the certificate is verified, the rest not.
type fetched struct {
	certificate *Certificate
	consumed    consensus.Consumption
	receipt     *audit.Receipt
}

func (k *docket) fetch(ctx context.Context, id Digest) (fetched, error) {
	var out fetched
	in := control.DecisionID{Prefix: id[:]}
	err := vouched(ctx, k.link, nil, control.OpCertificate, in, func(c control.Certificate, l lore) error {
		trusted := proof.Trust{Realm: k.link.realm, Roster: l.authority.Number}
		certificate, _, err := k.known.Parse(c.Certificate, trusted)
		if err != nil {
			return byOthers(err)
		}
		if certificate.ID() != id {
			return proof.ErrMismatch
		}
		out = fetched{certificate: certificate, consumed: c.Consumed, receipt: c.Receipt}
		return nil
	})
	return out, err
}

// loop looks for decisions to vote on: at those that have opened, as a hint says, and now and then at all.
func (k *docket) loop() {
	var looked time.Time
	for {
		news := k.link.news.next()
		opened, all := k.link.following.take()
		ctx, cancel := context.WithTimeout(k.link.crew.ctx, askTime)
		if all || time.Since(looked) >= lookAgain {
			opened = k.open(ctx)
			looked = time.Now()
		}
		for _, id := range opened {
			k.look(ctx, id)
		}
		cancel()
		if !k.idle(news) {
			return
		}
	}
}

// open lists the open decisions, and forgets those that have ended.
func (k *docket) open(ctx context.Context) []Digest {
	list, err := k.box().List(ctx)
	if err != nil && k.link.crew.ctx.Err() == nil {
		k.link.options.logger.Warn("open decisions not read", "code", string(fault.CodeOf(err)), "error", err)
	}
	var ids []Digest
	for _, s := range list {
		if s.State == consensus.Open.String() {
			ids = append(ids, s.ID)
		} else {
			k.asked.remove(s.ID)
		}
	}
	k.asked.expire(time.Now()) // the list does not name them all
	return ids
}

// look has the agent asked for its vote on a decision, if that waits for it. One that cannot be shown must not hide the
// others.
func (k *docket) look(ctx context.Context, id Digest) {
	if k.asked.has(id) || k.sealing.holds(id) {
		return
	}
	v, err := lent{k.link}.Show(ctx, id[:])
	switch {
	case err != nil && k.link.crew.ctx.Err() == nil:
		k.link.options.logger.Warn("decision left out", "decision", id.String(), "code", string(fault.CodeOf(err)), "error", err)
	case err != nil, over(v):
	case !v.Votes(k.link.id()):
		k.asked.add(id, v.Deadline) // its electorate never changes
	case v.MayVote(k.link.id()):
		k.poll(v)
	}
}

// over reports whether nobody votes on a decision any more. Its deadline is verified, its state is the node's word.
func over(v ballot.View) bool {
	return v.State != consensus.Open.String() || time.Now().After(v.Deadline.Add(overdue))
}

// idle waits for news, or some time, and reports whether the agent goes on.
func (k *docket) idle(news <-chan struct{}) bool {
	select {
	case <-k.link.crew.ctx.Done():
		return false
	case <-news:
	case <-time.After(lookAgain):
	}
	return true
}

// poll asks the first voter function for the action's kind, in a goroutine of its own.
func (k *docket) poll(v ballot.View) {
	k.mu.Lock()
	i := slices.IndexFunc(k.voters, func(b balloting) bool { return matchKind(b.kinds, v.Action.Kind) })
	var fn func(context.Context, ballot.View) (ballot.Vote, error)
	if i >= 0 {
		fn = k.voters[i].fn
	}
	k.mu.Unlock()
	if fn == nil || !k.asked.add(v.ID, v.Deadline) {
		return
	}
	running := k.link.crew.spawn(func() {
		vote, err := fn(k.link.crew.ctx, v)
		if err == nil {
			_, err = k.box().Vote(k.link.crew.ctx, v, vote)
		}
		if err != nil {
			k.link.options.logger.Warn("no ballot cast", "decision", v.ID.String(), "code", string(fault.CodeOf(err)), "error", err)
			if fault.CodeOf(err).Retryable() {
				k.asked.remove(v.ID)
			}
		}
	})
	if !running {
		k.asked.remove(v.ID)
	}
}

// overdue is for how long after its deadline, by this machine's clock, a decision may still be open by the realm's.
const overdue = identity.Skew * time.Millisecond

// polled is the decisions that voter functions were asked about, with their deadlines. Those that have ended are forgotten:
// nobody votes on them any more.
type polled struct {
	mu  sync.Mutex
	ids map[Digest]time.Time
}

func (p *polled) add(id Digest, deadline time.Time) (fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids == nil {
		p.ids = map[Digest]time.Time{}
	}
	_, known := p.ids[id]
	p.ids[id] = deadline
	return !known
}

func (p *polled) has(id Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.ids[id]
	return known
}

func (p *polled) remove(id Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ids, id)
}

// expire forgets the decisions whose deadlines are over.
func (p *polled) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.ids, func(_ Digest, deadline time.Time) bool { return now.After(deadline.Add(overdue)) })
}
