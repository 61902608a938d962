// Package bench is `conclave bench`: it measures a realm of its own against plain, unsigned NATS over TLS in one run.
//
// Every benchmark makes a whole node (log, fsync, TLS) in a private temporary directory, connects agents by the public
// SDK with its default options, and starts a plain nats-server beside it with clients of nats.go and their defaults.
// Ours and the peer run in turn, round by round, with the same contents and the same number of messages under way; the
// firstAfter round of each is thrown away. What is reported is the median of the rounds with the least and the greatest.
// Whatever is sent must be heard exactly once, or the run fails.
//
// Where a realm of several nodes is measured, each node is a process of its own, started with `server run`, so that it
// can be killed as a machine that fails is.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Config of a run. Zero values mean the defaults.
type Config struct {
	Rounds    int    // that count; the benchmark's own
	Messages  int    // of each contender in each round; the benchmark's own
	Size      int    // bytes of a message's content; 256, at least 24 and at most 64 KiB
	Agents    int    // where there are many; the benchmark's own
	Nodes     int    // of the realm, 1 or 3, where that may be chosen; 3
	Clients   int    // that submit commands at the same time, where that may be chosen; 64
	Decisions int    // that are open, where there are many; 10,000
	Etcd      string // path of etcd's program to compare with; empty: not compared
	Rqlite    string // path of rqlited to compare with; empty: not compared
	Self      string // conclave itself: a program that runs [Serve] for [ServerCommand], and a node for `server run`
	Progress  func(Progress)

	patience time.Duration // without a message heard, after which a run has failed; 30 s
}

// Progress says what is going on, from 0 to Total. Calls of Config.Progress come one at a time.
type Progress struct {
	What        string
	Done, Total int
}

// Benchmark is one that [Run] knows.
type Benchmark struct {
	Name    string `json:"name"`
	Summary string `json:"summary"` // one line

	rounds, messages, agents int // defaults
	files                    int // open at a time for each agent
	measure                  func(ctx context.Context, b *bout) (Result, error)
}

// The sizes that a content may have, in bytes: its heading must fit, and so must the envelope into a message.
const (
	minSize = heading
	maxSize = 64 << 10
)

// List returns the benchmarks in the order of their telling.
func List() []Benchmark {
	return []Benchmark{
		{"stream", "one agent to one agent, as fast as it goes, on a topic that the policy leaves plain", 5, 200_000, 2, bothFiles,
			func(ctx context.Context, b *bout) (Result, error) { return measureStream(ctx, b, plainTopic) }},
		{"stream-encrypted", "the same on an ordinary topic, which is encrypted", 5, 200_000, 2, bothFiles,
			func(ctx context.Context, b *bout) (Result, error) { return measureStream(ctx, b, "bench.sealed") }},
		{"scatter", "one agent to many agents, each a process of its own", 5, 2_000, 1_000, bothFiles, measureScatter},
		{"gather", "many signers to one agent, one message of each under way", 5, 10_000, 1_000, bothFiles, measureGather},
		{"rtt", "request and reply, one after the other", 5, 2_000, 2, bothFiles, measureRTT},
		{"agents", "what an idle connected agent costs its node", 5, 0, 1_000, ownFiles, measureAgents},
		{"start", "from a node's start to the first message delivered", 5, 0, 2, bothFiles, measureStart},
		{"registry", "commands of many clients through the log of three nodes", 5, 3_200, 0, 0, measureRegistry},
		{"failover", "from the end of the node that leads to the next command accepted", 20, 0, 0, 0, measureFailover},
		{"decision", "from a proposal to its certificate, with five voters at three nodes", 100, 0, 0, 0, measureDecision},
		{"quarantine", "from an operator's command to an agent's last message, at three nodes", 50, 0, 0, 0, measureQuarantine},
		{"open", "request and reply while many decisions are open, and while none is", 60, 2_000, 2, bothFiles, measureOpen},
	}
}

// Run runs the benchmark of the name. Errors: usage for an unknown name or a value out of range; internal for a message
// lost, doubled or altered; those of the node, the agents and the peer.
func Run(ctx context.Context, name string, c Config) (result Result, err error) {
	all := List()
	i := slices.IndexFunc(all, func(b Benchmark) bool { return b.Name == name })
	if i < 0 {
		return Result{}, fault.New(fault.Usage, fmt.Sprintf("no benchmark %.40q", name)).WithHint("conclave bench")
	}
	if c, err = c.withDefaults(all[i]); err != nil {
		return Result{}, err
	}
	b := &bout{Config: c, name: name}
	defer func() { err = errors.Join(err, b.end()) }()
	if b.dir, err = os.MkdirTemp("", "conclave-bench-"); err != nil {
		return Result{}, fmt.Errorf("bench: %w", err)
	}
	b.later(func() error { return os.RemoveAll(b.dir) })
	if err := openFiles(uint64(all[i].files*b.Agents + spareFiles)); err != nil {
		return Result{}, err
	}
	return all[i].measure(ctx, b)
}

// Open files for each agent: both ends of its connection and both of the peer's, or only its own end of either where
// the server is another process and they come one after the other. And of everything else.
const (
	bothFiles  = 4
	ownFiles   = 1
	spareFiles = 512
)

func (c Config) withDefaults(b Benchmark) (Config, error) {
	for _, v := range []struct {
		name                  string
		value                 *int
		otherwise, least, top int
	}{
		{"rounds", &c.Rounds, b.rounds, 1, 1000},
		{"messages", &c.Messages, b.messages, 0, 100_000_000},
		{"size", &c.Size, 256, minSize, maxSize},
		{"agents", &c.Agents, b.agents, min(1, b.agents), 100_000},
		{"nodes", &c.Nodes, 3, 1, 3},
		{"clients", &c.Clients, 64, 1, 1000},
		{"decisions", &c.Decisions, 10_000, 1, 100_000},
	} {
		if *v.value == 0 {
			*v.value = v.otherwise
		}
		if *v.value < v.least || *v.value > v.top {
			return c, fault.New(fault.Usage, fmt.Sprintf("--%s is from %d to %d", v.name, v.least, v.top)).
				WithHint("conclave bench --help")
		}
	}
	if c.Nodes == 2 {
		return c, fault.New(fault.Usage, "--nodes is 1 or 3: two nodes stop when one of them does").
			WithHint("conclave bench --help")
	}
	if b.agents <= 2 {
		c.Agents = b.agents
	}
	if c.patience == 0 {
		c.patience = 30 * time.Second
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return c, nil
}

// bout is one run of one benchmark, with what has to be put away after it.
type bout struct {
	Config
	name    string
	dir     string // private, gone at the end
	endings []func() error
	sound   bool // the rounds were held: what was sent must have been heard
	started processes
}

// later has something done at the end: what came last goes first.
func (b *bout) later(end func() error) { b.endings = append(b.endings, end) }

func (b *bout) end() (err error) {
	for _, end := range slices.Backward(b.endings) {
		err = errors.Join(err, end())
	}
	b.endings = nil
	return err
}

// check has something looked at in the end, if nothing failed before.
func (b *bout) check(settled func() error) {
	b.later(func() error {
		if !b.sound {
			return nil
		}
		return settled()
	})
}

func (b *bout) say(what string, done, total int) { b.Progress(Progress{what, done, total}) }

// closing bounds how long anything may take to close.
func closing() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

// machine says where it runs, and what else ran there since the load was looked at.
func (b *bout) machine(since load) Machine {
	return Machine{
		Cores: cores(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Others: others(since, b.look()),
	}
}

// cores returns how many cores this process uses.
func cores() int { return runtime.GOMAXPROCS(0) }
