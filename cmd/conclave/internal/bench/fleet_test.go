package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
)

// TestEveryFleetBenchmark runs those of realms of several processes to their end, in a tiny size. Nothing that was
// acknowledged may be lost.
func TestEveryFleetBenchmark(t *testing.T) {
	for _, row := range []struct {
		name     string
		unit     string
		clients  int
		beside   string // names of the variants
		commands bool
	}{
		{"registry", "commands/s", 4, "", true},
		{"failover", "ms", 3, "until every client is served again; graceful", true},
		{"decision", "ms", 6, "", false},
		{"quarantine", "ms", 3, "heard at node 1; heard at node 2; heard at node 3; until the operator has the answer", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := tiny(t)
			c.Messages, c.Clients = 20, 4
			r, err := Run(context.Background(), row.name, c)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, v := range r.Variants {
				names = append(names, v.Name)
				if v.Value <= 0 || v.Unit != "ms" || v.P50 <= 0 || v.P99 < v.P50 {
					t.Errorf("variant %+v", v)
				}
			}
			if r.Name != row.name || r.Unit != row.unit || r.Nodes != 3 || r.Clients != row.clients || len(r.Rounds) != 2 ||
				strings.Join(names, "; ") != row.beside {
				t.Errorf("%+v", r)
			}
			if r.Ours <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Fsync <= 0 || r.Crypto.Verify <= 0 || r.What == "" || r.Bound == "" {
				t.Errorf("%+v", r)
			}
			if lost, counted := r.Commands["lost"]; counted != row.commands || lost != 0 || counted && r.Commands["acknowledged"] == 0 {
				t.Errorf("commands %v", r.Commands)
			}
			withoutPeer(t, r)
			left, err := os.ReadDir(os.Getenv("TMPDIR"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// withoutPeer checks the document of a result that has no peer, which parses to the same result.
func withoutPeer(t *testing.T, r Result) {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"peer", "ratio", "peer_p50", "peer_p99"} {
		if v, there := doc[key]; !there || v != nil {
			t.Errorf("%s is %v, not null", key, v)
		}
	}
	round := doc["rounds"].([]any)[0].(map[string]any)
	if v, there := round["peer"]; !there || v != nil || round["ours"] != r.Rounds[0].Ours || doc["ours"] != r.Ours {
		t.Errorf("%s", raw)
	}
	if _, there := doc["fsync_us"]; !there {
		t.Error("no fsync_us")
	}
	var again Result
	if err := json.Unmarshal(raw, &again); err != nil || again.Ours != r.Ours || len(again.Rounds) != len(r.Rounds) {
		t.Errorf("%v: %+v", err, again)
	}
}

// TestResultWithPeer keeps the figures of one.
func TestResultWithPeer(t *testing.T) {
	raw, err := json.Marshal(Result{PeerName: "x", Peer: 2, Ratio: 0.5, Rounds: []Round{{1, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"peer":2`, `"ratio":0.5`, `"rounds":[{"ours":1,"peer":2}]`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
}

// TestOneNode is a registry of a single process.
func TestOneNode(t *testing.T) {
	c := tiny(t)
	c.Rounds, c.Messages, c.Nodes, c.Clients = 1, 10, 1, 2
	r, err := Run(context.Background(), "registry", c)
	if err != nil || r.Nodes != 1 || r.Commands["acknowledged"] != 20 || !strings.Contains(r.Note, "--etcd PATH") {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestLostCommands plants commands that the realm does not have: the run must say so.
func TestLostCommands(t *testing.T) {
	c := tiny(t)
	b := &bout{Config: c, dir: t.TempDir()}
	b.patience, b.Progress = 30*time.Second, func(Progress) {}
	defer func() {
		if err := b.end(); err != nil {
			t.Error(err)
		}
	}()
	p, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFleet(context.Background(), b, p, 1)
	if err != nil {
		t.Fatal(err)
	}
	clerks, err := f.clerks(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal(1)
	raw, err := clerks[0].next()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := clerks[0].admin.Submit(context.Background(), raw)
	j.add(0, acceptance{raw: raw, index: answer.Index}, err)
	honest, planted := &toll{}, &toll{}
	if err := honest.settle(context.Background(), clerks, j); err != nil || *honest != (toll{acknowledged: 1}) {
		t.Errorf("%v: %+v", err, honest)
	}
	if raw, err = clerks[0].next(); err != nil { // never handed in: it comes to stand elsewhere
		t.Fatal(err)
	}
	j.add(0, acceptance{raw: raw, index: answer.Index}, nil)
	j.add(0, acceptance{}, errNoneAccepted)
	if err := planted.settle(context.Background(), clerks, j); err != nil || *planted != (toll{2, 1, 1}) {
		t.Errorf("%v: %+v", err, planted)
	}
	status, err := f.admin.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.applied(context.Background(), status.Size); err != nil {
		t.Error(err)
	}
	if err := f.applied(context.Background(), status.Size-1); !errors.Is(err, errCommands) {
		t.Errorf("one too many: %v", err)
	}
	b.patience = 50 * time.Millisecond
	if err := f.applied(context.Background(), status.Size+1); !errors.Is(err, errCommands) {
		t.Errorf("one too few: %v", err)
	}
}

// TestProcesses are those that do not start, that end by themselves, and that are ended.
func TestProcesses(t *testing.T) {
	b := &bout{Config: tiny(t)}
	if _, err := b.launch(t.Context(), "x", nil, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a program that is not there was started")
	}
	silent := func(out io.Reader) error { return json.NewDecoder(out).Decode(new(string)) }
	if _, err := b.launch(t.Context(), "x", silent, b.Self, "server", "run", t.TempDir()); !errors.Is(err, io.EOF) {
		t.Errorf("a node without a realm: %v", err)
	}
	p, err := b.launch(t.Context(), "x", nil, b.Self, ServerCommand, "nonsense", "")
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if err := b.end(); !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "no server of kind") {
		t.Errorf("ended by itself: %v", err)
	}
	b.dir = t.TempDir()
	rules, err := rules()
	if err != nil {
		t.Fatal(err)
	}
	r, err := foundRealm(b, rules, node.Place{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*process) error{"kill": (*process).kill, "stop": (*process).stop, "end": (*process).end} {
		greeted := func(out io.Reader) error { return json.NewDecoder(out).Decode(new(hello)) }
		p, err := b.launch(t.Context(), "x", greeted, b.Self, "server", "run", r.dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, known := b.started.pids[p.cmd.Process.Pid]; !known {
			t.Errorf("%s: a process that runs is not known", name)
		}
		if err := errors.Join(end(p), p.end(), b.end()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.started.used() != 0 {
		t.Error("an ended process works")
	}
}

func TestProcessTime(t *testing.T) {
	for _, row := range []struct {
		text string
		want time.Duration
	}{
		{"12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0", 2 * time.Second},
		{"12 (a) S 1 2 3 4 5 6 7 8 9 10 150", 0},
		{"12 (a) S 1 2 3 4 5 6 7 8 9 10 x 50 0", 0},
		{"12 (a) S 1 2 3 4 5 6 7 8 9 10 150 x 0", 0},
		{"", 0},
	} {
		if got := processTime(row.text); got != row.want {
			t.Errorf("%q: %s, want %s", row.text, got, row.want)
		}
	}
}

func TestTail(t *testing.T) {
	var last tail
	for range 10 {
		if n, err := last.Write([]byte(strings.Repeat("x", tailSize/2) + "\n")); n != tailSize/2+1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := last.Write([]byte("end\n")); err != nil {
		t.Fatal(err)
	}
	if s := last.String(); len(s) > tailSize || !strings.HasSuffix(s, "x\nend") {
		t.Errorf("%d bytes, ends with %q", len(s), s[len(s)-10:])
	}
}

func TestInsisting(t *testing.T) {
	b := &bout{}
	b.patience = time.Minute
	n := 0
	if err := b.insist(t.Context(), func() error {
		if n++; n < 3 {
			return errNotSeated
		}
		return nil
	}); err != nil || n != 3 {
		t.Errorf("%d attempts: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.insist(ctx, func() error { return errNotSeated }); !errors.Is(err, context.Canceled) || !errors.Is(err, errNotSeated) {
		t.Errorf("cancelled: %v", err)
	}
	b.patience = time.Millisecond
	if err := b.insist(t.Context(), func() error { return errNotSeated }); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("in vain: %v", err)
	}
}
