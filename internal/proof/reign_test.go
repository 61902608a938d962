package proof_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// looser is a policy by which one approval is enough for R2.
func looser(p policy.Policy) policy.Policy {
	p.Classes = slices.Clone(p.Classes)
	p.Classes[consensus.R2] = p.Classes[consensus.R1]
	return p
}

func loosens(p policy.Policy, by uint64) policy.Policy {
	p.Loosen = by
	return p
}

// change is a command that replaces the policy.
func change(r realm, p policy.Policy, signers ...identity.Signer) []byte {
	return r.Sign(r.Command(r.a.ID(), registry.TypePolicy, registry.PutPolicy{Policy: p.Encode()}), signers...)
}

// governed says of an honest certificate that p came into force by the commands, and has voters and nodes play along.
func governed(t *testing.T, r realm, c *consensus.Certificate, p policy.Policy, commands ...[]byte) {
	t.Helper()
	c.Before, c.Policies, c.Policy = r.Policy.Encode(), commands, p.Encode()
	c.Opening.Policy, c.Opening.Rule = p.Digest(), p.Rule(c.Opening.Class)
	revote(r.World, c, r.auditor, r.b)
	rerecord(t, r.World, c)
}

func TestCertificateAfterPolicyChanges(t *testing.T) {
	r := standard(t)
	first := r.approved("process.exec")
	must := func(p policy.Policy, signers ...identity.Signer) {
		t.Helper()
		if answer := r.PutPolicy(p, signers...); answer.Code != "" {
			t.Fatalf("policy refused: %s: %s", answer.Code, answer.Message)
		}
	}
	must(looser(r.Policy), r.a, r.d) // d became an operator by a command, and has changed keys
	second := r.Propose(r.worker, r.worker.ID(), "process.exec")
	r.Cast(r.reviewer, second, consensus.Approve)
	must(loosens(looser(r.Policy), 3), r.e, r.b)
	must(loosens(r.Policy, 3), r.a, r.b, r.e)
	must(r.Policy, r.a, r.c, r.d)
	last := r.approved("process.exec")
	for i, o := range []consensus.Opening{first, second, last} {
		c := r.Certificate(o.Proposal)
		v := honest(t, r.World, c)
		if want := []int{0, 1, 4}[i]; len(c.Policies) != want || (want > 0) != (c.Before != nil) || v.Opening().Policy != o.Policy {
			t.Errorf("certificate %d has %d changes of policy, want %d", i, len(c.Policies), want)
		}
	}
	c := r.Certificate(last.Proposal)
	followed, err := proof.FollowPolicies(r.Ledger.Authority(), c.Before, c.Policies, c.Operators, c.Keys)
	wantErr(t, err, "")
	if len(followed) != 5 || followed[0].Digest() != r.Policy.Digest() || followed[2].Loosen != 3 || followed[4].Digest() != last.Policy {
		t.Errorf("%d policies followed", len(followed))
	}
	_, err = proof.FollowPolicies(r.Ledger.Authority(), c.Before, c.Policies, nil, c.Keys)
	wantErr(t, err, fault.NoQuorum)
	_, err = proof.FollowPolicies(r.Ledger.Authority(), looser(r.Policy).Encode(), nil, nil, nil)
	wantErr(t, err, fault.Denied)
	dropped := c
	dropped.Policies = c.Policies[:2]
	wantStep(t, dropped, proof.Trust{Realm: r.Realm}, "policy", fault.Denied)
	swapped := c
	swapped.Policies = slices.Clone(c.Policies)
	slices.Reverse(swapped.Policies)
	wantStep(t, swapped, proof.Trust{Realm: r.Realm}, "policy", fault.NoQuorum)
}

