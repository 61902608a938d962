package spec_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The decision of the vectors: agent 1 of the operator root proposes. The operators root+1 and root+2 may vote, and
// their agents 60 (of the first), 61 and 62 (of the second).

func honestProposal() consensus.Proposal {
	return consensus.Proposal{
		Proposer: id(identity.Agent, 1), Executor: id(identity.Agent, 1), Store: [16]byte{7}, Issued: now, Expires: now + hour,
		Version: consensus.FormatVersion, Reason: "the release needs it", Nonce: [16]byte{1},
		Action: consensus.Action{Kind: "process.exec", Target: "host-1", Params: []consensus.Param{
			{Name: "argv", Values: []string{"make", "release"}}, {Name: "cwd", Values: []string{"/srv"}},
		}},
	}
}

func proposalVectors() *group {
	g := &group{folder: "proposal", statement: "proposal", realm: theRealm(), context: keyContext{public(key(1))}}
	type claim = consensus.Proposal
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(1), g.realm, changed(honestProposal(), change)))
	}
	params := func(p ...consensus.Param) func(*claim) { return func(c *claim) { c.Action.Params = p } }
	g.accept("ok", signed(key(1), g.realm, honestProposal()))
	g.accept("ok-bare", signed(key(1), g.realm, changed(honestProposal(), func(p *claim) {
		p.Reason, p.Action.Target, p.Action.Params = "", "", nil
	})))
	g.accept("ok-raised", signed(key(1), g.realm, changed(honestProposal(), func(p *claim) { p.Class = consensus.R3 })))
	g.refuse("by-another", "signature", fault.BadSignature, signed(key(9), g.realm, honestProposal()))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(1), wire.Realm{1}, honestProposal()))
	with("version", "proposal-version", fault.Version, func(p *claim) { p.Version = 2 })
	with("version-0", "proposal-version", fault.Version, func(p *claim) { p.Version = 0 })
	with("weak-proposer", "proposal-proposer", fault.BadKey, func(p *claim) { p.Proposer = weakID(identity.Agent) })
	with("weak-executor", "proposal-executor", fault.BadKey, func(p *claim) { p.Executor = weakID(identity.Agent) })
	with("node-proposes", "proposal-proposer-role", fault.Malformed, func(p *claim) { p.Proposer = id(identity.Node, 1) })
	with("node-executes", "proposal-executor-role", fault.Malformed, func(p *claim) { p.Executor = id(identity.Node, 1) })
	with("class", "proposal-class", fault.Malformed, func(p *claim) { p.Class = 4 })
	with("reason-long", "proposal-reason", fault.Malformed, func(p *claim) { p.Reason = strings.Repeat("a", consensus.MaxReason+1) })
	with("no-time", "proposal-issued", fault.Malformed, func(p *claim) { p.Issued, p.Expires = 0, hour })
	with("no-life", "proposal-expires", fault.Malformed, func(p *claim) { p.Expires = p.Issued })
	with("long-life", "proposal-longest", fault.Malformed, func(p *claim) { p.Expires = p.Issued + consensus.MaxDeadline + 1 })
	with("kind", "action-kind", fault.Malformed, func(p *claim) { p.Action.Kind = "process.*" })
	with("target-line-end", "action-target", fault.Malformed, func(p *claim) { p.Action.Target = "host-1\nhost-2" })
	with("params-unsorted", "action-params", fault.Malformed, params(consensus.Param{Name: "b"}, consensus.Param{Name: "a"}))
	with("param-twice", "action-params", fault.Malformed, params(consensus.Param{Name: "a"}, consensus.Param{Name: "a"}))
	with("param-unnamed", "action-param-name", fault.Malformed, params(consensus.Param{}))
	with("action-large", "action-size", fault.TooLarge,
		params(consensus.Param{Name: "a", Values: []string{strings.Repeat("a", consensus.MaxActionText)}}))
	with("rollback-long", "action-rollback", fault.TooLarge, func(p *claim) { p.Action.Rollback = strings.Repeat("a", consensus.MaxReason+1) })
	promises(g)
	permitVectors(g)
	return g
}

