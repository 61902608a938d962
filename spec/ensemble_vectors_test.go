package spec_test

import (
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// promises are proposals that say from when they hold, who gains, how much, and that it is urgent.
func promises(g *group) {
	type claim = consensus.Proposal
	in := func(change func(*claim)) []byte { return signed(key(1), g.realm, changed(honestProposal(), change)) }
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, in(change))
	}
	gain := func(all ...identity.ID) func(*claim) { return func(p *claim) { p.Beneficiaries = all } }

	g.accept("ok-emergency", in(func(p *claim) { p.Emergency = true }))
	g.accept("ok-amount", in(func(p *claim) { p.Action.Amount, p.Action.Rollback = 1<<63, strings.Repeat("a", consensus.MaxReason) }))
	g.accept("ok-not-before", in(func(p *claim) { p.NotBefore = p.Issued + consensus.MaxDeadline }))
	g.accept("ok-beneficiaries", in(gain(ids(identity.Agent, 20, consensus.MaxBeneficiaries)...)))
	with("not-before-too-late", "proposal-not-before", fault.Malformed, func(p *claim) { p.NotBefore = p.Issued + consensus.MaxDeadline + 1 })
	with("not-before-below-zero", "proposal-not-before-least", fault.Malformed, func(p *claim) { p.NotBefore = -1 })
	with("beneficiaries-too-many", "proposal-gainers", fault.TooLarge, gain(ids(identity.Agent, 20, consensus.MaxBeneficiaries+1)...))
	with("weak-beneficiary", "proposal-beneficiary", fault.BadKey, gain(weakID(identity.Agent)))
	with("beneficiary-twice", "proposal-beneficiaries", fault.Malformed, gain(id(identity.Agent, 20), id(identity.Agent, 20)))
	unsorted := ids(identity.Agent, 20, 2)
	slices.Reverse(unsorted)
	with("beneficiaries-unsorted", "proposal-beneficiaries", fault.Malformed, gain(unsorted...))
}

// permitVectors are proposals with permits.
func permitVectors(g *group) {
	type permit = consensus.Permit
	honest := permit{Uses: 3, Until: now + hour, Open: []consensus.Param{{Name: "env", Values: []string{"CI=1", "X_*"}}}, Targets: []string{"host-2", "lab-*"}}
	in := func(change func(*consensus.Proposal, *permit)) []byte {
		p, t := honestProposal(), honest
		p.Permit = &t
		change(&p, &t)
		return signed(key(1), g.realm, p)
	}
	with := func(name, check string, change func(p *consensus.Proposal, t *permit)) {
		g.refuse(name, check, fault.Malformed, in(change))
	}
	open := func(all ...consensus.Param) func(*consensus.Proposal, *permit) {
		return func(_ *consensus.Proposal, t *permit) { t.Open = all }
	}
	targets := func(all ...string) func(*consensus.Proposal, *permit) {
		return func(_ *consensus.Proposal, t *permit) { t.Targets = all }
	}
	g.accept("ok-permit", in(func(*consensus.Proposal, *permit) {}))
	g.accept("ok-permit-bare", in(func(_ *consensus.Proposal, t *permit) {
		*t = permit{Uses: consensus.MaxUses, Until: now + consensus.MaxDeadline}
	}))
	with("permit-without-uses", "permit-uses", func(_ *consensus.Proposal, t *permit) { t.Uses = 0 })
	with("permit-of-too-many-uses", "permit-uses", func(_ *consensus.Proposal, t *permit) { t.Uses = consensus.MaxUses + 1 })
	with("permit-that-is-over", "permit-over", func(_ *consensus.Proposal, t *permit) { t.Until = now })
	with("permit-that-never-begins", "permit-until", func(p *consensus.Proposal, t *permit) { p.NotBefore = t.Until })
	with("permit-for-too-long", "permit-longest", func(_ *consensus.Proposal, t *permit) { t.Until = now + consensus.MaxDeadline + 1 })
	with("permit-for-an-emergency", "permit-emergency", func(p *consensus.Proposal, _ *permit) { p.Emergency = true })
	with("permit-targets-unsorted", "permit-targets", targets("b", "a"))
	with("permit-target-twice", "permit-targets", targets("a", "a"))
	with("permit-target-empty", "permit-targets", targets(""))
	with("permit-parameter-unnamed", "permit-open", open(consensus.Param{Values: []string{"a"}}))
	with("permit-parameter-twice", "permit-open", open(consensus.Param{Name: "x", Values: []string{"a"}}, consensus.Param{Name: "x", Values: []string{"b"}}))
	with("permit-parameter-without-patterns", "permit-open", open(consensus.Param{Name: "x", Values: []string{}}))
	with("permit-parameter-unsorted", "permit-open", open(consensus.Param{Name: "x", Values: []string{"b", "a"}}))
	with("permit-parameter-fixed", "permit-fixed", open(consensus.Param{Name: "argv", Values: []string{"*"}}))
	g.refuse("permit-large", "permit-size", fault.TooLarge, in(targets(strings.Repeat("a", consensus.MaxActionText))))
}

