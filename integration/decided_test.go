package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// What an agent's process of these tests does, in place of a capability.
const (
	voting = "vote" // approves whatever it is asked about
	using  = "use"  // uses the permit once: @decision@key@file@how
)

// allOfThem wants three agents and a person to approve what is risky: ballots stay sealed until the last agent has committed.
const allOfThem = "preset: standard\nenrol_level: L3\nclasses:\n  R2: {approvals: 4, people: 1}\n  R3: {approvals: 4}\n"

// playVoter votes until it is told to end, and says what it is asked about.
func playVoter(ctx context.Context, a *sdk.Agent) int {
	err := a.OnBallot(func(_ context.Context, v ballot.View) (ballot.Vote, error) {
		fmt.Println("asked", v.ID)
		return ballot.Approve("seen"), nil
	})
	if err != nil {
		return 1
	}
	fmt.Println("ready", a.Self().Process)
	if a.Run(ctx) != nil {
		return 1
	}
	return 0
}

// playUser uses a permit, and says how that ended.
func playUser(ctx context.Context, a *sdk.Agent, args string) int {
	part := strings.Split(args, "@")
	var id sdk.Digest
	if id.UnmarshalText([]byte(part[0])) != nil || len(part) != 4 {
		return 1
	}
	fmt.Println("ready", a.Self().Process)
	d, err := a.Decision(ctx, id)
	if err == nil {
		err = a.ExecuteUse(ctx, d, sdk.Use{Action: restart("web-1"), Key: part[1]}, func(ctx context.Context) error {
			if err := appendLine(part[2]); err != nil || part[3] != "hang" {
				return err
			}
			fmt.Println("acting")
			<-ctx.Done() // never: this process is killed
			return ctx.Err()
		})
	}
	if fmt.Println("used", sdk.CodeOf(err)); a.Close(context.WithoutCancel(ctx)) != nil {
		return 1
	}
	return 0
}

// decided is how long a decision may take whose voters and node are killed: far longer than it does.
const decided = time.Minute

func restart(target string) sdk.Action { return sdk.NewAction("process.exec", target, nil) }

// council makes a realm of three people by the commands that they type, starts its node and enrols an agent of alice, which
// proposes, one of bob and two of carol.
func (w *world) council() (dir string) {
	w.t.Helper()
	dir = w.path("node")
	rules := w.path("rules.yaml")
	if err := os.WriteFile(rules, []byte(allOfThem), 0o600); err != nil {
		w.t.Fatal(err)
	}
	people := []string{"alice", "bob", "carol"}
	args := []string{"server", "init", "--data", dir, "--policy", rules, "--listen", "127.0.0.1:0", "--json"}
	for _, name := range people {
		made := w.told("operator", "new", "--out", w.path(name+".key"), "--json")
		args = append(args, "--root", made["operator"].(string))
	}
	made := w.told(args...)
	for _, name := range people[:2] {
		w.must("operator", "sign", "--data", dir, "--key", w.path(name+".key"))
	}
	w.start(dir, "")
	for _, name := range people {
		w.must("context", "add", name, "--realm", made["realm"].(string), "--address", w.node.address,
			"--pin", made["pins"].([]any)[0].(string), "--key", w.path(name+".key"))
	}
	for name, by := range map[string]string{"worker": "alice", "checker": "bob", "auditor": "carol", "reader": "carol"} {
		w.must("agent", "enroll", w.must("agent", "token", "--context", by, "--name", name, "--level", "L3"))
		w.pointAt(name, w.node.address)
	}
	return dir
}

// told runs the binary and returns the document that it prints.
func (w *world) told(args ...string) map[string]any {
	w.t.Helper()
	var doc map[string]any
	if out := w.must(args...); json.Unmarshal([]byte(out), &doc) != nil {
		w.t.Fatalf("conclave %s: %s", strings.Join(args, " "), out)
	}
	return doc
}

// returns connects this process as an agent that keeps its state between processes.
func (w *world) returns(name string) *sdk.Agent {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), decided)
	defer cancel()
	a, err := sdk.Connect(ctx, sdk.Context(name))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = a.Close(context.Background()) }) // closed by the test already, or here
	return a
}

// says waits for the next line of an agent's process.
func (a *agent) says(t *testing.T, want string) {
	t.Helper()
	select {
	case line := <-a.lines:
		if line != want {
			t.Fatalf("said %q, want %q: %s", line, want, a.stderr)
		}
	case <-time.After(decided):
		t.Fatalf("never said %q: %s", want, a.stderr)
	}
}

// kill ends an agent's process as a loss of power would.
func (a *agent) kill(t *testing.T) {
	t.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.cmd.Wait()
}

// ended waits until an agent's process has ended by itself.
func (a *agent) ended() {
	for range a.lines {
	}
	_ = a.cmd.Wait()
}