func person(n byte) consensus.Voter {
	who := id(identity.Operator, n)
	return consensus.Voter{ID: who, Key: key(n).Public(), Operator: who, Weight: 1, Calibration: 1000}
}

func agentOf(n, operator byte) consensus.Voter {
	return consensus.Voter{
		ID: id(identity.Agent, n), Key: key(n).Public(), Operator: id(identity.Operator, operator), Level: 3, Weight: 1,
		Calibration: 700,
	}
}

func voters(all ...consensus.Voter) []consensus.Voter {
	slices.SortFunc(all, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	return all
}

func honestOpening() consensus.Opening {
	p := honestProposal()
	return consensus.Opening{
		Proposal: idOf(theRealm(), p), Action: p.Action.Digest(), Policy: wire.Digest{1}, Class: consensus.R2, Level: 3,
		Operator: id(identity.Operator, root), Index: 7, Opened: now, Deadline: now + 15*minute, Key: key(1).Public(),
		Rule:   consensus.Rule{Approvals: 2, Operators: 2, Deadline: 15 * minute, Window: 15 * minute},
		Voters: voters(person(root+1), person(root+2), agentOf(60, root+1), agentOf(61, root+2), agentOf(62, root+2)),
	}
}

func openingVectors() *group {
	g := &group{folder: "opening", statement: "opening", realm: theRealm(), context: openingContext{id(identity.Agent, 1)}}
	type claim = consensus.Opening
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, encode(changed(honestOpening(), change)))
	}
	among := func(all ...consensus.Voter) func(*claim) {
		return func(o *claim) { o.Voters = voters(append(all, o.Voters...)...) }
	}
	only := func(all ...consensus.Voter) func(*claim) { return func(o *claim) { o.Voters = voters(all...) } }
	rule := func(name, check string, change func(*consensus.Rule)) {
		with(name, check, fault.NoQuorum, func(o *claim) { change(&o.Rule) })
	}
	own := func(o *claim) { o.Rule.Own = true }
	var many []consensus.Voter
	for i := range consensus.MaxVoters {
		many = append(many, agentOf(byte(100+i), root+1))
	}

	g.accept("ok", encode(honestOpening()))
	g.accept("ok-own-person", encode(changed(changed(honestOpening(), own), among(person(root)))))
	with("too-many", "electorate-size", fault.TooLarge, among(many[:consensus.MaxVoters-4]...))
	with("unsorted", "electorate-sorted", fault.Malformed, func(o *claim) {
		o.Voters = slices.Clone(o.Voters)
		slices.Reverse(o.Voters)
	})
	with("voter-twice", "electorate-sorted", fault.Malformed, among(person(root+1)))
	with("no-weight", "voter-weight", fault.Malformed, func(o *claim) { o.Voters[0].Weight = 0 })
	with("too-heavy", "voter-weight-most", fault.Malformed, func(o *claim) { o.Voters[0].Weight = consensus.MaxWeight + 1 })
	with("calibration", "voter-calibration", fault.Malformed, among(changed(agentOf(63, root+1), func(v *consensus.Voter) { v.Calibration = 1001 })))
	with("level", "voter-level", fault.Malformed, among(changed(agentOf(63, root+1), func(v *consensus.Voter) { v.Level = 6 })))
	with("agent-of-an-agent", "voter-operator", fault.Malformed, among(changed(agentOf(63, root+1), func(v *consensus.Voter) {
		v.Operator = id(identity.Agent, 60)
	})))
	for name, change := range plainly {
		with(name, "voter-plain", fault.Malformed, among(changed(person(63), change)))
	}
	g.accept("ok-emergency", encode(changed(honestOpening(), urgently(person(root+1), person(root+2)))))
	with("agent-votes-in-an-emergency", "voter-emergency", fault.Malformed, urgently(person(root+1), person(root+2), agentOf(60, root+1)))
	g.accept("ok-silenced", encode(changed(honestOpening(), among(silent(63, root+1)))))
	with("silenced-do-not-count", "electorate-reach", fault.NoQuorum, only(person(root+1), silent(61, root+2)))
	g.accept("ok-sure-enough", encode(changed(honestOpening(), only(agentOf(60, root+1), agentOf(61, root+2)))),
		func(v *vector) {
			v.Input = encode(changed(changed(honestOpening(), only(agentOf(60, root+1), agentOf(61, root+2))), sureAs(850)))
		})
	with("nobody-sure-enough", "electorate-sure", fault.NoQuorum, func(o *claim) {
		only(agentOf(60, root+1), agentOf(61, root+2))(o)
		sureAs(851)(o)
	})
	with("node-votes", "voter-role", fault.Malformed, among(changed(agentOf(63, root+1), func(v *consensus.Voter) { v.ID = id(identity.Node, 63) })))
	with("person-of-another", "voter-person", fault.Malformed, among(changed(person(63), func(v *consensus.Voter) {
		v.Operator = id(identity.Operator, root+1)
	})))
	with("proposer-votes", "eligible-proposer", fault.Malformed, among(agentOf(1, root+1)))
	with("proposers-operator-votes", "eligible-own", fault.Malformed, among(person(root)))
	with("sibling-votes", "eligible-own", fault.Malformed, among(agentOf(63, root)))
	with("sibling-votes-in-solo", "eligible-person", fault.Malformed, func(o *claim) { own(o); among(agentOf(63, root))(o) })
	with("nobody", "electorate-reach", fault.NoQuorum, func(o *claim) { o.Voters = nil })
	with("too-few", "electorate-reach", fault.NoQuorum, only(person(root+1)))
	with("too-alike", "electorate-reach", fault.NoQuorum, only(agentOf(61, root+2), agentOf(62, root+2)))
	with("no-person", "electorate-reach", fault.NoQuorum, func(o *claim) {
		o.Rule.People = 1
		only(agentOf(60, root+1), agentOf(61, root+2))(o)
	})
	rule("rule-without-approvals", "rule-approvals", func(r *consensus.Rule) { r.Approvals, r.Operators = 0, 0 })
	rule("rule-of-more-people", "rule-people", func(r *consensus.Rule) { r.Approvals, r.Operators, r.People = 1, 1, 2 })
	rule("rule-of-more-operators", "rule-operators", func(r *consensus.Rule) { r.Approvals = 1 })
	rule("rule-without-deadline", "rule-deadline", func(r *consensus.Rule) { r.Deadline = 0 })
	rule("rule-long-deadline", "rule-deadline-longest", func(r *consensus.Rule) { r.Deadline = consensus.MaxDeadline + 1 })
	rule("rule-without-window", "rule-window", func(r *consensus.Rule) { r.Window = 0 })
	rule("rule-of-more-families", "rule-families", func(r *consensus.Rule) { r.People, r.Families = 2, 1 })
	rule("rule-of-more-stewards", "rule-stewards", func(r *consensus.Rule) { r.Stewards = 3 })
	rule("rule-of-a-share-that-overflows", "rule-share", func(r *consensus.Rule) { r.Share = 3689348814741910324 }) // times 5 it is 4
	rule("rule-of-a-high-operator-cap", "rule-caps", func(r *consensus.Rule) { r.OperatorCap = 1001 })
	rule("rule-of-a-high-family-cap", "rule-caps", func(r *consensus.Rule) { r.FamilyCap = 1001 })
	rule("rule-of-low-confidence", "rule-confidence", func(r *consensus.Rule) { r.Confidence = 499 })
	rule("rule-of-a-long-commit", "rule-commit", func(r *consensus.Rule) { r.Commit = r.Deadline/2 + 1 })
	rule("rule-of-a-negative-commit", "rule-commit-least", func(r *consensus.Rule) { r.Commit = -1 })
	rule("rule-long-window", "rule-window-longest", func(r *consensus.Rule) { r.Window = consensus.MaxWindow + 1 })
	return g
}

