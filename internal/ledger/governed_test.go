package ledger_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Whatever people do with decisions and policies, in whatever order, replicas agree, also those restored in between; what is
// open is of the policy in force, and nothing is settled or reported twice.
func TestGovernedReplicasAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 9))
	c := newCourt(t)
	people := c.Roots
	used := []consensus.Opening{c.done()}
	open := slices.Clone(used)
	accepted := map[registry.Type]int{}
	note := func(typ registry.Type, a registry.Answer) {
		if a.Code == "" {
			accepted[typ]++
		}
	}
	propose := func() {
		var changes []func(*consensus.Proposal)
		if random.IntN(3) == 0 {
			changes = append(changes, permit(random.Uint64N(3)+1))
		}
		p := c.Proposal(c.worker.ID(), c.worker.ID(), "process.exec")
		for _, change := range changes {
			change(&p)
		}
		by := c.worker
		if random.IntN(6) == 0 {
			p, by = c.urgentStop(), c.a
		}
		answer := c.Hand(by, p)
		if note(registry.TypePropose, answer); answer.Code == "" {
			open = append(open, result[consensus.Opening](t, answer))
		}
	}
	for range 300 {
		o, person := open[max(0, len(open)-1-random.IntN(4))], people[random.IntN(len(people))]
		switch random.IntN(14) {
		case 0, 1:
			propose()
		case 2, 3, 4, 5:
			vote := consensus.Approve
			if random.IntN(8) == 0 {
				vote = consensus.Vote(random.IntN(4) + 1)
			}
			note(registry.TypeVote, c.Cast(person, o, vote))
			note(registry.TypeVote, c.Cast(people[random.IntN(len(people))], o, consensus.Approve))
		case 6, 7:
			once, permitted := c.Consume(c.worker, o), c.Consume(c.worker, o, run("host/1", "/src/a", 1))
			note(registry.TypeConsume, once)
			note(registry.TypeConsume, permitted)
			if once.Code == "" || permitted.Code == "" {
				used = append(used, o)
			}
		case 8:
			note(registry.TypeReport, c.Report(c.worker, used[random.IntN(len(used))], random.Uint64N(3), random.IntN(2) == 0))
		case 9:
			if random.IntN(4) == 0 {
				note(registry.TypeCancel, c.Cancel(pick2(random, c.worker, c.a), o))
			}
		case 10, 11:
			note(registry.TypeSettle, c.Settle(person, used[random.IntN(len(used))], random.IntN(2) == 0))
		case 12:
			if random.IntN(3) == 0 {
				next := c.other()
				if len(next.Plain) > 3 {
					next.Plain = nil
				}
				note(registry.TypePolicy, c.PutPolicy(next, person, people[random.IntN(len(people))]))
			}
		case 13:
			c.Tick(random.Int64N(2 * minute))
		}
		for _, d := range c.Ledger.Decisions() {
			if d.Verdict.State == consensus.Open && d.Opening.Policy != c.Ledger.Policy().Digest() {
				t.Fatal("open under a policy that is not in force")
			}
		}
	}
	t.Logf("accepted: %v", accepted)
	wantCode(t, c.PutPolicy(c.other(), c.a, c.b), "")
	wantCode(t, c.Settle(c.a, c.done(), true), "") // the realm still does what it is for
	agree(t, c.World, 13)
}
