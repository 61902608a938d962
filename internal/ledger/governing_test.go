package ledger_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// other is the policy in force with one more topic plain.
func (c court) other() policy.Policy {
	p := c.Ledger.Policy()
	p.Plain = append(slices.Clone(p.Plain), fmt.Sprintf("topic.%02d", len(p.Plain)))
	return p
}

// with is the policy in force with changes.
func (c court) with(changes ...func(*policy.Policy)) policy.Policy {
	p := c.Ledger.Policy()
	p.Levels, p.Classes, p.Kinds = slices.Clone(p.Levels), slices.Clone(p.Classes), slices.Clone(p.Kinds)
	for _, change := range changes {
		change(&p)
	}
	return p
}

func loosenBy(n uint64) func(*policy.Policy) { return func(p *policy.Policy) { p.Loosen = n } }

func TestPutPolicy(t *testing.T) {
	put := func(change func(*policy.Policy)) func(c court) registry.Answer {
		return func(c court) registry.Answer { return c.PutPolicy(c.with(change), c.a, c.b) }
	}
	topic := func(p *policy.Policy) { p.Plain = []string{"news"} }
	runCourt(t, []courtStep{
		{"by two operators", put(topic), ""},
		{"by one", func(c court) registry.Answer { return c.PutPolicy(c.other(), c.a) }, fault.NoQuorum},
		{"by one and an agent", func(c court) registry.Answer { return c.PutPolicy(c.other(), c.a, c.worker) }, fault.NoQuorum},
		{"by one and one that is quarantined", func(c court) registry.Answer {
			c.Must(c.a, registry.TypeStatus, quarantine(c.b.ID()))
			return c.PutPolicy(c.other(), c.a, c.b)
		}, fault.NoQuorum},
		{"by one, twice", func(c court) registry.Answer { return c.PutPolicy(c.other(), c.a, c.a) }, fault.NoQuorum},
		{"by one under a key that it gave up", func(c court) registry.Answer {
			old := c.b
			c.Rotate(c.b)
			return c.PutPolicy(c.other(), c.a, old)
		}, fault.NoQuorum},
		{"by two operators who are no roots", func(c court) registry.Answer {
			return c.PutPolicy(c.other(), c.Operator("late", c.a, c.b), c.Operator("later", c.a, c.b))
		}, ""},
		{"by an agent, with all operators", func(c court) registry.Answer {
			return c.PutPolicy(c.other(), c.worker, c.a, c.b, c.c, c.d())
		}, fault.Denied},
		{"by a node", func(c court) registry.Answer { return c.PutPolicy(c.other(), c.World.Nodes[0], c.a, c.b) }, fault.Denied},
		{"as few as the new one wants, fewer than the old", func(c court) registry.Answer {
			wantCode(t, c.PutPolicy(c.with(loosenBy(3)), c.a, c.b), "")
			return c.PutPolicy(c.with(loosenBy(2)), c.a, c.b)
		}, fault.NoQuorum},
		{"as many as the old one wants", func(c court) registry.Answer {
			wantCode(t, c.PutPolicy(c.with(loosenBy(3)), c.a, c.b), "")
			return c.PutPolicy(c.with(loosenBy(2)), c.a, c.b, c.c)
		}, ""},
		{"the one in force", put(func(*policy.Policy) {}), fault.Conflict},
		{"one that Check refuses", put(func(p *policy.Policy) { p.Classes[3].People = 0 }), fault.InvalidInput},
		{"one that the roots could never use", put(loosenBy(5)), fault.InvalidInput},
		{"one that wants more than are active", func(c court) registry.Answer {
			c.Must(c.a, registry.TypeStatus, quarantine(c.d().ID()))
			wantCode(t, c.PutPolicy(c.with(loosenBy(4)), c.a, c.b), fault.InvalidInput)
			return c.PutPolicy(c.with(loosenBy(3)), c.a, c.b)
		}, ""},
		{"solo, of several", func(c court) registry.Answer {
			return c.PutPolicy(ledgertest.Preset(t, policy.Solo), c.a, c.b, c.c, c.d())
		}, fault.Denied},
		{"no policy", func(c court) registry.Answer {
			return c.Do(c.a, registry.TypePolicy, registry.PutPolicy{Policy: []byte{1}}, c.b)
		}, fault.Malformed},
		{"in another encoding", func(c court) registry.Answer {
			raw := append([]byte{0xb8, 9}, c.other().Encode()[1:]...)
			return c.Do(c.a, registry.TypePolicy, registry.PutPolicy{Policy: raw}, c.b)
		}, fault.Malformed},
		{"with an expectation", func(c court) registry.Answer {
			command := c.Command(c.a.ID(), registry.TypePolicy, registry.PutPolicy{Policy: c.other().Encode()})
			command.Expect = 1
			return c.Apply(c.Sign(command, c.a, c.b))
		}, fault.Malformed},
		{"another body", func(c court) registry.Answer { return c.Do(c.a, registry.TypePolicy, registry.Tick{}, c.b) },
			fault.Malformed},
	})
}

