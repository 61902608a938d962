package bus

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	realmID   = wire.Realm{1, 2, 3}
	realm     = In(realmID)
	prefix    = "c1.AQIDAAAAAAAAAAAAAAAAAA."
	alice     = someone(identity.Agent, 1)
	bob       = someone(identity.Agent, 2)
	node      = someone(identity.Node, 3)
	operator  = someone(identity.Operator, 4)
	proc      = Token{0xff, 0xfe}
	exchangeA = Token{9}
)

func someone(role identity.Role, n byte) identity.ID {
	return identity.NewID(role, wire.NewKey([32]byte{n}).Public())
}

func topicOf(t testing.TB, from identity.ID, name string) string {
	t.Helper()
	s, err := realm.Topic(from, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSubjectsAreReadAsTheyWereMade(t *testing.T) {
	once := wire.NewKey([32]byte{5}).Public()
	a, b, n, o, p, x := alice.String(), bob.String(), node.String(), operator.String(), proc.String(), exchangeA.String()
	for _, row := range []struct {
		made, text string
		parts      Subject
	}{
		{realm.Request(bob, proc, alice), "req." + b + "." + p + "." + a, Subject{Kind: Request, To: bob, Process: proc, From: alice}},
		{realm.Reply(alice, proc, bob, exchangeA), "rep." + a + "." + p + "." + b + "." + x,
			Subject{Kind: Reply, To: alice, Process: proc, From: bob, ID: exchangeA}},
		{realm.Mail(bob, alice), "msg." + b + "." + a, Subject{Kind: Mail, To: bob, From: alice}},
		{topicOf(t, alice, "news.local_1"), "top." + a + ".news.local_1", Subject{Kind: Topic, From: alice, Topic: "news.local_1"}},
		{realm.Control(node, operator, proc, exchangeA), "ctl." + n + "." + o + "." + p + "." + x,
			Subject{Kind: Control, To: node, From: operator, Process: proc, ID: exchangeA}},
		{realm.ControlReply(alice, proc, exchangeA), "ctr." + a + "." + p + "." + x,
			Subject{Kind: ControlReply, To: alice, Process: proc, ID: exchangeA}},
		{realm.Enrol(node, once, exchangeA), "enr." + n + "." + OneTime(once).String() + "." + x,
			Subject{Kind: Enrol, To: node, From: OneTime(once), ID: exchangeA}},
		{realm.Hint(node), "evt." + n, Subject{Kind: Hint, From: node}},
		{realm.Word(node), "nod." + n, Subject{Kind: Word, From: node}},
	} {
		if row.made != prefix+row.text {
			t.Errorf("made %s, want %s", row.made, prefix+row.text)
		}
		if got, err := realm.Parse(row.made); err != nil || got != row.parts {
			t.Errorf("%s: read %+v, %v", row.made, got, err)
		}
		if !ValidSubject(row.made) || !Covers(realm.All(), row.made) || len(row.made) > MaxSubject {
			t.Errorf("%s is not valid in the realm", row.made)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := realm.Request(bob, proc, alice)
	if _, err := realm.Parse(good); err != nil {
		t.Fatal(err)
	}
	b, a, p := bob.String(), alice.String(), proc.String()
	for name, s := range map[string]string{
		"empty":              "",
		"prefix only":        prefix,
		"no kind":            prefix + ".",
		"break in a token":   prefix + "req." + b + "." + p[:5] + "\n" + p[5:] + "." + a,
		"unknown kind":       prefix + "abc." + b + "." + a,
		"kind alone":         prefix + "evt",
		"another version":    "c2" + good[2:],
		"another realm":      In(wire.Realm{9}).Request(bob, proc, alice),
		"a part missing":     prefix + "req." + b + "." + p,
		"a part too many":    good + "." + exchangeA.String(),
		"trailing dot":       good + ".",
		"empty part":         prefix + "req." + b + ".." + a,
		"star":               prefix + "req." + b + ".*." + a,
		"tail":               prefix + "req." + b + ".>",
		"lower case":         prefix + "req." + strings.ToLower(b) + "." + p + "." + a,
		"wrong role":         prefix + "req." + node.String() + "." + p + "." + a,
		"operator sends":     prefix + "req." + b + "." + p + "." + operator.String(),
		"agent hints":        prefix + "evt." + a,
		"bad checksum":       prefix + "req." + b[:55] + "A." + p + "." + a,
		"seed":               prefix + "req.S" + b[1:] + "." + p + "." + a,
		"short token":        prefix + "req." + b + "." + p[:21] + "." + a,
		"token with low bit": prefix + "req." + b + "." + p[:21] + "B." + a,
		"token padded":       prefix + "req." + b + "." + p + "==." + a,
		"capital topic":      prefix + "top." + a + ".News",
		"topic wildcard":     prefix + "top." + a + ".news.*",
		"no topic":           prefix + "top." + a,
		"long topic":         prefix + "top." + a + "." + strings.Repeat("a.", MaxTopicWords) + "a",
		"too long":           prefix + "top." + a + "." + strings.Repeat("a", MaxSubject),
	} {
		if got, err := realm.Parse(s); !errors.Is(err, ErrSubject) {
			t.Errorf("%s: read %+v, %v", name, got, err)
		}
	}
	if _, err := (Realm{}).Parse(good); !errors.Is(err, ErrSubject) {
		t.Errorf("zero realm: %v", err)
	}
}

func TestTopics(t *testing.T) {
	for pattern, want := range map[string]string{
		"*": "top.*.>", "news": "top.*.news", "news.local": "top.*.news.local", "news.*": "top.*.news.>",
	} {
		if got, err := realm.Topics(pattern); err != nil || got != prefix+want {
			t.Errorf("%s: %s, %v", pattern, got, err)
		}
	}
	for _, bad := range []string{"", "*.news", "news.>", ">", "news.*.x", ".*", "News", strings.Repeat("a.", 12) + "a"} {
		if got, err := realm.Topics(bad); !errors.Is(err, ErrSubject) {
			t.Errorf("pattern %q: %s, %v", bad, got, err)
		}
		if got, err := realm.Topic(alice, bad); !errors.Is(err, ErrSubject) {
			t.Errorf("topic %q: %s, %v", bad, got, err)
		}
	}
}

func TestToken(t *testing.T) {
	got, err := NewToken(bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil || got != Token(bytes.Repeat([]byte{7}, 16)) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := NewToken(bytes.NewReader(make([]byte, 15))); err == nil {
		t.Error("made of 15 bytes")
	}
	if TokenOf(wire.Digest{1}) != (Token{1}) || len(Token{}.String()) != 22 {
		t.Error("token of a digest")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		realm.Request(bob, proc, alice), realm.Reply(alice, proc, bob, exchangeA), realm.Mail(bob, alice),
		topicOf(f, alice, "a.b"), realm.Control(node, operator, proc, exchangeA), realm.ControlReply(alice, proc, exchangeA),
		realm.Enrol(node, alice.Key(), exchangeA), realm.Hint(node), realm.Word(node), realm.All(), "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := realm.Parse(s)
		if err != nil {
			return
		}
		made := map[Kind]func() string{
			Request:      func() string { return realm.Request(p.To, p.Process, p.From) },
			Reply:        func() string { return realm.Reply(p.To, p.Process, p.From, p.ID) },
			Mail:         func() string { return realm.Mail(p.To, p.From) },
			Topic:        func() string { return topicOf(t, p.From, p.Topic) },
			Control:      func() string { return realm.Control(p.To, p.From, p.Process, p.ID) },
			ControlReply: func() string { return realm.ControlReply(p.To, p.Process, p.ID) },
			Enrol:        func() string { return realm.Enrol(p.To, p.From.Key(), p.ID) },
			Hint:         func() string { return realm.Hint(p.From) },
			Word:         func() string { return realm.Word(p.From) },
		}[p.Kind]()
		if made != s || !ValidSubject(s) {
			t.Errorf("%q was read as %+v, which makes %q", s, p, made)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := realm.Request(bob, proc, alice)
	for b.Loop() {
		if _, err := realm.Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzValidSubject holds the one pass against what it says: a pattern without wildcards.
func FuzzValidSubject(f *testing.F) {
	for _, s := range []string{"", "a", "a.b", ".a", "a.", "a..b", "a.*", "a.>", "a*b", "a b", "a\x7f", "é", strings.Repeat("a", MaxSubject+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ValidSubject(s), ValidPattern(s) && !strings.ContainsAny(s, "*>"); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	})
}
