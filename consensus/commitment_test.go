package consensus_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// hiding is an opening whose agents commit first.
func hiding(t testing.TB) consensus.Opening {
	o := opening(t)
	o.Rule.Commit = 10_000
	return o
}

func commitment(o consensus.Opening, voter identity.ID) consensus.Commitment {
	return consensus.Commitment{
		Version: 1, Proposal: o.Proposal, Opening: o.Digest(), Voter: voter, Sequence: 1,
		Hidden: consensus.Hide(make([]byte, consensus.SaltSize), []byte("ballot")), Issued: now + 1,
	}
}

func TestVerifyCommitment(t *testing.T) {
	o, agent := hiding(t), agent("scout")
	want := commitment(o, agent.ID())
	raw := sign(t, agent, want)
	v, err := consensus.VerifyCommitment(raw, realm, o)
	if err != nil || v.Statement() != want || !bytes.Equal(v.Raw(), raw) {
		t.Errorf("read as %+v, %v; want %+v", v.Statement(), err, want)
	}
	again, err := o.Freeze().VerifyCommitment(raw, realm)
	if err != nil || again.ID() != v.ID() {
		t.Errorf("frozen, it is %+v, %v", again.Statement(), err)
	}
}

func TestCommitmentRefusals(t *testing.T) {
	o, scoutKey := hiding(t), agent("scout")
	honest := commitment(o, scoutKey.ID())
	if _, err := consensus.VerifyCommitment(sign(t, scoutKey, honest), realm, o); err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*consensus.Commitment)) []byte {
		c := honest
		change(&c)
		return sign(t, scoutKey, c)
	}
	silenced, open := hiding(t), opening(t)
	scout(&silenced).Silenced = true
	otherRealm, err := scoutKey.Sign(wire.Realm{9}, honest)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		o    consensus.Opening
		want error
	}{
		{"another decision", changed(func(c *consensus.Commitment) { c.Proposal[0] ^= 1 }), o, consensus.ErrOtherDecision},
		{"another electorate", changed(func(c *consensus.Commitment) { c.Opening[0] ^= 1 }), o, consensus.ErrOtherDecision},
		{"outside the electorate", sign(t, agent("mallory"), commitment(o, agent("mallory").ID())), o, consensus.ErrNotVoter},
		{"silenced", sign(t, scoutKey, commitment(silenced, scoutKey.ID())), silenced, consensus.ErrNotVoter},
		{"where ballots are open", sign(t, scoutKey, commitment(open, scoutKey.ID())), open, wire.ErrMalformed},
		{"by another", sign(t, agent("mallory"), honest), o, wire.ErrBadSignature},
		{"of another realm", otherRealm, o, wire.ErrBadSignature},
		{"a ballot", sign(t, scoutKey, ballot(o, scoutKey.ID(), consensus.Approve)), o, wire.ErrWrongKind},
		{"nothing", nil, o, wire.ErrMalformed},
		{"too large", make([]byte, wire.MaxStatement+1), o, wire.ErrTooLarge},
	} {
		if v, err := consensus.VerifyCommitment(c.raw, realm, c.o); !errors.Is(err, c.want) || !v.IsZero() {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCommitmentCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		want   error // nil: accepted
		change func(*consensus.Commitment)
	}{
		{"honest", nil, func(*consensus.Commitment) {}},
		{"a later one", nil, func(c *consensus.Commitment) { c.Sequence = 1 << 40 }},
		{"version 0", wire.ErrVersion, func(c *consensus.Commitment) { c.Version = 0 }},
		{"version 2", wire.ErrVersion, func(c *consensus.Commitment) { c.Version = 2 }},
		{"no sequence", wire.ErrMalformed, func(c *consensus.Commitment) { c.Sequence = 0 }},
		{"no time", wire.ErrMalformed, func(c *consensus.Commitment) { c.Issued = 0 }},
		{"a negative time", wire.ErrMalformed, func(c *consensus.Commitment) { c.Issued = -1 }},
		{"a person", wire.ErrMalformed, func(c *consensus.Commitment) { c.Voter = person("bob").ID() }},
		{"a node", wire.ErrMalformed, func(c *consensus.Commitment) { c.Voter = signer(identity.Node, "n").ID() }},
		{"nobody", wire.ErrMalformed, func(c *consensus.Commitment) { c.Voter = identity.ID{} }},
	} {
		v := commitment(hiding(t), agent("scout").ID())
		c.change(&v)
		if err := v.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// What is hidden is SHA-256 of salt and ballot: another salt or ballot is another commitment, and the inputs stay as they were.
func TestHide(t *testing.T) {
	salt, ballot := bytes.Repeat([]byte{7}, consensus.SaltSize), []byte("a ballot")
	want := sha256.Sum256([]byte(string(salt) + string(ballot)))
	roomy := append(make([]byte, 0, 1024), salt...)
	if got := consensus.Hide(roomy, ballot); got != wire.Digest(want) {
		t.Errorf("hidden as %s", got)
	}
	if !bytes.Equal(roomy[:cap(roomy)][len(salt):], make([]byte, 1024-len(salt))) {
		t.Error("the ballot is written behind the caller's salt")
	}
	other := bytes.Clone(salt)
	other[31] ^= 1
	if consensus.Hide(other, ballot) == wire.Digest(want) || consensus.Hide(salt, ballot[1:]) == wire.Digest(want) {
		t.Error("another salt or ballot is hidden alike")
	}
}

// Each row is two statements of scout, of one decision.
func TestVerifyEquivocation(t *testing.T) {
	o, s := hiding(t), agent("scout")
	approve := ballot(o, s.ID(), consensus.Approve)
	reject := ballot(o, s.ID(), consensus.Reject)
	first := commitment(o, s.ID())
	second := first
	second.Hidden[0] ^= 1
	later, laterFirst := reject, second
	later.Sequence, laterFirst.Sequence = 2, 2
	sameHidden := first
	sameHidden.Issued++
	reworded := approve
	reworded.Reason = "on second thoughts"
	elsewhere := reject
	elsewhere.Proposal[0] ^= 1
	other := ballot(o, person("bob").ID(), consensus.Reject)
	for _, c := range []struct {
		name string
		a, b wire.Statement
		want error // nil: proves it
	}{
		{"two ballots", approve, reject, nil},
		{"the other way round", reject, approve, nil},
		{"with another reason only", approve, reworded, nil},
		{"two commitments", first, second, nil},
		{"one ballot twice", approve, approve, consensus.ErrNoContradiction},
		{"a later ballot", approve, later, consensus.ErrNoContradiction},
		{"one commitment twice", first, first, consensus.ErrNoContradiction},
		{"the same hidden, at another time", first, sameHidden, consensus.ErrNoContradiction},
		{"a later commitment", first, laterFirst, consensus.ErrNoContradiction},
		{"a ballot and a commitment", approve, first, consensus.ErrNoContradiction},
		{"a commitment and a ballot", second, reject, consensus.ErrNoContradiction},
		{"a ballot of another decision", approve, elsewhere, consensus.ErrNoContradiction},
		{"no statement of this", approve, proposal(), consensus.ErrNoContradiction},
	} {
		who, err := consensus.VerifyEquivocation(sign(t, s, c.a), sign(t, s, c.b), realm, o)
		if !errors.Is(err, c.want) || (c.want == nil) != (who == s.ID()) {
			t.Errorf("%s: %s, %v", c.name, who, err)
		}
		if err != nil && fault.CodeOf(err) != fault.InvalidInput {
			t.Errorf("%s: code %s", c.name, fault.CodeOf(err))
		}
	}
	honest := sign(t, s, approve)
	for name, raw := range map[string][]byte{
		"two voters":                   sign(t, person("bob"), other),
		"in another's name by mallory": sign(t, agent("mallory"), reject),
		"nothing":                      nil,
	} {
		if who, err := consensus.VerifyEquivocation(honest, raw, realm, o); !errors.Is(err, consensus.ErrNoContradiction) || !who.IsZero() {
			t.Errorf("%s: %s, %v", name, who, err)
		}
	}
}

func FuzzCommitment(f *testing.F) {
	fuzzStatement[consensus.Commitment](f, sign(f, agent("scout"), commitment(hiding(f), agent("scout").ID())))
}

// Whatever two byte strings prove an equivocation, the voter's key signed both, and they differ.
func FuzzVerifyEquivocation(f *testing.F) {
	o, s := hiding(f), agent("scout")
	a, b := sign(f, s, ballot(o, s.ID(), consensus.Approve)), sign(f, s, ballot(o, s.ID(), consensus.Reject))
	f.Add(a, b)
	f.Add(a, a)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		signed := func(raw []byte) bool { return bytes.Equal(raw, a) || bytes.Equal(raw, b) }
		_, err := consensus.VerifyEquivocation(first, second, realm, o)
		if err == nil && (!signed(first) || !signed(second) || bytes.Equal(first, second)) {
			t.Fatalf("proved by %x and %x", first, second)
		}
	})
}
