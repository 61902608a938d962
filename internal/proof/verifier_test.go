package proof_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// panel is a realm of three people and three nodes in which every R2 decision needs the approvals of so many agents.
func panel(t testing.TB, voters int) (r realm, agents []identity.Signer) {
	t.Helper()
	r = founded(t, func(p *policy.Policy) {
		p.Classes = slices.Clone(p.Classes)
		for class := consensus.R2; class <= consensus.R3; class++ {
			p.Classes[class].Approvals = uint64(voters)
		}
	})
	for i := range voters - 1 {
		agents = append(agents, r.Agent([]identity.Signer{r.b, r.c}[i%2], fmt.Sprintf("voter-%d", i), identity.Journeyer))
	}
	return r, append(agents, r.auditor)
}

func (r realm) unanimous(agents []identity.Signer) consensus.Opening {
	o := r.Propose(r.worker, r.worker.ID(), "process.exec")
	for _, a := range agents {
		r.Cast(a, o, consensus.Approve)
	}
	return o
}

// A Verifier that has seen honest certificates answers to each other one what one without memory answers.
func TestVerifierAnswersTheSame(t *testing.T) {
	r, c := everything(t)
	remembers := proof.NewVerifier()
	for range 3 {
		_, report, err := remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
		if err != nil || !report.Valid || report.Roster != 2 || len(report.Checks) != 12 {
			t.Fatalf("got %+v, %v", report, err)
		}
	}
	other := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	without := func(list [][]byte, i int) [][]byte { return slices.Delete(slices.Clone(list), i, i+1) }
	for name, spoil := range map[string]func(c *consensus.Certificate){
		"genesis":             func(c *consensus.Certificate) { c.Genesis = spoilt(c.Genesis) },
		"another genesis":     func(c *consensus.Certificate) { c.Genesis = other.Genesis },
		"another realm":       func(c *consensus.Certificate) { c.Realm = other.Realm },
		"a roster":            func(c *consensus.Certificate) { c.Rosters = append(without(c.Rosters, 1), spoilt(c.Rosters[1])) },
		"a roster less":       func(c *consensus.Certificate) { c.Rosters = c.Rosters[:1] },
		"policy":              func(c *consensus.Certificate) { c.Policy = r.Policy.Encode() },
		"before":              func(c *consensus.Certificate) { c.Before = c.Policy },
		"change of policy":    func(c *consensus.Certificate) { c.Policies = [][]byte{spoilt(c.Policies[0])} },
		"no change of policy": func(c *consensus.Certificate) { c.Policies = nil },
		"change by fewer":     func(c *consensus.Certificate) { c.Policies = [][]byte{change(r, loosens(r.Policy, 3), r.d)} },
		"head":                func(c *consensus.Certificate) { c.Head = spoilt(c.Head) },
		"head by one":         func(c *consensus.Certificate) { c.Head = r.Sign(r.Ledger.Head(), r.Nodes[0]) },
		"an enrolment":        func(c *consensus.Certificate) { c.Enrolments[0] = spoilt(c.Enrolments[0]) },
		"an enrolment less":   func(c *consensus.Certificate) { c.Enrolments = without(c.Enrolments, 0) },
		"an appointment":      func(c *consensus.Certificate) { c.Operators[0] = spoilt(c.Operators[0]) },
		"an appointment less": func(c *consensus.Certificate) { c.Operators = without(c.Operators, 0) },
		"a succession":        func(c *consensus.Certificate) { c.Keys[0] = spoilt(c.Keys[0]) },
		"a succession less":   func(c *consensus.Certificate) { c.Keys = without(c.Keys, 0) },
		"a level":             func(c *consensus.Certificate) { c.Levels[0] = spoilt(c.Levels[0]) },
		"a level less":        func(c *consensus.Certificate) { c.Levels = without(c.Levels, 1) },
		"levels as operators": func(c *consensus.Certificate) { c.Levels, c.Operators = c.Operators, c.Levels },
		"proposal":            func(c *consensus.Certificate) { c.Proposal = spoilt(c.Proposal) },
		"a ballot":            func(c *consensus.Certificate) { c.Ballots[0] = spoilt(c.Ballots[0]) },
		"a ballot less":       func(c *consensus.Certificate) { c.Ballots = c.Ballots[:1] },
		"a voter's level":     func(c *consensus.Certificate) { c.Opening.Voters[0].Level++ },
		"a voter's key":       func(c *consensus.Certificate) { c.Opening.Voters[0].Key = r.Nodes[0].Public() },
		"a voter less":        func(c *consensus.Certificate) { c.Opening.Voters = c.Opening.Voters[1:] },
		"proposer's key":      func(c *consensus.Certificate) { c.Opening.Key = r.Nodes[0].Public() },
		"proposer's operator": func(c *consensus.Certificate) {
			c.Opening.Operator = r.e.ID()
			c.Opening.Voters = slices.DeleteFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.Operator == r.e.ID() })
		},
		"signed by another key": func(c *consensus.Certificate) { signedBy(t, r, c) },
		"a voter's operator":    func(c *consensus.Certificate) { voterOf(c, r.auditor.ID()).Operator = r.e.ID() },
		"a voter's name":        func(c *consensus.Certificate) { renamed(r, c) },
		"another proposer":      func(c *consensus.Certificate) { proposedBy(t, r, c) },
		"verdict":               func(c *consensus.Certificate) { c.Verdict.At++ },
		"an invented voter":     func(c *consensus.Certificate) { invented(r, c) },
		"a level nobody gave":   func(c *consensus.Certificate) { promoted(t, r, c) },
		"an appointment moved":  func(c *consensus.Certificate) { c.Operators, c.Levels = nil, append(c.Operators, c.Levels...) },
	} {
		t.Run(name, func(t *testing.T) {
			bad := c
			bad.Enrolments, bad.Operators, bad.Keys = slices.Clone(c.Enrolments), slices.Clone(c.Operators), slices.Clone(c.Keys)
			bad.Levels, bad.Ballots = slices.Clone(c.Levels), slices.Clone(c.Ballots)
			bad.Opening.Voters = slices.Clone(c.Opening.Voters)
			spoil(&bad)
			rerecord(t, r.World, &bad)
			if name == "head" || name == "head by one" {
				bad.Head = c.Head
				spoil(&bad)
			}
			raw := encode(t, bad)
			_, fresh, want := proof.VerifyCertificate(raw, proof.Trust{Realm: r.Realm})
			for range 2 { // refusals are not remembered either
				v, report, err := remembers.Verify(raw, proof.Trust{Realm: r.Realm})
				if v != nil || err == nil || fault.CodeOf(err) != fault.CodeOf(want) || !slices.Equal(report.Checks, fresh.Checks) {
					t.Errorf("got %v at %+v, without memory %v at %+v", err, report.Checks, want, fresh.Checks)
				}
			}
		})
	}
	_, _, err := remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm, Roster: 3})
	wantErr(t, err, fault.Superseded)
	_, _, err = remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
}

