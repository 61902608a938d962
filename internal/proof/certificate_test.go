package proof_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestHonestCertificates(t *testing.T) {
	t.Run("solo", func(t *testing.T) {
		w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
		worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
		o := w.Propose(worker, worker.ID(), "db.migrate")
		w.Cast(w.Roots[0], o, consensus.Approve)
		honest(t, w, w.Certificate(o.Proposal))
		honest(t, w, w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal))
	})
	t.Run("standard", func(t *testing.T) {
		r := standard(t)
		for _, kind := range []string{"db.read", "file.write", "process.exec", "db.migrate"} {
			o := r.Propose(r.worker, r.worker.ID(), kind)
			if !o.Alone {
				r.Cast(r.auditor, o, consensus.Approve)
				r.Cast(r.e, o, consensus.Approve)
			}
			v := honest(t, r.World, r.Certificate(o.Proposal))
			if v.Opening().Digest() != o.Digest() || v.Proposal().ID() != o.Proposal ||
				v.Verdict().State != consensus.Approved || v.Head().Statement().Size != r.Ledger.Size() ||
				v.Certificate().Realm != r.Realm {
				t.Errorf("%s: got %+v", kind, v)
			}
		}
	})
	t.Run("a person proposes", func(t *testing.T) {
		r := standard(t)
		o := r.Propose(r.e, r.worker.ID(), "process.exec")
		r.Cast(r.b, o, consensus.Approve)
		r.Cast(r.d, o, consensus.Approve)
		honest(t, r.World, r.Certificate(o.Proposal))
	})
	t.Run("who vouches no longer votes", func(t *testing.T) {
		for _, agent := range []bool{false, true} { // d answers for the auditor and appointed e; g appointed f
			r := standard(t)
			g := r.Operator("fourth", r.a, r.b)
			f := r.Operator("fifth", r.c, g)
			gone := []identity.Signer{r.d, g, r.auditor}
			if agent {
				gone = []identity.Signer{r.d, g, r.e}
			}
			for _, s := range gone {
				r.Must(r.a, registry.TypeStatus, registry.SetStatus{Principal: s.ID(), Status: trust.Quarantined})
			}
			o := r.Propose(r.worker, r.worker.ID(), "db.migrate")
			if _, votes := o.Voter(r.d.ID()); votes {
				t.Fatal("a quarantined operator votes")
			}
			r.Cast(r.b, o, consensus.Approve)
			r.Cast(f, o, consensus.Approve)
			honest(t, r.World, r.Certificate(o.Proposal))
		}
	})
	t.Run("everybody changed keys since", func(t *testing.T) {
		r := standard(t)
		o := r.approved("process.exec")
		for _, s := range []identity.Signer{r.a, r.b, r.c, r.d, r.e, r.worker, r.reviewer, r.auditor} {
			r.Rotate(s)
		}
		honest(t, r.World, r.Certificate(o.Proposal))
	})
}

func TestReportNamesEveryStep(t *testing.T) {
	r := standard(t)
	_, report, err := verify(t, r.Certificate(r.approved("process.exec").Proposal), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	want := []string{"format", "realm and rosters", "policy", "head", "opening recorded", "proposal", "class", "rule",
		"electorate", "parties vouched for", "ballots", "verdict recorded"}
	var got []string
	for _, check := range report.Checks {
		got = append(got, check.Name)
	}
	if !slices.Equal(got, want) || report.Roster != 0 {
		t.Errorf("got %v", report)
	}
}

// row is one way to spoil an honest certificate, and the step that must refuse it.
type row struct {
	name  string
	spoil func(t *testing.T, r realm, c *consensus.Certificate)
	step  string
	code  fault.Code
}

func run(t *testing.T, kind string, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := standard(t)
			var o consensus.Opening
			if kind == "db.read" {
				o = r.Propose(r.worker, r.worker.ID(), kind)
			} else {
				o = r.approved(kind)
			}
			c := r.Certificate(o.Proposal)
			honest(t, r.World, c)
			row.spoil(t, r, &c)
			wantStep(t, c, proof.Trust{Realm: r.Realm}, row.step, row.code)
		})
	}
}

