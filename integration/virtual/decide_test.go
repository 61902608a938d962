package virtual

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// decide proposes an action, votes on it, and has two hands of its executor try to act.
func (c *client) decide() {
	now := time.Now().UnixMilli()
	p := consensus.Proposal{
		Version:  consensus.FormatVersion,
		Proposer: c.worker.ID(), Executor: c.worker.ID(), Store: ledgertest.Store, Nonce: c.nonce(), Issued: now,
		Expires: now + time.Hour.Milliseconds(), Action: consensus.Action{Kind: "process.exec", Target: fmt.Sprint("thing/", now)},
	}
	raw, err := c.worker.Sign(c.world.Realm, p)
	if err != nil {
		c.t.Error(err)
		return
	}
	answer, result := c.handIn(c.worker, registry.TypePropose, registry.Propose{Proposal: raw}, 0)
	if result != check.OK {
		return
	}
	opening, err := registry.Result[consensus.Opening](answer)
	if err != nil {
		c.complain(err)
		return
	}
	vote := consensus.Approve
	if c.decided++; c.decided%4 == 0 {
		vote = consensus.Reject
	}
	if !c.cast(opening, vote) {
		return
	}
	start := c.recorder.Now()
	for range 2 {
		if outcome := c.outcome(opening.Proposal); outcome != "" {
			c.recorder.Add(check.Event{
				Op: check.Certificate, Agent: c.name, Start: start, Result: check.OK, Key: digestOf(opening.Proposal), Outcome: outcome,
			})
		}
	}
	if vote == consensus.Approve && c.certified(opening.Proposal) {
		c.act(opening.Proposal)
	}
}

// complain fails the test for an answer that no honest node gives.
func (c *client) complain(err error) {
	if !c.spoilt {
		c.t.Error(err)
	}
}

// cast votes and reports whether the ledger is known to have heard it.
func (c *client) cast(o consensus.Opening, vote consensus.Vote) bool {
	root := c.world.Roots[0]
	raw, err := root.Sign(c.world.Realm, consensus.Ballot{
		Version: consensus.FormatVersion, Sequence: 1, Proposal: o.Proposal, Action: o.Action, Opening: o.Digest(), Voter: root.ID(), Vote: vote, Confidence: 1000,
		Issued: time.Now().UnixMilli(),
	})
	if err != nil {
		c.t.Error(err)
		return false
	}
	_, result := c.handIn(root, registry.TypeVote, registry.Cast{Ballot: raw}, 0)
	return result == check.OK
}

// outcome returns how the decision ended by what one node knows, "" if that is nothing.
func (c *client) outcome(id wire.Digest) string {
	l := c.somewhere()
	if l == nil {
		return ""
	}
	d, err := l.ledger.Decision(id)
	if err != nil || d.Verdict.State == consensus.Open {
		return ""
	}
	return d.Verdict.State.String()
}

// certified has one node after another give out the certificate, and records the first, verified.
func (c *client) certified(id wire.Digest) bool {
	for range attempts {
		start := c.recorder.Now()
		err := c.certificate(id)
		if err == nil {
			c.recorder.Add(check.Event{
				Op: check.Certificate, Agent: c.name, Start: start, Result: check.OK, Key: digestOf(id), Outcome: check.Approved,
			})
			return true
		}
		if errors.Is(err, errFalse) {
			c.complain(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

var (
	errFalse = errors.New("virtual: a node gave out a certificate that does not verify")
	errDown  = errors.New("virtual: the node is down")
)

func (c *client) certificate(id wire.Digest) error {
	l := c.somewhere()
	if l == nil {
		return errDown
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	head, err := l.registrar.SignedHead(ctx)
	if err != nil {
		return err
	}
	v, err := audit.VerifyHead(head, l.registrar.Authority())
	if err != nil {
		return fmt.Errorf("%w: %w", errFalse, err)
	}
	certificate, err := l.ledger.Certificate(id, head, v.Statement().Size)
	if err != nil {
		return err // the node may not have heard of it yet
	}
	raw, err := certificate.Encode()
	if err != nil {
		return err
	}
	if _, _, err := proof.VerifyCertificate(raw, proof.Trust{Realm: c.world.Realm}); err != nil {
		return fmt.Errorf("%w: %w", errFalse, err)
	}
	return nil
}

// act has two hands of the executor consume the certificate at the same time, each by a command of its own. Whoever is
// told that it was the first acts.
func (c *client) act(id wire.Digest) {
	var hands sync.WaitGroup
	for i := range 2 {
		hand := &client{realm: c.realm, name: fmt.Sprint("hand-", i), random: rand.New(rand.NewPCG(c.random.Uint64(), 1))}
		hands.Go(func() {
			body := registry.Consume{Proposal: id, Store: ledgertest.Store}
			answer, result := hand.handIn(hand.worker, registry.TypeConsume, body, 0)
			if result != check.OK {
				return
			}
			consumed, err := registry.Result[consensus.Consumption](answer)
			if err != nil || consumed.Use != 1 {
				hand.complain(fmt.Errorf("an accepted claim that is not the first: %+v, %w", consumed, err))
				return
			}
			at := hand.recorder.Now()
			hand.recorder.Add(check.Event{Op: check.Act, Agent: hand.name, Start: at, Result: check.OK, Key: digestOf(id)})
		})
	}
	hands.Wait()
}
