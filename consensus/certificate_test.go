package consensus_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func certificate(t testing.TB) consensus.Certificate {
	o := opening(t)
	bob := person("bob")
	return consensus.Certificate{
		Version: 1, Realm: realm, Genesis: []byte{1}, Policy: []byte{2}, Proposal: sign(t, agent("planner"), proposal()), Opening: o,
		Opened: wire.Raw{0xf5}, Ballots: [][]byte{sign(t, bob, ballot(o, bob.ID(), consensus.Approve))},
		Verdict: consensus.Verdict{Proposal: o.Proposal, State: consensus.Approved, At: now, Until: now + 1},
		Decided: wire.Raw{0xf5}, Head: []byte{3},
	}
}

func encode(t testing.TB, c consensus.Certificate) []byte {
	t.Helper()
	raw, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestCertificateReadsBack(t *testing.T) {
	c := certificate(t)
	got, err := consensus.ParseCertificate(encode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("reads back as\n%+v\nnot\n%+v", got, c)
	}
	if got.Opening.Digest() != c.Opening.Digest() {
		t.Error("the opening's digest does not survive")
	}
}

func TestCertificateRefusals(t *testing.T) {
	raw := encode(t, certificate(t))
	if _, err := consensus.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	later := certificate(t)
	later.Version = 2
	for _, c := range []struct {
		name string
		raw  []byte
		want fault.Code
	}{
		{"nothing", nil, fault.Malformed},
		{"truncated", raw[:len(raw)-1], fault.Malformed},
		{"trailing", append(bytes.Clone(raw), 0), fault.Malformed},
		{"a longer form", append([]byte{0xb8, raw[0] & 0x1f}, raw[1:]...), fault.Malformed},
		{"version 2", encode(t, later), fault.Version},
		{"too large", make([]byte, consensus.MaxCertificate+1), fault.TooLarge},
	} {
		got, err := consensus.ParseCertificate(c.raw)
		if fault.CodeOf(err) != c.want || !reflect.DeepEqual(got, consensus.Certificate{}) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What is read encodes as it was and passes its own Check.
func fuzzStatement[T wire.Statement](f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.Parse[T](raw, wire.MaxStatement)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("a refusal without a code: %v", err)
			}
			return
		}
		if err := c.Claim.Check(); err != nil {
			t.Fatal(err)
		}
		payload, err := wire.Encode(c.Claim)
		if err != nil || !bytes.Contains(raw, payload) {
			t.Fatalf("the payload re-encodes as %x, %v", payload, err)
		}
	})
}

func FuzzProposal(f *testing.F) {
	fuzzStatement[consensus.Proposal](f, sign(f, agent("planner"), proposal()), sign(f, person("ann"), proposal()))
}

func FuzzBallot(f *testing.F) {
	o := opening(f)
	fuzzStatement[consensus.Ballot](f, sign(f, person("bob"), ballot(o, person("bob").ID(), consensus.Approve)))
}

// No bytes make a ballot count but those that the voter signed.
func FuzzVerifyBallot(f *testing.F) {
	o := opening(f)
	honest := sign(f, person("bob"), ballot(o, person("bob").ID(), consensus.Approve))
	f.Add(honest)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := consensus.VerifyBallot(raw, realm, o); err == nil && !bytes.Equal(raw, honest) {
			t.Fatalf("accepted: %x", raw)
		}
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add(encode(f, certificate(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := consensus.ParseCertificate(raw)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("a refusal without a code: %v", err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("re-encodes as %x, %v", again, err)
		}
		if state, err := tally(c.Opening); state == consensus.Approved || (err != nil && fault.CodeOf(err) == fault.Internal) {
			t.Fatalf("%s without a ballot, %v", state, err)
		}
		if confidence, err := consensus.Confidence(c.Opening, nil); err == nil && confidence > 500 {
			t.Fatalf("confidence %d without a ballot", confidence)
		}
		_ = c.Opening.Rule.String()
		err = consensus.CheckElectorate(c.Opening, agent("planner").ID())
		if err != nil && !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrTooLarge) && !errors.Is(err, consensus.ErrUnreachable) {
			t.Fatal(err)
		}
	})
}