// seen waits until a decision looks as wanted to somebody.
func (w *world) seen(by *sdk.Agent, id sdk.Digest, what string, wanted func(v ballot.View) bool) ballot.View {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), decided)
	defer cancel()
	for {
		v, err := by.Ballots().View(ctx, id.String())
		switch {
		case err == nil && wanted(v):
			return v
		case ctx.Err() != nil:
			w.t.Fatalf("never seen %s: %+v %v", what, v, err)
		case err != nil && !sdk.CodeOf(err).Retryable():
			w.t.Fatal(err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// committed returns who has committed to a ballot, and who has voted.
func committed(v ballot.View) (committed, voted int) {
	for _, e := range v.Voters {
		if e.Committed {
			committed++
		}
		if e.Voted {
			voted++
		}
	}
	return committed, voted
}

// TestKilledVotersReveal kills the node and a voter's process between its commitment and its reveal. Both start again, the
// ballots come, each once, and the action runs once. A permit's user is killed while it acts: that use is never run again.
func TestKilledVotersReveal(t *testing.T) {
	w := newWorld(t)
	dir := w.council()
	checker, auditor := w.agent("checker", voting), w.agent("auditor", voting)
	worker := w.returns("worker")
	out := w.path("ran")
	d, err := worker.Propose(t.Context(), sdk.Proposal{Action: restart("db-1"), Key: "once"})
	if err != nil {
		t.Fatal(err)
	}
	id := d.ID()
	checker.says(t, "asked "+id.String())
	auditor.says(t, "asked "+id.String())
	both := func(v ballot.View) bool { n, _ := committed(v); return n == 2 }
	w.seen(worker, id, "two commitments", both)
	w.node.kill()
	checker.kill(t)
	if err := worker.Close(t.Context()); err != nil {
		t.Log("closed without a node:", err)
	}
	w.start(dir, w.node.address)

	worker = w.returns("worker")
	v := w.seen(worker, id, "them after the restart", both)
	if _, voted := committed(v); voted != 0 || v.State != "open" || len(v.Ballots) != 0 {
		t.Fatalf("revealed too early: %+v", v)
	}
	w.agent("checker", voting)
	reader := w.agent("reader", voting)
	person := w.connect("bob")
	if err := approve(t.Context(), person, id.String()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), decided)
	defer cancel()
	if d, err = worker.Decision(ctx, id); err != nil {
		t.Fatal(err)
	}
	act := func(context.Context) error { return appendLine(out) }
	if err := worker.Execute(ctx, d, restart("db-1"), act); err != nil {
		t.Fatal(err)
	}
	if err := worker.Execute(ctx, d, restart("db-1"), act); sdk.CodeOf(err) != code.Spent {
		t.Errorf("a second time: %v", err)
	}
	w.ran(out, 1)
	if v = w.seen(worker, id, "the end", func(v ballot.View) bool { return v.State == "executed" }); len(v.Ballots) != 4 {
		t.Errorf("ballots %+v", v.Ballots)
	}
	reader.says(t, "asked "+id.String())
	w.killPermitUser(worker, person)
}

// killPermitUser kills the executor's process while it acts by a permit.
func (w *world) killPermitUser(worker, person *sdk.Agent) {
	t := w.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), decided)
	defer cancel()
	d, err := worker.Propose(ctx, sdk.Proposal{
		Action: restart("web-1"), Permit: &sdk.Permit{Uses: 2, Until: time.Now().Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := approve(ctx, person, d.ID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := worker.Close(ctx); err != nil { // its spent store is for one process at a time
		t.Fatal(err)
	}
	out := w.path("used")
	use := func(key, how string) *agent {
		return w.agent("worker", strings.Join([]string{using, d.ID().String(), key, out, how}, "@"))
	}
	first := use("first", "hang")
	first.says(t, "acting")
	first.kill(t)
	for _, c := range []struct{ key, want string }{
		{"first", "used uncertain"}, {"second", "used "}, {"second", "used spent"}, {"third", "used spent"},
	} {
		a := use(c.key, "act")
		a.says(t, c.want)
		a.ended()
	}
	w.ran(out, 2)
	v := w.seen(person, d.ID(), "two uses", func(v ballot.View) bool { return v.Used == 2 })
	if len(v.Uses) != 2 || v.Uses[0].State != "uncertain" || v.Uses[1].State != "executed" {
		t.Errorf("uses %+v", v.Uses)
	}
}

// ran wants an action to have run so often.
func (w *world) ran(path string, times int) {
	w.t.Helper()
	if content, err := os.ReadFile(path); err != nil || string(content) != strings.Repeat("ran\n", times) {
		w.t.Errorf("%s: %q %v, want %d runs", path, content, err, times)
	}
}
