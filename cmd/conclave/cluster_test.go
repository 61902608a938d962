package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

const anyPort = "127.0.0.1:0"

// machine is one node of a test's cluster.
type machine struct {
	*background
	data, id, client, cluster string
}

// power runs the node of a data directory with a cluster address.
func (s shell) power(data string) machine {
	s.Helper()
	b := s.start("server", "run", "--data", data, "--listen", anyPort, "--cluster", anyPort, "--json")
	doc := decode[map[string]string](s, until(s, b.stdout, "{"))
	return machine{b, data, doc["node"], doc["address"], doc["cluster"]}
}

// aim has a context know only one node.
func (s shell) aim(name string, at machine) {
	s.Helper()
	store, err := contexts.Open(contexts.DefaultDir())
	if err != nil {
		s.Fatal(err)
	}
	c, err := store.Load(name)
	if err != nil {
		s.Fatal(err)
	}
	c.Addresses, c.Pins = []string{at.client}, []string{at.id}
	if err := store.Save(name, c); err != nil {
		s.Fatal(err)
	}
}

// begin makes a solo realm whose node others can join.
func (s shell) begin() machine {
	s.Helper()
	m := document[made](s, "server", "init", "--data", s.path("a"), "--listen", anyPort, "--cluster", anyPort)
	a := s.power(m.Data)
	s.aim("operator", a)
	return a
}

// token makes a join token.
func (s shell) token() string {
	s.Helper()
	return strings.TrimSpace(s.ok("server", "token"))
}

// joined adds a node to the realm and runs it.
func (s shell) joined(name string) machine {
	s.Helper()
	s.ok("server", "join", s.token(), "--data", s.path(name), "--listen", anyPort, "--cluster", anyPort)
	return s.power(s.path(name))
}

// settled asks until so many nodes count and answer, one of them leads, and nobody joins.
func (s shell) settled(counting, answering int) clusterDoc {
	s.Helper()
	return s.becomes(fmt.Sprintf("%d of %d nodes", answering, counting), func(d clusterDoc) bool {
		_, led := d.Leader()
		return d.Counting == counting && len(d.Nodes) == counting && d.Answering == answering && led
	})
}

// becomes asks until the cluster is as it shall be.
func (s shell) becomes(what string, ok func(clusterDoc) bool) clusterDoc {
	s.Helper()
	limit := time.After(40 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		e := s.run("cluster", "members", "--json")
		if e.status == 0 {
			if d := decode[clusterDoc](s, e.stdout); ok(d) {
				return d
			}
		}
		select {
		case <-again.C:
		case <-limit:
			s.Fatalf("never %s: %+v", what, e)
		}
	}
}

