package ledgertest

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Store is the spent store of every proposal that Propose makes.
var Store = [16]byte{7}

// Proposal returns a proposal as its proposer would make it now, to be executed by the executor with [Store].
func (w *World) Proposal(proposer, executor identity.ID, kind string) consensus.Proposal {
	w.nonce++
	var nonce [16]byte
	binary.BigEndian.PutUint64(nonce[:], w.nonce)
	return consensus.Proposal{
		Version: consensus.FormatVersion, Proposer: proposer, Executor: executor, Store: Store, Nonce: nonce, Issued: w.Now,
		Expires: w.Now + 24*60*Minute, Action: consensus.Action{Kind: kind, Target: "things/" + fmt.Sprint(w.nonce)},
	}
}

// Propose opens a decision on an action of the kind, to be executed by the executor. Each change is made to the proposal
// before it is signed.
func (w *World) Propose(proposer identity.Signer, executor identity.ID, kind string, change ...func(*consensus.Proposal)) consensus.Opening {
	w.tb.Helper()
	p := w.Proposal(proposer.ID(), executor, kind)
	for _, c := range change {
		c(&p)
	}
	answer := w.Hand(proposer, p)
	if answer.Code != "" {
		w.tb.Fatalf("propose refused: %s: %s", answer.Code, answer.Message)
	}
	opening, err := registry.Result[consensus.Opening](answer)
	w.check(err)
	return opening
}

// Hand signs a proposal by whoever hands it in, and hands it in.
func (w *World) Hand(by identity.Signer, p consensus.Proposal) registry.Answer {
	w.tb.Helper()
	return w.Do(by, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, by.Key())})
}

// Ballot returns the voter's ballot on the decision, unsigned: its first, sure of itself.
func (w *World) Ballot(voter identity.ID, o consensus.Opening, vote consensus.Vote) consensus.Ballot {
	return consensus.Ballot{
		Version: consensus.FormatVersion, Proposal: o.Proposal, Action: o.Action, Opening: o.Digest(), Voter: voter, Vote: vote,
		Confidence: 1000, Issued: w.Now, Sequence: 1,
	}
}

// Cast signs a ballot and hands it in. Where the rule wants agents' ballots committed to first, it commits, and reveals all
// that Cast has committed to on the decision as soon as that is allowed: with this call, or with a later one. The answer is the
// last command's.
func (w *World) Cast(voter identity.Signer, o consensus.Opening, vote consensus.Vote) registry.Answer {
	w.tb.Helper()
	var answer registry.Answer
	if o.Rule.Commit > 0 && voter.ID().Role() == identity.Agent && vote != consensus.Recuse {
		sealed := w.Seal(voter, w.Ballot(voter.ID(), o, vote))
		if answer = w.Commit(voter, o, sealed); answer.Code != "" {
			return answer
		}
		w.sealed = append(w.sealed, sealed)
	} else {
		answer = w.Vote(voter, w.Ballot(voter.ID(), o, vote))
	}
	for i := 0; i < len(w.sealed) && w.revealing(o); {
		if w.sealed[i].Proposal != o.Proposal {
			i++
			continue
		}
		answer = w.Reveal(w.sealed[i])
		w.sealed = slices.Delete(w.sealed, i, i+1)
	}
	return answer
}

// Vote signs a ballot by the voter and hands it in openly.
func (w *World) Vote(voter identity.Signer, b consensus.Ballot) registry.Answer {
	w.tb.Helper()
	return w.Do(voter, registry.TypeVote, registry.Cast{Ballot: w.SignAlone(b, voter.Key())})
}

// Sealed is a signed ballot that its voter commits to before showing it.
type Sealed struct {
	Voter    identity.Signer
	Proposal wire.Digest
	Sequence uint64
	Ballot   []byte // signed
	Salt     []byte
}

// Seal signs a ballot and hides it.
func (w *World) Seal(voter identity.Signer, b consensus.Ballot) Sealed {
	w.tb.Helper()
	w.nonce++
	salt := make([]byte, consensus.SaltSize)
	binary.BigEndian.PutUint64(salt, w.nonce)
	return Sealed{Voter: voter, Proposal: b.Proposal, Sequence: b.Sequence, Ballot: w.SignAlone(b, voter.Key()), Salt: salt}
}

