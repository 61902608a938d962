package bus

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

var credentialID = wire.Digest{0xff, 0xfe} // TokenOf is proc

func party(rights trust.Rights) Party {
	return Party{Realm: realmID, Node: node, Principal: alice, Process: credentialID, Status: trust.Active, Rights: rights}
}

func TestPermissionsOfAgents(t *testing.T) {
	a, p := alice.String(), proc.String()
	inRealm := func(words ...string) (subjects []string) {
		for _, w := range words {
			subjects = append(subjects, prefix+w)
		}
		return subjects
	}
	for _, row := range []struct {
		name   string
		rights trust.Rights
		more   Permissions
	}{
		{"none", trust.Rights{}, Permissions{}},
		{"rights without a rate", trust.Rights{Call: []string{"*"}, Publish: []string{"*"}}, Permissions{}},
		{"rate without rights", trust.Rights{Rate: 9}, Permissions{}},
		{"call", trust.Rights{Rate: 9, Call: []string{"x"}}, Permissions{
			Publish: []string{"req.*.*." + a}, Subscribe: []string{"rep." + a + "." + p + ".>"},
		}},
		{"serve", trust.Rights{Rate: 9, Serve: []string{"x"}}, Permissions{
			Publish: []string{"rep.*.*." + a + ".*"}, Subscribe: []string{"req." + a + "." + p + ".>"},
		}},
		{"publish", trust.Rights{Rate: 9, Publish: []string{"n.*", "w"}}, Permissions{
			Publish:   []string{"rep.*.*." + a + ".*", "top." + a + ".n.>", "top." + a + ".w"},
			Subscribe: []string{"req." + a + "." + p + ".>"},
		}},
		{"subscribe", trust.Rights{Rate: 9, Subscribe: []string{"*"}}, Permissions{
			Publish: []string{"req.*.*." + a}, Subscribe: []string{"rep." + a + "." + p + ".>", "top.*.>"},
		}},
	} {
		got := party(row.rights).Permissions()
		publish := inRealm(append([]string{"ctl." + node.String() + "." + a + "." + p + ".*"}, row.more.Publish...)...)
		subscribe := inRealm(append([]string{"ctr." + a + "." + p + ".>", "evt.>"}, row.more.Subscribe...)...)
		if !slices.Equal(got.Publish, publish) || !slices.Equal(got.Subscribe, subscribe) {
			t.Errorf("%s: got %v, want %v and %v", row.name, got, publish, subscribe)
		}
	}
}

func allRights() trust.Rights {
	return trust.Rights{Call: []string{"*"}, Serve: []string{"*"}, Publish: []string{"*"}, Subscribe: []string{"*"}, Rate: 100}
}

