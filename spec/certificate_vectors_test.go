package spec_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func certificateVectors() *group {
	t := newCourt()
	g := certified{&group{folder: "certificate", statement: "certificate", realm: t.Realm, context: certificateContext{}}, t}
	g.honest()
	g.files()
	g.parts()
	g.policies()
	g.replaced()
	g.classes()
	g.sums()
	g.emergencies()
	g.electorates()
	g.parties()
	g.people()
	g.successions()
	g.votes()
	g.verdicts()
	g.uses()
	g.permits()
	return g.group
}

func (g certified) honest() {
	w := ledgertest.New(generator{}, ledgertest.Preset(generator{}, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "db.migrate")
	w.Cast(w.Roots[0], o, consensus.Approve)
	fresh, late := g.Signer(identity.Agent), g.Signer(identity.Operator)

	g.ok("ok-solo", w.Certificate(o.Proposal), under(w.Realm))
	g.ok("ok-standard", g.approved)
	g.ok("ok-alone", g.alone)
	g.ok("ok-permit", g.permit)
	g.ok("ok-sum", g.refund)
	g.ok("ok-emergency", g.urgent)
	g.ok("ok-recorded-anew", g.lie(func(*certificate) {}))
	g.ok("ok-voter-enrolled", g.invent(voterOf(fresh, g.d.ID()), fresh.Key(), func(c *certificate) {
		c.Enrolments = append(slices.Clone(c.Enrolments), g.enrolled(fresh, g.d.ID(), g.d.Key()))
	}))
	g.no("level-of-a-voter", "level", fault.Unknown, changed(g.approved, func(c *certificate) { c.Levels = nil }))
	g.no("level-of-who-decides-alone", "level", fault.Unknown, changed(g.alone, func(c *certificate) { c.Levels = nil }))
	g.no("raised-by-one", "raised", fault.Unknown, changed(g.approved, func(c *certificate) {
		c.Levels = append(slices.Clone(c.Levels), g.raise(registry.TypeLevel, g.auditor.ID(), g.d))
	}))
	g.no("raise-of-another-type", "raise-type", fault.WrongKind, changed(g.approved, func(c *certificate) {
		c.Levels = append(slices.Clone(c.Levels), g.raise(registry.TypeGrant, g.auditor.ID(), g.d, g.b))
	}))
	g.ok("ok-voter-appointed", g.invent(voterOf(late, late.ID()), late.Key(), func(c *certificate) {
		c.Operators = append([][]byte{g.appointment(late.ID(), registry.TypeOperator, g.d, g.b)}, c.Operators...)
	}))
}

// files are certificates as files: packed, and not quite so.
func (g certified) files() {
	raw := encode(g.approved)
	whole := packed(gzipped(0, nil, stored(raw)), raw)
	refuse := func(name, check string, file []byte, edits ...func(*vector)) {
		g.refuse(name, check, fault.Malformed, file, edits...)
	}
	g.accept("ok-packed", whole)
	g.accept("ok-packed-in-two-blocks", packed(gzipped(0, nil, block(raw[:99], false), stored(raw[99:])), raw))
	g.refuse("packed-too-large", "certificate-size", fault.TooLarge, whole, zeros(consensus.MaxCertificate))
	bomb := make([]byte, consensus.MaxCertificate+1)
	g.refuse("packed-bomb", "certificate-unpacked", fault.TooLarge, packed(gzipped(0, nil, zeroes(len(bomb))), bomb))
	refuse("packed-with-a-name", "certificate-head", packed(gzipped(8, []byte("a\x00"), stored(raw)), raw))
	refuse("packed-and-flagged-as-text", "certificate-head", packed(gzipped(1, nil, stored(raw)), raw))
	refuse("packed-and-a-byte-more", "certificate-member", whole, zeros(1))
	refuse("packed-in-two-members", "certificate-member", slices.Concat(whole, packed(gzipped(0, nil, stored(nil)), nil)))
	refuse("packed-checksum", "certificate-packed", packed(gzipped(0, nil, stored(raw)), changed(raw, func(b *[]byte) {
		*b = append(slices.Clone(raw[1:]), 0)
	})))
	refuse("packed-length", "certificate-packed", append(slices.Clone(whole[:len(whole)-1]), 1))
	refuse("packed-and-cut-off", "certificate-packed", whole[:len(whole)-1])
}

// gzipped is a gzip member without its end (RFC 1952), by hand: what a library makes of the same bytes may change.
func gzipped(flags byte, fields []byte, blocks ...[]byte) []byte {
	head := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, fields...)
	return append(head, slices.Concat(blocks...)...)
}

