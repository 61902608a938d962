package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/sealed"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// sealing is the ballots that an agent has committed to and reveals as soon as it may. Each is kept, with its salt, before its
// commitment leaves, so that a process that starts anew reveals what an earlier one committed to, and never signs two
// ballots of one sequence.
type sealing struct {
	link *link

	mu      sync.Mutex
	store   *sealed.Store
	pursued map[Digest]*pursuit
}

// pursuit is one decision's ballot on its way.
type pursuit struct {
	sealing *sealing
	id      Digest
	turn    lane          // for what follows, and for the store's ballots on the decision
	begun   bool          // run runs, or has; under sealing.mu
	in      bool          // the newest commitment was handed in, and answered
	settled chan struct{} // closed when the ballot is revealed, or never will be
	failure error         // why it never will; set before that
}

const ballotsDir = "ballots"

// open opens the store at first use: in memory where the agent keeps nothing, or as long as another process of it has the
// store.
func (s *sealing) open() (*sealed.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	var err error
	why := "the agent has no StateDir"
	if dir := s.link.known.StateDir; dir != "" {
		s.store, err = sealed.Open(filepath.Join(dir, ballotsDir))
		if fault.CodeOf(err) != fault.InUse {
			return s.store, err
		}
		why = "another process of this agent keeps them"
	}
	s.link.options.logger.Warn("secret ballots are kept in memory: this process must reveal them before it ends", "why", why)
	s.store = sealed.InMemory()
	if err != nil {
		s.link.crew.keep(s.inherit)
	}
	return s.store, nil
}

// inherit waits until no other process of the agent has the store, keeps there what was in memory, and pursues what that one
// has left: a process that ends while the next one starts would leave its ballots to nobody.
func (s *sealing) inherit() {
	for {
		select {
		case <-s.link.crew.ctx.Done():
			return
		case <-time.After(lookAgain):
		}
		switch err := s.store.Take(filepath.Join(s.link.known.StateDir, ballotsDir)); fault.CodeOf(err) {
		case "":
			s.pursue()
			return
		case fault.InUse:
		default:
			s.link.options.logger.Error("sealed ballots not read", "code", string(fault.CodeOf(err)), "error", err)
			return
		}
	}
}

// pursue begins to pursue all that is kept.
func (s *sealing) pursue() {
	for _, id := range s.store.Decisions() {
		s.begin(s.of(id))
	}
}

// resume pursues what earlier processes have committed to. An agent whose ballots cannot be read does everything but vote.
func (s *sealing) resume() {
	dir := s.link.known.StateDir
	if dir == "" || s.link.id().Role() != identity.Agent {
		return
	}
	if _, err := os.Stat(filepath.Join(dir, ballotsDir)); err != nil {
		return // nothing was ever committed to here
	}
	if _, err := s.open(); err != nil {
		s.link.options.logger.Error("sealed ballots not read", "code", string(fault.CodeOf(err)), "error", err)
		return
	}
	s.pursue()
}

// of returns the decision's pursuit, which may not have begun.
func (s *sealing) of(id Digest) *pursuit {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pursued[id]
	if !ok {
		p = &pursuit{sealing: s, id: id, turn: newLane(), settled: make(chan struct{})}
		s.pursued[id] = p
	}
	return p
}

// begin has a ballot pursued that is kept.
func (s *sealing) begin(p *pursuit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.begun {
		p.begun = s.link.crew.keep(p.run)
	}
}

// holds reports whether a ballot on the decision is on its way, or revealed.
func (s *sealing) holds(id Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store != nil && len(s.store.Of(id)) > 0
}

// reveal implements [ballot.Registry.Reveal].
func (s *sealing) reveal(ctx context.Context, id Digest) error {
	s.mu.Lock()
	p, ok := s.pursued[id]
	ok = ok && p.begun
	s.mu.Unlock()
	if !ok {
		return nil
	}
	select {
	case <-p.settled:
		return p.failure
	case <-s.link.crew.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return errors.Join(ErrPending, ctx.Err())
	}
}

func (s *sealing) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// cast seals a ballot, commits to it, and reveals it if that may be done at once.
func (s *sealing) cast(ctx context.Context, b consensus.Ballot) (consensus.State, error) {
	store, err := s.open()
	if err != nil {
		return 0, err
	}
	p := s.of(b.Proposal)
	if err := p.turn.enter(ctx); err != nil {
		return 0, err
	}
	defer p.turn.leave()
	if p.over() {
		return 0, consensus.ErrVoted
	}
	kept, err := s.seal(store, b)
	if err != nil {
		return 0, err
	}
	p.in = false
	s.begin(p)
	if err := p.commit(ctx, kept); err != nil {
		if p.in && len(store.Of(p.id)) == 1 { // refused, and there is no other to reveal
			p.settle(err)
		}
		return 0, err
	}
	switch state, err := p.reveal(ctx); {
	case CodeOf(err).Retryable(): // too early, or the node has gone: run goes on
		return consensus.Open, nil
	case CodeOf(err) == fault.Spent: // it was decided without this ballot, which came in time
		return s.stands(ctx, p.id)
	default:
		return state, err
	}
}

// stands returns where the node says that a decision stands.
func (s *sealing) stands(ctx context.Context, id Digest) (consensus.State, error) {
	var v control.DecisionView
	err := s.link.ask(ctx, control.OpDecision, control.DecisionID{Prefix: id[:]}, &v)
	return v.Verdict.State, err
}