// invented adds a voter that nobody enrolled.
func invented(r realm, c *consensus.Certificate) {
	ghost := r.Signer(identity.Agent)
	insert(c, agent(ghost, r.d.ID()))
	revote(r.World, c, r.auditor, r.b)
}

// promoted gives a voter a level that nobody raised it to.
func promoted(t testing.TB, r realm, c *consensus.Certificate) {
	t.Helper()
	v := voterOf(c, r.auditor.ID())
	v.Level, v.Weight = 5, 3
	revote(r.World, c, r.auditor, r.b)
}

func voterOf(c *consensus.Certificate, id identity.ID) *consensus.Voter {
	i := slices.IndexFunc(c.Opening.Voters, func(v consensus.Voter) bool { return v.ID == id })
	return &c.Opening.Voters[i]
}

// renamed gives a voter another name, and leaves its key.
func renamed(r realm, c *consensus.Certificate) {
	v := voterOf(c, r.auditor.ID())
	v.ID = identity.NewID(identity.Agent, r.Key().Public())
	slices.SortFunc(c.Opening.Voters, func(a, b consensus.Voter) int { return a.ID.Compare(b.ID) })
}

// proposedBy has somebody whom nobody enrolled propose with the worker's key.
func proposedBy(t testing.TB, r realm, c *consensus.Certificate) {
	t.Helper()
	claimed, err := wire.Parse[consensus.Proposal](c.Proposal, wire.MaxStatement)
	wantErr(t, err, "")
	claimed.Claim.Proposer = r.Signer(identity.Agent).ID()
	hand(t, r, c, claimed.Claim)
}