// packed ends a gzip member that holds raw.
func packed(member, raw []byte) []byte {
	member = binary.LittleEndian.AppendUint32(member, crc32.ChecksumIEEE(raw))
	return binary.LittleEndian.AppendUint32(member, uint32(len(raw)))
}

// stored is the last block of a member, uncompressed, of less than 64 KiB.
func stored(raw []byte) []byte { return block(raw, true) }

func block(raw []byte, last bool) []byte {
	head := []byte{0}
	if last {
		head[0] = 1
	}
	head = binary.LittleEndian.AppendUint16(head, uint16(len(raw)))
	return append(binary.LittleEndian.AppendUint16(head, ^uint16(len(raw))), raw...)
}

// zeroes is the last block of a member that holds n bytes of 0, by the fixed codes (RFC 1951 §3.2.6): a literal, and copies
// of 258 bytes from one byte back, then literals.
func zeroes(n int) (out []byte) {
	bits, have := uint64(0), 0
	put := func(code uint64, n int) {
		for bits, have = bits|code<<have, have+n; have >= 8; bits, have = bits>>8, have-8 {
			out = append(out, byte(bits))
		}
	}
	const literal0, copy258 = 0b00001100, 0b10100011 // their first bit lowest
	put(0b011, 3)
	put(literal0, 8)
	for range (n - 1) / 258 {
		put(copy258, 8+5)
	}
	for range (n - 1) % 258 {
		put(literal0, 8)
	}
	put(0, 7+7) // the end of the block, and no bits left behind
	return out
}

// parts are certificates one part of which is not what it should be.
func (g certified) parts() {
	other := ledgertest.New(generator{}, ledgertest.Preset(generator{}, policy.Solo), 1, 1)
	g.with("version", "certificate-version", fault.Version, func(c *certificate) { c.Version = 2 })
	g.with("version-0", "certificate-version", fault.Version, func(c *certificate) { c.Version = 0 })
	g.with("too-large", "certificate-size", fault.TooLarge, func(*certificate) {}, zeros(consensus.MaxCertificate))
	g.with("realm", "certificate-realm", fault.WrongRealm, func(*certificate) {}, under(wire.Realm{1}))
	g.with("genesis-of-another-realm", "genesis-realm", fault.WrongRealm, func(c *certificate) { c.Genesis = other.Genesis })
	g.with("roster-older-than-seen", "roster-least", fault.Superseded, func(*certificate) {}, knowing(certificateContext{Least: 1}))
	g.with("head-by-one-node", "head-majority", fault.NoQuorum, func(c *certificate) {
		c.Head = g.Sign(g.Ledger.Head(), g.Nodes[0])
	})
	g.with("head-by-operators", "among", fault.NoQuorum, func(c *certificate) { c.Head = g.Sign(g.Ledger.Head(), g.Roots...) })
	g.with("opening-changed", "leaf-result", fault.BadSignature, func(c *certificate) {
		c.Opening.Index++
		g.ballots(c, g.auditor, g.b)
	})
	g.with("opening-of-another-head", "inclusion", fault.BadSignature, func(c *certificate) { c.Opened = g.lie(func(*certificate) {}).Opened })
	refused := g.approved
	g.recordLeaves(&refused, audit.Leaf{Index: 1, Verdict: fault.Denied, Result: wire.Hash(encode(refused.Opening))},
		audit.Leaf{Index: 2, Result: wire.Hash(encode(refused.Verdict))})
	g.no("opening-refused", "leaf-verdict", fault.BadSignature, refused)
	g.with("proposal-by-another", "signature", fault.BadSignature, func(c *certificate) {
		p, err := wire.Parse[consensus.Proposal](c.Proposal, wire.MaxStatement)
		if err != nil {
			panic(err)
		}
		c.Proposal = g.SignAlone(p.Claim, g.reviewer.Key())
	})
	g.with("ballot-for-proposal", "protected-header", fault.WrongKind, func(c *certificate) { c.Proposal = c.Ballots[0] })
	g.no("opening-of-another-proposal", "certificate-proposal", fault.Misaddressed, g.lie(func(c *certificate) {
		c.Opening.Proposal[0] ^= 1
		c.Verdict.Proposal = c.Opening.Proposal
	}))
	g.no("opening-of-another-action", "certificate-action", fault.Misaddressed, g.lie(func(c *certificate) { c.Opening.Action[0] ^= 1 }))
	g.no("opening-under-another-policy", "certificate-policy", fault.Misaddressed, g.lie(func(c *certificate) { c.Opening.Policy[0] ^= 1 }))
}

