package registrar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// announces connects a process of the principal and announces what p says besides.
func (w *world) announces(s identity.Signer, p discovery.Presence) *identity.Process {
	w.t.Helper()
	process := w.process(s)
	if _, err := w.r.Admit(process.Credential().Raw(), process.Connect().Public(), w.now()); err != nil {
		w.t.Fatal(err)
	}
	p.Version, p.Principal, p.Credential, p.Sealing = 1, s.ID(), process.Credential().ID(), process.SealingKey()
	p.Sequence, p.Issued, p.Expires = 1, w.now(), w.now()+discovery.MaxPresenceLife
	raw, err := process.Sign(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.r.presences.announce(w.Realm, s.ID(), raw, w.r.ID(), w.now()); err != nil {
		w.t.Fatal(err)
	}
	return process
}

func (w *world) setLevel(s identity.Signer, l identity.Level) {
	w.t.Helper()
	w.must(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: s.ID(), Level: l})
}

func (w *world) grant(s identity.Signer, serves ...string) {
	w.t.Helper()
	w.must(w.Roots[0], registry.TypeGrant, registry.Grant{Principal: s.ID(), Serves: serves})
}

// found asks over the bus and returns how many processes of each principal the answer holds.
func (w *world) found(c *control.Client, f control.Find) map[identity.ID]int {
	w.t.Helper()
	var out control.Found
	if err := c.Ask(w.t.Context(), control.OpFind, f, &out); err != nil {
		w.t.Fatal(err)
	}
	found := map[identity.ID]int{}
	for _, p := range out.Processes {
		c, err := wire.Parse[identity.Credential](p.Credential, wire.MaxStatement)
		if err != nil {
			w.t.Fatal(err)
		}
		found[c.Claim.Principal]++
	}
	return found
}

func TestOnlyWhatMayBeOfferedIsFound(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		asker := w.admitted(w.agent("asker"))
		honest, ungranted, lowered := w.agent("honest"), w.agent("ungranted"), w.agent("lowered")
		for _, s := range []identity.Signer{honest, lowered} {
			w.grant(s, "text.*")
		}
		w.grant(ungranted, "other")
		for _, s := range []identity.Signer{honest, ungranted, lowered} {
			w.announces(s, discovery.Presence{Serves: []string{"text.upper"}, Topics: []string{"report.day", "secret"}})
		}
		if got := w.found(asker, control.Find{Capability: "text.upper"}); len(got) != 2 || got[ungranted.ID()] != 0 {
			t.Errorf("serving: %v", got)
		}
		if got := w.found(asker, control.Find{Topic: "secret"}); len(got) != 3 {
			t.Errorf("publishing: %v", got)
		}
		w.setLevel(lowered, identity.Observer) // serves nothing, publishes reports only
		w.announces(lowered, discovery.Presence{Serves: []string{"text.upper"}, Topics: []string{"report.day", "secret"}})
		if got := w.found(asker, control.Find{Capability: "text.upper"}); len(got) != 1 || got[honest.ID()] != 1 {
			t.Errorf("serving, one lowered: %v", got)
		}
		if got := w.found(asker, control.Find{Topic: "secret"}); len(got) != 2 {
			t.Errorf("publishing, one lowered: %v", got)
		}
		if got := w.found(asker, control.Find{Topic: "*"}); len(got) != 3 {
			t.Errorf("publishing anything: %v", got)
		}
	})
}

// Principals with many processes and long presences do not keep one with a short one out of the answer.
func TestNobodyCrowdsOthersOut(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		asker := w.admitted(w.agent("asker"))
		honest := w.agent("honest")
		w.grant(honest, "text.*")
		w.announces(honest, discovery.Presence{Serves: []string{"text.upper"}})
		if got := w.found(asker, control.Find{Capability: "text.upper"}); got[honest.ID()] != 1 {
			t.Fatalf("alone: %v", got)
		}
		var long []string
		for i := range 63 {
			long = append(long, fmt.Sprintf("a%02d.%s", i, strings.Repeat("x", 120)))
		}
		for i := range 6 {
			s := w.agent(fmt.Sprintf("crowd-%d", i))
			w.grant(s, "*")
			for range maxProcesses {
				w.announces(s, discovery.Presence{Serves: append(long[:63:63], "text.upper"), Topics: long})
			}
		}
		for range 8 { // the order is the map's
			if got := w.found(asker, control.Find{Capability: "text.upper"}); got[honest.ID()] != 1 || len(got) < 6 {
				t.Fatalf("in the crowd: %v", got)
			}
		}
	})
}