func TestWrongTrust(t *testing.T) {
	r := standard(t)
	c := r.Certificate(r.approved("process.exec").Proposal)
	honest(t, r.World, c)
	wantStep(t, c, proof.Trust{Realm: wire.Realm{1}}, "format", fault.WrongRealm)
	wantStep(t, c, proof.Trust{Realm: r.Realm, Roster: 1}, "realm and rosters", fault.Superseded)
	renamed := c
	renamed.Realm = wire.Realm{1}
	wantStep(t, renamed, proof.Trust{Realm: wire.Realm{1}}, "realm and rosters", fault.WrongRealm)
}

// spoilt returns raw with its last byte changed: in each signed form here it is of a signature.
func spoilt(raw []byte) []byte {
	raw = slices.Clone(raw)
	raw[len(raw)-1] ^= 1
	return raw
}

func TestPartsSpoilt(t *testing.T) {
	run(t, "process.exec", []row{
		{"version", func(t *testing.T, r realm, c *consensus.Certificate) { c.Version = 0 }, "format", fault.Version},
		{"genesis of another realm", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Genesis = ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1).Genesis
		}, "realm and rosters", fault.WrongRealm},
		{"genesis unsigned", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Genesis = spoilt(c.Genesis)
		}, "realm and rosters", fault.BadSignature},
		{"roster that nobody signed", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Rosters = [][]byte{{1}}
		}, "realm and rosters", fault.Malformed},
		{"policy swapped", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := r.Policy
			p.Loosen = 3
			c.Policy = p.Encode()
		}, "policy", fault.Denied},
		{"head by one of three nodes", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Head = r.Sign(r.Ledger.Head(), r.Nodes[0])
		}, "head", fault.NoQuorum},
		{"head by operators", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Head = r.Sign(r.Ledger.Head(), r.a, r.b, r.c)
		}, "head", fault.NoQuorum},
		{"head by a node and a stranger", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Head = r.Sign(r.Ledger.Head(), r.Nodes[0], r.Signer(identity.Node))
		}, "head", fault.NoQuorum},
		{"head of another size", func(t *testing.T, r realm, c *consensus.Certificate) {
			r.Leaf()
			c.Head, _ = r.Head()
		}, "opening recorded", fault.BadSignature},
		{"opening not an inclusion", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opened = encode(t, 1)
		}, "format", fault.Malformed},
		{"opening by the verdict's inclusion", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opened = c.Decided
		}, "opening recorded", fault.BadSignature},
		{"verdict by the opening's inclusion", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Decided = c.Opened
		}, "verdict recorded", fault.BadSignature},
		{"verdict not an inclusion", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Decided = encode(t, 1)
		}, "format", fault.Malformed},
		{"proposal of another action", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Proposal = r.SignAlone(r.Proposal(r.worker.ID(), r.worker.ID(), "process.exec"), r.worker.Key())
		}, "proposal", fault.Misaddressed},
		{"proposal signed by another", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Proposal = r.SignAlone(r.Proposal(r.worker.ID(), r.worker.ID(), "process.exec"), r.reviewer.Key())
		}, "proposal", fault.BadSignature},
		{"not a proposal", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Proposal = c.Ballots[0]
		}, "proposal", fault.WrongKind},
		{"no ballots", func(t *testing.T, r realm, c *consensus.Certificate) { c.Ballots = nil }, "ballots", fault.NoQuorum},
		{"ballots too few", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = c.Ballots[:1]
		}, "ballots", fault.NoQuorum},
		{"ballot forged", func(t *testing.T, r realm, c *consensus.Certificate) {
			b := r.Ballot(r.c.ID(), c.Opening, consensus.Approve)
			c.Ballots[1] = r.SignAlone(b, r.Nodes[0].Key())
		}, "ballots", fault.BadSignature},
		{"ballot by a superseded key", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots[1] = r.SignAlone(r.Ballot(r.b.ID(), c.Opening, consensus.Approve), r.oldB.Key())
		}, "ballots", fault.BadSignature},
		{"ballot of a stranger", func(t *testing.T, r realm, c *consensus.Certificate) {
			s := r.Signer(identity.Agent)
			c.Ballots = append(c.Ballots, r.SignAlone(r.Ballot(s.ID(), c.Opening, consensus.Approve), s.Key()))
		}, "ballots", fault.Denied},
		{"proposer's own ballot", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots[1] = r.SignAlone(r.Ballot(r.worker.ID(), c.Opening, consensus.Approve), r.worker.Key())
		}, "ballots", fault.Denied},
		{"ballot of the proposer's operator", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots[1] = r.SignAlone(r.Ballot(r.a.ID(), c.Opening, consensus.Approve), r.a.Key())
		}, "ballots", fault.Denied},
		{"ballot doubled", func(t *testing.T, r realm, c *consensus.Certificate) { c.Ballots[1] = c.Ballots[0] }, "ballots", fault.Spent},
		{"ballot on another decision", func(t *testing.T, r realm, c *consensus.Certificate) {
			o := r.Propose(r.worker, r.worker.ID(), "process.exec")
			c.Ballots[1] = r.SignAlone(r.Ballot(r.b.ID(), o, consensus.Approve), r.b.Key())
		}, "ballots", fault.Misaddressed},
		{"a ballot that rejects", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{
				r.SignAlone(r.Ballot(r.auditor.ID(), c.Opening, consensus.Approve), r.auditor.Key()),
				r.SignAlone(r.Ballot(r.b.ID(), c.Opening, consensus.Reject), r.b.Key()),
			}
		}, "ballots", fault.NoQuorum},
		{"verdict of another decision", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Verdict.Proposal = wire.Digest{1}
		}, "verdict recorded", fault.Misaddressed},
		{"verdict not an approval", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Verdict.State = consensus.Rejected
		}, "verdict recorded", fault.Misaddressed},
		{"until stretched", func(t *testing.T, r realm, c *consensus.Certificate) { c.Verdict.Until++ }, "verdict recorded", fault.Misaddressed},
		{"from put earlier", func(t *testing.T, r realm, c *consensus.Certificate) { c.Verdict.From-- }, "verdict recorded", fault.Misaddressed},
		{"verdict moved", func(t *testing.T, r realm, c *consensus.Certificate) {
			approvedAt(c, c.Verdict.At+1)
		}, "verdict recorded", fault.BadSignature},
		{"alone, and others voted", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Alone = true
		}, "opening recorded", fault.BadSignature},
	})
}