// signedBy has a node sign the proposal in the worker's name.
func signedBy(t testing.TB, r realm, c *consensus.Certificate) {
	t.Helper()
	claimed, err := wire.Parse[consensus.Proposal](c.Proposal, wire.MaxStatement)
	wantErr(t, err, "")
	c.Proposal, c.Opening.Key = r.SignAlone(claimed.Claim, r.Nodes[0].Key()), r.Nodes[0].Public()
}

// Where the policy was never replaced, who is an operator, and by which keys, is still part of what was remembered.
func TestVerifierOfOneElectorateOtherwiseVouchedFor(t *testing.T) {
	r := standard(t)
	c := r.Certificate(r.approved("process.exec").Proposal)
	remembers := proof.NewVerifier()
	_, _, err := remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	for name, spoil := range map[string]func(c *consensus.Certificate){
		"no operators":  func(c *consensus.Certificate) { c.Operators = nil },
		"no key":        func(c *consensus.Certificate) { c.Keys = nil },
		"a forged key":  func(c *consensus.Certificate) { c.Keys = append(slices.Clone(c.Keys[1:]), spoilt(c.Keys[0])) },
		"no enrolments": func(c *consensus.Certificate) { c.Enrolments = nil },
	} {
		bad := c
		spoil(&bad)
		_, report, err := remembers.Verify(encode(t, bad), proof.Trust{Realm: r.Realm})
		if err == nil || report.Checks[len(report.Checks)-1].Name != vouched {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err = remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
}

// Who answers for the proposer is part of it too, where nobody else of the electorate changes with that.
func TestVerifierOfAProposerUnderAnotherOperator(t *testing.T) {
	r := founded(t, plain)
	d := r.Operator("fourth", r.a, r.b)
	o := r.Propose(r.worker, r.worker.ID(), "process.exec", func(p *consensus.Proposal) {
		p.Beneficiaries = []identity.ID{r.c.ID()} // so neither c nor its agents vote
	})
	r.Cast(r.reviewer, o, consensus.Approve)
	r.Cast(d, o, consensus.Approve)
	c := r.Certificate(o.Proposal)
	remembers := proof.NewVerifier()
	_, _, err := remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	c.Opening.Operator = r.c.ID()
	rerecord(t, r.World, &c)
	_, _, err = remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, fault.Unknown)
}

// Who decides alone needs the level for it, whatever was remembered of the same proposer at a level that it has.
func TestVerifierOfLevelsAlone(t *testing.T) {
	r := founded(t, plain)
	c := r.Certificate(r.decided("db.read").Proposal)
	remembers := proof.NewVerifier()
	_, _, err := remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, "")
	c.Opening.Level = 5
	rerecord(t, r.World, &c)
	_, _, err = remembers.Verify(encode(t, c), proof.Trust{Realm: r.Realm})
	wantErr(t, err, fault.Unknown)
}

// In two realms that the same people run by the same keys, what holds in one proves nothing in the other.
func TestVerifierOfRealmsWithTheSameKeys(t *testing.T) {
	certificate := func(nodes int) (*ledgertest.World, consensus.Certificate) {
		w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, nodes)
		worker := identity.NewSigner(identity.NewID(identity.Agent, wire.NewKey([32]byte{9}).Public()), wire.NewKey([32]byte{9}))
		token, once := w.Invite(w.Roots[0], w.Token(w.Roots[0].ID(), "worker", identity.Journeyer))
		w.Must(worker, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(worker, token, once)})
		return w, w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal)
	}
	here, one := certificate(1)
	there, two := certificate(2)
	remembers := proof.NewVerifier()
	check := func(c consensus.Certificate, realm wire.Realm, want fault.Code) {
		t.Helper()
		_, _, err := remembers.Verify(encode(t, c), proof.Trust{Realm: realm})
		wantErr(t, err, want)
	}
	check(one, here.Realm, "")
	swapped := two
	swapped.Enrolments = one.Enrolments
	check(swapped, there.Realm, fault.Unknown)
	check(two, there.Realm, "")
	one.Realm = there.Realm
	check(one, there.Realm, fault.WrongRealm)
}

