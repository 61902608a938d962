package consensus_test

import (
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What is frozen answers as the opening did, whatever becomes of the opening.
func TestFrozen(t *testing.T) {
	o, s := hiding(t), agent("scout")
	f, digest := o.Freeze(), o.Digest()
	if f.Digest() != digest {
		t.Fatalf("frozen as %s, the opening is %s", f.Digest(), digest)
	}
	raw, hidden := sign(t, s, ballot(o, s.ID(), consensus.Approve)), sign(t, s, commitment(o, s.ID()))
	before := o
	before.Voters = append([]consensus.Voter(nil), o.Voters...)
	o.Voters[0], o.Proposal, o.Rule = o.Voters[1], wire.Digest{1}, consensus.Rule{}
	if _, err := f.VerifyCommitment(hidden, realm); err != nil {
		t.Error(err)
	}
	v, err := f.VerifyBallot(raw, realm)
	if err != nil {
		t.Fatal(err)
	}
	poll := consensus.Poll{Ballots: []wire.Verified[consensus.Ballot]{v}, Committed: []identity.ID{s.ID()}}
	got, errGot := f.Tally(poll, now)
	want, errWant := consensus.Tally(before, poll, now)
	if got != want || errGot != nil || errWant != nil || got != consensus.Open {
		t.Errorf("%s, %v; unfrozen %s, %v", got, errGot, want, errWant)
	}
	confidence, errGot := f.Confidence(poll.Ballots)
	unfrozen, errWant := consensus.Confidence(before, poll.Ballots)
	if confidence != unfrozen || errGot != nil || errWant != nil {
		t.Errorf("confidence %d, %v; unfrozen %d, %v", confidence, errGot, unfrozen, errWant)
	}
	early, errGot := f.Revealing(poll, now)
	if late, errLate := f.Revealing(poll, before.CommitsUntil()); errGot != nil || errLate != nil || !early || !late {
		t.Errorf("revealing %t, %v; when nobody can commit any more %t, %v", early, errGot, late, errLate)
	}
}

// Nothing frozen accepts nothing.
func TestZeroFrozen(t *testing.T) {
	o, s := opening(t), agent("scout")
	raw := sign(t, s, ballot(o, s.ID(), consensus.Approve))
	var none consensus.Frozen
	if _, err := none.VerifyBallot(raw, realm); !errors.Is(err, consensus.ErrOtherDecision) {
		t.Errorf("a ballot of no opening: %v", err)
	}
	if _, err := none.VerifyCommitment(sign(t, s, commitment(o, s.ID())), realm); !errors.Is(err, consensus.ErrOtherDecision) {
		t.Errorf("a commitment of no opening: %v", err)
	}
	if state, err := none.Tally(consensus.Poll{}, now); state != consensus.Rejected || err != nil {
		t.Errorf("it is %s, %v", state, err)
	}
}

func TestNewVerdict(t *testing.T) {
	o := opening(t)
	const at, hour = now + 5, int64(3_600_000)
	for _, c := range []struct {
		name        string
		state       consensus.State
		change      func(*consensus.Proposal)
		from, until int64
	}{
		{"at once", consensus.Approved, func(*consensus.Proposal) {}, at, at + o.Rule.Window},
		{"not before it is approved", consensus.Approved, func(p *consensus.Proposal) { p.NotBefore = at - 1 }, at, at + o.Rule.Window},
		{"not before", consensus.Approved, func(p *consensus.Proposal) { p.NotBefore = at + hour }, at + hour, at + hour + o.Rule.Window},
		{"a permit", consensus.Approved, func(p *consensus.Proposal) { p.Permit = permit() }, at, now + hour},
		{"a permit, later", consensus.Approved, func(p *consensus.Proposal) { p.NotBefore, p.Permit = at+1, permit() }, at + 1, now + hour},
		{"open", consensus.Open, func(*consensus.Proposal) {}, 0, 0},
		{"rejected", consensus.Rejected, func(p *consensus.Proposal) { p.NotBefore = at + hour }, 0, 0},
		{"expired", consensus.Expired, func(p *consensus.Proposal) { p.Permit = permit() }, 0, 0},
		{"cancelled", consensus.Cancelled, func(*consensus.Proposal) {}, 0, 0},
		{"superseded", consensus.Superseded, func(*consensus.Proposal) {}, 0, 0},
	} {
		p := proposal()
		c.change(&p)
		want := consensus.Verdict{Proposal: o.Proposal, State: c.state, At: at, From: c.from, Until: c.until}
		if got := consensus.NewVerdict(p, o, c.state, at); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

// Another rule and electorate say what they would have said of the same ballots; ballots of others are left out.
func TestRecount(t *testing.T) {
	o := opening(t)
	poll := consensus.Poll{Ballots: []wire.Verified[consensus.Ballot]{
		cast(t, o, person("bob"), consensus.Approve), cast(t, o, agent("scout"), consensus.Approve),
	}}
	for _, c := range []struct {
		name   string
		want   consensus.State
		change func(*consensus.Opening)
	}{
		{"the same", consensus.Approved, func(*consensus.Opening) {}},
		{"three approvals", consensus.Open, func(o *consensus.Opening) { o.Rule.Approvals = 3 }},
		{"four", consensus.Rejected, func(o *consensus.Opening) { o.Rule.Approvals = 4 }},
		{"without scout", consensus.Open, func(o *consensus.Opening) { o.Voters = dropped(o.Voters, agent("scout").ID()) }},
		{"another weight", consensus.Rejected, func(o *consensus.Opening) {
			o.Rule, scout(o).Weight = consensus.Rule{Approvals: 1, OperatorCap: 1, Share: 500, Deadline: 1, Window: 1}, 9
		}},
	} {
		as := opening(t)
		c.change(&as)
		if got, err := consensus.Recount(o, as, poll, now); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	improper := opening(t)
	improper.Voters[0].Weight = 0
	if state, err := consensus.Recount(o, improper, poll, now); !errors.Is(err, wire.ErrMalformed) || state != 0 {
		t.Errorf("by an improper electorate: %s, %v", state, err)
	}
	if state, err := consensus.Recount(improper, o, poll, now); !errors.Is(err, wire.ErrMalformed) || state != 0 {
		t.Errorf("of an improper electorate: %s, %v", state, err)
	}
}

// seven is a decision of seven voters and their signed ballots.
func seven(b *testing.B) (consensus.Opening, [][]byte) {
	o := opening(b)
	o.Voters = nil
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		v := voter(agent(name), person("bob").ID(), 1)
		v.Family = "family-" + name
		o.Voters = append(o.Voters, v)
	}
	o.Voters = sorted(o.Voters...)
	ballots := make([][]byte, 0, len(o.Voters))
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		ballots = append(ballots, sign(b, agent(name), ballot(o, agent(name).ID(), consensus.Approve)))
	}
	return o, ballots
}

// A poll without ballots is counted without the opening's digest, and as with it.
func TestNothingIsCountedAlike(t *testing.T) {
	o, s := hiding(t), agent("scout")
	for _, poll := range []consensus.Poll{{}, {Committed: []identity.ID{s.ID()}}, {Void: []identity.ID{s.ID()}}} {
		for _, at := range []int64{o.Opened, o.CommitsUntil(), o.RevealsUntil(), o.Deadline} {
			got, err := consensus.Tally(o, poll, at)
			want, errWant := o.Freeze().Tally(poll, at)
			if got != want || err != nil || errWant != nil {
				t.Errorf("%+v at %d: %s, %v; frozen %s, %v", poll, at-o.Opened, got, err, want, errWant)
			}
		}
	}
	o.Voters[0].Weight = 0
	if _, err := consensus.Tally(o, consensus.Poll{}, now); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a weightless voter: %v", err)
	}
}

// BenchmarkBallots compares checking and counting seven ballots with their seven signatures alone.
func BenchmarkBallots(b *testing.B) {
	o, raws := seven(b)
	b.Run("signatures", func(b *testing.B) {
		for range b.N {
			for _, raw := range raws {
				c, err := wire.Parse[consensus.Ballot](raw, wire.MaxStatement)
				if err != nil {
					b.Fatal(err)
				}
				v, _ := o.Voter(c.Claim.Voter)
				if _, err := c.Verify(realm, v.Key); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("frozen", func(b *testing.B) {
		for range b.N {
			f := o.Freeze()
			var p consensus.Poll
			for _, raw := range raws {
				v, err := f.VerifyBallot(raw, realm)
				if err != nil {
					b.Fatal(err)
				}
				p.Ballots = append(p.Ballots, v)
			}
			if _, err := f.Tally(p, o.RevealsUntil()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unfrozen", func(b *testing.B) {
		for range b.N {
			var p consensus.Poll
			for _, raw := range raws {
				v, err := consensus.VerifyBallot(raw, realm, o)
				if err != nil {
					b.Fatal(err)
				}
				p.Ballots = append(p.Ballots, v)
			}
			if _, err := consensus.Tally(o, p, o.RevealsUntil()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