// Whatever is changed in an opening that was recorded otherwise fails at once.
func TestOpeningChanged(t *testing.T) {
	rows := []row{}
	for name, change := range map[string]func(o *consensus.Opening){
		"class lowered":       func(o *consensus.Opening) { o.Class = consensus.R1 },
		"rule weakened":       func(o *consensus.Opening) { o.Rule.Approvals = 1 },
		"voter added":         func(o *consensus.Opening) { o.Voters = append(o.Voters, o.Voters[0]) },
		"voter removed":       func(o *consensus.Opening) { o.Voters = o.Voters[1:] },
		"voter weight raised": func(o *consensus.Opening) { o.Voters[0].Weight++ },
		"voter's key changed": func(o *consensus.Opening) { o.Voters[0].Key[3] ^= 1 },
		"level raised":        func(o *consensus.Opening) { o.Level = 5 },
		"deadline stretched":  func(o *consensus.Opening) { o.Deadline++ },
	} {
		rows = append(rows, row{name, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Voters = slices.Clone(c.Opening.Voters)
			change(&c.Opening)
		}, "opening recorded", fault.BadSignature})
	}
	run(t, "process.exec", rows)
}

// A node that lies has its key, and a majority of such nodes signs whatever it records. Class, rule, electorate and
// voters are still not theirs to choose.
func TestLyingNodes(t *testing.T) {
	lie := func(name, step string, code fault.Code, change func(t *testing.T, r realm, c *consensus.Certificate)) row {
		return row{name, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Voters = slices.Clone(c.Opening.Voters)
			change(t, r, c)
			revote(r.World, c, r.auditor, r.b) // deceived, they sign even this
			rerecord(t, r.World, c)
		}, step, code}
	}
	voter := func(r realm, c *consensus.Certificate, id identity.ID) *consensus.Voter {
		i := slices.IndexFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.ID == id })
		return &c.Opening.Voters[i]
	}
	add := func(c *consensus.Certificate, v consensus.Voter) {
		c.Opening.Voters = append(c.Opening.Voters, v)
		slices.SortFunc(c.Opening.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	}
	run(t, "process.exec", []row{
		lie("another proposal", "proposal", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Proposal[0] ^= 1
		}),
		lie("another action", "proposal", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Action[0] ^= 1
		}),
		lie("another policy", "proposal", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Policy[0] ^= 1
		}),
		lie("proposer's key is a node's", "proposal", fault.BadSignature, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Key = r.Nodes[0].Public()
		}),
		lie("class lowered", "class", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Class, c.Opening.Rule = consensus.R1, r.Policy.Rule(consensus.R1)
		}),
		lie("rule weakened", "rule", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Rule.Approvals = 1
		}),
		lie("deadline stretched", "rule", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Deadline++
		}),
		lie("opened after the proposal's end", "rule", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Opened += 48 * 60 * ledgertest.Minute
			c.Opening.Deadline = r.Now + 24*60*ledgertest.Minute - 1000
			approvedAt(c, c.Opening.Opened)
		}),
		lie("opened before time began", "rule", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Opened = 0
			c.Opening.Deadline = c.Opening.Rule.Deadline
		}),
		lie("weight raised", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			voter(r, c, r.auditor.ID()).Weight = 100
		}),
		lie("a person's weight raised", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			voter(r, c, r.b.ID()).Weight = 100
		}),
		lie("a level above the ladder", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			voter(r, c, r.reviewer.ID()).Level = 256 + 3
		}),
		lie("a level without a vote", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			voter(r, c, r.reviewer.ID()).Level = 1
		}),
		lie("proposer votes", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			add(c, consensus.Voter{ID: r.worker.ID(), Key: r.worker.Public(), Operator: r.a.ID(), Level: 3, Weight: 1})
		}),
		lie("proposer's operator votes", "electorate", fault.Malformed, func(t *testing.T, r realm, c *consensus.Certificate) {
			add(c, consensus.Voter{ID: r.a.ID(), Key: r.a.Public(), Operator: r.a.ID(), Weight: 1, Calibration: 1000})
		}),
		lie("too few left to vote", "electorate", fault.NoQuorum, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Voters = slices.DeleteFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.Operator != r.b.ID() })
		}),
		lie("alone", "electorate", fault.Denied, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Alone, c.Opening.Voters = true, nil
		}),
		lie("verdict before the opening", "verdict recorded", fault.Expired, func(t *testing.T, r realm, c *consensus.Certificate) {
			approvedAt(c, c.Opening.Opened-1)
		}),
		lie("verdict at the deadline", "verdict recorded", fault.Expired, func(t *testing.T, r realm, c *consensus.Certificate) {
			approvedAt(c, c.Opening.Deadline)
		}),
		lie("until stretched", "verdict recorded", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Verdict.Until += 1000
		}),
		lie("verdict of another decision", "verdict recorded", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Verdict.Proposal[0] ^= 1
		}),
		lie("verdict not an approval", "verdict recorded", fault.Misaddressed, func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Verdict.State = consensus.Open
		}),
	})
	t.Run("the honest twin", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		revote(r.World, &c, r.auditor, r.b)
		rerecord(t, r.World, &c)
		honest(t, r.World, c)
	})
	t.Run("a refused command", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		l := &liars{World: r.World}
		leaf := audit.Leaf{Index: 1, Verdict: fault.Denied, Result: wire.Hash(encode(t, c.Opening))}
		wantErr(t, l.tree.Append(leaf.Hash()), "")
		c.Opened, c.Head = l.inclusion(t, leaf), l.head()
		wantStep(t, c, proof.Trust{Realm: r.Realm}, "opening recorded", fault.BadSignature)
	})
}