// What is refused leaves the policy, what is open and the chain as they were.
func TestRefusedPolicyChangesNothing(t *testing.T) {
	c := newCourt(t)
	o := c.Propose(c.worker, c.worker.ID(), "process.exec")
	for _, answer := range []registry.Answer{
		c.PutPolicy(c.other(), c.a), c.PutPolicy(c.with(loosenBy(5)), c.a, c.b), c.PutPolicy(c.Ledger.Policy(), c.a, c.b),
	} {
		if answer.Code == "" {
			t.Fatal("accepted")
		}
		if c.Ledger.Policy().Digest() != c.Policy.Digest() || len(c.Ledger.Policies()) != 0 ||
			find(t, c.World, o).Verdict.State != consensus.Open {
			t.Error("something changed")
		}
	}
	wantCode(t, c.PutPolicy(c.other(), c.a, c.b), "")
}

// A new policy ends what is open and leaves what was decided; the next decision is by the new one.
func TestNewPolicy(t *testing.T) {
	c := newCourt(t)
	open, approved := c.Propose(c.worker, c.worker.ID(), "process.exec"), c.decided()
	alone := c.Propose(c.worker, c.worker.ID(), "db.read")
	next := c.with(func(p *policy.Policy) {
		p.Classes[0].People, p.Classes[1].People, p.Classes[2].People = 1, 1, 1
		p.Levels[3].Alone = 0
	})
	answer := c.PutPolicy(next, c.a, c.b)
	governed := result[registry.Governed](t, answer)
	want := registry.Governed{Policy: next.Digest(), Before: c.Policy.Digest(), Number: 1}
	if governed != want {
		t.Errorf("got %+v, want %+v", governed, want)
	}
	for range 2 {
		d := find(t, c.World, open)
		if d.Verdict != (consensus.Verdict{Proposal: open.Proposal, State: consensus.Superseded, At: c.Now}) ||
			d.Decided.Index != answer.Index || d.Decided.Result != wire.Hash(answer.Result) {
			t.Errorf("got %+v", d)
		}
		if c.Ledger.NextDeadline() != 0 || c.Ledger.Policy().Digest() != next.Digest() ||
			c.Ledger.Founded().Digest() != c.Policy.Digest() || len(c.Ledger.Policies()) != 1 {
			t.Error("the policy in force is not the new one, or something is open")
		}
		c.Ledger = restored(t, c.World, c.Ledger)
	}
	wantCode(t, c.Cast(c.b, open, consensus.Approve), fault.Spent)
	wantCode(t, c.Consume(c.worker, approved), "")
	wantCode(t, c.Consume(c.worker, alone), "")
	o := c.Propose(c.worker, c.worker.ID(), "db.read")
	if o.Alone || o.Policy != next.Digest() || o.Rule != next.Rule(consensus.R0) {
		t.Errorf("got %+v", o)
	}
	ticket, err := c.Ledger.Ticket(c.worker.ID(), c.Now)
	if wantErr(t, err, ""); ticket.Policy != next.Digest() {
		t.Errorf("ticket under %s", ticket.Policy)
	}
	agree(t, c.World, 3)
}