// What is remembered of one realm is nothing in another, and there is no end to how many there may be.
func TestVerifierOfManyRealms(t *testing.T) {
	remembers := proof.NewVerifier()
	var certificates [][]byte
	var realms []wire.Realm
	for n := range 70 { // more than it remembers
		w := ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, n%3+1)
		w.Tick(int64(n))
		worker := w.Agent(w.Roots[0], fmt.Sprintf("worker-%d", n), identity.Journeyer)
		certificates = append(certificates, encode(t, w.Certificate(w.Propose(worker, worker.ID(), "db.read").Proposal)))
		realms = append(realms, w.Realm)
	}
	for range 2 {
		for i, raw := range certificates {
			_, _, err := remembers.Verify(raw, proof.Trust{Realm: realms[i]})
			wantErr(t, err, "")
			other := realms[(i+1)%3]
			if other == realms[i] {
				other = realms[(i+2)%3]
			}
			_, _, err = remembers.Verify(raw, proof.Trust{Realm: other})
			wantErr(t, err, fault.WrongRealm)
		}
	}
}

func TestVerifierIsForManyAtOnce(t *testing.T) {
	r, agents := panel(t, 3)
	var all [][]byte
	for range 4 {
		all = append(all, encode(t, r.Certificate(r.unanimous(agents).Proposal)))
	}
	remembers := proof.NewVerifier()
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for _, raw := range all {
				if _, _, err := remembers.Verify(raw, proof.Trust{Realm: r.Realm}); err != nil {
					t.Error(err)
				}
				if _, _, err := remembers.Verify(spoilt(raw), proof.Trust{Realm: r.Realm}); err == nil {
					t.Error("accepted")
				}
			}
		})
	}
	done.Wait()
}

// BenchmarkCertificates verifies certificates of 7 ballots, all of one realm of three nodes, each under a head of its own,
// on one core. of_signatures is the time of a check in terms of what the new Ed25519 signatures of that certificate cost by
// themselves, the head's, the proposal's and the ballots': both are measured by turns, so that the machine is equally busy.
func BenchmarkCertificates(b *testing.B) {
	r, agents := panel(b, 7)
	trust := proof.Trust{Realm: r.Realm}
	var all [][]byte
	var signed [][]signature
	for range 96 { // more heads than it remembers
		all = append(all, encode(b, r.Certificate(r.unanimous(agents).Proposal)))
		signed = append(signed, signaturesOf(b, all[len(all)-1], trust))
		if len(signed[len(signed)-1]) != len(r.Nodes)+1+len(agents) {
			b.Fatalf("%d signatures", len(signed[len(signed)-1]))
		}
	}
	check := func(b *testing.B, verify func([]byte, proof.Trust) (*proof.Verified, proof.Report, error)) {
		var signatures, whole time.Duration
		for i := range b.N {
			begun := time.Now()
			for _, s := range signed[i%len(signed)] {
				if !ed25519.Verify(s.key, s.message, s.signature) {
					b.Fatal("refused")
				}
			}
			between := time.Now()
			if _, _, err := verify(all[i%len(all)], trust); err != nil {
				b.Fatal(err)
			}
			signatures, whole = signatures+between.Sub(begun), whole+time.Since(between)
		}
		b.ReportMetric(float64(whole)/float64(signatures), "of_signatures")
		b.ReportMetric(float64(signatures.Nanoseconds())/float64(b.N), "ns/signatures")
		b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "ns/op")
		b.ReportMetric(float64(b.N)/whole.Seconds(), "certificates/s")
	}
	b.Run("remembering", func(b *testing.B) {
		remembers := proof.NewVerifier()
		for i := range all { // chain and electorate; heads are forgotten again
			_, _, err := remembers.Verify(all[i], trust)
			wantErr(b, err, "")
		}
		b.ResetTimer()
		check(b, remembers.Verify)
	})
	b.Run("from nothing", func(b *testing.B) { check(b, proof.VerifyCertificate) })
}

type signature struct{ key, message, signature []byte }

// signaturesOf returns those of a certificate that are new in each: the head's, the proposal's and the ballots'.
func signaturesOf(t testing.TB, raw []byte, trust proof.Trust) (all []signature) {
	t.Helper()
	decoded := func(text string) []byte {
		b, err := hex.DecodeString(text)
		wantErr(t, err, "")
		return b
	}
	for _, s := range proof.Explain(raw, trust).Signatures {
		if kind := wire.Kind(s.Kind); kind == wire.Head || kind == wire.Proposal || kind == wire.Ballot {
			all = append(all, signature{decoded(s.Key), decoded(s.Message), decoded(s.Signature)})
		}
	}
	return all
}