func TestOpenDecisionsAreListedFirst(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		alice, mallory := w.agent("alice"), w.agent("mallory")
		propose := func(by identity.Signer, kind, target string) {
			t.Helper()
			w.now()
			p := w.Proposal(by.ID(), by.ID(), kind)
			p.Action.Target = target
			w.must(by, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, by.Key())})
		}
		propose(alice, "process.exec", "honest")
		for range maxListed {
			propose(mallory, "db.read", "decided alone")
		}
		for range 16 {
			propose(mallory, "process.exec", strings.Repeat("ä", 14<<10))
		}
		var list control.Decisions
		if err := w.admitted(alice).Ask(t.Context(), control.OpDecisions, control.Nothing{}, &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Decisions) != maxListed {
			t.Fatalf("%d decisions", len(list.Decisions))
		}
		for i, d := range list.Decisions {
			if open := d.State == consensus.Open.String(); open != (i < 17) {
				t.Errorf("decision %d is %s", i, d.State)
			}
		}
		if got := list.Decisions[16]; got.Target != "honest" || len(list.Decisions[0].Target) != maxTarget {
			t.Errorf("%q and %d bytes", got.Target, len(list.Decisions[0].Target))
		}
	})
}

// An answer that does not fit one message is an error at once, not a silence.
func TestAnswersThatDoNotFit(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		client := w.admitted(w.Roots[0])
		var members control.Members
		if err := client.Ask(t.Context(), control.OpMembers, control.Nothing{}, &members); err != nil {
			t.Fatal(err)
		}
		var long []string
		for i := range 64 {
			long = append(long, fmt.Sprintf("a%02d.%s", i, strings.Repeat("x", 120)))
		}
		for i := range 40 {
			w.grant(w.agent(fmt.Sprintf("agent-%d", i)), long...)
		}
		wantCode(t, client.Ask(t.Context(), control.OpMembers, control.Nothing{}, &members), fault.TooLarge)
	})
}

func TestUsedTokensAreRefused(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.now()
		root, agent := w.Roots[0], w.Signer(identity.Agent)
		raw, once := w.Invite(root, w.Token(root.ID(), "new", identity.Journeyer))
		other, others := w.Invite(root, w.Token(root.ID(), "other", identity.Journeyer))
		admit := func() error {
			_, err := w.r.AdmitInvited(raw, once.Public(), w.now())
			return err
		}
		wantCode(t, admit(), "")
		w.must(agent, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(agent, raw, once)})
		wantCode(t, admit(), "") // the answer may have been lost
		time.Sleep(registry.MaxCommandLife * time.Millisecond)
		wantCode(t, admit(), fault.Spent)
		a, err := w.r.AdmitInvited(other, others.Public(), w.now())
		if err != nil || a.Principal != bus.OneTime(others.Public()) {
			t.Errorf("%+v %v", a, err)
		}
	})
}

// A ballot that decides while the certificate's head is being signed makes nobody fail.
func TestACertificateAskedForWhileItIsDecided(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		alice, root := w.agent("alice"), w.Roots[0]
		client := w.admitted(alice)
		w.now()
		p := w.Proposal(alice.ID(), alice.ID(), "process.exec")
		opening, err := registry.Result[consensus.Opening](
			w.must(alice, registry.TypePropose, registry.Propose{Proposal: w.SignAlone(p, alice.Key())}))
		if err != nil {
			t.Fatal(err)
		}
		ballot := registry.Cast{Ballot: w.SignAlone(w.Ballot(root.ID(), opening, consensus.Approve), root.Key())}
		vote := w.Sign(w.Command(root.ID(), registry.TypeVote, ballot), root)
		w.disk.saving = func() {
			if answer, err := w.r.Submit(t.Context(), vote); err != nil || answer.Code != "" {
				t.Errorf("%+v %v", answer, err)
			}
		}
		var out control.Certificate
		ask := func() error {
			return client.Ask(t.Context(), control.OpCertificate, control.DecisionID{Prefix: opening.Proposal[:]}, &out)
		}
		wantCode(t, ask(), fault.Pending)
		if _, err := w.r.SignedHead(t.Context()); err != nil { // the vote comes in now
			t.Fatal(err)
		}
		wantCode(t, ask(), "")
		if len(out.Certificate) == 0 {
			t.Error("no certificate")
		}
	})
}