// plainly are changes that give a person what only agents have.
var plainly = map[string]func(*consensus.Voter){
	"person-of-a-level":       func(v *consensus.Voter) { v.Level = 3 },
	"person-of-a-family":      func(v *consensus.Voter) { v.Family = "any" },
	"person-of-a-calibration": func(v *consensus.Voter) { v.Calibration = 700 },
	"person-silenced":         func(v *consensus.Voter) { v.Silenced = true },
}

func urgently(all ...consensus.Voter) func(*consensus.Opening) {
	return func(o *consensus.Opening) { o.Emergency, o.Voters = true, voters(all...) }
}

func silent(n, operator byte) consensus.Voter {
	return changed(agentOf(n, operator), func(v *consensus.Voter) { v.Silenced = true })
}

func sureAs(confidence uint64) func(*consensus.Opening) {
	return func(o *consensus.Opening) { o.Rule.Confidence = confidence }
}

// secretly is an opening that wants agents' ballots committed to.
func secretly() consensus.Opening {
	return changed(honestOpening(), func(o *consensus.Opening) {
		o.Rule.Commit = minute
		o.Voters = voters(append(slices.Clone(o.Voters), silent(63, root+1))...)
	})
}

func commitmentOn(o consensus.Opening, voter identity.ID, hidden wire.Digest) consensus.Commitment {
	return consensus.Commitment{
		Version: consensus.FormatVersion, Proposal: o.Proposal, Opening: o.Digest(), Voter: voter, Sequence: 1, Hidden: hidden, Issued: now,
	}
}

func commitmentVectors() *group {
	o := secretly()
	g := &group{folder: "commitment", statement: "commitment", realm: theRealm(), context: ballotContext{encode(o)}}
	type claim = consensus.Commitment
	voter := id(identity.Agent, 60)
	honest := commitmentOn(o, voter, consensus.Hide(make([]byte, consensus.SaltSize), signed(key(60), g.realm, ballotOn(o, voter, consensus.Approve))))
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(60), g.realm, changed(honest, change)))
	}
	public := honestOpening()
	g.accept("ok", signed(key(60), g.realm, honest))
	g.accept("ok-again", signed(key(60), g.realm, changed(honest, func(c *claim) { c.Sequence = 2 })))
	g.refuse("by-another", "signature", fault.BadSignature, signed(key(61), g.realm, honest))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(60), wire.Realm{1}, honest))
	g.refuse("ballot", "protected-header", fault.WrongKind, signed(key(60), g.realm, ballotOn(o, voter, consensus.Approve)))
	with("version", "commitment-version", fault.Version, func(c *claim) { c.Version = 2 })
	with("version-0", "commitment-version", fault.Version, func(c *claim) { c.Version = 0 })
	with("no-sequence", "commitment-sequence", fault.Malformed, func(c *claim) { c.Sequence = 0 })
	with("no-time", "commitment-issued", fault.Malformed, func(c *claim) { c.Issued = 0 })
	g.refuse("person-commits", "commitment-role", fault.Malformed, signed(key(root+1), g.realm, commitmentOn(o, id(identity.Operator, root+1), honest.Hidden)))
	with("weak-voter", "commitment-voter-key", fault.BadKey, func(c *claim) { c.Voter = weakID(identity.Agent) })
	with("other-proposal", "commitment-proposal", fault.Misaddressed, func(c *claim) { c.Proposal = wire.Digest{1} })
	with("other-opening", "commitment-opening", fault.Misaddressed, func(c *claim) { c.Opening = wire.Digest{1} })
	g.refuse("stranger", "ballot-voter", fault.Denied, signed(key(99), g.realm, commitmentOn(o, id(identity.Agent, 99), honest.Hidden)))
	g.refuse("silenced", "ballot-silenced", fault.Denied, signed(key(63), g.realm, commitmentOn(o, id(identity.Agent, 63), honest.Hidden)))
	g.refuse("ballots-are-open", "commitment-open", fault.Malformed, signed(key(60), g.realm, commitmentOn(public, voter, honest.Hidden)),
		knowing(ballotContext{encode(public)}))
	return g
}