// policies are policies that the genesis does not name, or that do not fit it.
func (g certified) policies() {
	realmOf := func(c certificate, change func(*identity.Genesis)) (certificate, func(*vector)) {
		genesis := changed(identity.Genesis{
			Version: 1, Created: 1, Roots: []identity.ID{g.a.ID()}, Threshold: 1, Nodes: []identity.ID{g.Nodes[0].ID()},
			Policy: wire.Hash(c.Policy), Nonce: [16]byte{1},
		}, change)
		c.Genesis, c.Realm = cosigned(wire.Realm{}, genesis, g.a.Key()), wire.Realm(idOf(wire.Realm{}, genesis))
		return c, under(c.Realm)
	}
	g.with("policy-of-another", "policy-digest", fault.Denied, func(c *certificate) {
		c.Policy = changed(g.Policy, func(p *policy.Policy) { p.Loosen = 3 }).Encode()
	})
	weak := changed(g.Policy, func(p *policy.Policy) { p.Classes = slices.Clone(p.Classes); p.Classes[2].Approvals = 0 })
	bad, realm := realmOf(changed(g.approved, func(c *certificate) { c.Policy = weak.Encode() }), func(*identity.Genesis) {})
	g.no("policy-of-no-approvals", "policy", fault.InvalidInput, bad, realm)

	w := ledgertest.New(generator{}, ledgertest.Preset(generator{}, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	c := w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal)
	genesis := identity.Genesis{
		Version: 1, Created: 1, Roots: []identity.ID{w.Roots[0].ID()}, Threshold: 1, Nodes: []identity.ID{w.Nodes[0].ID()},
		Policy: w.Policy.Digest(), Nonce: [16]byte{1},
	}
	c.Genesis, c.Realm = cosigned(wire.Realm{}, genesis, w.Roots[0].Key()), wire.Realm(idOf(wire.Realm{}, genesis))
	g.no("solo-policy-in-no-solo-realm", "policy-solo", fault.Denied, c, under(c.Realm))
}

// classes are openings whose class, rule or times are not what the policy says.
func (g certified) classes() {
	lie := func(name, check string, change func(*certificate)) { g.no(name, check, fault.Denied, g.lie(change)) }
	lie("class-lowered", "certificate-class", func(c *certificate) {
		c.Opening.Class, c.Opening.Rule = consensus.R1, g.Policy.Rule(consensus.R1)
	})
	lie("rule-weakened", "certificate-rule", func(c *certificate) { c.Opening.Rule.Operators = 1 })
	lie("deadline-stretched", "certificate-deadline", func(c *certificate) { c.Opening.Deadline++ })
	lie("opened-before-time", "certificate-opened", func(c *certificate) {
		c.Opening.Opened, c.Opening.Deadline = 0, c.Opening.Rule.Deadline
		c.Verdict.At, c.Verdict.From, c.Verdict.Until = 1, 1, 1+c.Opening.Rule.Window
	})
	denied := changed(g.Policy, func(p *policy.Policy) {
		p.Kinds = append(slices.Clone(p.Kinds), policy.Kind{Pattern: "weapon.*", Class: consensus.R3, Deny: true})
	})
	w := ledgertest.New(generator{}, denied, 3, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "db.migrate")
	w.Cast(w.Roots[1], o, consensus.Approve)
	w.Cast(w.Roots[2], o, consensus.Approve)
	c := w.Certificate(o.Proposal)
	p := w.Proposal(worker.ID(), worker.ID(), "weapon.fire")
	c.Proposal = w.SignAlone(p, worker.Key())
	c.Opening.Proposal, c.Opening.Action = idOf(w.Realm, p), p.Action.Digest()
	c.Verdict.Proposal = c.Opening.Proposal
	t := &court{World: w}
	t.ballots(&c, w.Roots[1], w.Roots[2])
	t.record(&c)
	g.no("denied-kind", "certificate-denied", fault.Denied, c, under(w.Realm))
}

// electorates are voters that may not vote, or weigh too much, and proposers that do not decide alone.
func (g certified) electorates() {
	weigh := func(name, check string, who identity.ID, change func(*consensus.Voter)) {
		code := fault.Denied
		if check == "certificate-family" {
			code = fault.Malformed
		}
		g.no(name, check, code, g.lie(func(c *certificate) {
			for i := range c.Opening.Voters {
				if c.Opening.Voters[i].ID == who {
					change(&c.Opening.Voters[i])
				}
			}
		}))
	}
	weigh("weight-of-an-agent", "certificate-weight", g.auditor.ID(), func(v *consensus.Voter) { v.Weight = 100 })
	weigh("weight-of-a-person", "certificate-weight", g.b.ID(), func(v *consensus.Voter) { v.Weight = 100 })
	weigh("level-without-a-vote", "certificate-weight", g.reviewer.ID(), func(v *consensus.Voter) { v.Level = 1 })
	weigh("level-above-the-ladder", "certificate-weight", g.reviewer.ID(), func(v *consensus.Voter) { v.Level = 256 + 3 })
	g.no("executor-votes", "certificate-executor", fault.Denied, g.lie(func(c *certificate) {
		p := g.Proposal(g.worker.ID(), g.reviewer.ID(), "process.exec")
		g.propose(c, p, g.worker)
	}))
	g.no("proposers-operator-votes", "eligible-own", fault.Malformed, g.lie(func(c *certificate) {
		c.Opening.Voters = voters(append(c.Opening.Voters, voterOf(g.a, g.a.ID()))...)
	}))
	alone := func(name, check string, change func(*certificate)) {
		c := g.alone
		change(&c)
		g.record(&c)
		g.no(name, check, fault.Denied, c)
	}
	alone("level-that-does-not-decide", "alone-level", func(c *certificate) { c.Opening.Level = 1 })
	alone("level-above-the-ladder-alone", "alone-level", func(c *certificate) { c.Opening.Level = 256 + 3 })
	alone("alone-with-voters", "alone-voters", func(c *certificate) { c.Opening.Voters = voters(voterOf(g.b, g.b.ID())) })
	person := func(c *certificate) {
		p := g.Proposal(g.a.ID(), g.worker.ID(), "db.read")
		c.Proposal = g.SignAlone(p, g.a.Key())
		c.Opening.Proposal, c.Opening.Action, c.Opening.Key = idOf(g.Realm, p), p.Action.Digest(), g.a.Public()
		c.Opening.Deadline = c.Opening.Opened + c.Opening.Rule.Deadline
		c.Verdict.Proposal = c.Opening.Proposal
	}
	alone("person-alone", "alone-agent", person)
	alone("permit-alone", "alone-permit", func(c *certificate) {
		p := g.Proposal(g.worker.ID(), g.worker.ID(), "db.read")
		p.Permit = &consensus.Permit{Uses: 2, Until: p.Issued + hour}
		g.propose(c, p, g.worker)
		c.Verdict.Until = p.Permit.Until
	})
	gaining := func(name string, who identity.ID) {
		g.no(name, "certificate-beneficiary", fault.Denied, g.lie(func(c *certificate) {
			p := g.Proposal(g.worker.ID(), g.worker.ID(), "process.exec")
			p.Beneficiaries = []identity.ID{who}
			g.propose(c, p, g.worker)
		}))
	}
	gaining("beneficiary-votes", g.auditor.ID())
	gaining("beneficiarys-agent-votes", g.d.ID())
	weigh("family-that-is-no-name", "certificate-family", g.auditor.ID(), func(v *consensus.Voter) { v.Family = "no family" })
}

// parties are agents for whose key nobody vouches.
func (g certified) parties() {
	ghost := func(name, check string, code fault.Code, operator identity.ID, enrolment func(s identity.Signer) [][]byte) {
		s := g.Signer(identity.Agent)
		g.no(name, check, code, g.invent(voterOf(s, operator), s.Key(), func(c *certificate) {
			c.Enrolments = append(slices.Clone(c.Enrolments), enrolment(s)...)
		}))
	}
	ghost("voter-without-enrolment", "enrolled", fault.Unknown, g.d.ID(), func(identity.Signer) [][]byte { return nil })
	ghost("token-by-a-node", "enrolled", fault.Unknown, g.d.ID(), func(s identity.Signer) [][]byte {
		return [][]byte{g.enrolled(s, g.d.ID(), g.Nodes[0].Key())}
	})
	nobody := g.Signer(identity.Operator)
	ghost("operator-that-is-none", "vouched-operator", fault.Unknown, nobody.ID(), func(s identity.Signer) [][]byte {
		return [][]byte{g.enrolled(s, nobody.ID(), nobody.Key())}
	})
	ghost("token-in-anothers-name", "enrolled-operator", fault.Unknown, g.d.ID(), func(s identity.Signer) [][]byte {
		return [][]byte{g.enrolled(s, g.a.ID(), g.d.Key())}
	})
	ghost("enrolment-stolen", "enrolled", fault.Unknown, g.d.ID(), func(s identity.Signer) [][]byte {
		token, _ := g.Invite(g.d, g.Token(g.d.ID(), "ghost", identity.Observer))
		return [][]byte{g.Enrolment(s, token, g.Key())}
	})
	swapped := changed(voterOf(g.auditor, g.d.ID()), func(v *consensus.Voter) { v.Key = g.Nodes[0].Public() })
	g.no("voter-with-a-nodes-key", "vouched-key", fault.Unknown, g.invent(swapped, g.Nodes[0].Key(), nil))
	g.with("proposer-without-enrolment", "enrolled", fault.Unknown, func(c *certificate) { c.Enrolments = c.Enrolments[1:] })
	g.with("not-an-enrolment", "enrolments", fault.Malformed, func(c *certificate) { c.Enrolments = append(slices.Clone(c.Enrolments), []byte{1}) })
	hidden := g.lie(func(c *certificate) {
		p := g.Proposal(g.a.ID(), g.worker.ID(), "process.exec")
		c.Proposal = g.SignAlone(p, g.a.Key())
		c.Opening.Proposal, c.Opening.Action, c.Opening.Key = idOf(g.Realm, p), p.Action.Digest(), g.a.Public()
		c.Opening.Opened, c.Opening.Deadline = g.Now-1000, g.Now-1000+c.Opening.Rule.Deadline
		c.Opening.Operator = g.c.ID() // so that a's own agents could vote
		c.Opening.Voters = slices.DeleteFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.Operator == g.c.ID() })
		c.Verdict.Proposal = c.Opening.Proposal
	})
	g.no("person-under-another-operator", "vouched-person", fault.Unknown, hidden)
}

