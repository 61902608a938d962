package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// terminals are those of somebody who runs a cluster on one machine: a directory and, in a terminal of its own, each
// running node.
type terminals struct {
	*testing.T
	dir   string
	nodes map[string]*process // by the last element of its data directory
	names map[string]string   // keys by the same
	ports map[int]int         // first of three that stand for 74N5, 74N6, 74N7

	enrolled map[string]bool // agents that the registry must know
}

// process is one `conclave server run`.
type process struct {
	cmd   *exec.Cmd
	log   string        // path of all that it says on stderr
	lines chan string   // the first on stdout
	ready string        // that line, once it was heard
	gone  chan struct{} // closed once it has ended
}

func newTerminals(t *testing.T) terminals {
	t.Helper()
	w := newWorld(t)
	t.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	s := terminals{t, w.path("here"), map[string]*process{}, map[string]string{}, freePorts(t, 6), map[string]bool{}}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for node := range s.nodes {
			s.end(node, os.Kill)
		}
	})
	return s
}

// three are the terminals of a cluster of three, made as the page says.
func three(t *testing.T) terminals {
	t.Helper()
	blocks, err := parseProcedures(read(t, "docs/operations.md"))
	if err != nil || len(blocks) == 0 || blocks[0].name != "three" {
		t.Fatalf("the page's first block: %v", err)
	}
	s := newTerminals(t)
	s.play(blocks[0])
	s.whole("abc")
	s.keeps("kept")
	return s
}

// keeps enrols an agent, or finds it in the registry if it was enrolled before.
func (s terminals) keeps(name string) {
	s.Helper()
	line := "conclave agent show " + name
	if !s.enrolled[name] {
		line = `conclave agent enroll "$(conclave agent token --name ` + name + `)" && conclave context use operator && ` + line
	}
	if out, code := s.shell(line); code != 0 {
		s.Fatalf("%s: exit %d\n%s%s", line, code, out, s.logs())
	}
	s.enrolled[name] = true
}

// of is the same for a part of the test.
func (s terminals) of(t *testing.T) terminals {
	s.T = t
	return s
}

// freePorts finds three neighbouring ports for each of so many nodes.
func freePorts(t *testing.T, nodes int) map[int]int {
	t.Helper()
	found := map[int]int{}
	for first := 20_000 + os.Getpid()%400*30; len(found) < nodes && first < 32_700; first += 3 {
		free := true
		for port := first; port < first+3; port++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				free = false
				continue
			}
			_ = l.Close()
		}
		if free {
			found[len(found)+1] = first
		}
	}
	if len(found) < nodes {
		t.Fatal("no free ports")
	}
	return found
}

var (
	pagesPort = regexp.MustCompile(`127\.0\.0\.1:74([1-6])([567])\b`)
	pagesNode = regexp.MustCompile(`\bNODE_([A-Z])\b`)
	dataOf    = regexp.MustCompile(`--data \./([a-z])\b`)
	keySaid   = regexp.MustCompile(`(?m)^(?:node|pins) +(N[A-Z2-7]{55})$`)
)

// here puts this run's ports and keys for those of the page.
func (s terminals) here(text string) string {
	text = pagesPort.ReplaceAllStringFunc(text, func(at string) string {
		m := pagesPort.FindStringSubmatch(at)
		node, _ := strconv.Atoi(m[1])
		port, _ := strconv.Atoi(m[2])
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports[node]+port-5))
	})
	return pagesNode.ReplaceAllStringFunc(text, func(name string) string {
		key := s.names[strings.ToLower(strings.TrimPrefix(name, "NODE_"))]
		if key == "" {
			s.Fatalf("%s has not been made", name)
		}
		return key[:16] // as `cluster members` shows it
	})
}

// patienceHere bounds what one step of a procedure may take.
const patienceHere = 40 * time.Second

func (s terminals) play(p procedure) {
	s.Helper()
	for _, step := range p.steps {
		s.Logf("line %d: %s%s %s", step.line, step.command, step.act, step.node)
		switch {
		case step.act == "stop":
			if code := s.end(step.node, os.Interrupt); code != 0 {
				s.Fatalf("line %d: node %s ended with %d\n%s", step.line, step.node, code, s.logs())
			}
		case step.act == "lose":
			s.end(step.node, os.Kill)
			if err := os.RemoveAll(filepath.Join(s.dir, step.node)); err != nil {
				s.Fatal(err)
			}
		case strings.HasPrefix(step.command, "conclave server run "):
			s.boot(step)
		default:
			s.obey(step)
		}
	}
}

