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

const hour = 60 * minute

// courtPolicy is the standard preset with open ballots and no confidence asked for, R2 by two operators, a kind that is
// classed by its sum, and an emergency rule.
func courtPolicy(t testing.TB) policy.Policy {
	t.Helper()
	p := ledgertest.Preset(t, policy.Standard)
	for i := range p.Classes {
		p.Classes[i].Commit, p.Classes[i].Confidence = 0, 0
	}
	p.Kinds = append(p.Kinds,
		policy.Kind{Pattern: "batch.*", Class: consensus.R1, Window: hour, Steps: []policy.Step{{Above: 10, Class: consensus.R2}}},
		policy.Kind{Pattern: "weapon.*", Class: consensus.R3, Deny: true})
	slices.SortFunc(p.Kinds, func(a, b policy.Kind) int { return strings.Compare(a.Pattern, b.Pattern) })
	p.Emergency = &policy.Emergency{
		Kinds: []string{"service.stop"}, People: 2, Deadline: 15 * minute, Window: 15 * minute, Review: 72 * hour,
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// court is a realm of four people, three of them with an agent, under courtPolicy.
type court struct{ standardRealm }

func newCourt(t testing.TB) court {
	t.Helper()
	w := ledgertest.New(t, courtPolicy(t), 4, 1)
	s := standardRealm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	s.worker = w.Agent(s.a, "worker", identity.Journeyer)
	s.reviewer = w.Agent(s.b, "reviewer", identity.Journeyer)
	s.auditor = w.Agent(s.c, "auditor", identity.Journeyer)
	return court{s}
}

// d is the person who has no agent and votes only where a test says so.
func (c court) d() identity.Signer { return c.Roots[3] }

// approve has two people of two operators approve what the worker proposes, and returns its opening.
func (c court) approve(o consensus.Opening) consensus.Opening {
	c.Cast(c.b, o, consensus.Approve)
	c.Cast(c.c, o, consensus.Approve)
	return o
}

// decided is the worker's own action of class R2, approved.
func (c court) decided(change ...func(*consensus.Proposal)) consensus.Opening {
	return c.approve(c.Propose(c.worker, c.worker.ID(), "process.exec", change...))
}

// permit asks for so many runs of a command in directories below /src on hosts of one group, for an hour.
func permit(uses uint64) func(*consensus.Proposal) {
	return func(p *consensus.Proposal) {
		p.Action = run("host/1", "/src/a", 5)
		p.Action.Params = p.Action.Params[:1] // the directory is open
		p.Permit = &consensus.Permit{
			Uses: uses, Until: p.Issued + hour, Open: []consensus.Param{{Name: "dir", Values: []string{"/src/*"}}},
			Targets: []string{"host/*"},
		}
	}
}

func run(target, dir string, amount uint64) consensus.Action {
	a := consensus.NewAction("process.exec", target, map[string][]string{"argv": {"make", "test"}, "dir": {dir}})
	a.Amount = amount
	return a
}

// find returns what the ledger knows of a decision.
func find(t testing.TB, w *ledgertest.World, o consensus.Opening) ledger.Decision {
	t.Helper()
	d, err := w.Ledger.Decision(o.Proposal)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// agree replays all entries on another ledger that is restored from its own snapshot now and then.
func agree(t testing.TB, w *ledgertest.World, every int) {
	t.Helper()
	replica, err := ledger.New(w.Realm, w.Genesis, w.Policy, nil)
	wantErr(t, err, "")
	for i, entry := range w.Entries {
		replica.Apply(uint64(i), entry)
		if i%every == every-1 {
			replica = restored(t, w, replica)
		}
	}
	got, err := replica.Snapshot()
	wantErr(t, err, "")
	want, err := w.Ledger.Snapshot()
	wantErr(t, err, "")
	if !bytes.Equal(got, want) {
		t.Error("a replica came to another state")
	}
}

// courtStep is one command of a table and its expected answer.
type courtStep struct {
	name string
	run  func(c court) registry.Answer
	want fault.Code
}

// runCourt runs each step in a realm of its own, and has a replica agree with what came of it.
func runCourt(t *testing.T, steps []courtStep) {
	t.Helper()
	for _, row := range steps {
		t.Run(row.name, func(t *testing.T) {
			c := newCourt(t)
			wantCode(t, row.run(c), row.want)
			agree(t, c.World, 7)
		})
	}
}

func TestOneUse(t *testing.T) {
	later := func(p *consensus.Proposal) { p.NotBefore = p.Issued + hour }
	runCourt(t, []courtStep{
		{"honest", func(c court) registry.Answer { return c.Consume(c.worker, c.decided()) }, ""},
		{"last moment of the window", func(c court) registry.Answer {
			o := c.decided()
			c.Tick(o.Rule.Window - 1)
			return c.Consume(c.worker, o)
		}, ""},
		{"window over", func(c court) registry.Answer {
			o := c.decided()
			c.Tick(o.Rule.Window)
			return c.Consume(c.worker, o)
		}, fault.Expired},
		{"at its not-before", func(c court) registry.Answer {
			o := c.decided(later)
			c.Tick(hour)
			return c.Consume(c.worker, o)
		}, ""},
		{"one moment too early", func(c court) registry.Answer {
			o := c.decided(later)
			c.Tick(hour - 1)
			return c.Consume(c.worker, o)
		}, fault.NotYet},
		{"the window runs from the not-before", func(c court) registry.Answer {
			o := c.decided(later)
			c.Tick(hour + o.Rule.Window - 1)
			return c.Consume(c.worker, o)
		}, ""},
		{"too late after the not-before", func(c court) registry.Answer {
			o := c.decided(later)
			c.Tick(hour + o.Rule.Window)
			return c.Consume(c.worker, o)
		}, fault.Expired},
		{"another executor", func(c court) registry.Answer { return c.Consume(c.reviewer, c.decided()) }, fault.Denied},
		{"the proposer, who is not the executor", func(c court) registry.Answer {
			return c.Consume(c.worker, c.decided(func(p *consensus.Proposal) { p.Executor = c.d().ID() }))
		}, fault.Denied},
		{"another store", func(c court) registry.Answer {
			return c.Do(c.worker, registry.TypeConsume, registry.Consume{Proposal: c.decided().Proposal, Store: [16]byte{8}})
		}, fault.Denied},
		{"again", func(c court) registry.Answer {
			o := c.decided()
			c.Consume(c.worker, o)
			return c.Consume(c.worker, o)
		}, fault.Spent},
		{"with an action, though it is no permit", func(c court) registry.Answer {
			o := c.decided(func(p *consensus.Proposal) { p.Action = run("host/1", "/src", 1) })
			return c.Consume(c.worker, o, run("host/1", "/src", 1))
		}, fault.Malformed},
		{"pending", func(c court) registry.Answer {
			return c.Consume(c.worker, c.Propose(c.worker, c.worker.ID(), "process.exec"))
		}, fault.Pending},
		{"rejected", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Cast(c.b, o, consensus.Reject)
			return c.Consume(c.worker, o)
		}, fault.Rejected},
		{"expired", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			c.Tick(o.Rule.Deadline)
			return c.Consume(c.worker, o)
		}, fault.Rejected},
		{"cancelled", func(c court) registry.Answer {
			o := c.decided()
			wantCode(t, c.Cancel(c.worker, o), "")
			return c.Consume(c.worker, o)
		}, fault.Rejected},
		{"superseded", func(c court) registry.Answer {
			o := c.Propose(c.worker, c.worker.ID(), "process.exec")
			wantCode(t, c.PutPolicy(c.other(), c.a, c.b), "")
			return c.Consume(c.worker, o)
		}, fault.Rejected},
		{"executor quarantined meanwhile", func(c court) registry.Answer {
			o := c.decided()
			c.Must(c.a, registry.TypeStatus, quarantine(c.worker.ID()))
			return c.Consume(c.worker, o)
		}, fault.Quarantined},
		{"of an unknown decision", func(c court) registry.Answer {
			return c.Do(c.worker, registry.TypeConsume, registry.Consume{})
		}, fault.Unknown},
		{"another body", func(c court) registry.Answer { return c.Do(c.worker, registry.TypeConsume, registry.Enrol{}) },
			fault.Malformed},
	})
}

// What comes too early says when it would not.
func TestTooEarlySaysWhen(t *testing.T) {
	c := newCourt(t)
	from := c.Now + hour
	o := c.decided(func(p *consensus.Proposal) { p.NotBefore = from })
	answer := c.Consume(c.worker, o)
	if wantCode(t, answer, fault.NotYet); !strings.Contains(answer.Message, fmt.Sprint(from)) {
		t.Errorf("%q does not name %d", answer.Message, from)
	}
	if d := find(t, c.World, o); d.Used() != 0 || d.Verdict.From != from || d.Verdict.Until != from+o.Rule.Window {
		t.Errorf("got %+v", d)
	}
}

// The command that used a certificate gets its answer again, and uses nothing twice.
func TestUseIsRetried(t *testing.T) {
	c := newCourt(t)
	o := c.decided()
	raw := c.Sign(c.Command(c.worker.ID(), registry.TypeConsume, registry.Consume{Proposal: o.Proposal, Store: ledgertest.Store}),
		c.worker)
	first := c.Apply(raw)
	want := consensus.Consumption{
		Proposal: o.Proposal, Executor: c.worker.ID(), Store: ledgertest.Store, Use: 1, At: c.Now, Action: o.Action,
	}
	if got := result[consensus.Consumption](t, first); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c.Tick(1)
	c.Ledger = restored(t, c.World, c.Ledger)
	if again := c.Apply(raw); again.Index != first.Index || result[consensus.Consumption](t, again) != want {
		t.Errorf("got %+v, want %+v", again, first)
	}
	d := find(t, c.World, o)
	u, ok := d.Use(0)
	if !ok || len(d.Uses) != 1 || u.Consumption != want || u.Claimed.Index != first.Index ||
		u.Claimed.Result != wire.Hash(first.Result) {
		t.Errorf("got %+v", d.Uses)
	}
}

func TestOneReport(t *testing.T) {
	consumed := func(c court) consensus.Opening {
		o := c.decided()
		wantCode(t, c.Consume(c.worker, o), "")
		return o
	}
	say := func(change func(*registry.Report)) func(c court) registry.Answer {
		return func(c court) registry.Answer {
			r := registry.Report{Proposal: consumed(c).Proposal, OK: true}
			change(&r)
			return c.Do(c.worker, registry.TypeReport, r)
		}
	}
	runCourt(t, []courtStep{
		{"done", say(func(*registry.Report) {}), ""},
		{"uncertain", say(func(r *registry.Report) { r.OK, r.Uncertain = false, true }), ""},
		{"done and uncertain", say(func(r *registry.Report) { r.Uncertain = true }), fault.Malformed},
		{"longest detail", say(func(r *registry.Report) { r.Detail = strings.Repeat("x", registry.MaxDetail) }), ""},
		{"too long a detail", say(func(r *registry.Report) { r.Detail = strings.Repeat("x", registry.MaxDetail+1) }), fault.Malformed},
		{"of a use, though it is no permit", say(func(r *registry.Report) { r.Use = 1 }), fault.Malformed},
		{"of an unknown decision", say(func(r *registry.Report) { r.Proposal = wire.Digest{} }), fault.Unknown},
		{"twice", func(c court) registry.Answer {
			o := consumed(c)
			c.Report(c.worker, o, 0, false)
			return c.Report(c.worker, o, 0, true)
		}, fault.Spent},
		{"by another", func(c court) registry.Answer { return c.Report(c.reviewer, consumed(c), 0, true) }, fault.Denied},
		{"before it was consumed", func(c court) registry.Answer { return c.Report(c.worker, c.decided(), 0, true) }, fault.Denied},
		{"another body", func(c court) registry.Answer { return c.Do(c.worker, registry.TypeReport, registry.Enrol{}) },
			fault.Malformed},
	})
}