// served waits until a context's node serves: one that counts since just now has no lease yet.
func (s shell) served(name string) {
	s.Helper()
	limit := time.After(40 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for s.run("--context", name, "server", "status").status != 0 {
		select {
		case <-again.C:
		case <-limit:
			s.Fatalf("nobody serves %s", name)
		}
	}
}

// leads waits until a node leads for which ok holds, by the nodes' names, and returns its name.
func (s shell) leads(what string, ok func(id string) bool) string {
	s.Helper()
	m, _ := s.becomes(what, func(d clusterDoc) bool {
		m, led := d.Leader()
		return led && ok(m.Node.String())
	}).Leader()
	return m.Node.String()
}

// grown is a realm of three nodes.
func (s shell) grown() []machine {
	s.Helper()
	nodes := []machine{s.begin()}
	nodes = append(nodes, s.joined("b"), s.joined("c"))
	s.settled(3, 3)
	return nodes
}

func TestOneNodeGrowsToThreeAndShrinks(t *testing.T) {
	s := newShell(t)
	a := s.begin()
	d := s.settled(1, 1)
	if d.Roster != 0 || d.Lease != -1 || d.Spare != 0 || d.Nodes[0].Cluster != a.cluster {
		t.Errorf("alone: %+v", d)
	}
	if text := s.ok("server", "status"); !strings.Contains(text, "needs none") || !strings.Contains(text, "leader") {
		t.Errorf("status of one: %q", text)
	}
	s.refused(exitLocal, "conflict", "cluster", "remove", a.id)
	b, c := s.joined("b"), s.joined("c")
	d = s.settled(3, 3)
	if d.Spare != 1 || d.Verdict != "3 of 3 nodes answer; 1 may fail" {
		t.Errorf("three: %+v", d)
	}
	text := s.ok("cluster", "members")
	for _, want := range []string{"NODE ", "leader", "follower", a.client, b.cluster, short(c.id), short(a.id), " *"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := s.ok("server", "status"); !strings.Contains(text, " left") {
		t.Errorf("status of three: %q", text)
	}
	s.enrol("early")
	s.aim("operator", b)
	s.served("operator")
	s.enrol("late") // through another node
	s.ok("context", "use", "operator")
	s.refused(exitNotFound, "not_found", "cluster", "remove", "NZZZZZZ")
	s.refused(exitUsage, "usage", "cluster", "remove", "N")
	s.refused(exitNotFound, "not_found", "cluster", "transfer", "NZZZZZZ")
	r := document[map[string]any](s, "cluster", "remove", c.id[:20])
	if len(r["nodes"].([]any)) != 2 {
		t.Errorf("removed: %v", r)
	}
	d = s.settled(2, 2)
	if d.Spare != 0 || !strings.Contains(d.Verdict, "tolerate no more failures than 1") {
		t.Errorf("two: %+v", d)
	}
}

func TestTheLeadIsHandedOver(t *testing.T) {
	s := newShell(t)
	nodes := s.grown()
	for _, to := range []machine{nodes[2], nodes[0], nodes[1]} {
		s.ok("cluster", "transfer", to.id)
		s.leads(to.id+" leads", func(id string) bool { return id == to.id })
	}
	if out := s.ok("cluster", "transfer"); !strings.Contains(out, "conclave cluster leader") {
		t.Errorf("said %q", out)
	}
	s.leads("another node leads", func(id string) bool { return id != nodes[1].id })
	e := s.run("cluster", "leader", "--json")
	if e.status == exitOK {
		if m := decode[map[string]any](t, e.stdout); m["state"] != "leader" || m["client"] == "" {
			t.Errorf("leader: %v", m)
		}
	} else if r := decode[map[string]refusal](t, e.stderr)["error"]; r.Code != errNoLeader.Code || r.Hint != errNoLeader.Hint {
		t.Errorf("no leader: %+v", e) // its own node has not heard of it yet
	}
}

func TestANodeIsInvitedOnlyToACluster(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	if r := s.refused(exitLocal, "conflict", "server", "token"); !strings.Contains(r.Hint, "`cluster: HOST:PORT`") || !strings.Contains(r.Hint, "restart") {
		t.Errorf("without a cluster address: %+v", r)
	}
	s.refused(exitLocal, "conflict", "cluster", "transfer")
	s.refused(exitUsage, "usage", "server", "token", "--expires", "25h")
	s.refused(exitUsage, "usage", "server", "token", "--expires", "0s")
	s.refused(exitUsage, "usage", "server", "token", "--cosign", "conclave-join-1.x")
	s.enrol("worker")
	s.refused(exitDenied, "denied", "--context", "worker", "server", "token")
}

// TestWhatIsWrongWithAJoinToken has an honest twin each time: the token that is altered lets a node in at the end.
func TestWhatIsWrongWithAJoinToken(t *testing.T) {
	s := newShell(t)
	a := s.begin()
	good := s.token()
	join := func(token, data string, more ...string) []string {
		return append([]string{"server", "join", token, "--data", s.path(data), "--listen", anyPort, "--cluster", anyPort}, more...)
	}
	for _, row := range []struct {
		name, token, code, hint string
		status                  int
	}{
		{"nonsense", "nonsense", "usage", "conclave server token", exitUsage},
		{"an agent's", "conclave-enrol-1.abc", "usage", "conclave agent enroll", exitUsage},
		{"cut off", good[:len(good)-9], "usage", "copy the one line", exitUsage},
		{"expired", s.forged(good, func(t *identity.JoinToken) { t.Issued -= 7200_000; t.Expires = t.Issued + 1000 }), "expired",
			"conclave server token", exitDenied},
		{"another key", s.forged(good, func(t *identity.JoinToken) { t.Pins = []identity.ID{strangerNode(s)} }), "denied",
			"by a way you trust", exitDenied},
		{"signed by nobody", s.forged(good, func(*identity.JoinToken) {}), "no_quorum", "--cosign", exitDenied},
		{"nobody there", s.forged(good, func(t *identity.JoinToken) { t.Addresses = []string{closedPort(s)} }), "unreachable",
			"their cluster addresses can be reached", exitNetwork},
	} {
		r := s.refused(row.status, row.code, join(row.token, "x", "--timeout", "3s")...)
		if !strings.Contains(r.Hint, row.hint) {
			t.Errorf("%s: %+v", row.name, r)
		}
		if _, err := os.Stat(s.path("x", "genesis.cbor")); err == nil {
			t.Errorf("%s: a refused join left a realm behind", row.name)
		}
	}
	s.refused(exitUsage, "usage", "server", "join", good, "--data", s.path("x"), "--cluster", "nowhere")
	s.refused(exitUsage, "usage", "server", "join", good, "--data", s.path("x"))
	if r := s.refused(exitLocal, "conflict", join(good, "a")...); !strings.Contains(r.Hint, "conclave server run --data "+a.data) {
		t.Errorf("own directory: %+v", r)
	}
	s.ok("server", "init", "--data", s.path("other"), "--context-name", "other")
	s.ok("context", "use", "operator")
	if r := s.refused(exitLocal, "conflict", join(good, "other")...); !strings.Contains(r.Message, "another realm") {
		t.Errorf("another realm's directory: %+v", r)
	}
	e := s.feed(good+"\n", join("-", "x", "--json")...)
	if e.status != 0 {
		t.Fatalf("the honest twin: %+v", e)
	}
	doc := decode[map[string]string](t, e.stdout)
	if id, err := node.Identity(s.path("x")); err != nil || doc["node"] != id.String() || doc["data"] != s.path("x") {
		t.Errorf("joined %v, key of %v %v", doc, id, err)
	}
	if r := s.refused(exitDenied, "spent", join(good, "y")...); !strings.Contains(r.Hint, "one node in") {
		t.Errorf("used: %+v", r)
	}
	if r := s.refused(exitLocal, "conflict", join(good, "x")...); !strings.Contains(r.Message, "already") {
		t.Errorf("again in the same directory: %+v", r)
	}
}

// forged returns a token with the same one-time key's seed that an operator of no realm has signed.
func (s shell) forged(text string, change func(*identity.JoinToken)) string {
	s.Helper()
	i, token, err := identity.ParseJoinInvitation(text)
	if err != nil {
		s.Fatal(err)
	}
	change(&token)
	signer, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		s.Fatal(err)
	}
	if i.Token, err = signer.Cosign(i.Realm, token); err != nil {
		s.Fatal(err)
	}
	if text, err = i.Encode(); err != nil {
		s.Fatal(err)
	}
	return text
}

func strangerNode(s shell) identity.ID {
	signer, _, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		s.Fatal(err)
	}
	return signer.ID()
}