func TestLyingNodesAboutAlone(t *testing.T) {
	run(t, "db.read", []row{
		{"level that does not", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Level = 1
			rerecord(t, r.World, c)
		}, "electorate", fault.Denied},
		{"level above the ladder", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Level = 256 + 3 // as a byte, it would be L3
			rerecord(t, r.World, c)
		}, "electorate", fault.Denied},
		{"with voters", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Opening.Voters = []consensus.Voter{{ID: r.b.ID(), Key: r.b.Public(), Operator: r.b.ID(), Weight: 1, Calibration: 1000}}
			rerecord(t, r.World, c)
		}, "electorate", fault.Denied},
		{"a person's", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := r.Proposal(r.a.ID(), r.worker.ID(), "db.read")
			c.Proposal = r.SignAlone(p, r.a.Key())
			id, err := wire.IDOf(r.Realm, p)
			wantErr(t, err, "")
			c.Opening.Proposal, c.Opening.Action, c.Opening.Key = id, p.Action.Digest(), r.a.Public()
			c.Opening.Deadline = c.Opening.Opened + c.Opening.Rule.Deadline
			c.Verdict.Proposal = id
			rerecord(t, r.World, c)
		}, "electorate", fault.Denied},
		{"with ballots", func(t *testing.T, r realm, c *consensus.Certificate) {
			c.Ballots = [][]byte{r.SignAlone(r.Ballot(r.b.ID(), c.Opening, consensus.Approve), r.b.Key())}
		}, "ballots", fault.Misaddressed},
		{"verdict at another time", func(t *testing.T, r realm, c *consensus.Certificate) {
			approvedAt(c, c.Verdict.At+1)
		}, "verdict recorded", fault.Misaddressed},
		{"recorded elsewhere", func(t *testing.T, r realm, c *consensus.Certificate) {
			l := &liars{World: r.World}
			opened, other := l.record(t, c.Opening), l.record(t, c.Verdict)
			c.Opened, c.Decided, c.Head = l.inclusion(t, opened), l.inclusion(t, other), l.head()
		}, "verdict recorded", fault.BadSignature},
	})
}