// Everything that asks the policy asks the one in force: who proposes, at what level one operator admits, how many sign.
func TestRightsFollowThePolicy(t *testing.T) {
	c := newCourt(t)
	wantCode(t, c.Hand(c.worker, c.Proposal(c.worker.ID(), c.worker.ID(), "process.exec")), "")
	wantCode(t, c.PutPolicy(c.with(func(p *policy.Policy) {
		p.Levels[3].Rights.Propose, p.Levels[3].Alone = false, 0
		p.Enrol, p.Loosen = identity.Apprentice, 3
	}), c.a, c.b), "")
	c.Ledger = restored(t, c.World, c.Ledger)
	wantCode(t, c.Hand(c.worker, c.Proposal(c.worker.ID(), c.worker.ID(), "process.exec")), fault.Denied)
	token, once := c.Invite(c.a, c.Token(c.a.ID(), "fresh", identity.Apprentice))
	fresh := c.Signer(identity.Agent)
	wantCode(t, c.Do(fresh, registry.TypeEnrol, registry.Enrol{Enrolment: c.Enrolment(fresh, token, once)}), "")
	c.Must(c.a, registry.TypeStatus, quarantine(fresh.ID()))
	wantCode(t, c.Do(c.a, registry.TypeStatus, release(fresh.ID()), c.b), fault.NoQuorum)
	wantCode(t, c.Do(c.a, registry.TypeStatus, release(fresh.ID()), c.b, c.c), "")
}

// Who keeps something in step with the ledger hears of a new policy, and of nothing where it was refused.
func TestPolicyChangeIsTold(t *testing.T) {
	c := newCourt(t)
	o := c.Propose(c.worker, c.worker.ID(), "process.exec")
	var heard []ledger.Change
	l, err := ledger.New(c.Realm, c.Genesis, c.Policy, func(change ledger.Change) { heard = append(heard, change) })
	wantErr(t, err, "")
	for i, entry := range c.Entries {
		l.Apply(uint64(i), entry)
	}
	c.Ledger, heard = l, nil
	wantCode(t, c.PutPolicy(c.other(), c.a), fault.NoQuorum)
	wantCode(t, c.PutPolicy(c.other(), c.a, c.b), "")
	if len(heard) != 2 || heard[0].Policy || heard[0].All || !heard[1].Policy || !heard[1].All ||
		!slices.Equal(heard[1].Decisions, []wire.Digest{o.Proposal}) {
		t.Errorf("got %+v", heard)
	}
}

// Certificates carry the policies up to the opening, and what shows those who signed them to be operators.
func TestCertificatesCarryPolicies(t *testing.T) {
	c := newCourt(t)
	first := c.decided()
	late := c.Operator("late", c.a, c.b)
	second := c.other()
	wantCode(t, c.PutPolicy(second, c.a, late), "")
	under := c.decided()
	wantCode(t, c.PutPolicy(c.Policy, c.a, c.b), "") // back again
	third := c.decided()
	late = c.Rotate(late)
	c.Ledger = restored(t, c.World, c.Ledger)
	commands := c.Ledger.Policies()
	for _, row := range []struct {
		name   string
		o      consensus.Opening
		policy policy.Policy
		chain  [][]byte
	}{
		{"under the genesis's", first, c.Policy, nil},
		{"under the second", under, second, commands[:1]},
		{"under the third", third, c.Policy, commands[:2]},
	} {
		cert := c.Certificate(row.o.Proposal)
		if !bytes.Equal(cert.Policy, row.policy.Encode()) || !slices.EqualFunc(cert.Policies, row.chain, bytes.Equal) {
			t.Errorf("%s: %d policies", row.name, len(cert.Policies))
		}
		if (len(row.chain) > 0) != bytes.Equal(cert.Before, c.Policy.Encode()) {
			t.Errorf("%s: before is %d bytes", row.name, len(cert.Before))
		}
		m, err := c.Ledger.Member(late.ID())
		wantErr(t, err, "")
		vouched := slices.ContainsFunc(cert.Operators, func(raw []byte) bool { return bytes.Equal(raw, m.Origin) })
		if len(row.chain) > 0 && !vouched {
			t.Errorf("%s: nothing shows who signed", row.name)
		}
	}
	operators, keys := c.Ledger.PolicyVouchers()
	if len(operators) != 1 || len(keys) != 1 {
		t.Errorf("%d operators and %d keys vouch", len(operators), len(keys))
	}
	agree(t, c.World, 5)
}

