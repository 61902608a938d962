package registrar

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// newcomer returns a fresh node and its admission by a token that the roots have signed.
func (w *trio) newcomer() (identity.ID, []byte) {
	w.t.Helper()
	w.World.Now = time.Now().UnixMilli()
	node := w.Signer(identity.Node)
	token, once := w.JoinToken()
	return node.ID(), w.Admission(node, token, once)
}

// number returns the number of the roster in force at all nodes, which must agree.
func (w *trio) number() uint64 {
	w.t.Helper()
	n := w.at[0].Authority().Number
	for _, s := range w.at[1:] {
		if got := s.Authority().Number; got != n && !s.isCut() {
			w.t.Fatalf("rosters %d and %d", n, got)
		}
	}
	return n
}

func TestNodesJoinAndAreLetCount(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		a, admissionA := w.newcomer()
		b, admissionB := w.newcomer()
		w.at[2].cutOff(true) // a majority is enough
		if _, err := w.at[0].AdmitNode(t.Context(), admissionA); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at[1].AdmitNode(t.Context(), admissionB); err != nil {
			t.Fatal(err)
		}
		w.at[2].cutOff(false)
		if id, err := w.at[2].AdmitNode(t.Context(), admissionA); err != nil || id != a || w.number() != 2 {
			t.Fatalf("once more: %s %v, roster %d", id, err, w.number())
		}
		if who := w.at[2].Authority(); len(who.Nodes) != 3 || len(who.Joining) != 2 {
			t.Fatalf("%d nodes, %d join", len(who.Nodes), len(who.Joining))
		}
		if err := w.at[1].PromoteNodes(t.Context(), []identity.ID{a, b}); err != nil {
			t.Fatal(err)
		}
		if who := w.at[2].Authority(); len(who.Nodes) != 5 || len(who.Joining) != 0 || who.Majority() != 3 {
			t.Fatalf("%d nodes, %d join", len(who.Nodes), len(who.Joining))
		}
		if w.at[0].changes != 3 || len(w.at[0].Rosters()) != 3 {
			t.Errorf("told of %d changes, %d rosters", w.at[0].changes, len(w.at[0].Rosters()))
		}
		stranger, _ := w.newcomer()
		if err := w.at[1].PromoteNodes(t.Context(), []identity.ID{stranger}); fault.CodeOf(err) != fault.Denied {
			t.Errorf("a stranger counts: %v", err)
		}
	})
}

func TestAdmissionsThatAreRefused(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		_, honest := w.newcomer()
		if _, err := w.at[0].AdmitNode(t.Context(), honest); err != nil {
			t.Fatal(err)
		}
		token, once := w.JoinToken()
		other := w.Signer(identity.Node)
		late, lateOnce := w.JoinToken()
		late.Issued, late.Expires = w.World.Now-7200_000, w.World.Now-3600_000
		admit := func(a identity.Admission, keys ...wire.Key) error {
			raw, err := wire.Cosign(w.Realm, a, keys...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.at[0].AdmitNode(t.Context(), raw)
			return err
		}
		signed := func(token identity.JoinToken, by ...identity.Signer) identity.Admission {
			return identity.Admission{Version: 1, Token: w.Sign(token, by...), Node: other.ID(), Issued: w.World.Now}
		}
		for name, c := range map[string]struct {
			err  error
			code fault.Code
		}{
			"token that nobody signed":      {admit(signed(token, w.Nodes[0]), other.Key(), once), fault.NoQuorum},
			"token that is over":            {admit(signed(late, w.Roots...), other.Key(), lateOnce), fault.Expired},
			"without the one-time key":      {admit(signed(token, w.Roots...), other.Key(), w.Key()), fault.NoQuorum},
			"without the node's key":        {admit(signed(token, w.Roots...), w.Key(), once), fault.NoQuorum},
			"nothing":                       {func() error { _, err := w.at[0].AdmitNode(t.Context(), nil); return err }(), fault.Malformed},
			"the token of another newcomer": {admit(w.stolen(honest, other), other.Key(), once), fault.NoQuorum},
		} {
			if fault.CodeOf(c.err) != c.code {
				t.Errorf("%s: %v, want %s", name, c.err, c.code)
			}
		}
		if w.number() != 1 {
			t.Errorf("roster %d", w.number())
		}
	})
}