// obey runs one command, again and again if it need not come true at once, and compares what it prints.
func (s terminals) obey(p step) {
	s.Helper()
	var out string
	var code int
	s.await(func() string { return fmt.Sprintf("line %d: %s: exit %d\n%s", p.line, p.command, code, out) }, func() bool {
		out, code = s.shell(s.here(p.command))
		switch {
		case p.refused != "":
			return code != 0 && strings.Contains(out, p.refused)
		case p.until != "":
			return code == 0 && strings.Contains(out, s.here(p.until))
		case code != 0:
			s.Fatalf("line %d: exit %d\n%s%s", p.line, code, out, s.logs())
		}
		return true
	})
	for _, want := range p.prints {
		if !strings.Contains(out, s.here(want)) {
			s.Errorf("line %d: no %q in\n%s", p.line, s.here(want), out)
		}
	}
	if m := dataOf.FindStringSubmatch(p.command); m != nil {
		if key := keySaid.FindStringSubmatch(out); key != nil {
			s.names[m[1]] = key[1]
		}
	}
}

// await looks until something is so.
func (s terminals) await(what func() string, so func() bool) {
	s.Helper()
	limit := time.After(patienceHere)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit:
			s.Fatalf("never: %s\n%s", what(), s.logs())
		}
	}
}

// shownNode is a node as `cluster members --json` shows it.
type shownNode struct {
	Node     string
	State    string
	Commands uint64
}

// whole waits until just these nodes run, count and answer, one of them leads, and all have applied the same.
func (s terminals) whole(running string) {
	s.Helper()
	var told struct {
		Nodes               []shownNode
		Counting, Answering int
	}
	var out string
	s.await(func() string { return "all of " + running + " up to date: " + out }, func() bool {
		var code int
		if out, code = s.shell("conclave cluster members --json 2>&-"); code != 0 {
			return false
		}
		told.Nodes = nil
		if err := json.Unmarshal([]byte(out), &told); err != nil {
			s.Fatalf("%v\n%s", err, out)
		}
		led, level := slices.ContainsFunc(told.Nodes, func(m shownNode) bool { return m.State == "leader" }), true
		for _, m := range told.Nodes {
			level = level && m.Commands == told.Nodes[0].Commands
		}
		return led && level && told.Counting == len(running) && told.Answering == len(running) && len(told.Nodes) == len(running)
	})
	for _, m := range told.Nodes {
		if !slices.ContainsFunc([]byte(running), func(n byte) bool { return s.names[string(n)] == m.Node && s.nodes[string(n)] != nil }) {
			s.Errorf("%s is not one of %s", m.Node, running)
		}
	}
}

// shell runs one line as a person's shell would, and returns all that it says.
func (s terminals) shell(line string) (said string, code int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceHere)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.WaitDelay = s.dir, time.Second
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// boot runs a node in a terminal of its own, and returns when it says that agents can connect.
func (s terminals) boot(p step) {
	s.Helper()
	m := dataOf.FindStringSubmatch(p.command)
	if m == nil || s.nodes[m[1]] != nil {
		s.Fatalf("line %d: which node, or running already: %s", p.line, p.command)
	}
	s.launch(m[1], strings.Fields(s.here(p.command))[1:]...)
	for _, want := range p.prints {
		if ready := s.nodes[m[1]].ready; !strings.Contains(ready, s.here(want)) {
			s.Errorf("line %d: no %q in %q", p.line, s.here(want), ready)
		}
	}
}

// launch runs a node in a terminal until it prints its line: it lets agents in, or follows as one that joins.
func (s terminals) launch(node string, args ...string) {
	s.Helper()
	s.begin(node, args...)
	n := s.nodes[node]
	select {
	case line := <-n.lines:
		if !strings.HasPrefix(line, "ready ") {
			s.Fatalf("node %s said %q\n%s", node, line, s.logs())
		}
		n.ready = line
	case <-n.gone:
		s.Fatalf("node %s ended\n%s", node, s.logs())
	case <-time.After(patienceHere):
		s.Fatalf("node %s says nothing\n%s", node, s.logs())
	}
}

// begin runs a node in a terminal of its own, whether or not it ever gets ready.
func (s terminals) begin(node string, args ...string) {
	s.Helper()
	n := &process{
		cmd: exec.Command(binary, args...), log: filepath.Join(s.dir, node+".log"), lines: make(chan string, 1), gone: make(chan struct{}),
	}
	n.cmd.Dir = s.dir
	stderr, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer stderr.Close()
	n.cmd.Stderr = stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.nodes[node] = n
	go func() { // ends with the process
		defer close(n.gone)
		said := bufio.NewScanner(out)
		for first := true; said.Scan(); first = false {
			if first {
				n.lines <- said.Text()
			}
		}
		_ = n.cmd.Wait() // its end is looked at by who ends it
	}()
}

// end ends one node that this test has started, and returns its exit code.
func (s terminals) end(node string, by os.Signal) int {
	n := s.nodes[node]
	if n == nil {
		return 0 // it was stopped before: its disk goes
	}
	_ = n.cmd.Process.Signal(by) // it may have ended
	select {
	case <-n.gone:
	case <-time.After(patienceHere):
		s.Errorf("node %s does not end", node)
		_ = n.cmd.Process.Kill()
		<-n.gone
	}
	delete(s.nodes, node)
	return n.cmd.ProcessState.ExitCode()
}

// logs are the last lines of all nodes.
func (s terminals) logs() string {
	var all bytes.Buffer
	paths, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&all, "--- %s\n%s\n", filepath.Base(path), strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return all.String()
}
