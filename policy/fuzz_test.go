package policy_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func TestParseRefusesOtherBytes(t *testing.T) {
	raw := preset(t, policy.Solo).Encode()
	if _, err := policy.Parse(raw); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":   nil,
		"truncated": raw[:len(raw)-1],
		"trailing":  append(bytes.Clone(raw), 0),
		"long map":  append([]byte{0xb8, 7}, raw[1:]...), // the same map, in a longer form
		"too large": make([]byte, policy.MaxSize+1),
	} {
		if p, err := policy.Parse(bad); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}

// FuzzParse: what is read passes Check, encodes as it was, and leaves nobody without a rule.
func FuzzParse(f *testing.F) {
	for _, name := range []string{policy.Solo, policy.Standard, policy.Strict} {
		p := preset(f, name)
		f.Add(p.Encode())
		p.Plain = []string{"log.*", "news"}
		steps(1, step(5, consensus.R2))(&p)
		f.Add(p.Encode())
		p.Lease = policy.Lease{Length: 10_000, Restrict: true}
		f.Add(p.Encode())
		when(to(policy.When{Target: "a*b", Param: "p", Value: "*", Above: 7, Not: true}, consensus.R2), denied(target("x")))(&p)
		f.Add(p.Encode())
		rungs, params := p.Ladder(), p.Params()
		rungs[1].Outcomes, params.Gamma = 99, 1
		p.SetTrust(params, rungs)
		f.Add(p.Encode())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := policy.Parse(raw)
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Encode(), raw) || p.Digest() != wire.Hash(raw) {
			t.Fatal("two encodings of one policy")
		}
		if p.PlainTopic("t") != identity.MatchCapability(p.Plain, "t") || len(p.Plain) > 64 {
			t.Fatalf("plain topics %q", p.Plain)
		}
		if e := p.Emergency; e != nil && (p.Urgent(consensus.Action{Kind: "policy.replace"}) || e.Rule().Check() != nil || e.People < 2) {
			t.Fatalf("emergency %+v", *e)
		}
		if ms := p.Lease.Millis(); ms < policy.MinLease || ms > policy.MaxLease {
			t.Fatalf("a lease of %d ms", ms)
		}
		if err := errors.Join(p.Params().Check(), trust.CheckRungs(p.Ladder())); err != nil {
			t.Fatal(err)
		}
		for _, k := range p.Kinds {
			neverLower(t, p, k)
		}
		for l := range identity.Level(8) {
			full, left := p.Rights(l), p.RestrictedRights(l)
			for _, name := range left.Call {
				if name == "*" || !identity.MatchCapability(full.Call, name) {
					t.Fatalf("%s may call %q when restricted", l, name)
				}
			}
		}
		for c := range consensus.Class(6) {
			if err := p.Rule(c).Check(); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			for l := range identity.Level(8) {
				if (c >= consensus.R3 || l == 0 || l > identity.Steward) && p.Alone(l, c) {
					t.Fatalf("%s decides %s alone", l, c)
				}
			}
		}
	})
}

// neverLower: whatever an action of the kind says, its class is not below the kind's own.
func neverLower(t *testing.T, p policy.Policy, k policy.Kind) {
	base, known := p.Base(strings.TrimSuffix(k.Pattern, ".*"))
	if !known {
		return
	}
	for _, w := range k.When {
		a := consensus.NewAction(strings.TrimSuffix(k.Pattern, ".*"), w.Target, map[string][]string{"p" + w.Param: nil, w.Param + "p": {w.Value}})
		a.Amount = w.Above + 1
		for _, a.Target = range []string{w.Target, ""} {
			class, err := p.Classify(a, consensus.R0, a.Amount)
			if class < base || class > consensus.R3 || (err != nil && class != consensus.R3) {
				t.Fatalf("%+v of %s is %s (%v)", a, base, class, err)
			}
		}
	}
}