// people are operators whom too few have appointed.
func (g certified) people() {
	ghost := func(name, check string, code fault.Code, appointment func(who identity.Signer) [][]byte) {
		s := g.Signer(identity.Operator)
		g.no(name, check, code, g.invent(voterOf(s, s.ID()), s.Key(), func(c *certificate) {
			c.Operators = append(slices.Clone(c.Operators), appointment(s)...)
		}))
	}
	by := func(typ registry.Type, signers ...identity.Signer) func(identity.Signer) [][]byte {
		return func(who identity.Signer) [][]byte { return [][]byte{g.appointment(who.ID(), typ, signers...)} }
	}
	old := identity.NewSigner(g.d.ID(), g.first(g.d.ID()))
	ghost("nobody-appointed", "vouched-operator", fault.Unknown, func(identity.Signer) [][]byte { return nil })
	ghost("appointed-by-one", "appointed", fault.Unknown, by(registry.TypeOperator, g.b))
	ghost("appointed-by-one-with-two-keys", "appointed", fault.Unknown, by(registry.TypeOperator, g.d, old))
	ghost("appointed-by-agents-and-nodes", "appointed", fault.Unknown,
		by(registry.TypeOperator, append([]identity.Signer{g.b, g.worker, g.auditor}, g.Nodes...)...))
	ghost("appointed-by-each-other", "appointed", fault.Unknown, func(who identity.Signer) [][]byte {
		other := g.Signer(identity.Operator)
		return [][]byte{g.appointment(who.ID(), registry.TypeOperator, who, other), g.appointment(other.ID(), registry.TypeOperator, who, other)}
	})
	ghost("appointment-forged", "signature", fault.BadSignature, func(who identity.Signer) [][]byte {
		raw := bytes.Clone(g.appointment(who.ID(), registry.TypeOperator, g.d, g.b))
		raw[len(raw)-1] ^= 1
		return [][]byte{raw}
	})
	ghost("another-command", "appointment-type", fault.WrongKind, by(registry.TypeGrant, g.d, g.b))
}

