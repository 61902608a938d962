package ledger

import (
	"cmp"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// Ruling is what a policy makes of one proposal.
type Ruling struct {
	Class   consensus.Class
	Rule    consensus.Rule
	Alone   bool            // the proposer's level decides it
	State   consensus.State // open of what has ended: the ballots that were cast do not decide it
	Refused fault.Code      // why it would not have been opened; "" if it would
}

// Planned is what became of one decision, and what would have by another policy.
type Planned struct {
	Decision wire.Digest
	Proposer identity.ID
	Action   consensus.Action
	Was      Ruling
	Would    Ruling
}

// Changed reports whether the other policy would have classed or decided it differently.
func (p Planned) Changed() bool {
	return p.Was.Class != p.Would.Class || p.Was.Alone != p.Would.Alone || p.Was.State != p.Would.State ||
		p.Was.Refused != p.Would.Refused
}

// Plan says of the newest decisions, at most so many, what they would have come to by a candidate for the policy, the newest
// first. It counts the ballots that were cast again, over the electorates that were frozen: who would have voted besides,
// and what the proposers would have done, it cannot know. Decisions that were cancelled or superseded stay so. The policy
// must pass Check.
func (l *Ledger) Plan(p policy.Policy, most int) []Planned {
	realm, all := l.history()
	var out []Planned
	for i := range all[:min(len(all), max(most, 0))] {
		d := &all[i]
		proposal := d.proposal()
		would := candidate{policy: p, realm: realm, earlier: all[i+1:]}.rule(d, proposal)
		out = append(out, Planned{
			Decision: d.ID, Proposer: proposal.Proposer, Action: proposal.Action, Would: would,
			Was: Ruling{
				Class: d.Opening.Class, Rule: d.Opening.Rule, Alone: d.Opening.Alone, State: d.Verdict.State,
			},
		})
	}
	return out
}

// history returns copies of all decisions, the newest first: what follows takes longer than Apply should wait.
func (l *Ledger) history() (wire.Realm, []Decision) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]Decision, 0, len(l.state.decisions))
	for _, d := range l.state.decisions {
		all = append(all, d.clone())
	}
	slices.SortFunc(all, func(a, b Decision) int { return cmp.Compare(b.Opening.Index, a.Opening.Index) })
	return l.state.authority.Realm, all
}

// candidate is a policy that is being tried on what has happened.
type candidate struct {
	policy  policy.Policy
	realm   wire.Realm
	earlier []Decision // before the one in question, the newest first
}

func (c candidate) rule(d *Decision, p consensus.Proposal) Ruling {
	class, err := c.policy.Classify(p.Action, p.Class, c.sum(d, p))
	r := Ruling{Class: class, Rule: c.policy.Rule(class), State: d.Verdict.State}
	if p.Emergency && c.policy.Emergency != nil {
		r.Rule = c.policy.Emergency.Rule()
	}
	agent, level := p.Proposer.Role() == identity.Agent, identity.Level(d.Opening.Level)
	switch {
	case err != nil:
		r.Refused = fault.CodeOf(err)
	case p.Emergency && !c.policy.Urgent(p.Action), agent && !c.policy.Rights(level).Propose:
		r.Refused = fault.Denied
	case d.Verdict.State == consensus.Cancelled || d.Verdict.State == consensus.Superseded:
		r.Alone = d.Opening.Alone
		return r
	case agent && p.Permit == nil && !p.Emergency && c.policy.Alone(level, class):
		r.Alone, r.State = true, consensus.Approved
		return r
	case d.Opening.Alone:
		r.State = consensus.Open // nobody was asked
		return r
	default:
		r.State, r.Refused = c.count(d, p, r)
		return r
	}
	r.State = consensus.Rejected
	return r
}

// count counts the decision's ballots by the ruling's rule.
func (c candidate) count(d *Decision, p consensus.Proposal, r Ruling) (consensus.State, fault.Code) {
	as := d.Opening
	as.Class, as.Rule, as.Policy, as.Voters = r.Class, r.Rule, c.policy.Digest(), nil
	for _, v := range d.Opening.Voters {
		if !v.Person() {
			v.Weight = c.policy.Rights(identity.Level(v.Level)).Weight
		}
		if v.Weight > 0 && consensus.Eligible(r.Rule, p.Proposer, as.Operator, v.ID, v.Operator) {
			as.Voters = append(as.Voters, v)
		}
	}
	if err := consensus.CheckElectorate(as, p.Proposer); err != nil {
		return consensus.Rejected, fault.CodeOf(err)
	}
	poll := consensus.Poll{Void: d.Void}
	for _, raw := range d.Ballots {
		b, err := consensus.VerifyBallot(raw, c.realm, d.Opening)
		if err != nil {
			return consensus.Rejected, fault.CodeOf(err)
		}
		poll.Ballots = append(poll.Ballots, b)
	}
	state, err := consensus.Recount(d.Opening, as, poll, as.Opened)
	switch {
	case err != nil:
		return consensus.Rejected, fault.CodeOf(err)
	case state == consensus.Open && d.Verdict.State == consensus.Expired:
		return consensus.Expired, ""
	}
	return state, ""
}

// longest is how long after its opening a decision can be acted on, and more, in milliseconds.
const longest = 2*consensus.MaxDeadline + 2*consensus.MaxWindow

// sum returns what the candidate would have summed up when the decision was opened, by how the earlier ones ended.
func (c candidate) sum(d *Decision, p consensus.Proposal) uint64 {
	pattern, window, summed := c.policy.Summed(p.Action)
	if !summed {
		return 0
	}
	sum := amountOf(p)
	for i := range c.earlier {
		e := &c.earlier[i]
		if e.Opening.Opened <= d.Opening.Opened-window-longest {
			break
		}
		q := e.proposal()
		other, _, ok := c.policy.Summed(q.Action)
		together := q.Action.Target == p.Action.Target || roams(p) || roams(q)
		if ok && other == pattern && e.Opening.Operator == d.Opening.Operator && together && e.last() > d.Opening.Opened-window {
			sum = plus(sum, e.counts())
		}
	}
	return sum
}