// Commitment returns the voter's commitment to a sealed ballot, unsigned.
func (w *World) Commitment(voter identity.ID, o consensus.Opening, s Sealed) consensus.Commitment {
	return consensus.Commitment{
		Version: consensus.FormatVersion, Proposal: o.Proposal, Opening: o.Digest(), Voter: voter, Sequence: s.Sequence,
		Hidden: consensus.Hide(s.Salt, s.Ballot), Issued: w.Now,
	}
}

// Commit signs the voter's commitment to a sealed ballot and hands it in.
func (w *World) Commit(voter identity.Signer, o consensus.Opening, s Sealed) registry.Answer {
	w.tb.Helper()
	raw := w.SignAlone(w.Commitment(voter.ID(), o, s), voter.Key())
	return w.Do(voter, registry.TypeCommit, registry.Commit{Commitment: raw})
}

// Reveal hands a sealed ballot in with its salt.
func (w *World) Reveal(s Sealed) registry.Answer {
	w.tb.Helper()
	return w.Do(s.Voter, registry.TypeVote, registry.Cast{Ballot: s.Ballot, Salt: s.Salt})
}

// Equivocate hands in two signed statements of one voter on the decision.
func (w *World) Equivocate(by identity.Signer, o consensus.Opening, first, second []byte) registry.Answer {
	w.tb.Helper()
	return w.Do(by, registry.TypeEquivocate, registry.Equivocate{Proposal: o.Proposal, First: first, Second: second})
}

// revealing reports whether the ledger would take a ballot that was committed to.
func (w *World) revealing(o consensus.Opening) bool {
	w.tb.Helper()
	d, err := w.Ledger.Decision(o.Proposal)
	w.check(err)
	if d.Verdict.State != consensus.Open {
		return false
	}
	poll := consensus.Poll{Void: d.Void}
	for _, raw := range d.Ballots {
		b, err := consensus.VerifyBallot(raw, w.Realm, d.Opening)
		w.check(err)
		poll.Ballots = append(poll.Ballots, b)
	}
	for _, raw := range d.Commitments {
		c, err := consensus.VerifyCommitment(raw, w.Realm, d.Opening)
		w.check(err)
		poll.Committed = append(poll.Committed, c.Statement().Voter)
	}
	revealing, err := consensus.Revealing(d.Opening, poll, w.Ledger.Now())
	w.check(err)
	return revealing
}

// Family says of which model family an agent is, and grants it what it serves anyway.
func (w *World) Family(operator identity.Signer, agent identity.ID, family string) registry.Answer {
	w.tb.Helper()
	m, err := w.Ledger.Member(agent)
	w.check(err)
	return w.Do(operator, registry.TypeGrant, registry.Grant{Principal: agent, Serves: m.Serves, Family: family})
}

// Consume claims a decision for the executor and [Store]; of a permit, one use of it for the action.
func (w *World) Consume(executor identity.Signer, o consensus.Opening, action ...consensus.Action) registry.Answer {
	w.tb.Helper()
	body := registry.Consume{Proposal: o.Proposal, Store: Store}
	if len(action) > 0 {
		body.Action = &action[0]
	}
	return w.Do(executor, registry.TypeConsume, body)
}

// Report says how the action ended, or one use of a permit; 0 where the decision is no permit.
func (w *World) Report(executor identity.Signer, o consensus.Opening, use uint64, ok bool) registry.Answer {
	w.tb.Helper()
	return w.Do(executor, registry.TypeReport, registry.Report{Proposal: o.Proposal, OK: ok, Use: use})
}

// Cancel takes a decision back.
func (w *World) Cancel(by identity.Signer, o consensus.Opening) registry.Answer {
	w.tb.Helper()
	return w.Do(by, registry.TypeCancel, registry.Cancel{Proposal: o.Proposal, Reason: "not needed"})
}

// Settle says whether the action was right to do.
func (w *World) Settle(by identity.Signer, o consensus.Opening, right bool) registry.Answer {
	w.tb.Helper()
	return w.Do(by, registry.TypeSettle, registry.Settle{Proposal: o.Proposal, Right: right})
}

// PutPolicy replaces the policy with the signatures of all signers. World.Policy stays the one that the genesis names.
func (w *World) PutPolicy(p policy.Policy, signers ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.Do(signers[0], registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}, signers[1:]...)
}
