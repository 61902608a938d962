package policy_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// The presets' digests stand in the genesis of every realm there is, and in the vectors.
func TestPresetsKeepTheirDigests(t *testing.T) {
	for name, want := range map[string]string{
		policy.Solo:     "8b59a65d5bc81bef7badc0ba7629aa37aee616c20bef9ae894da8bf73e1f59e3",
		policy.Standard: "d32bc485e6aa4610845273e0ddc576c9603d7bdee3a7adcd2c4a70cb26560cae",
	} {
		if got := preset(t, name).Digest().String(); got != want {
			t.Errorf("%s has the digest %s, and had %s", name, got, want)
		}
	}
}

func TestLeaseIsInTheDigest(t *testing.T) {
	p := preset(t, policy.Solo)
	without := p.Encode()
	if p.Lease.Millis() != 3000 || p.Lease.Restrict {
		t.Fatalf("a preset's lease is %+v", p.Lease)
	}
	seen := map[wire.Digest]policy.Lease{p.Digest(): {}}
	for _, l := range []policy.Lease{{Length: 1000}, {Length: 60_000}, {Restrict: true}, {Length: 2999, Restrict: true}} {
		p.Lease = l
		again, err := policy.Parse(p.Encode())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v reads back as %+v, %v", l, again.Lease, err)
		}
		if other, double := seen[p.Digest()]; double {
			t.Errorf("%+v and %+v have one digest", l, other)
		}
		seen[p.Digest()] = l
	}
	with := func(tail ...byte) []byte { return append(append([]byte{without[0] + 1}, without[1:]...), tail...) }
	if _, err := policy.Parse(with(8, 0xa1, 2, 0xf5)); err != nil { // key 8, {2: true}
		t.Fatal(err)
	}
	for name, tail := range map[string][]byte{
		"nothing in it, written out": {8, 0xa0},
		"length 0, written out":      {8, 0xa1, 1, 0},
		"stop, written out":          {8, 0xa1, 2, 0xf4},
		"an unknown end":             {8, 0xa1, 2, 1},
		"an unknown field":           {8, 0xa1, 3, 0xf5},
	} {
		if _, err := policy.Parse(with(tail...)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var fault *policy.Fault
	if _, err := policy.Parse(with(8, 0xa1, 1, 0x19, 0x0b, 0xb8)); !errors.As(err, &fault) || fault.Path != "lease.length" {
		t.Errorf("the default length, written out: %v", err)
	}
}

func TestLeaseSet(t *testing.T) {
	for _, c := range []struct{ ms, length int64 }{{1000, 1000}, {2999, 2999}, {3000, 0}, {3001, 3001}, {60_000, 60_000}} {
		l := policy.Lease{Length: 5000, Restrict: true}
		if err := l.Set(c.ms); err != nil || l != (policy.Lease{Length: c.length, Restrict: true}) || l.Millis() != c.ms {
			t.Errorf("%d gives %+v, %v", c.ms, l, err)
		}
	}
	for _, ms := range []int64{-3000, -1, 0, 999, 60_001, 1 << 62} {
		l := policy.Lease{Length: 5000}
		wantFault(t, l.Set(ms), "lease.length")
		if l.Length != 5000 {
			t.Errorf("%d was taken", ms)
		}
		if got := (policy.Lease{Length: ms}).Millis(); got != policy.DefaultLease {
			t.Errorf("of an unchecked lease of %d the length is %d", ms, got)
		}
	}
}

func TestRestrictedRights(t *testing.T) {
	kinds := []policy.Kind{
		{Pattern: "*", Class: consensus.R3},
		{Pattern: "db.*", Class: consensus.R0},
		{Pattern: "db.drop", Class: consensus.R3, Deny: true},
		{Pattern: "db.read.*", Class: consensus.R0},
		{Pattern: "log", Class: consensus.R0},
		{Pattern: "log.*", Class: consensus.R0},
		{Pattern: "log.x.*", Class: consensus.R0},
		{Pattern: "mail.*", Class: consensus.R2},
		{Pattern: "mail.list", Class: consensus.R0},
	}
	for _, c := range []struct {
		name          string
		allowed, want []string
	}{
		{"nothing", nil, nil},
		{"everything", []string{"*"}, []string{"db.read.*", "log", "log.*", "log.x.*", "mail.list"}}, // db.* holds db.drop
		{"a name that a pattern makes R0", []string{"db.write"}, []string{"db.write"}},
		{"a name that is an exception", []string{"db.drop"}, nil},
		{"a name below the exception", []string{"db.drop.x"}, []string{"db.drop.x"}}, // another name: db.* covers it
		{"a name above the pattern", []string{"db"}, nil},
		{"a pattern with an exception in it", []string{"db.*"}, []string{"db.read.*"}},
		{"a pattern within an R0 one", []string{"db.read.a.*"}, []string{"db.read.a.*"}},
		{"a name beside", []string{"logs"}, nil},
		{"an R0 name of an R2 pattern", []string{"mail.*"}, []string{"mail.list"}},
		{"another name of it", []string{"mail.send"}, nil},
		{"unknown names", []string{"shell.*", "x"}, nil},
		{"a mixture", []string{"db.read.*", "log.*", "mail.list", "x"}, []string{"db.read.*", "log.*", "log.x.*", "mail.list"}},
	} {
		p := preset(t, policy.Standard)
		p.Kinds = kinds
		r := &p.Levels[4].Rights
		for _, list := range []*[]string{&r.Call, &r.Serve, &r.Publish, &r.Subscribe} {
			*list = nil
		}
		for _, one := range []struct {
			is  *[]string
			was func(trust.Rights) []string
		}{
			{&r.Call, func(r trust.Rights) []string { return r.Call }},
			{&r.Serve, func(r trust.Rights) []string { return r.Serve }},
			{&r.Publish, func(r trust.Rights) []string { return r.Publish }},
			{&r.Subscribe, func(r trust.Rights) []string { return r.Subscribe }},
		} {
			*one.is = c.allowed
			if err := p.Check(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got := p.RestrictedRights(identity.Principal)
			if !slices.Equal(one.was(got), c.want) {
				t.Errorf("%s: %+v, want %q", c.name, got, c.want)
			}
			left := len(got.Call) + len(got.Serve) + len(got.Publish) + len(got.Subscribe)
			if left != len(c.want) || got.Propose || got.Weight != 0 || (got.Rate > 0) != (left > 0) || (got.MaxPayload > 0) != (left > 0) {
				t.Errorf("%s: %+v", c.name, got)
			}
			*one.is = nil
		}
	}
}

func TestRestrictedRightsOfThePresets(t *testing.T) {
	for _, name := range []string{policy.Solo, policy.Standard} {
		p := preset(t, name)
		got := p.RestrictedRights(identity.Journeyer)
		reads := []string{"db.read", "file.read"}
		want := trust.Rights{
			Call: reads, Serve: reads, Publish: reads, Subscribe: reads, Rate: 600_000, MaxPayload: 256 << 10,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
		for _, l := range []identity.Level{identity.Quarantined, identity.Steward + 1, 255} {
			if got := p.RestrictedRights(l); !reflect.DeepEqual(got, trust.Rights{}) {
				t.Errorf("%s %s: %+v", name, l, got)
			}
		}
	}
	if got := (policy.Policy{}).RestrictedRights(identity.Steward); !reflect.DeepEqual(got, trust.Rights{}) {
		t.Errorf("the zero policy: %+v", got)
	}
}

// A name is in the restricted rights only if it is in the rights and R0 by Classify, and always if it was listed itself.
func TestRestrictedRightsAreR0(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "a.b", "a.b.c", "a.b.c.d", "a.c", "ab", "b", "b.a"}
	patterns := []string{"*", "a", "a.*", "a.b", "a.b.*", "a.b.c", "a.b.c.*", "ab", "b", "b.*", "b.a"}
	some := func() (list []string) {
		for _, p := range patterns {
			if r.IntN(3) == 0 {
				list = append(list, p)
			}
		}
		return list
	}
	kept := 0
	for range 5000 {
		p := preset(t, policy.Standard)
		p.Kinds, p.Levels[3].Rights.Call = nil, some()
		for _, pattern := range some() {
			k := policy.Kind{Pattern: pattern, Class: consensus.Class(r.IntN(2) * r.IntN(4))}
			if k.Deny = r.IntN(8) == 0; k.Deny || pattern == "*" {
				k.Class = consensus.R3
			}
			p.Kinds = append(p.Kinds, k)
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		full, left := p.Rights(identity.Journeyer).Call, p.RestrictedRights(identity.Journeyer).Call
		for _, name := range names {
			class, err := p.Classify(consensus.NewAction(name, "", nil), consensus.R0, 0)
			harmless := err == nil && class == consensus.R0 && identity.MatchCapability(full, name)
			got := identity.MatchCapability(left, name)
			if got && !harmless || harmless && !got && slices.Contains(full, name) {
				t.Fatalf("%s of %q by %+v: harmless %t, left %q", name, full, p.Kinds, harmless, left)
			}
			if got {
				kept++
			}
		}
	}
	if kept == 0 {
		t.Error("nothing was ever left")
	}
}
