package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
)

// TestMain lets the test binary stand in for conclave: `bench-server KIND DIR`, and `server run --data DIR`.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "server" {
		if err := runNode(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == ServerCommand {
		if err := Serve(context.Background(), os.Args[2], os.Args[3], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runNode runs a node until it is told to end, as `server run --json` does.
func runNode(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := node.Open(ctx, node.Config{Dir: dir})
	if err != nil {
		return err
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]string{"address": n.Addr(), "node": n.ID().String()})
	select {
	case <-ctx.Done():
	case <-n.Done():
	}
	return errors.Join(err, n.Err(), n.Close())
}

// tiny is a run that takes no time and says nothing about speed.
func tiny(t *testing.T) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	return Config{Rounds: 2, Messages: 200, Agents: 3, Self: self}
}

// TestEveryBenchmark runs each of them to its end, in a tiny size, and looks at the shape of what comes out.
func TestEveryBenchmark(t *testing.T) {
	for _, row := range []struct {
		name     string
		unit     string
		messages int
		agents   int
		window   int
		variants int
		lower    bool
	}{
		{"stream", "msg/s", 200, 2, 8192, 2, false},
		{"stream-encrypted", "msg/s", 200, 2, 8192, 2, false},
		{"scatter", "msg/s", 200, 3, 64, 5, false},
		{"gather", "msg/s", 200, 3, 3, 2, false},
		{"rtt", "us", 200, 2, 1, 0, true},
		{"agents", "KiB", 200, 3, 0, 0, true},
		{"start", "ms", 200, 2, 1, 2, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := Run(context.Background(), row.name, tiny(t))
			if err != nil {
				t.Fatal(err)
			}
			if r.Name != row.name || r.Unit != row.unit || r.Messages != row.messages || r.Agents != row.agents ||
				r.Window != row.window || len(r.Variants) != row.variants || r.Lower != row.lower || r.Size != 256 {
				t.Errorf("%+v", r)
			}
			if len(r.Rounds) != 2 || r.What == "" || r.Bound == "" || r.PeerName == "" {
				t.Errorf("%d rounds; %q, %q, %q", len(r.Rounds), r.What, r.Bound, r.PeerName)
			}
			measured(t, r)
			left, err := os.ReadDir(os.Getenv("TMPDIR"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

// measured checks that everything was measured and fits together.
func measured(t *testing.T, r Result) {
	t.Helper()
	if r.Name != "agents" { // the memory of three connections may be less than what moves by itself
		if r.Ours <= 0 || r.Peer <= 0 || r.Ratio != r.Ours/r.Peer {
			t.Errorf("ours %v, peer %v, ratio %v", r.Ours, r.Peer, r.Ratio)
		}
		for _, round := range r.Rounds {
			if round.Ours <= 0 || round.Peer <= 0 {
				t.Errorf("round %+v", round)
			}
		}
	}
	if s := r.Spread.Ours; s.Min > r.Ours || s.Max < r.Ours {
		t.Errorf("spread %+v around %v", s, r.Ours)
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.Delay == "" || r.DelayUnit == "" {
		t.Errorf("p50 %v, p99 %v of %q in %q", r.P50, r.P99, r.Delay, r.DelayUnit)
	}
	if r.Crypto.Sign <= 0 || r.Crypto.Verify <= 0 || r.Machine.Cores < 1 || r.Machine.Go == "" {
		t.Errorf("%+v %+v", r.Crypto, r.Machine)
	}
	for _, v := range r.Variants {
		if v.Name == "" || v.Unit == "" || v.Value <= 0 || v.Spread.Min > v.Value || v.Spread.Max < v.Value || v.Of != "" && v.Ratio <= 0 {
			t.Errorf("variant %+v", v)
		}
	}
	if (r.Name == "rtt") != (r.FloorP50 > r.Peer) {
		t.Errorf("floor %v", r.FloorP50)
	}
}

// TestDocumentKeepsItsKeys is what scripts rely on.
func TestDocumentKeepsItsKeys(t *testing.T) {
	c := tiny(t)
	c.Rounds, c.Messages = 1, 20
	r, err := Run(context.Background(), "rtt", c)
	if err != nil {
		t.Fatal(err)
	}
	r.Variants = []Variant{{Name: "x", CPU: 1, Ratio: 1, Of: "y"}}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		of   any
		want string
	}{
		{doc, "agents bound cpu_us crypto crypto_ratio delay delay_unit floor_p50 lower_is_better machine messages name ours p50 " +
			"p99 peer peer_name peer_p50 peer_p99 ratio rounds size spread unit variants what window"},
		{doc["rounds"].([]any)[0], "ours peer"},
		{doc["variants"].([]any)[0], "cpu_us name of ratio spread unit value"},
		{doc["crypto"], "sign_ns verify_ns"},
		{doc["spread"], "ours peer ratio"},
		{doc["cpu_us"], "ours peer"},
		{doc["machine"], "cores go others platform"},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(row.of.(map[string]any))), " "); got != row.want {
			t.Errorf("keys %q, want %q", got, row.want)
		}
	}
}

func TestRefusedConfigs(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Config)
	}{
		{"nonsense", func(*Config) {}},
		{"", func(*Config) {}},
		{"rtt", func(c *Config) { c.Rounds = -1 }},
		{"rtt", func(c *Config) { c.Rounds = 1001 }},
		{"rtt", func(c *Config) { c.Messages = -1 }},
		{"rtt", func(c *Config) { c.Size = minSize - 1 }},
		{"rtt", func(c *Config) { c.Size = maxSize + 1 }},
		{"agents", func(c *Config) { c.Agents = -1 }},
		{"agents", func(c *Config) { c.Self = "" }},
		{"failover", func(c *Config) { c.Self = "" }},
		{"registry", func(c *Config) { c.Nodes = 2 }},
		{"registry", func(c *Config) { c.Nodes = 5 }},
		{"registry", func(c *Config) { c.Clients = -1 }},
	} {
		c := tiny(t)
		row.change(&c)
		if _, err := Run(context.Background(), row.name, c); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v", row.name, err)
		}
	}
}

// TestContentsOfEverySize are the least and the greatest.
func TestContentsOfEverySize(t *testing.T) {
	for _, size := range []int{minSize, maxSize} {
		c := tiny(t)
		c.Rounds, c.Messages, c.Size = 1, 100, size
		if r, err := Run(context.Background(), "stream-encrypted", c); err != nil || r.Size != size {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestDeafSubscriber plants a subscriber of plain NATS that drops one message on the floor: the run fails, and says so.
func TestDeafSubscriber(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		b := testBout(64)
		b.patience = time.Minute // the hole is seen by the number behind it
		conns, err := connectPlain(context.Background(), b, 2)
		if err != nil {
			t.Fatal(err)
		}
		r := newRoute(b, b.window())
		r.send = func(_ context.Context, content []byte) error { return conns[0].Publish("x", content) }
		r.flush = func(context.Context) error { return conns[0].Flush() }
		err = hear(conns[1], "x", func(data []byte) {
			if _, number, _ := read(data); !deaf || number != 123 {
				r.heard.take(data)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = flows(b, "plain", r, 200).run(context.Background())
		err = errors.Join(err, b.end())
		if deaf != errors.Is(err, errLost) || !deaf && err != nil {
			t.Errorf("deaf %v: %v", deaf, err)
		}
	}
}

// TestSilentSigner plants a receiver that never hears one message of one signer.
func TestSilentSigner(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		b := testBout(64)
		b.Messages = 40
		g := newGathering(b, 4)
		for i, s := range g.signers {
			s.send = func(_ context.Context, content []byte) error {
				if _, number, _ := read(content); !deaf || i != 2 || number != 5 {
					g.take(slices.Clone(content))
				}
				return nil
			}
		}
		if err := g.prime(context.Background()); err != nil {
			t.Fatal(err)
		}
		_, err := g.contend("x", 1, 4).run(context.Background())
		err = errors.Join(err, g.settled())
		if deaf != errors.Is(err, errLost) || !deaf && err != nil {
			t.Errorf("deaf %v: %v", deaf, err)
		}
	}
}

// TestHandlersAreCounted is requests that are handled twice, not at all, or with another content.
func TestHandlersAreCounted(t *testing.T) {
	for _, row := range []struct {
		name string
		good bool
		call func(h *hits, i int, content []byte)
	}{
		{"honest", true, func(h *hits, _ int, content []byte) { h.take(content) }},
		{"twice", false, func(h *hits, i int, content []byte) {
			h.take(content)
			if i == 7 {
				h.take(content)
			}
		}},
		{"not at all", false, func(h *hits, i int, content []byte) {
			if i != 7 {
				h.take(content)
			}
		}},
		{"altered", false, func(h *hits, i int, content []byte) {
			if i == 7 {
				content[len(content)-1]++
			}
			h.take(content)
		}},
	} {
		b := testBout(64)
		b.Messages = 20
		h := &hits{expected: filler(64)}
		c := manyCalls(b, row.name, h, func(i int) caller {
			return func(_ context.Context, content []byte) ([]byte, error) {
				row.call(h, i, content)
				return nil, nil
			}
		})
		if _, err := c.run(context.Background()); (err == nil) != row.good || err != nil && !errors.Is(err, errLost) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestWrongReply is an echo that answers with something else.
func TestWrongReply(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		b := testBout(64)
		b.Messages = 3
		c := callsInTurn(b, "x", func(_ context.Context, content []byte) ([]byte, error) {
			reply := slices.Clone(content)
			if wrong {
				reply[0]++
			}
			return reply, nil
		})
		if _, err := c.run(context.Background()); errors.Is(err, errLost) != wrong {
			t.Errorf("wrong %v: %v", wrong, err)
		}
	}
}

// TestPeerTalksTLSOnly shows that the peer is what it is said to be.
func TestPeerTalksTLSOnly(t *testing.T) {
	p, err := startPlain()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	nc, err := dialPlain(p.address(), p.certificate)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := nc.TLSConnectionState(); err != nil || state.Version != 0x0304 {
		t.Errorf("TLS %x, %v", state.Version, err)
	}
	if err := hangUp(nc); err != nil {
		t.Error(err)
	}
	if _, err := nats.Connect("nats://" + p.address()); err == nil {
		t.Error("the peer talks without TLS")
	}
	other, err := startPlain()
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := dialPlain(p.address(), other.certificate); err == nil {
		t.Error("another certificate was accepted")
	}
}

func TestServersOfTheirOwn(t *testing.T) {
	c := tiny(t)
	for _, kind := range []string{"nonsense", kindNode} {
		b := &bout{Config: c}
		if _, err := b.spawn(context.Background(), kind, filepath.Join(t.TempDir(), "none")); err == nil {
			t.Errorf("%s: started", kind)
		}
		if err := b.end(); err == nil {
			t.Errorf("%s: ended well", kind)
		}
	}
	b := &bout{Config: c}
	s, err := b.spawn(context.Background(), kindPlain, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := s.resident(); err != nil || n < 1<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
}

// TestOpenFiles cannot lower the limit of this process for good, so it asks for more than any system gives.
func TestOpenFiles(t *testing.T) {
	if err := openFiles(64); err != nil {
		t.Errorf("64: %v", err)
	}
	err := openFiles(1 << 62)
	if fault.CodeOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "ulimit") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestNothingStays counts goroutines around a run and around one that is ended in its middle.
func TestNothingStays(t *testing.T) {
	c := tiny(t)
	c.Rounds = 1
	if _, err := Run(context.Background(), "rtt", c); err != nil { // what is started once for all
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	if _, err := Run(context.Background(), "stream", c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.Progress = func(p Progress) {
		if strings.HasPrefix(p.What, "round 1") {
			cancel()
		}
	}
	if _, err := Run(ctx, "gather", c); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	for spin := 0; runtime.NumGoroutine() > before; spin++ {
		if spin > 5_000_000 {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}