// stolen returns an admission of node by the token of another one's.
func (w *trio) stolen(admission []byte, node identity.Signer) identity.Admission {
	w.t.Helper()
	c, err := wire.ParseCosigned[identity.Admission](admission, wire.MaxStatement)
	if err != nil {
		w.t.Fatal(err)
	}
	return identity.Admission{Version: 1, Token: c.Claim.Token, Node: node.ID(), Issued: w.World.Now}
}

func TestRootsRemoveANode(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		without := func(i int, by ...identity.Signer) []byte {
			r := w.at[0].nextRoster()
			r.Nodes = slices.DeleteFunc(r.Nodes, func(id identity.ID) bool { return id == w.at[i].ID() })
			raw, err := wire.Cosign(w.Realm, r, ledgerKeys(by)...)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		put := func(from identity.ID, raw []byte) error {
			body, err := wire.Encode(control.PutRoster{Roster: raw})
			if err != nil {
				t.Fatal(err)
			}
			_, err = desk{w.at[0].Registrar}.onRoster(t.Context(), control.Caller{Principal: from}, body)
			return err
		}
		agent := w.at[0].agent("alice")
		if err := put(agent.ID(), without(2, w.Roots...)); fault.CodeOf(err) != fault.Denied {
			t.Errorf("an agent: %v", err)
		}
		if err := put(w.Roots[0].ID(), without(2)); fault.CodeOf(err) != fault.NoQuorum {
			t.Errorf("without the roots: %v", err)
		}
		if err := put(w.Roots[0].ID(), without(2, w.Roots...)); err != nil {
			t.Fatal(err)
		}
		if w.number() != 1 || slices.Contains(w.at[1].Authority().Nodes, w.at[2].ID()) {
			t.Error("it is still there")
		}
		if err := w.at[2].mayServe(); err == nil {
			time.Sleep(DefaultLease + time.Millisecond)
			synctest.Wait()
			if err := w.at[2].mayServe(); err == nil {
				t.Error("a removed node serves")
			}
		}
	})
}

func ledgerKeys(signers []identity.Signer) []wire.Key {
	var keys []wire.Key
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	return keys
}

// halfWay has a node sign the roster that admits a newcomer, for an author who has gone since.
func (w *trio) halfWay(s *seat, author identity.Signer) {
	w.t.Helper()
	node, admission := w.newcomer()
	r := s.nextRoster()
	r.Joining, r.Admission = []identity.ID{node}, admission
	raw, err := wire.Cosign(w.Realm, r, author.Key())
	if err == nil {
		_, err = s.Registrar.seats.cosign(raw)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestChangeLeftHalfWayBindsForAWhile(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		w.halfWay(w.at[2], w.Nodes[1])
		w.at[1].cutOff(true)
		_, admission := w.newcomer()
		if _, err := w.at[0].AdmitNode(t.Context(), admission); !errors.Is(err, ErrMajority) {
			t.Fatalf("two rosters of one number: %v", err)
		}
		time.Sleep(promise*time.Millisecond + time.Second)
		if _, err := w.at[0].AdmitNode(t.Context(), admission); err != nil {
			t.Fatalf("when nobody is bound any more: %v", err)
		}
		if w.number() != 1 {
			t.Errorf("roster %d", w.number())
		}
	})
}

func TestOwnChangeLeftHalfWayIsTakenUp(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		_, first := w.newcomer()
		_, second := w.newcomer()
		w.at[1].cutOff(true)
		w.at[2].cutOff(true)
		if _, err := w.at[0].AdmitNode(t.Context(), first); !errors.Is(err, ErrMajority) {
			t.Fatalf("by one of three: %v", err)
		}
		w.at[1].cutOff(false)
		w.at[2].cutOff(false)
		time.Sleep(time.Second)
		if _, err := w.at[0].AdmitNode(t.Context(), second); fault.CodeOf(err) != fault.Conflict || w.number() != 1 {
			t.Fatalf("another one: %v, roster %d", err, w.number())
		}
		if _, err := w.at[0].AdmitNode(t.Context(), first); err != nil || w.number() != 1 {
			t.Fatalf("the same one: %v, roster %d", err, w.number())
		}
		if _, err := w.at[0].AdmitNode(t.Context(), second); err != nil || w.number() != 2 {
			t.Fatalf("now the other: %v, roster %d", err, w.number())
		}
	})
}