// first is the inception key of a principal of the world, whose keys are all made of counted seeds.
func (t *court) first(id identity.ID) wire.Key {
	for n := range uint32(1000) {
		seed := [32]byte{0xaa}
		seed[4], seed[5], seed[6], seed[7] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		if k := wire.NewKey(seed); k.Public() == id.Key() {
			return k
		}
	}
	panic("no such key")
}

func (g certified) successions() {
	chain := func(name, check string, code fault.Code, who identity.Signer, change func([][]byte) [][]byte) {
		g.with(name, check, code, func(c *certificate) { chains(c, who.ID(), change) })
	}
	forged := func(list [][]byte) [][]byte {
		raw := bytes.Clone(list[0])
		raw[len(raw)-1] ^= 1
		return [][]byte{raw}
	}
	thief := g.Key()
	chain("succession-missing", "vouched-key", fault.Unknown, g.auditor, func([][]byte) [][]byte { return nil })
	chain("succession-forged", "signature", fault.BadSignature, g.auditor, forged)
	chain("succession-by-the-new-key-alone", "succession-both", fault.NoQuorum, g.c, func([][]byte) [][]byte {
		return [][]byte{cosigned(g.Realm, identity.Succession{
			Version: 1, Principal: g.c.ID(), Number: 1, Old: g.c.Public(), New: thief.Public(), Issued: g.Now,
		}, thief)}
	})
	g.with("not-a-succession", "successions", fault.Malformed, func(c *certificate) { c.Keys = append(slices.Clone(c.Keys), []byte{1}) })
}

