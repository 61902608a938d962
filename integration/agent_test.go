package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

type text struct {
	Text string `json:"text"`
}

// play is what a re-executed test binary does: it is one agent, and says "ready" when others can call it.
func play(role string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	name, capability, _ := strings.Cut(role, "/")
	a, err := sdk.Connect(ctx, sdk.Context(name))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch as, rest, _ := strings.Cut(capability, "@"); as {
	case voting:
		return playVoter(ctx, a)
	case using:
		return playUser(ctx, a, rest)
	}
	err = sdk.Handle(a, capability, func(_ context.Context, r *sdk.Request[text]) (text, error) {
		fmt.Println("handled", r.From.Name, r.Data.Text)
		return text{strings.ToUpper(r.Data.Text) + " for " + r.From.Name}, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready", a.Self().Process)
	if err := a.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// agent is an agent in a process of its own.
type agent struct {
	cmd     *exec.Cmd
	process sdk.Digest
	lines   chan string // what it says after "ready"
	stderr  *bytes.Buffer
}

// agent starts a process that serves the capability as the agent of a context.
func (w *world) agent(name, capability string) *agent {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	a := &agent{lines: make(chan string, 1024), stderr: &bytes.Buffer{}}
	cmd := exec.Command(self)
	a.cmd = cmd
	cmd.Env = append(os.Environ(), roleVar+"="+name+"/"+capability)
	cmd.Stderr = a.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	scanner := bufio.NewScanner(out)
	if !scanner.Scan() {
		w.t.Fatalf("agent %s said nothing: %s", name, a.stderr)
	}
	var id string
	if _, err := fmt.Sscanf(scanner.Text(), "ready %s", &id); err != nil {
		w.t.Fatalf("agent %s: %q", name, scanner.Text())
	}
	if err := a.process.UnmarshalText([]byte(id)); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for scanner.Scan() {
			a.lines <- scanner.Text()
		}
		close(a.lines)
	}()
	return a
}