// Who will act does not vote on it, where it is an agent.
func TestExecutorDoesNotVote(t *testing.T) {
	r := standard(t)
	o := r.Propose(r.worker, r.reviewer.ID(), "process.exec")
	r.Cast(r.auditor, o, consensus.Approve)
	r.Cast(r.b, o, consensus.Approve)
	c := r.Certificate(o.Proposal)
	honest(t, r.World, c)
	c.Opening.Voters = append(slices.Clone(c.Opening.Voters),
		consensus.Voter{ID: r.reviewer.ID(), Key: r.reviewer.Public(), Operator: r.b.ID(), Level: 3, Weight: 1})
	slices.SortFunc(c.Opening.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
	revote(r.World, &c, r.auditor, r.b)
	rerecord(t, r.World, &c)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "electorate", fault.Denied)
}

// R0 and R1 have one rule, and an apprentice decides only the first alone.
func TestClassLoweredUnderTheSameRule(t *testing.T) {
	r := standard(t)
	if r.Policy.Rule(consensus.R0) != r.Policy.Rule(consensus.R1) {
		t.Fatal("the preset has changed: this test needs two classes with one rule")
	}
	apprentice := r.Agent(r.c, "apprentice", identity.Apprentice)
	honest(t, r.World, r.Certificate(r.Propose(apprentice, apprentice.ID(), "db.read").Proposal))
	o := r.Propose(apprentice, apprentice.ID(), "file.write")
	r.Cast(r.b, o, consensus.Approve)
	c := r.Certificate(o.Proposal)
	honest(t, r.World, c)
	c.Opening.Class, c.Opening.Alone, c.Opening.Voters, c.Ballots = consensus.R0, true, nil, nil
	approvedAt(&c, o.Opened)
	rerecord(t, r.World, &c)
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "class", fault.Denied)
}

// A denied kind has no certificate, whoever approves.
func TestDeniedKind(t *testing.T) {
	p := ledgertest.Preset(t, policy.Standard)
	p.Kinds = append(p.Kinds, policy.Kind{Pattern: "weapon.*", Class: consensus.R3, Deny: true})
	w := ledgertest.New(t, p, 3, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "db.migrate")
	w.Cast(w.Roots[1], o, consensus.Approve)
	w.Cast(w.Roots[2], o, consensus.Approve)
	c := w.Certificate(o.Proposal)
	honest(t, w, c)
	bad := w.Proposal(worker.ID(), worker.ID(), "weapon.fire")
	id, err := wire.IDOf(w.Realm, bad)
	wantErr(t, err, "")
	c.Proposal, c.Opening.Proposal, c.Opening.Action = w.SignAlone(bad, worker.Key()), id, bad.Action.Digest()
	c.Verdict.Proposal = id
	revote(w, &c, w.Roots[1], w.Roots[2])
	rerecord(t, w, &c)
	wantStep(t, c, proof.Trust{Realm: w.Realm}, "class", fault.Denied)
}