func TestWordsGoFromNodeToNode(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice")
		p, err := identity.NewProcess(w.Realm, alice, 1, time.Now().UnixMilli(), time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		id, here := p.Credential().ID(), w.at[0]
		if _, err := here.Admit(p.Credential().Raw(), p.Connect().Public(), time.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at[1].presences.process(alice.ID(), id); err == nil {
			t.Fatal("known before anybody told")
		}
		here.Entered(alice.ID(), id)
		synctest.Wait()
		for _, s := range w.at {
			if _, err := s.presences.process(alice.ID(), id); err != nil {
				t.Errorf("not told: %v", err)
			}
		}
		raw := presence(t, p, 1, time.Now().UnixMilli(), "text.upper")
		body, err := wire.Encode(control.Announce{Presence: raw})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (desk{here.Registrar}).onAnnounce(t.Context(), control.Caller{Principal: alice.ID()}, body); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		there := func(s *seat) bool {
			return len(s.presences.search(control.Find{Capability: "text.upper"}, time.Now().UnixMilli())) == 1
		}
		if !there(w.at[1]) || !there(w.at[2]) {
			t.Error("a presence was not told")
		}
		w.at[1].Left(alice.ID(), id) // never was there
		synctest.Wait()
		if !there(w.at[0]) || !there(w.at[2]) {
			t.Error("a node sent away a process of another")
		}
		here.Left(alice.ID(), id)
		synctest.Wait()
		if there(w.at[0]) || there(w.at[2]) {
			t.Error("it has gone, and is still offered")
		}
	})
}

func TestWordsAreVerified(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice")
		stranger := w.Signer(identity.Agent)
		now := time.Now().UnixMilli()
		process := func(s identity.Signer) *identity.Process {
			p, err := identity.NewProcess(w.Realm, s, 1, now, time.Hour.Milliseconds())
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		honest, foreign, other := process(alice), process(stranger), process(alice)
		from := w.at[1].ID()
		if err := (whereabouts{w.at[0].Registrar}).take(from, word{Credential: honest.Credential().Raw()}); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]word{
			"a stranger's credential": {Credential: foreign.Credential().Raw()},
			"junk":                    {Credential: []byte("junk")},
			"another's presence":      {Credential: honest.Credential().Raw(), Presence: presence(t, other, 1, now, "a")},
			"a presence that is over": {Credential: honest.Credential().Raw(), Presence: presence(t, honest, 1, now-3600_000, "a")},
		} {
			if err := (whereabouts{w.at[0].Registrar}).take(from, c); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		w.at[0].quarantine(alice.ID())
		if err := (whereabouts{w.at[0].Registrar}).take(from, word{Credential: other.Credential().Raw()}); fault.CodeOf(err) != fault.Quarantined {
			t.Errorf("a quarantined agent's process: %v", err)
		}
	})
}

func TestUnknownProcessIsAskedForElsewhere(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice := w.at[0].agent("alice")
		p, err := identity.NewProcess(w.Realm, alice, 1, time.Now().UnixMilli(), time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.at[0].Admit(p.Credential().Raw(), p.Connect().Public(), time.Now().UnixMilli()); err != nil {
			t.Fatal(err)
		}
		ask := func(s *seat, credential wire.Digest) error {
			body, err := wire.Encode(control.Process{Principal: alice.ID(), Credential: credential})
			if err != nil {
				t.Fatal(err)
			}
			_, err = desk{s.Registrar}.onSender(t.Context(), control.Caller{Principal: alice.ID()}, body)
			return err
		}
		if err := ask(w.at[2], p.Credential().ID()); err != nil {
			t.Errorf("a process at another node: %v", err)
		}
		if err := ask(w.at[2], wire.Digest{1}); fault.CodeOf(err) != fault.Unknown {
			t.Errorf("a process nowhere: %v", err)
		}
		(whereabouts{w.at[1].Registrar}).gather(t.Context())
		if _, err := w.at[1].presences.process(alice.ID(), p.Credential().ID()); err != nil {
			t.Errorf("gathered: %v", err)
		}
	})
}