// seal signs a ballot and its commitment, and keeps both. Nothing has left the process by then.
func (s *sealing) seal(store *sealed.Store, b consensus.Ballot) (sealed.Ballot, error) {
	now := s.link.now()
	b.Voter, b.Issued, b.Sequence = s.link.id(), now, store.Next(b.Proposal, now)
	out := sealed.Ballot{Sequence: b.Sequence, Salt: make([]byte, consensus.SaltSize)}
	_, _ = rand.Read(out.Salt) // never fails: crypto/rand ends the process instead
	var err error
	if out.Ballot, err = s.link.known.Signer.Sign(s.link.realm, b); err != nil {
		return out, err
	}
	out.Commitment, err = s.link.known.Signer.Sign(s.link.realm, consensus.Commitment{
		Version: consensus.FormatVersion, Proposal: b.Proposal, Opening: b.Opening, Voter: b.Voter, Sequence: b.Sequence,
		Hidden: consensus.Hide(out.Salt, out.Ballot), Issued: now,
	})
	if err != nil {
		return out, err
	}
	return out, store.Keep(b.Proposal, out)
}

// run goes on until the decision has ended.
func (p *pursuit) run() {
	link := p.sealing.link
	bell := link.following.follow(p.id)
	defer link.following.unfollow(p.id)
	for {
		news := bell.next()
		wait := lookAgain
		if p.over() {
			wait = time.Minute
		}
		if p.step() {
			p.forget()
			return
		}
		select {
		case <-news:
			if p.over() && sleep(link.crew.ctx, forgetAfter) != nil {
				return
			}
		case <-time.After(wait):
		case <-link.crew.ctx.Done():
			return
		}
	}
}

// forgetAfter is how long after news of a decision a process whose ballot is revealed asks whether it has ended: nobody
// waits for that, each ballot that others reveal is news, and those who wait for the outcome ask in the same moment.
const forgetAfter = 100 * time.Millisecond

// over reports whether nothing is left to reveal.
func (p *pursuit) over() bool {
	select {
	case <-p.settled:
		return true
	default:
		return false
	}
}

// step does what can be done now, and reports whether the decision has ended.
func (p *pursuit) step() (ended bool) {
	ctx, cancel := context.WithTimeout(p.sealing.link.crew.ctx, askTime)
	defer cancel()
	if p.turn.enter(ctx) != nil {
		return false
	}
	defer p.turn.leave()
	if p.over() {
		return p.ended(ctx)
	}
	list := p.sealing.store.Of(p.id)
	if len(list) == 0 { // forgotten, as it had ended, while this was begun
		return true
	}
	if !p.in {
		_ = p.commit(ctx, list[len(list)-1]) // what is wrong with it, the ballot's refusal says
	}
	if !p.in {
		return false
	}
	state, err := p.reveal(ctx)
	if err == nil {
		return state != consensus.Open // as the answer says; news says when that changes
	}
	return p.over() && p.ended(ctx)
}

// ended reports whether the registry says that nobody votes on the decision any more: what was signed may be forgotten.
func (p *pursuit) ended(ctx context.Context) bool {
	v, err := lent{p.sealing.link}.Show(ctx, p.id[:])
	return err == nil && v.State != consensus.Open.String() || CodeOf(err) == fault.Unknown
}

func (p *pursuit) forget() {
	s := p.sealing
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pursued, p.id)
	if err := s.store.Drop(p.id); err != nil {
		s.link.options.logger.Warn("sealed ballots not removed", "decision", p.id.String(), "error", err)
	}
}

// commit hands a commitment in. An error that may pass leaves it to be handed in again; any other is an answer, and what was
// committed to before may still be revealed. The caller has entered p.turn.
func (p *pursuit) commit(ctx context.Context, b sealed.Ballot) error {
	_, err := command[consensus.Verdict](ctx, p.sealing.link, registry.TypeCommit, registry.Commit{Commitment: b.Commitment})
	p.in = err == nil || !passes(ctx, err)
	return err
}

// reveal hands in the newest ballot that was committed to. The caller has entered p.turn.
func (p *pursuit) reveal(ctx context.Context) (consensus.State, error) {
	var refused error
	for _, b := range slices.Backward(p.sealing.store.Of(p.id)) {
		v, err := command[consensus.Verdict](ctx, p.sealing.link, registry.TypeVote, registry.Cast{Ballot: b.Ballot, Salt: b.Salt})
		switch {
		case err == nil, CodeOf(err) == fault.Spent: // it is in, or the decision has ended
			p.settle(nil)
			return v.State, err
		case passes(ctx, err):
			return consensus.Open, err
		}
		refused = errors.Join(refused, err)
	}
	p.settle(refused)
	p.sealing.link.options.logger.Warn("ballot not revealed", "decision", p.id.String(), "code", string(CodeOf(refused)), "error", refused)
	return consensus.Open, refused
}

// passes reports whether an error may be gone when the same is tried again: it is not the registry's answer, but a failure on
// the way to it or of a machine.
func passes(ctx context.Context, err error) bool {
	code := CodeOf(err)
	return code.Retryable() || code == fault.Internal || ctx.Err() != nil
}

// settle says that the ballot is revealed, or why it never will be.
func (p *pursuit) settle(failure error) {
	p.failure = failure
	close(p.settled)
}