// closedPort returns an address at which nobody listens.
func closedPort(s shell) string {
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		s.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// twoRoots runs a realm that alice and bob govern, with contexts for both.
func (s shell) twoRoots() machine {
	s.Helper()
	ids := s.people("alice", "bob")
	m := document[made](s, "server", "init", "--data", s.path("a"), "--preset", "standard", "--listen", anyPort, "--cluster", anyPort,
		"--root", ids["alice"], "--root", ids["bob"])
	for _, name := range []string{"alice", "bob"} {
		s.ok("operator", "sign", "--data", m.Data, "--key", s.path(name+".key"))
	}
	a := s.power(m.Data)
	for _, name := range []string{"alice", "bob"} {
		s.ok("context", "add", name, "--realm", m.Realm, "--address", a.client, "--pin", a.id, "--key", s.path(name+".key"))
	}
	return a
}

func TestTwoRootsInviteAndRemove(t *testing.T) {
	s := newShell(t)
	a := s.twoRoots()
	half := s.run("--context", "alice", "server", "token")
	if half.status != 0 || !strings.Contains(half.stderr, "1 more root operators must sign it") {
		t.Fatalf("half a token: %+v", half)
	}
	token := strings.TrimSpace(half.stdout)
	at := []string{"--data", s.path("b"), "--listen", anyPort, "--cluster", anyPort}
	s.refused(exitDenied, "no_quorum", append([]string{"server", "join", token}, at...)...)
	s.refused(exitDenied, "denied", "--context", "bob", "server", "token", "--cosign",
		s.forged(token, func(t *identity.JoinToken) { t.Pins = []identity.ID{strangerNode(s)} }))
	whole := s.feed(token, "--context", "bob", "server", "token", "--cosign", "-", "--json")
	doc := decode[map[string]any](t, whole.stdout)
	if doc["lacks"] != 0.0 {
		t.Fatalf("whole token: %+v", whole)
	}
	s.ok(append([]string{"server", "join", doc["token"].(string)}, at...)...)
	b := s.power(s.path("b"))

	file := s.path("remove.roster")
	if r := s.refused(exitDenied, "no_quorum", "--context", "alice", "cluster", "remove", b.id); !strings.Contains(r.Hint, "--out FILE") {
		t.Errorf("one root: %+v", r)
	}
	if out := s.ok("--context", "alice", "cluster", "remove", b.id, "--out", file); !strings.Contains(out, "1 more needed") {
		t.Errorf("written: %q", out)
	}
	s.refused(exitDenied, "no_quorum", "--context", "alice", "cluster", "apply", file)
	s.refused(exitDenied, "denied", "--context", "bob", "cluster", "sign", file, "--key", s.stranger())
	e := s.run("--context", "bob", "cluster", "sign", file)
	if e.status != 0 || !strings.Contains(e.stdout, "conclave cluster apply") || !strings.Contains(e.stderr, a.id) {
		t.Errorf("signed: %+v", e)
	}
	s.ok("--context", "bob", "cluster", "apply", file)
	s.refused(exitLocal, "conflict", "--context", "bob", "cluster", "apply", file)
	s.ok("context", "use", "alice")
	s.settled(1, 1)
}

// stranger makes the key of an operator of no realm.
func (s shell) stranger() string {
	s.Helper()
	path := filepath.Join(s.TempDir(), "mallory.key")
	s.ok("operator", "new", "--out", path)
	return path
}

func TestOneNodeIsLeftOfThree(t *testing.T) {
	s := newShell(t)
	nodes := s.grown()
	s.enrol("before")
	s.ok("context", "use", "operator")
	left, key := nodes[2], document[contextLine](s, "context", "show", "operator").Key
	recover := []string{"cluster", "recover", "--data", left.data, "--key"}
	s.refused(exitLocal, "in_use", append(recover, key, "--yes")...)
	for _, n := range nodes {
		if status := n.stop(); status != 0 {
			t.Fatalf("exit %d", status)
		}
	}
	s.refused(exitUsage, "usage", append(recover, key)...) // nobody confirms
	s.refused(exitNotFound, "not_found", append(recover, "nobody", "--yes")...)
	s.refused(exitDenied, "denied", append(recover, s.stranger(), "--yes")...)
	s.refused(exitNotFound, "not_found", "cluster", "recover", "--data", s.path("empty"), "--key", key, "--yes")
	doc := document[remainsDoc](s, append(recover, "operator", "--yes")...)
	if doc.Node != left.id || len(doc.Nodes) != 3 || doc.Last == 0 || doc.Lacks != 0 {
		t.Errorf("remains %+v", doc)
	}
	s.ok(append(recover, key, "--yes")...) // again, before it has started
	alone := s.power(left.data)
	s.aim("operator", alone)
	d := s.settled(1, 1)
	if d.Nodes[0].Node.String() != left.id {
		t.Errorf("left: %+v", d)
	}
	if _, err := os.Stat(filepath.Join(left.data, node.RecoveryFile)); err == nil {
		t.Error("the roster is still to be put through")
	}
	s.ok("agent", "show", "before")
	s.enrol("after")
	s.ok("context", "use", "operator")
	if status := alone.stop(); status != 0 {
		t.Errorf("exit %d", status)
	}
	s.refused(exitLocal, "conflict", append(recover, key, "--yes")...) // it is alone
	s.aim("operator", s.power(left.data))
	s.joined("d")
	s.joined("e")
	s.settled(3, 3)
}

func TestARecoveryWaitsForItsRoots(t *testing.T) {
	s := newShell(t)
	a := s.twoRoots()
	token := strings.TrimSpace(s.ok("--context", "alice", "server", "token"))
	token = strings.TrimSpace(s.ok("--context", "bob", "server", "token", "--cosign", token))
	s.ok("server", "join", token, "--data", s.path("b"), "--listen", anyPort, "--cluster", anyPort)
	a.stop()
	out := s.ok("cluster", "recover", "--data", a.data, "--key", s.path("alice.key"), "--yes")
	if !strings.Contains(out, "1 more root operators sign") {
		t.Errorf("half signed: %q", out)
	}
	file := filepath.Join(a.data, node.RecoveryFile)
	r := s.refused(exitDenied, "no_quorum", "server", "run", "--data", a.data, "--listen", anyPort)
	if !strings.Contains(r.Hint, "conclave cluster sign "+file) {
		t.Errorf("too few: %+v", r)
	}
	if e := s.run("--context", "bob", "cluster", "sign", file); e.status != 0 || !strings.Contains(e.stderr, "it is a recovery") {
		t.Errorf("signed: %+v", e)
	}
	back := s.power(a.data)
	s.ok("context", "use", "alice")
	s.aim("alice", back)
	if d := s.settled(1, 1); d.Roster != 2 {
		t.Errorf("recovered: %+v", d)
	}
}

func TestVerdict(t *testing.T) {
	for _, row := range []struct {
		counting, answering int
		want                string
	}{
		{1, 1, "1 of 1 nodes answer; it is the only one, and none may fail"},
		{2, 2, "2 of 2 nodes answer; none of them may fail; 2 nodes tolerate no more failures than 1: add one, or remove one"},
		{3, 3, "3 of 3 nodes answer; 1 may fail"},
		{3, 2, "2 of 3 nodes answer; none of them may fail"},
		{3, 1, "1 of 3 nodes answer; that is no majority: nothing can be changed until 2 do"},
		{4, 4, "4 of 4 nodes answer; 1 may fail; 4 nodes tolerate no more failures than 3: add one, or remove one"},
		{5, 5, "5 of 5 nodes answer; 2 may fail"},
		{5, 4, "4 of 5 nodes answer; 1 may fail"},
	} {
		if got := verdict(row.counting, row.answering); got != row.want {
			t.Errorf("%d of %d: %q", row.answering, row.counting, got)
		}
	}
}

func TestAPersonIsToldWhatToDoWithAToken(t *testing.T) {
	for _, row := range []struct {
		lacks    uint64
		terminal bool
		want     string
	}{
		{0, true, "conclave server join TOKEN --data DIR"},
		{0, false, ""},
		{1, true, "1 more root operators must sign it"},
		{1, false, "conclave server token --cosign TOKEN"},
	} {
		var out, errs strings.Builder
		p := newProgram(strings.NewReader(""), &out, &errs, os.Getenv, func(any) bool { return row.terminal })
		err := session{program: p}.tellInvitation(admin.NodeInvitation{Text: "conclave-join-1.x", Expires: 1, Lacks: row.lacks})
		if err != nil || out.String() != "conclave-join-1.x\n" {
			t.Errorf("%+v: %q %v", row, out.String(), err)
		}
		if text := errs.String(); !strings.Contains(text, row.want) || row.want == "" && text != "" {
			t.Errorf("%+v: said %q", row, text)
		}
	}
}

func TestNodesAreNamedByABeginning(t *testing.T) {
	c := admin.Cluster{}
	for range 3 {
		c.Nodes = append(c.Nodes, admin.Machine{Node: strangerNode(shell{TB: t})})
	}
	whole := c.Nodes[1].Node.String()
	for _, n := range []int{len(whole), 20} {
		if id, err := find(c, whole[:n]); err != nil || id != c.Nodes[1].Node {
			t.Errorf("%d characters: %s %v", n, id, err)
		}
	}
	c.Nodes[0] = c.Nodes[1]
	for _, typed := range []string{whole, whole[:20], whole[:3], "", "NNNNNNNN", whole + "A", strings.ToLower(whole)} {
		if _, err := find(c, typed); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestAgo(t *testing.T) {
	for _, row := range []struct {
		then, now int64
		want      string
	}{{0, 5000, "never"}, {4500, 5000, "now"}, {6000, 5000, "now"}, {1000, 5900, "4s ago"}, {1, 3_660_001, "1h1m0s ago"}} {
		if got := ago(row.then, row.now); got != row.want {
			t.Errorf("%d at %d: %q", row.then, row.now, got)
		}
	}
}

func TestFilesThatAreNoRosters(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	signer, err := agefile.Load(document[contextLine](s, "context", "show").Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := signer.Cosign(wire.Realm{1}, identity.Roster{
		Version: 1, Number: 7, Previous: wire.Digest{1}, Issued: 1, Roots: []identity.ID{signer.ID()}, Threshold: 1,
		Nodes: []identity.ID{strangerNode(s)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.refused(exitNotFound, "not_found", "cluster", "apply", s.path("none"))
	s.refused(exitVerification, "malformed", "cluster", "apply", s.write("text", "not CBOR"))
	s.refused(exitVerification, "malformed", "cluster", "sign", s.path("text"))
	s.refused(exitLocal, "conflict", "cluster", "apply", s.write("other.roster", string(other)))
}