// Nodes that lie, and one operator with them, put no policy in force.
func TestPoliciesInvented(t *testing.T) {
	weak := func(t *testing.T, r realm, c *consensus.Certificate, commands ...[]byte) {
		t.Helper()
		governed(t, r, c, looser(r.Policy), commands...)
	}
	run(t, "process.exec", []row{
		{"without a command", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c)
		}, "policy", fault.Denied},
		{"one before it, and none that replaced that", func(_ *testing.T, r realm, c *consensus.Certificate) {
			c.Before = c.Policy
		}, "policy", fault.Denied},
		{"by one operator", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, looser(r.Policy), r.d))
		}, "policy", fault.NoQuorum},
		{"by one operator with two keys", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, looser(r.Policy), r.b, r.oldB))
		}, "policy", fault.NoQuorum},
		{"by nodes and agents", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, looser(r.Policy), append(r.Nodes, r.worker, r.auditor, r.d)...))
		}, "policy", fault.NoQuorum},
		{"by an operator and one that nobody appointed", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, looser(r.Policy), r.d, r.Signer(identity.Operator)))
		}, "policy", fault.NoQuorum},
		{"a signature forged", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, spoilt(change(r, looser(r.Policy), r.a, r.b)))
		}, "policy", fault.BadSignature},
		{"another command", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, r.Sign(r.Command(r.a.ID(), registry.TypeGrant, registry.PutPolicy{Policy: looser(r.Policy).Encode()}), r.a, r.b))
		}, "policy", fault.WrongKind},
		{"a command with another body", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, r.Sign(r.Command(r.a.ID(), registry.TypePolicy, registry.Tick{Time: 1}), r.a, r.b))
		}, "policy", fault.Malformed},
		{"not a command", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, []byte{1})
		}, "policy", fault.Malformed},
		{"not a policy that any build accepts", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := loosens(r.Policy, 0)
			weak(t, r, c, change(r, p, r.a, r.b))
		}, "policy", fault.InvalidInput},
		{"one person's, in a realm of several", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := ledgertest.Preset(t, policy.Solo)
			governed(t, r, c, p, change(r, p, r.a, r.b))
		}, "policy", fault.Denied},
		{"another one before it than the genesis's", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, looser(r.Policy), r.a, r.b))
			c.Before = loosens(r.Policy, 3).Encode()
		}, "policy", fault.Denied},
		{"another one than the command's", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, loosens(r.Policy, 3), r.a, r.b))
		}, "policy", fault.Denied},
		{"the opening names another", func(t *testing.T, r realm, c *consensus.Certificate) {
			p := loosens(r.Policy, 3)
			c.Before, c.Policies, c.Policy = r.Policy.Encode(), [][]byte{change(r, p, r.a, r.b)}, p.Encode()
		}, "proposal", fault.Misaddressed},
		{"a second one by as many as the first asked for", func(t *testing.T, r realm, c *consensus.Certificate) {
			weak(t, r, c, change(r, loosens(r.Policy, 3), r.a, r.b), change(r, looser(r.Policy), r.a, r.b))
		}, "policy", fault.NoQuorum},
	})
	t.Run("the honest twins", func(t *testing.T) {
		r := standard(t)
		c := r.Certificate(r.approved("process.exec").Proposal)
		weak(t, r, &c, change(r, looser(r.Policy), r.a, r.d))
		honest(t, r.World, c)
		c.Ballots = c.Ballots[:1] // which is what the looser one asks for
		honest(t, r.World, c)
		weak(t, r, &c, change(r, loosens(r.Policy, 3), r.a, r.b), change(r, looser(r.Policy), r.a, r.b, r.d))
		honest(t, r.World, c)
	})
}

// Where three must sign, two cannot appoint the third by a policy that they have yet to put in force.
func TestPolicyDoesNotAdmitItsOwnSigners(t *testing.T) {
	w := ledgertest.New(t, loosens(ledgertest.Preset(t, policy.Standard), 3), 3, 3)
	r := realm{World: w, a: w.Roots[0], b: w.Roots[1], c: w.Roots[2]}
	r.worker = w.Agent(r.a, "worker", identity.Journeyer)
	r.auditor = w.Agent(r.c, "auditor", identity.Journeyer)
	c := r.Certificate(r.approved("process.exec").Proposal)
	honest(t, w, c)
	two, ghost := loosens(r.Policy, 2), r.Signer(identity.Operator)
	c.Operators = append(c.Operators, appoint(r, ghost.ID(), r.a.ID(), r.a, r.b))
	governed(t, r, &c, two, change(r, two, r.a, r.b, ghost))
	wantStep(t, c, proof.Trust{Realm: r.Realm}, "policy", fault.NoQuorum)
	governed(t, r, &c, two, change(r, two, r.a, r.b, r.c))
	honest(t, w, c) // and from then on two are enough to appoint
}

// What was given under an earlier policy stays given: by as many as that one asked for, up to the level that it let one
// operator give. So it does to who remembers the policies, and not who signed what.
func TestVouchedUnderAnEarlierPolicy(t *testing.T) {
	for name, certificate := range map[string]func(t *testing.T) (realm, [][]byte){
		"by fewer": func(t *testing.T) (realm, [][]byte) {
			r := founded(t, plain)
			for _, late := range []string{"fourth", "fifth"} {
				r.Operator(late, r.a, r.b)
			}
			r.Must(r.a, registry.TypeLevel, registry.SetLevel{Principal: r.auditor.ID(), Level: identity.Principal}, r.b)
			return r, replacing(t, r, loosens(r.Policy, 3))
		},
		"at a higher level": func(t *testing.T) (realm, [][]byte) {
			r := founded(t, func(p *policy.Policy) { p.Enrol = identity.Journeyer })
			p := r.Policy
			p.Enrol = identity.Observer
			return r, replacing(t, r, p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, certificates := certificate(t)
			remembers := proof.NewVerifier()
			for _, raw := range certificates {
				_, _, err := proof.VerifyCertificate(raw, proof.Trust{Realm: r.Realm})
				wantErr(t, err, "")
				_, _, err = remembers.Verify(raw, proof.Trust{Realm: r.Realm})
				wantErr(t, err, "")
			}
		})
	}
}

// replacing puts the policy in force and returns certificates of two decisions by it, by different proposers.
func replacing(t *testing.T, r realm, p policy.Policy) (certificates [][]byte) {
	t.Helper()
	if answer := r.PutPolicy(p, r.a, r.b, r.c); answer.Code != "" {
		t.Fatal(answer)
	}
	first := r.Certificate(r.decided("process.exec").Proposal)
	o := r.Propose(r.a, r.worker.ID(), "process.exec")
	r.Cast(r.auditor, o, consensus.Approve)
	r.Cast(r.b, o, consensus.Approve)
	second := r.Certificate(o.Proposal)
	second.Operators, second.Keys = first.Operators, first.Keys // so that the policies are those remembered
	return [][]byte{encode(t, first), encode(t, second)}
}