func ballotOn(o consensus.Opening, voter identity.ID, vote consensus.Vote) consensus.Ballot {
	return consensus.Ballot{
		Proposal: o.Proposal, Action: o.Action, Opening: o.Digest(), Voter: voter, Vote: vote, Confidence: 900, Issued: now,
		Version: consensus.FormatVersion, Sequence: 1,
	}
}

func ballotVectors() *group {
	o := honestOpening()
	g := &group{folder: "ballot", statement: "ballot", realm: theRealm(), context: ballotContext{encode(o)}}
	type claim = consensus.Ballot
	voter := id(identity.Agent, 60)
	honest := ballotOn(o, voter, consensus.Approve)
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(60), g.realm, changed(honest, change)))
	}
	other := changed(o, func(o *consensus.Opening) { o.Index++ })
	successor := changed(honestOpening(), func(o *consensus.Opening) {
		for i := range o.Voters {
			if o.Voters[i].ID == voter {
				o.Voters[i].Key = key(70).Public()
			}
		}
	})

	g.accept("ok", signed(key(60), g.realm, honest))
	g.accept("ok-person", signed(key(root+1), g.realm, ballotOn(o, id(identity.Operator, root+1), consensus.Reject)))
	g.accept("ok-reason", signed(key(60), g.realm, changed(honest, func(b *claim) { b.Reason = strings.Repeat("a", consensus.MaxReason) })))
	g.accept("ok-by-successor", signed(key(70), g.realm, ballotOn(successor, voter, consensus.Approve)), knowing(ballotContext{encode(successor)}))
	g.refuse("by-superseded-key", "signature", fault.BadSignature, signed(key(60), g.realm, ballotOn(successor, voter, consensus.Approve)),
		knowing(ballotContext{encode(successor)}))
	g.refuse("by-another", "signature", fault.BadSignature, signed(key(61), g.realm, honest))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(60), wire.Realm{1}, honest))
	g.refuse("proposer", "ballot-voter", fault.Denied, signed(key(1), g.realm, ballotOn(o, id(identity.Agent, 1), consensus.Approve)))
	g.refuse("proposers-operator", "ballot-voter", fault.Denied, signed(key(root), g.realm, ballotOn(o, id(identity.Operator, root), consensus.Approve)))
	g.refuse("stranger", "ballot-voter", fault.Denied, signed(key(99), g.realm, ballotOn(o, id(identity.Agent, 99), consensus.Approve)))
	muted := changed(o, func(o *consensus.Opening) { o.Voters = voters(append(slices.Clone(o.Voters), silent(63, root+1))...) })
	g.accept("ok-beside-a-silenced", signed(key(60), g.realm, ballotOn(muted, voter, consensus.Approve)), knowing(ballotContext{encode(muted)}))
	g.refuse("silenced", "ballot-silenced", fault.Denied, signed(key(63), g.realm, ballotOn(muted, id(identity.Agent, 63), consensus.Approve)),
		knowing(ballotContext{encode(muted)}))
	g.accept("ok-recuse", signed(key(60), g.realm, ballotOn(o, voter, consensus.Recuse)))
	g.refuse("other-opening", "ballot-opening", fault.Misaddressed, signed(key(60), g.realm, ballotOn(other, voter, consensus.Approve)))
	with("other-proposal", "ballot-proposal", fault.Misaddressed, func(b *claim) { b.Proposal = wire.Digest{1} })
	with("other-action", "ballot-action", fault.Misaddressed, func(b *claim) { b.Action = wire.Digest{1} })
	with("version", "ballot-version", fault.Version, func(b *claim) { b.Version = 2 })
	with("version-0", "ballot-version", fault.Version, func(b *claim) { b.Version = 0 })
	with("no-vote", "ballot-vote", fault.Malformed, func(b *claim) { b.Vote = 0 })
	with("unknown-vote", "ballot-vote-most", fault.Malformed, func(b *claim) { b.Vote = 5 })
	with("no-sequence", "ballot-sequence", fault.Malformed, func(b *claim) { b.Sequence = 0 })
	with("confidence-low", "ballot-confidence", fault.Malformed, func(b *claim) { b.Confidence = 499 })
	with("confidence-high", "ballot-confidence-most", fault.Malformed, func(b *claim) { b.Confidence = 1001 })
	with("reason-long", "ballot-reason", fault.Malformed, func(b *claim) { b.Reason = strings.Repeat("a", consensus.MaxReason+1) })
	with("no-time", "ballot-issued", fault.Malformed, func(b *claim) { b.Issued = 0 })
	with("node-votes", "ballot-role", fault.Malformed, func(b *claim) { b.Voter = id(identity.Node, 60) })
	with("weak-voter", "ballot-voter-key", fault.BadKey, func(b *claim) { b.Voter = weakID(identity.Agent) })
	return g
}

