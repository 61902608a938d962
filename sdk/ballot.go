package sdk

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Vote is one voter's answer to a decision. The zero Vote is none.
type Vote struct {
	choice     consensus.Vote
	confidence uint64
	reason     string
}

// Approve votes for the action, with full confidence unless [Vote.Confident] says otherwise.
func Approve(reason string) Vote { return Vote{consensus.Approve, 1000, reason} }

// Reject votes against the action.
func Reject(reason string) Vote { return Vote{consensus.Reject, 1000, reason} }

// Abstain counts neither way, which counts against a threshold over the whole electorate.
func Abstain(reason string) Vote { return Vote{consensus.Abstain, 1000, reason} }

// Confident returns the vote with a confidence of 500 (none) to 1000 (full), in per mille.
func (v Vote) Confident(perMille uint64) Vote {
	v.confidence = perMille
	return v
}

// Vote casts a ballot on a decision. It signs exactly the action and the electorate of the view, so what is counted is
// what was seen. Errors: denied for who is not in the electorate, spent for a second vote or an ended decision.
func (a *Agent) Vote(ctx context.Context, seen View, vote Vote) (State, error) {
	raw, err := a.known.Signer.Sign(a.realm, consensus.Ballot{
		Proposal: seen.ID, Action: seen.Action.Digest(), Opening: seen.opening.Digest(), Voter: a.ID(),
		Vote: vote.choice, Confidence: vote.confidence, Reason: vote.reason, Issued: a.now(),
	})
	if err != nil {
		return 0, err
	}
	v, err := command[consensus.Verdict](ctx, a, registry.TypeVote, registry.Cast{Ballot: raw})
	return v.State, err
}

// State is where a decision stands.
type State = consensus.State

// balloting is one registered voter function.
type balloting struct {
	fn    func(context.Context, View) (Vote, error)
	kinds []string
}

// OnBallot has fn called for every open decision in whose electorate this agent is, once a process, as long as it has
// not voted; for the action kinds or patterns given, or all. What fn returns is cast. On an error nothing is cast, and
// silence rejects at the deadline. The proposer's reason is its own words: fn must not obey it.
func (a *Agent) OnBallot(fn func(ctx context.Context, v View) (Vote, error), kinds ...string) error {
	if len(kinds) == 0 {
		kinds = []string{"*"}
	}
	a.mu.Lock()
	a.ballots = append(a.ballots, balloting{fn: fn, kinds: kinds})
	first := len(a.ballots) == 1
	a.mu.Unlock()
	if first {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.closed {
			return ErrClosed
		}
		a.running.Go(a.ballotLoop)
	}
	return nil
}

// ballotLoop looks for decisions to vote on, at each hint and now and then.
func (a *Agent) ballotLoop() {
	var asked polled
	for {
		news := a.news.next()
		ctx, cancel := context.WithTimeout(a.ctx, askTime)
		waiting, err := a.Waiting(ctx)
		cancel()
		if err != nil && a.ctx.Err() == nil {
			a.options.logger.Warn("open decisions not read", "code", string(fault.CodeOf(err)), "error", err)
		}
		for _, v := range waiting {
			a.poll(&asked, v)
		}
		if !a.idle(news) {
			return
		}
	}
}

// idle waits for news, or some time, and reports whether the agent goes on.
func (a *Agent) idle(news <-chan struct{}) bool {
	select {
	case <-a.ctx.Done():
		return false
	case <-news:
	case <-time.After(lookAgain):
	}
	return true
}

// polled is the decisions that voter functions were asked about.
type polled struct {
	mu  sync.Mutex
	ids map[Digest]bool
}

func (p *polled) add(id Digest) (fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids == nil {
		p.ids = map[Digest]bool{}
	}
	fresh = !p.ids[id]
	p.ids[id] = true
	return fresh
}

func (p *polled) remove(id Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ids, id)
}

// poll asks the first voter function for the action's kind, in a goroutine of its own.
func (a *Agent) poll(asked *polled, v View) {
	a.mu.Lock()
	i := slices.IndexFunc(a.ballots, func(b balloting) bool { return matchKind(b.kinds, v.Action.Kind) })
	var fn func(context.Context, View) (Vote, error)
	if i >= 0 {
		fn = a.ballots[i].fn
	}
	a.mu.Unlock()
	if fn == nil || !asked.add(v.ID) {
		return
	}
	running := a.spawn(func() {
		vote, err := fn(a.ctx, v)
		if err == nil {
			_, err = a.Vote(a.ctx, v, vote)
		}
		if err != nil {
			a.options.logger.Warn("no ballot cast", "decision", v.ID.String(), "code", string(fault.CodeOf(err)), "error", err)
			if fault.CodeOf(err).Retryable() {
				asked.remove(v.ID)
			}
		}
	})
	if !running {
		asked.remove(v.ID)
	}
}