// votes are ballots that do not count, or not enough of them.
func (g certified) votes() {
	with := func(name, check string, code fault.Code, ballots func(c *certificate) [][]byte) {
		g.with(name, check, code, func(c *certificate) { c.Ballots = ballots(c) })
	}
	by := func(s identity.Signer) func(c *certificate) [][]byte {
		return func(c *certificate) [][]byte {
			return append(slices.Clone(c.Ballots), g.ballot(c, s, consensus.Approve))
		}
	}
	with("no-ballots", "certificate-approved", fault.NoQuorum, func(*certificate) [][]byte { return nil })
	with("ballots-too-few", "certificate-approved", fault.NoQuorum, func(c *certificate) [][]byte { return c.Ballots[:1] })
	with("ballot-rejects", "certificate-approved", fault.NoQuorum, func(c *certificate) [][]byte {
		return [][]byte{g.ballot(c, g.auditor, consensus.Approve), g.ballot(c, g.b, consensus.Reject)}
	})
	with("ballot-forged", "signature", fault.BadSignature, by(identity.NewSigner(g.c.ID(), g.Nodes[0].Key())))
	with("ballot-by-superseded-key", "signature", fault.BadSignature, func(c *certificate) [][]byte {
		return [][]byte{g.ballot(c, identity.NewSigner(g.auditor.ID(), g.first(g.auditor.ID())), consensus.Approve), c.Ballots[1]}
	})
	with("ballot-of-a-stranger", "ballot-voter", fault.Denied, by(g.Signer(identity.Agent)))
	with("ballot-of-the-proposer", "ballot-voter", fault.Denied, by(g.worker))
	with("ballot-of-the-proposers-operator", "ballot-voter", fault.Denied, by(g.a))
	with("ballot-twice", "tally-voted", fault.Spent, func(c *certificate) [][]byte { return append(slices.Clone(c.Ballots), c.Ballots[0]) })
	with("ballot-on-another-opening", "ballot-opening", fault.Misaddressed, func(c *certificate) [][]byte {
		other := *c
		other.Opening.Index++
		return append(slices.Clone(c.Ballots), g.ballot(&other, g.c, consensus.Approve))
	})
	g.no("alone-with-ballots", "alone-ballots", fault.Misaddressed, changed(g.alone, func(c *certificate) {
		c.Ballots = [][]byte{g.ballot(c, g.b, consensus.Approve)}
	}))
}