// tallyVectors count votes written as "n:v", voter n approving, rejecting, abstaining or recusing itself.
func tallyVectors() *group {
	g := &group{folder: "tally", statement: "tally", realm: theRealm()}
	count := func(o consensus.Opening, votes string) ([]byte, func(*vector)) {
		ballots := [][]byte{}
		for _, word := range strings.Fields(votes) {
			var n byte
			var v rune
			if _, err := fmt.Sscanf(word, "%d:%c", &n, &v); err != nil {
				panic(err)
			}
			role := identity.Agent
			if n < 60 {
				role = identity.Operator
			}
			vote := consensus.Vote(strings.IndexRune("-ynar", v))
			ballots = append(ballots, signed(key(n), g.realm, ballotOn(o, id(role, n), vote)))
		}
		return encode(ballots), knowing(ballotContext{encode(o)})
	}
	by := func(change func(*consensus.Rule)) consensus.Opening {
		return changed(honestOpening(), func(o *consensus.Opening) { change(&o.Rule) })
	}
	accept := func(name string, o consensus.Opening, votes string) {
		input, know := count(o, votes)
		g.accept(name, input, know)
	}
	refuse := func(name, check string, code fault.Code, o consensus.Opening, votes string) {
		input, know := count(o, votes)
		g.refuse(name, check, code, input, know)
	}
	two := honestOpening()
	people := by(func(r *consensus.Rule) { r.People = 1 })
	most := by(func(r *consensus.Rule) { r.Share = 600 })
	alike := by(func(r *consensus.Rule) { r.Operators = 0 })
	heavy := changed(most, func(o *consensus.Opening) { o.Voters = voters(append([]consensus.Voter{}, o.Voters...)...) })
	for i := range heavy.Voters {
		if heavy.Voters[i].ID == id(identity.Agent, 62) {
			heavy.Voters[i].Weight = 4
		}
	}

	accept("ok-two-operators", two, "60:y 61:y")
	accept("ok-in-any-order", two, "61:y 60:y")
	accept("ok-others-reject", two, "60:y 61:y 62:n")
	accept("ok-person", people, "11:y 61:y")
	accept("ok-share", most, "60:y 61:y 62:y")
	accept("ok-one-operator-where-one-is-enough", alike, "61:y 62:y")
	refuse("nothing-yet", "tally-approve", fault.Pending, two, "")
	refuse("one", "tally-approvals", fault.Pending, alike, "60:y")
	refuse("one-operator-twice", "tally-operators", fault.Pending, two, "61:y 62:y")
	refuse("no-person", "tally-people", fault.Pending, people, "60:y 61:y")
	refuse("share-missing", "tally-share", fault.Pending, most, "60:y 61:y")
	refuse("share-by-weight", "tally-share", fault.Pending, heavy, "60:y 61:y 11:y 12:y")
	refuse("veto", "tally-veto", fault.Rejected, people, "11:y 61:y 12:n")
	refuse("veto-where-no-person-need-approve", "tally-veto", fault.Rejected, two, "60:y 61:y 11:n")
	refuse("person-rejects-alone", "tally-veto", fault.Rejected, two, "11:n")
	refuse("abstaining", "tally-approve", fault.Pending, two, "60:a 61:y")
	refuse("cannot-be-saved", "tally-lost", fault.Rejected, two, "11:a 60:n")
	refuse("abstained-away", "tally-lost", fault.Rejected, two, "12:a 61:a 62:a")
	ensembles(by, accept, refuse)
	refuse("voted-twice", "tally-voted", fault.Spent, two, "60:y 60:y 61:y")
	return g
}
