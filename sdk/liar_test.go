package sdk_test

import (
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// forger is the realm's only node, which leads and lies: whatever it records, it signs a head over. It has nobody else's key.
type forger struct {
	t     *testing.T
	realm *sdktest.Realm
}

func (f forger) must(err error) {
	if err != nil {
		f.t.Error(err)
	}
}

// record makes a log of a size in which the leaves stand at the end, and proves each.
func (f forger) record(size uint64, leaves ...audit.Leaf) (head []byte, proofs []audit.Inclusion) {
	var tree merkle.Tree
	first := size - uint64(len(leaves))
	for n := range size {
		leaf := audit.Leaf{Index: n + 1}
		if n >= first {
			leaves[n-first].Index = n + 1
			leaf = leaves[n-first]
		}
		f.must(tree.Append(leaf.Hash()))
	}
	for _, leaf := range leaves {
		path, err := tree.Inclusion(leaf.Index-1, size)
		f.must(err)
		proofs = append(proofs, audit.Inclusion{Leaf: leaf, Path: path})
	}
	head, err := f.realm.NodeSigner().Cosign(f.realm.ID(), audit.Head{
		Version: 1, Size: size, Root: wire.Digest(tree.Root()), Time: time.Now().UnixMilli(), State: wire.Digest{1},
	})
	f.must(err)
	return head, proofs
}

func (f forger) leaf(command wire.Digest, result any) audit.Leaf {
	b, err := wire.Encode(result)
	f.must(err)
	return audit.Leaf{Command: command, Result: wire.Hash(b)}
}

// certify makes a certificate of what it says happened, with the parts of an honest one that vouch for people.
func (f forger) certify(honest consensus.Certificate, v control.DecisionView, o consensus.Opening, ballots [][]byte) []byte {
	claimed, err := wire.Parse[consensus.Proposal](v.Proposal, wire.MaxStatement)
	f.must(err)
	c := honest
	c.Proposal, c.Opening, c.Ballots = v.Proposal, o, ballots
	at := o.Opened
	c.Verdict = consensus.NewVerdict(claimed.Claim, o, consensus.Approved, at)
	decided := any(c.Verdict)
	if o.Alone {
		decided = o
	}
	head, proofs := f.record(1000, f.leaf(wire.Digest{1}, o), f.leaf(wire.Digest{2}, decided))
	c.Head = head
	c.Opened, err = wire.Encode(proofs[0])
	f.must(err)
	c.Decided, err = wire.Encode(proofs[1])
	if o.Alone {
		c.Decided = c.Opened
	}
	f.must(err)
	raw, err := c.Encode()
	f.must(err)
	return raw
}

// captured returns what the node shows of a decision.
func captured(t *testing.T, realm *sdktest.Realm, by *sdk.Agent, d *sdk.Decision) (shown control.DecisionView) {
	t.Helper()
	rewrite(realm, func(v *control.DecisionView) bool {
		if v.ID == d.ID() {
			shown = *v
		}
		return false
	})
	view(t, by, d)
	realm.Intercept(nil)
	return shown
}

// openly returns the preset standard with R2 decided by two open ballots.
func openly(t *testing.T) policy.Policy {
	t.Helper()
	p, err := policy.Preset(policy.Standard)
	if err != nil {
		t.Fatal(err)
	}
	p.Classes = slices.Clone(p.Classes)
	p.Classes[2].Commit, p.Classes[2].Confidence = 0, 0
	return p
}

func TestTheGuardBelievesNoLyingLeader(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		p, f := seated(t, realm), forger{t, realm}
		approved, rejected := propose(t, p.alice, exec), propose(t, p.alice, exec)
		for _, r := range p.reviewers {
			vote(t, r, approved, ballot.Approve(""))
		}
		vote(t, p.reviewers[0], rejected, ballot.Approve(""))
		vote(t, realm.Operator(t, 1), rejected, ballot.Reject("no"))
		honest, err := consensus.ParseCertificate(wait(t, approved).Raw())
		if err != nil {
			t.Fatal(err)
		}
		yes, no := captured(t, realm, p.alice, approved), captured(t, realm, p.alice, rejected)

		invented := make([]identity.Signer, 2)
		forged := no.Opening
		for i := range invented {
			s, _, err := identity.GenerateSigner(identity.Operator)
			if err != nil {
				t.Fatal(err)
			}
			invented[i] = s
			forged.Voters = append(slices.Clone(forged.Voters), consensus.Voter{
				ID: s.ID(), Key: s.Public(), Operator: s.ID(), Weight: 1, Calibration: 1000,
			})
		}
		slices.SortFunc(forged.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
		var stuffed [][]byte
		for _, s := range invented {
			raw, err := s.Sign(realm.ID(), consensus.Ballot{
				Version: 1, Proposal: no.ID, Action: forged.Action, Opening: forged.Digest(), Voter: s.ID(), Vote: consensus.Approve,
				Confidence: 1000, Issued: time.Now().UnixMilli(), Sequence: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			stuffed = append(stuffed, raw)
		}
		lowered, alone := no.Opening, no.Opening
		lowered.Class, lowered.Rule = consensus.R1, realm.Policy().Rule(consensus.R1)
		alone.Class, alone.Rule, alone.Alone, alone.Voters = consensus.R1, lowered.Rule, true, nil
		easier := no.Opening
		easier.Rule.Approvals, easier.Rule.Operators = 1, 0

		for _, c := range []struct {
			name    string
			of      control.DecisionView
			opening consensus.Opening
			ballots [][]byte
			want    code.Code
		}{
			{"what happened", yes, yes.Opening, yes.Ballots, ""},
			{"drops the rejection", no, no.Opening, no.Ballots[:1], "no_quorum"},
			{"counts an approval twice", no, no.Opening, [][]byte{no.Ballots[0], no.Ballots[0]}, code.Spent},
			{"keeps the rejection", no, no.Opening, no.Ballots, "no_quorum"},
			{"counts another decision's ballots", no, no.Opening, yes.Ballots, "misaddressed"},
			{"lowers the class", no, lowered, no.Ballots[:1], code.Denied},
			{"says that the level decides", no, alone, nil, code.Denied},
			{"makes the rule easier", no, easier, no.Ballots[:1], code.Denied},
			{"makes voters up", no, forged, stuffed, code.Unknown},
		} {
			raw := f.certify(honest, c.of, c.opening, c.ballots)
			realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
				var reply control.Reply
				var answer control.Certificate
				if p.From == realm.Node() && wire.Decode(p.Data, &reply) == nil && (reply.Code == code.Rejected ||
					wire.Decode(reply.Body, &answer) == nil && len(answer.Certificate) > 0) {
					body, err := wire.Encode(control.Certificate{Certificate: raw})
					f.must(err)
					p.Data, err = wire.Encode(control.Reply{Body: body})
					f.must(err)
				}
				return []sdktest.Packet{p}
			})
			d := approved
			if c.of.ID == rejected.ID() {
				d = rejected
			}
			if _, err := d.Wait(t.Context()); sdk.CodeOf(err) != c.want {
				t.Errorf("a leader that %s: %v has code %q, want %q", c.name, err, sdk.CodeOf(err), c.want)
			}
			if c.want != "" {
				var r runs
				if err := p.alice.Execute(t.Context(), d, exec, r.act); err == nil {
					t.Errorf("a leader that %s: executed", c.name)
				}
				r.want(t, 0)
			}
			realm.Intercept(nil)
		}
	}, sdktest.WithPolicy(openly(t), 3))
}

