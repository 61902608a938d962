package raftlog

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus/logtest"
)

// childEnv names the directory in which a re-executed test binary appends until it is killed.
const childEnv = "RAFTLOG_TEST_CHILD"

// child appends from several goroutines and prints each entry on standard output once it is acknowledged. Now and
// then it takes a snapshot. It ends only by an error or a signal.
func child(dir string) int {
	ctx := context.Background()
	log, err := Open(ctx, testConfig(dir, new(logtest.Recorder)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("open")
	var wait sync.WaitGroup
	for c := range 8 {
		wait.Go(func() {
			for n := 0; err == nil; n++ {
				entry := fmt.Sprintf("%d-%d-%d", os.Getpid(), c, n)
				if _, _, err := log.Append(ctx, []byte(entry)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Println(entry) // one write for one line
				if c == 0 && n%20 == 19 {
					if err := log.Snapshot(ctx); err != nil {
						fmt.Fprintln(os.Stderr, err)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	return 1
}

// killAfter runs a child in dir, kills it after it has acknowledged at least so many entries, and returns all that
// it acknowledged.
func killAfter(t *testing.T, dir string, lines int) (acknowledged []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if line := scanner.Text(); line != "open" {
			acknowledged = append(acknowledged, line)
		}
		if len(acknowledged) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			lines = -1 // once; then read what is left in the pipe
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(cmd.ProcessState.String(), "killed") {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return acknowledged
}

// TestKill shows that what was acknowledged before a kill -9 is there afterwards, once. It proves the order of
// writes and answers; a power cut, which also takes the page cache, it cannot prove.
func TestKill(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var acknowledged []string
	for range 6 {
		acknowledged = append(acknowledged, killAfter(t, dir, 1+random.IntN(400))...)

		recorder := new(logtest.Recorder)
		shut(t, open(t, dir, recorder))
		recorder.Check(t)
		readable := make(map[string]bool)
		for _, entry := range recorder.Entries() {
			readable[string(entry.Data)] = true
		}
		for _, entry := range acknowledged {
			if !readable[entry] {
				t.Fatalf("%s was acknowledged and is lost", entry)
			}
		}
	}
	t.Logf("%d entries acknowledged, none lost", len(acknowledged))
}