// equivocationVectors are pairs of what one voter has signed.
func equivocationVectors() *group {
	o := secretly()
	g := &group{folder: "equivocation", statement: "equivocation", realm: theRealm(), context: ballotContext{encode(o)}}
	ballot := func(n byte, vote consensus.Vote, sequence uint64) []byte {
		b := ballotOn(o, id(identity.Agent, n), vote)
		b.Sequence = sequence
		return signed(key(n), g.realm, b)
	}
	commitment := func(n, hidden byte, sequence uint64) []byte {
		c := commitmentOn(o, id(identity.Agent, n), wire.Digest{hidden})
		c.Sequence = sequence
		return signed(key(n), g.realm, c)
	}
	pair := func(a, b []byte) []byte { return encode([][]byte{a, b}) }
	no := func(name, check string, a, b []byte) { g.refuse(name, check, fault.InvalidInput, pair(a, b)) }
	later := commitmentOn(o, id(identity.Agent, 60), wire.Digest{1})
	later.Issued++

	g.accept("ok-ballots", pair(ballot(60, consensus.Approve, 1), ballot(60, consensus.Reject, 1)))
	g.accept("ok-commitments", pair(commitment(60, 1, 1), commitment(60, 2, 1)))
	no("ballots-of-two", "equivocation-voter", ballot(60, consensus.Approve, 1), ballot(61, consensus.Reject, 1))
	no("commitments-of-two", "equivocation-voter", commitment(60, 1, 1), commitment(61, 2, 1))
	no("ballots-one-after-the-other", "equivocation-sequence", ballot(60, consensus.Approve, 1), ballot(60, consensus.Reject, 2))
	no("commitments-one-after-the-other", "equivocation-sequence", commitment(60, 1, 1), commitment(60, 2, 2))
	no("ballot-twice", "equivocation-different", ballot(60, consensus.Approve, 1), ballot(60, consensus.Approve, 1))
	no("commitments-to-the-same", "equivocation-different", commitment(60, 1, 1), signed(key(60), g.realm, later))
	no("ballot-forged", "signature", ballot(60, consensus.Approve, 1), signed(key(61), g.realm, ballotOn(o, id(identity.Agent, 60), consensus.Reject)))
	return g
}

// ensembles are rules about who the voters are and how sure.
func ensembles(by func(func(*consensus.Rule)) consensus.Opening, accept func(string, consensus.Opening, string),
	refuse func(string, string, fault.Code, consensus.Opening, string)) {
	among := func(o consensus.Opening, change func(v *consensus.Voter)) consensus.Opening {
		o.Voters = slices.Clone(o.Voters)
		for i := range o.Voters {
			if !o.Voters[i].Person() {
				change(&o.Voters[i])
			}
		}
		return o
	}
	is := func(v *consensus.Voter, n byte) bool { return v.ID == id(identity.Agent, n) }
	families := among(by(func(r *consensus.Rule) { r.Families = 2 }), func(v *consensus.Voter) {
		v.Family = "one"
		if is(v, 62) {
			v.Family = "other"
		}
	})
	stewards := among(by(func(r *consensus.Rule) { r.Stewards = 2 }), func(v *consensus.Voter) { v.Level = 5 })
	faults := by(func(r *consensus.Rule) { r.Faults = 1 })
	few := by(func(r *consensus.Rule) { r.Faults = 2 })
	operators := by(func(r *consensus.Rule) { r.Operators, r.Share, r.OperatorCap = 0, 600, 334 })
	family := by(func(r *consensus.Rule) { r.Share, r.FamilyCap = 400, 200 })
	sure := by(func(r *consensus.Rule) { r.Confidence = 800 })
	half := by(func(r *consensus.Rule) { r.Confidence, r.Share = 800, 600 })

	accept("ok-families", families, "60:y 62:y")
	refuse("one-family", "tally-families", fault.Pending, families, "60:y 61:y")
	accept("ok-stewards-of-one-operator-reject", stewards, "60:y 12:y 61:n 62:n")
	refuse("stewards-veto", "tally-stewards", fault.Rejected, stewards, "60:n 61:n 11:y 12:y")
	accept("ok-faults", faults, "60:y 61:y 62:y 11:y")
	refuse("faults", "tally-faults", fault.Pending, faults, "60:y 61:y 62:y")
	refuse("too-few-for-the-faults", "tally-few", fault.Rejected, few, "60:y 61:y 62:y 11:y 12:y")
	accept("ok-operator-cap", operators, "61:y 62:y 11:y 60:y")
	refuse("one-operator-weighs-too-much", "tally-operator-cap", fault.Pending, operators, "12:y 61:y 62:y")
	accept("ok-family-cap", family, "60:y 12:y")
	refuse("one-family-weighs-too-much", "tally-family-cap", fault.Pending, family, "60:y 61:y")
	accept("ok-confidence", sure, "60:y 11:y 61:y")
	refuse("not-sure-enough", "tally-confidence", fault.Pending, sure, "60:y 61:y")
	refuse("abstention-is-undecided", "tally-abstain", fault.Pending, sure, "60:y 12:y 61:a")
	accept("ok-recused-says-nothing", sure, "60:y 12:y 61:r")
	accept("ok-confidence-over-enough-weight", half, "60:y 11:y 12:y")
}