func TestOnlyTheActiveHavePermissions(t *testing.T) {
	if party(allRights()).Permissions().IsZero() {
		t.Fatal("the honest twin has none")
	}
	for name, spoil := range map[string]func(*Party){
		"quarantined":    func(p *Party) { p.Status = trust.Quarantined },
		"revoked":        func(p *Party) { p.Status = trust.Revoked },
		"unknown status": func(p *Party) { p.Status = 0 },
		"future status":  func(p *Party) { p.Status = 9 },
		"nobody":         func(p *Party) { p.Principal = identity.ID{} },
		"no node":        func(p *Party) { p.Node = identity.ID{} },
		"node no node":   func(p *Party) { p.Node = alice },
	} {
		p := party(allRights())
		spoil(&p)
		if got := p.Permissions(); !got.IsZero() {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOperatorsAndNodesSpeakControlOnly(t *testing.T) {
	for _, who := range []identity.ID{operator, someone(identity.Node, 8)} {
		p := party(allRights())
		p.Principal = who
		got := p.Permissions()
		if !got.MayPublish(realm.Control(node, who, proc, exchangeA)) || !got.MaySubscribe(realm.ControlReplies(who, proc)) {
			t.Errorf("%s may not speak control", who.Role())
		}
		for _, s := range append(got.Publish, got.Subscribe...) {
			if kind := strings.Split(s, ".")[2]; kind != "ctl" && kind != "ctr" && kind != "evt" {
				t.Errorf("%s may use %s", who.Role(), s)
			}
		}
	}
}

func TestOneTimeKeyEnrolsOnly(t *testing.T) {
	key := wire.NewKey([32]byte{6}).Public()
	other := wire.NewKey([32]byte{7}).Public()
	p := OneTimePermissions(realmID, node, key)
	if !p.MayPublish(realm.Enrol(node, key, exchangeA)) {
		t.Error("may not enrol")
	}
	if !p.MaySubscribe(realm.ControlReplies(OneTime(key), OneTimeProcess(key))) {
		t.Error("may not hear the answer")
	}
	for _, s := range []string{
		realm.Enrol(node, other, exchangeA), realm.Enrol(someone(identity.Node, 8), key, exchangeA),
		realm.Control(node, OneTime(key), OneTimeProcess(key), exchangeA), realm.Request(bob, proc, OneTime(key)),
	} {
		if p.MayPublish(s) {
			t.Errorf("may publish on %s", s)
		}
	}
	if p.MaySubscribe(realm.Hints()) || p.MaySubscribe(realm.ControlReplies(OneTime(other), OneTimeProcess(other))) {
		t.Error("may hear what is not for it")
	}
	if !OneTimePermissions(realmID, alice, key).IsZero() {
		t.Error("an agent is no node")
	}
}

// TestOnlyNodesHaveWords: what nodes tell each other is neither heard nor said by anybody else, whatever the rights.
func TestOnlyNodesHaveWords(t *testing.T) {
	p := NodePermissions(realmID)
	if !p.MayPublish(realm.Word(node)) || !p.MaySubscribe(realm.Words()) || !Covers(realm.Words(), realm.Word(node)) {
		t.Error("a node has no words")
	}
	once := wire.NewKey([32]byte{6}).Public()
	most := party(allRights())
	others := map[string]Permissions{"invited": OneTimePermissions(realmID, node, once), "agent": most.Permissions()}
	for name, id := range map[string]identity.ID{"operator": operator, "node as a client": node} {
		most.Principal = id
		others[name] = most.Permissions()
	}
	for name, p := range others {
		if p.IsZero() {
			t.Errorf("%s: the honest twin may nothing", name)
		}
		for _, s := range []string{realm.Word(node), realm.Word(alice), realm.Words(), realm.prefix + "nod.>"} {
			if p.MayPublish(s) || p.MaySubscribe(s) {
				t.Errorf("%s may use %s", name, s)
			}
		}
	}
}

func TestAnotherProcessIsAnother(t *testing.T) {
	p := party(allRights()).Permissions()
	other := Token{1}
	if !p.MaySubscribe(realm.Requests(alice, proc)) || p.MaySubscribe(realm.Requests(alice, other)) ||
		p.MaySubscribe(realm.Replies(alice, other)) || p.MaySubscribe(realm.ControlReplies(alice, other)) ||
		p.MayPublish(realm.Control(node, alice, other, exchangeA)) {
		t.Error("a process may use a sibling's subjects")
	}
}

func TestCovers(t *testing.T) {
	for _, row := range []struct {
		pattern, other string
		want           bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "*", true}, {"*", ">", false}, {"*", "a.b", false},
		{">", "a", true}, {">", "a.b.c", true}, {">", ">", true}, {">", "*.a", true},
		{"a.>", "a.b", true}, {"a.>", "a.>", true}, {"a.>", "a", false}, {"a.>", "b.c", false},
		{"a.*", "a.*", true}, {"a.*", "a.>", false}, {"a.b", "a.*", false}, {"a.*.c", "a.b.c", true},
		{"a.*.c", "a.*.c", true}, {"a.*.c", "a.>", false}, {"*.b", "a.b", true}, {"*.b", "*.*", false},
	} {
		if got := Covers(row.pattern, row.other); got != row.want {
			t.Errorf("%s covers %s: %v", row.pattern, row.other, got)
		}
	}
}

// TestCoversAgreesWithMatching compares Covers with its definition over all short subjects.
func TestCoversAgreesWithMatching(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	var subjects []string
	var grow func(s string, depth int)
	grow = func(s string, depth int) {
		subjects = append(subjects, s)
		for _, w := range []string{"a", "b", "z"} { // z is in no pattern, so * is not the same as {a, b}
			if depth > 1 {
				grow(s+"."+w, depth-1)
			}
		}
	}
	for _, w := range []string{"a", "b", "z"} {
		grow(w, 4)
	}
	pattern := func() string {
		words := make([]string, 1+r.IntN(3))
		for i := range words {
			words[i] = []string{"a", "b", "*"}[r.IntN(3)]
		}
		if r.IntN(3) == 0 {
			words[len(words)-1] = ">"
		}
		return strings.Join(words, ".")
	}
	for range 2000 {
		p, o := pattern(), pattern()
		want := true
		for _, s := range subjects {
			if Covers(o, s) && !Covers(p, s) {
				want = false
			}
		}
		if got := Covers(p, o); got != want {
			t.Errorf("%s covers %s: %v, want %v", p, o, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	small := Permissions{Publish: []string{"a.b"}, Subscribe: []string{"c.*"}}
	large := Permissions{Publish: []string{"x", "a.*"}, Subscribe: []string{">"}}
	if !small.Within(large) || large.Within(small) || !(Permissions{}).Within(Permissions{}) || !small.Within(small) {
		t.Error("within")
	}
	if small.Within(Permissions{Publish: large.Publish}) || small.Within(Permissions{Subscribe: large.Subscribe}) {
		t.Error("half is not within")
	}
}
