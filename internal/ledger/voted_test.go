package ledger_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// poll is one realm whose members vote at random.
type poll struct {
	standardRealm
	random   *rand.Rand
	people   []identity.Signer
	agents   []identity.Signer
	open     []consensus.Opening
	hidden   []ledgertest.Sealed
	accepted map[registry.Type]int
}

func newPoll(t testing.TB, seed uint64) *poll {
	s, d, clerk := fourth(t)
	return &poll{
		standardRealm: s, random: rand.New(rand.NewPCG(seed, 3)), accepted: map[registry.Type]int{},
		people: []identity.Signer{s.a, s.b, s.c, d}, agents: []identity.Signer{s.worker, s.reviewer, s.auditor, clerk},
	}
}

func (p *poll) count(typ registry.Type, answer registry.Answer) bool {
	if answer.Code == "" {
		p.accepted[typ]++
	}
	return answer.Code == ""
}

func (p *poll) vote() consensus.Vote {
	return []consensus.Vote{1, 1, 1, 1, 1, 2, 3, 4}[p.random.IntN(8)]
}

func (p *poll) step() {
	i := p.random.IntN(4)
	agent, person := p.agents[i], p.people[p.random.IntN(4)]
	o := p.open[max(0, len(p.open)-1-p.random.IntN(4))]
	switch p.random.IntN(16) {
	case 0, 1, 2:
		proposal := p.Proposal(agent.ID(), agent.ID(), []string{"process.exec", "db.migrate"}[p.random.IntN(2)])
		if answer := p.Hand(agent, proposal); p.count(registry.TypePropose, answer) {
			opening, _ := registry.Result[consensus.Opening](answer)
			p.open = append(p.open, opening)
		}
	case 3, 4, 5:
		p.count(registry.TypeVote, p.Vote(person, p.Ballot(person.ID(), o, p.vote())))
	case 6, 7, 8, 9:
		sealed := p.numbered(agent, o, p.vote(), p.random.Uint64N(2)+1)
		if p.count(registry.TypeCommit, p.Commit(agent, o, sealed)) {
			p.hidden = append(p.hidden, sealed)
		}
	case 10, 11, 12:
		for _, sealed := range p.hidden[max(0, len(p.hidden)-8):] {
			p.count(registry.TypeVote, p.Reveal(sealed))
		}
	case 13:
		p.Tick(p.random.Int64N(minute))
	case 14:
		if p.random.IntN(6) == 0 {
			first, second := p.evidence(agent, o)
			p.count(registry.TypeEquivocate, p.Equivocate(person, o, first, second))
		}
	case 15:
		member := append(slices.Clone(p.agents), p.people...)[p.random.IntN(8)]
		if p.random.IntN(3) == 0 {
			p.count(registry.TypeStatus, p.Do(person, registry.TypeStatus, quarantine(member.ID())))
		}
		p.Do(p.a, registry.TypeStatus, release(member.ID()), p.people[1:]...)
		p.Do(p.b, registry.TypeStatus, release(member.ID()), p.c)
	}
}

// However votes come in, replicas agree, also those that were restored in between; and whatever was approved, its
// certificate's ballots alone come to the same by the opening that they name.
func TestVotingReplicasAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := newPoll(t, seed)
	p.open = append(p.open, p.execution())
	for range 600 {
		p.step()
	}
	t.Logf("accepted: %v, decisions: %v", p.accepted, p.Ledger.Census().Decisions)
	replica, err := ledger.New(p.Realm, p.Genesis, p.Policy, nil)
	wantErr(t, err, "")
	for i, entry := range p.Entries {
		replica.Apply(uint64(i), entry)
		if p.random.IntN(20) == 0 {
			replica = restored(t, p.World, replica)
		}
	}
	if replica.Head() != p.Ledger.Head() || !bytes.Equal(snapshotOf(t, replica), snapshotOf(t, p.Ledger)) {
		t.Error("replicas differ")
	}
	for _, d := range p.Ledger.Decisions() {
		if d.Verdict.State == consensus.Approved {
			recounted(t, p.World, d)
		}
		if d.Verdict.State != consensus.Open && d.Decided.Index == 0 {
			t.Errorf("nothing ended %s, and it is %s", d.ID, d.Verdict.State)
		}
	}
}

// recounted counts the ballots of a certificate as whoever reads it does.
func recounted(t *testing.T, w *ledgertest.World, d ledger.Decision) {
	t.Helper()
	c := w.Certificate(d.ID)
	var ballots consensus.Poll
	for _, raw := range c.Ballots {
		b, err := consensus.VerifyBallot(raw, w.Realm, c.Opening)
		wantErr(t, err, "")
		ballots.Ballots = append(ballots.Ballots, b)
	}
	state, err := consensus.Tally(c.Opening, ballots, c.Opening.RevealsUntil())
	if wantErr(t, err, ""); state != consensus.Approved {
		t.Errorf("the certificate of %s counts as %s", d.ID, state)
	}
	if c.Verdict.At >= c.Opening.Deadline || d.Decided.Result != wire.Hash(mustEncode(t, c.Verdict)) {
		t.Errorf("got %+v, by %+v", c.Verdict, d.Decided)
	}
}