// A solo realm stays one, and its one person governs it.
func TestSoloPolicy(t *testing.T) {
	s := solo(t)
	p := s.Policy
	p.Plain = []string{"news"}
	wantCode(t, s.PutPolicy(p, s.root), "")
	wantCode(t, s.PutPolicy(ledgertest.Preset(t, policy.Standard), s.root, s.Operator("second", s.root)), fault.Denied)
	if s.Ledger.Policy().Digest() != p.Digest() {
		t.Error("a solo realm became another")
	}
}

// A policy that would be too much for certificates to carry is refused.
func TestPoliciesAreBounded(t *testing.T) {
	c := newCourt(t)
	large := func(n int) policy.Policy {
		return c.with(func(p *policy.Policy) {
			p.Plain = []string{fmt.Sprintf("topic.%02d", n)}
			for i := 1; i < len(p.Levels); i++ {
				p.Levels[i].Rights.Publish = nil
				for k := range 60 {
					p.Levels[i].Rights.Publish = append(p.Levels[i].Rights.Publish, fmt.Sprintf("%s.%02d", strings.Repeat("x", 120), k))
				}
			}
		})
	}
	accepted, total := 0, 0
	for n := range 20 {
		answer := c.PutPolicy(large(n), c.a, c.b)
		if answer.Code == fault.TooLarge {
			break
		}
		wantCode(t, answer, "")
		accepted++
		total += len(large(n).Encode())
	}
	if accepted < 5 || accepted == 20 || total > 512<<10 {
		t.Errorf("%d policies of %d bytes accepted", accepted, total)
	}
	c.Ledger = restored(t, c.World, c.Ledger)
	if len(c.Certificate(c.decided().Proposal).Policies) != accepted {
		t.Error("the certificate lacks some")
	}
	if raw, err := c.Certificate(c.decided().Proposal).Encode(); err != nil || len(raw) > consensus.MaxCertificate {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// The policy that a snapshot puts in force is one that somebody put there, in that order.
func TestForgedPoliciesAreRefused(t *testing.T) {
	type decree struct {
		Command []byte `cbor:"1,keyasint"`
		Index   uint64 `cbor:"2,keyasint"`
	}
	c := newCourt(t)
	second := c.other()
	wantCode(t, c.PutPolicy(second, c.a, c.b), "")
	wantCode(t, c.PutPolicy(c.Policy, c.a, c.b), "")
	snapshot := snapshotOf(t, c.Ledger)
	first := func(r [][]byte) int { return slices.IndexFunc(r, func(r []byte) bool { return r[0] == 'p' }) }
	change := func(f func(*decree)) func([][]byte) [][]byte {
		return func(r [][]byte) [][]byte { i := first(r); r[i] = rewritten(t, r[i], f); return r }
	}
	for _, row := range []struct {
		name   string
		change func(r [][]byte) [][]byte
		want   fault.Code
	}{
		{"honest", func(r [][]byte) [][]byte { return r }, ""},
		{"rewritten as it was", change(func(*decree) {}), ""},
		{"twice", func(r [][]byte) [][]byte { i := first(r); return slices.Insert(r, i, r[i]) }, fault.Malformed},
		{"in the wrong order", func(r [][]byte) [][]byte { i := first(r); r[i], r[i+1] = r[i+1], r[i]; return r }, fault.Malformed},
		{"as if it came later than all", change(func(d *decree) { d.Index = 1 << 40 }), fault.Malformed},
		{"no command", change(func(d *decree) { d.Command = []byte{1} }), fault.Malformed},
		{"another command", change(func(d *decree) {
			d.Command = c.Sign(c.Command(c.a.ID(), registry.TypeStatus, quarantine(c.b.ID())), c.a)
		}), fault.Malformed},
		{"a spoilt record", func(r [][]byte) [][]byte { r[first(r)][5] ^= 1; return r }, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, err := ledger.New(c.Realm, c.Genesis, c.Policy, nil)
			wantErr(t, err, "")
			wantErr(t, l.Restore(resealed(snapshot, row.change)), row.want)
		})
	}
}