// verdicts are approvals that the registry did not record so.
func (g certified) verdicts() {
	lie := func(name, check string, code fault.Code, change func(v *consensus.Verdict, o consensus.Opening)) {
		g.no(name, check, code, g.lie(func(c *certificate) { change(&c.Verdict, c.Opening) }))
	}
	from := func(v *consensus.Verdict, o consensus.Opening, time int64) {
		v.At, v.From, v.Until = time, time, time+o.Rule.Window
	}
	lie("verdict-of-another", "verdict-proposal", fault.Misaddressed, func(v *consensus.Verdict, _ consensus.Opening) { v.Proposal[0] ^= 1 })
	lie("verdict-open", "verdict-state", fault.Misaddressed, func(v *consensus.Verdict, _ consensus.Opening) { v.State = consensus.Open })
	lie("from-too-early", "verdict-from", fault.Misaddressed, func(v *consensus.Verdict, _ consensus.Opening) { v.From-- })
	lie("until-stretched", "verdict-until", fault.Misaddressed, func(v *consensus.Verdict, _ consensus.Opening) { v.Until++ })
	lie("verdict-before-opening", "verdict-opened", fault.Expired, func(v *consensus.Verdict, o consensus.Opening) { from(v, o, o.Opened-1) })
	lie("verdict-at-the-deadline", "verdict-deadline", fault.Expired, func(v *consensus.Verdict, o consensus.Opening) { from(v, o, o.Deadline) })
	g.with("verdict-not-recorded", "leaf-result", fault.BadSignature, func(c *certificate) { c.Decided = c.Opened })
	g.no("alone-verdict-later", "alone-verdict", fault.Misaddressed, changed(g.alone, func(c *certificate) {
		c.Verdict.At++
		c.Verdict.From++
		c.Verdict.Until++
	}))
}

// uses are what an approved certificate does not allow.
func (g certified) uses() {
	p, err := wire.Parse[consensus.Proposal](g.approved.Proposal, wire.MaxStatement)
	if err != nil {
		panic(err)
	}
	use := func(change func(*useContext)) func(*vector) {
		u := useContext{encode(p.Claim.Action), p.Claim.Executor, p.Claim.Store[:]}
		change(&u)
		return knowing(certificateContext{Use: &u})
	}
	action := func(change func(*consensus.Action)) func(*vector) {
		return use(func(u *useContext) { u.Action = encode(changed(p.Claim.Action, change)) })
	}
	same := use(func(*useContext) {})
	v := g.approved.Verdict
	g.ok("ok-use", g.approved, same, at(v.At))
	g.ok("ok-use-last-moment", g.approved, same, at(v.Until+identity.Skew-1))
	g.no("use-for-another-target", "use-action", fault.Misaddressed, g.approved, at(v.At), action(func(a *consensus.Action) { a.Target += "x" }))
	g.no("use-with-parameters", "use-action", fault.Misaddressed, g.approved, at(v.At), action(func(a *consensus.Action) {
		a.Params = []consensus.Param{{Name: "argv", Values: []string{"rm"}}}
	}))
	g.no("use-by-another", "use-executor", fault.Misaddressed, g.approved, at(v.At), use(func(u *useContext) { u.Executor = g.reviewer.ID() }))
	g.no("use-with-another-store", "use-store", fault.Misaddressed, g.approved, at(v.At), use(func(u *useContext) { u.Store = make([]byte, 16) }))
	g.no("use-too-late", "expired", fault.Expired, g.approved, same, at(v.Until+identity.Skew))
	g.no("use-too-early", "use-time", fault.NotYet, g.approved, same, at(v.At-identity.Skew-1))
}