// One person governs only where the genesis says so.
func TestSoloPolicyNeedsASoloRealm(t *testing.T) {
	w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	c := w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal)
	honest(t, w, c)
	raw, err := wire.Cosign(wire.Realm{}, identity.Genesis{
		Version: 1, Created: 1, Roots: []identity.ID{w.Roots[0].ID()}, Threshold: 1, Nodes: []identity.ID{w.Nodes[0].ID()},
		Policy: w.Policy.Digest(), Nonce: [16]byte{1},
	}, w.Roots[0].Key())
	wantErr(t, err, "")
	c.Genesis = raw
	c.Realm, err = identity.RealmOf(raw)
	wantErr(t, err, "")
	wantStep(t, c, proof.Trust{Realm: c.Realm}, "policy", fault.Denied)
}

// A policy that the genesis names and no build accepts makes no certificates.
func TestPolicyIsChecked(t *testing.T) {
	r := standard(t)
	c := r.Certificate(r.approved("process.exec").Proposal)
	p := r.Policy
	p.Classes = slices.Clone(p.Classes)
	p.Classes[2].Approvals = 0
	c.Policy = p.Encode()
	raw, err := wire.Cosign(wire.Realm{}, identity.Genesis{
		Version: 1, Created: 1, Roots: []identity.ID{r.c.ID()}, Threshold: 1, Nodes: []identity.ID{r.Nodes[0].ID()},
		Policy: wire.Hash(c.Policy), Nonce: [16]byte{1},
	}, r.c.Key())
	wantErr(t, err, "")
	c.Genesis = raw
	c.Realm, err = identity.RealmOf(raw)
	wantErr(t, err, "")
	wantStep(t, c, proof.Trust{Realm: c.Realm}, "policy", fault.InvalidInput)
}

// FuzzVerifyCertificate holds: no bytes panic, what passes is an encoding of the certificate that was approved, who
// remembers answers the same, and an explanation says of each signature what crypto/ed25519 says.
func FuzzVerifyCertificate(f *testing.F) {
	r := standard(f)
	raw := encode(f, r.Certificate(r.approved("process.exec").Proposal))
	o := r.Propose(r.worker, r.worker.ID(), "db.read")
	f.Add(raw)
	f.Add(encode(f, r.Certificate(o.Proposal)))
	for i := 0; i < len(raw); i += 97 {
		f.Add(append(bytes.Clone(raw[:i]), spoilt(raw[i:])...))
	}
	want := []wire.Digest{o.Proposal}
	for _, d := range r.Ledger.Decisions() {
		want = append(want, d.ID)
	}
	remembers := proof.NewVerifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, report, err := proof.VerifyCertificate(raw, proof.Trust{Realm: r.Realm})
		_, again, errAgain := remembers.Verify(raw, proof.Trust{Realm: r.Realm})
		if fault.CodeOf(err) != fault.CodeOf(errAgain) || !slices.Equal(again.Checks, report.Checks) {
			t.Fatalf("%v, %+v; who remembers: %v, %+v", err, report, errAgain, again)
		}
		x := proof.Explain(raw, proof.Trust{Realm: r.Realm})
		if x.Valid != report.Valid || x.Code != report.Code || len(x.Checks) != len(report.Checks) {
			t.Fatalf("%+v, explained as %+v", report, x)
		}
		for _, s := range x.Signatures {
			if s.Holds && !verified(t, s) || report.Valid && !s.Holds {
				t.Fatalf("%s: holds %t", s.Part, s.Holds)
			}
		}
		if (err == nil) != report.Valid || (v != nil) != report.Valid || len(report.Checks) == 0 {
			t.Fatalf("%v, %+v", err, report)
		}
		if v != nil && !slices.Contains(want, v.Proposal().ID()) {
			t.Fatalf("a decision nobody made: %+v", v.Proposal().Statement())
		}
	})
}