// A leader that answers "consumed" to one use after the other, with proofs of its own making, does not make more of a permit
// than its uses, nor of one decision more than one act.
func TestALeaderThatForgetsWhatWasConsumed(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, f := realm.Agent(t, "alice"), forger{t, realm}
		permit, once := permitted(t, realm, alice, 5), propose(t, alice, write)
		u := sdk.Use{Action: deploy("staging-1", "v1.0")}
		forget := func(number uint64) {
			rewrite(realm, func(s *control.Submitted) bool {
				if s.Receipt == nil {
					return false
				}
				c, err := registry.Result[consensus.Consumption](s.Answer)
				if err != nil {
					return false
				}
				c.Use = number
				s.Answer.Result, err = wire.Encode(c)
				f.must(err)
				head, proofs := f.record(1000, f.leaf(s.Answer.Command, c))
				s.Receipt = &audit.Receipt{Inclusion: proofs[0], Head: head}
				return true
			})
		}
		var r runs
		forget(1)
		if err := alice.ExecuteUse(t.Context(), permit, u, r.act); err != nil {
			t.Fatalf("an honest count, proved anew: %v", err)
		}
		r.want(t, 1)
		wantCode(t, alice.ExecuteUse(t.Context(), permit, u, r.act), code.Spent)
		forget(6)
		wantCode(t, alice.ExecuteUse(t.Context(), permit, u, r.act), "misaddressed")
		forget(2)
		if err := alice.ExecuteUse(t.Context(), permit, u, r.act); err != nil {
			t.Fatal(err)
		}
		r.want(t, 2)
		forget(1)
		if err := alice.Execute(t.Context(), once, write, r.act); err != nil {
			t.Fatal(err)
		}
		wantErr(t, alice.Execute(t.Context(), once, write, r.act), sdk.ErrSpent)
		r.want(t, 3)
	})
}
