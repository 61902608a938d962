package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	nodes "github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// floodAtOnce bounds the strangers that are connected at a time: each takes two descriptors of this process.
const floodAtOnce = 400

// TestFlood has many strangers connect to a node and behave badly, while agents talk. Afterwards the agents must still
// be connected and served, and goroutines, descriptors and memory be back where they were. It drops 1,000 connections,
// with the tag soak 10,000.
func TestFlood(t *testing.T) {
	n, operator := inProcess(t)
	server, caller := pair(t, n, operator)
	speak(t, caller, "before")
	f := &flood{t: t, node: n, config: strangersConfig(t, n)}
	settled := f.until(map[string]float64{"conclave_connections": 3, "conclave_sockets": 4}) // enrolment's have gone
	heap := heapInUse()

	talking := f.talk(caller)
	began := time.Now()
	f.run(floodConnections)
	took := time.Since(began)
	calls, failed, slowest := talking()

	rest := f.until(map[string]float64{
		"go_goroutines": settled["go_goroutines"], "process_open_fds": settled["process_open_fds"],
		"conclave_connections": 3, "conclave_sockets": 4,
	})
	speak(t, caller, "after")
	if server.Self().Process == caller.Self().Process {
		t.Fatal("one process plays both")
	}
	for series, want := range map[string]float64{
		"conclave_connections":                settled["conclave_connections"],
		"conclave_connections_admitted_total": settled["conclave_connections_admitted_total"], // nobody had to come back
		"conclave_slow_consumers_total":       settled["conclave_slow_consumers_total"],
	} {
		if rest[series] != want {
			t.Errorf("%s is %v, want %v", series, rest[series], want)
		}
	}
	if opened := rest["conclave_connections_opened_total"] - settled["conclave_connections_opened_total"]; opened < floodConnections {
		t.Errorf("the node saw %v connections of %d", opened, floodConnections)
	}
	told := float64(f.told.Load())
	if refused := rest[`conclave_connections_refused_total{code="malformed"}`]; told == 0 || refused < told {
		t.Errorf("%v were told that they are refused, and the node counts %v", told, refused)
	}
	grown := heapInUse() - heap
	if most := int64(48 << 20); grown > most {
		t.Errorf("the heap grew by %d bytes, at most %d allowed", grown, most)
	}
	t.Logf("%d connections in %v, %v refused by a code, %d ended early; meanwhile %d calls, %d failed, the slowest %v",
		floodConnections, took.Round(time.Millisecond), told, f.early.Load(), calls, failed, slowest.Round(time.Millisecond))
	t.Logf("goroutines %v → %v, descriptors %v → %v, heap %+d KiB",
		settled["go_goroutines"], rest["go_goroutines"], settled["process_open_fds"], rest["process_open_fds"], grown>>10)
}

// inProcess runs a solo realm's node in this process.
func inProcess(t *testing.T) (*nodes.Node, identity.Signer) {
	t.Helper()
	operator, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	if _, err := nodes.Init(dir, nodes.Plan{
		Policy: rules, Roots: []identity.ID{operator.ID()}, Place: nodes.Place{Listen: "127.0.0.1:0"},
		Nonce: [16]byte{1}, Now: time.Now().UnixMilli(),
	}); err != nil {
		t.Fatal(err)
	}
	if err := nodes.SignGenesis(dir, operator); err != nil {
		t.Fatal(err)
	}
	n, err := nodes.Open(t.Context(), nodes.Config{Dir: dir, Metrics: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, operator
}

// pair connects two new agents, of which the first serves text.upper.
func pair(t *testing.T, n *nodes.Node, operator identity.Signer) (server, caller *sdk.Agent) {
	t.Helper()
	profile := func(s identity.Signer) sdk.Profile {
		return sdk.Profile{Realm: n.Realm(), Addresses: []string{n.Addr()}, Pins: []identity.ID{n.ID()}, Signer: s}
	}
	connect := func(s identity.Signer) *sdk.Agent {
		a, err := sdk.Connect(t.Context(), sdk.WithProfile(profile(s)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = a.Close(ctx) // the test's end
		})
		return a
	}
	o := connect(operator)
	agent := func(name string) *sdk.Agent {
		token, err := o.Admin().Invite(name, identity.Journeyer, []string{"text.*"}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		signer, _, err := sdk.Enrol(t.Context(), token, sdk.KeepNothing())
		if err != nil {
			t.Fatal(err)
		}
		return connect(signer)
	}
	server = agent("server")
	if err := sdk.Handle(server, "text.upper", func(_ context.Context, r *sdk.Request[text]) (text, error) {
		return text{strings.ToUpper(r.Data.Text)}, nil
	}); err != nil {
		t.Fatal(err)
	}
	return server, agent("caller")
}

func call(ctx context.Context, a *sdk.Agent, said string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := sdk.Call[text](ctx, a, sdk.To("server", "text.upper"), text{said})
	if err == nil && got.Text != strings.ToUpper(said) {
		return fmt.Errorf("answered %q", got.Text)
	}
	return err
}

func speak(t *testing.T, a *sdk.Agent, said string) {
	t.Helper()
	if err := call(t.Context(), a, said); err != nil {
		t.Fatalf("%s: %v", said, err)
	}
}

// scrape asks the node for its metrics over the network.
func scrape(t *testing.T, n *nodes.Node) map[string]float64 {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	r, err := client.Get("http://" + n.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	series := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if value, err := strconv.ParseFloat(line[cut+1:], 64); err == nil && line[0] != '#' {
			series[line[:cut]] = value
		}
	}
	return series
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// strangersConfig is the TLS of somebody with a key that nobody knows.
func strangersConfig(t *testing.T, n *nodes.Node) *tls.Config {
	t.Helper()
	key, err := wire.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := peertls.Certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	config, err := peertls.Client([]identity.ID{n.ID()}, func() (*tls.Certificate, error) { return certificate, nil })
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// flood is strangers at a node's door.
type flood struct {
	t      *testing.T
	node   *nodes.Node
	config *tls.Config
	told   atomic.Int64 // strangers who read that they are refused
	early  atomic.Int64 // connections that the node ended before the stranger had done its part: it is busy
}

// manners is the table of what strangers do with a connection. Each returns once it has ended.
var manners = map[string]func(*flood, net.Conn) error{
	"closed at once":           func(*flood, net.Conn) error { return nil },
	"half a hello, then gone":  func(_ *flood, c net.Conn) error { return halfHello(c) },
	"half a hello, and silent": (*flood).silent,
	"gone after TLS":           func(f *flood, c net.Conn) error { return tls.Client(c, f.config).Handshake() },
	"bad token":                (*flood).badToken,
}

func halfHello(c net.Conn) error {
	_, err := c.Write([]byte{22, 3, 1, 2, 0}) // the head of a TLS record
	return err
}

// silent waits for the node to hang up.
func (f *flood) silent(c net.Conn) error {
	if err := halfHello(c); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	return err
}

func (f *flood) badToken(c net.Conn) error {
	secured := tls.Client(c, f.config)
	if err := secured.Handshake(); err != nil {
		return err
	}
	if _, err := io.WriteString(secured, `CONNECT {"auth_token":"c3RyYW5nZXI"}`+"\r\nPING\r\n"); err != nil {
		return err
	}
	said, err := io.ReadAll(secured)
	if strings.Contains(string(said), "Authorization Violation") {
		f.told.Add(1)
	}
	return err
}

// floodPatience is how long one stranger may take: the node has more than one to see to.
const floodPatience = time.Minute

// run has n strangers come, all manners in turn.
func (f *flood) run(n int) {
	f.t.Helper()
	names := slices.Sorted(maps.Keys(manners))
	var strangers sync.WaitGroup
	next := make(chan string)
	for range floodAtOnce {
		strangers.Go(func() {
			for name := range next {
				f.visit(name)
			}
		})
	}
	for i := range n {
		next <- names[i%len(names)]
	}
	close(next)
	strangers.Wait()
}

// visit has one stranger come. The node may hang up on it at any time, but it must not let it stay.
func (f *flood) visit(manner string) {
	c, err := net.DialTimeout("tcp", f.node.Addr(), floodPatience)
	if err != nil {
		f.t.Errorf("%s: %v", manner, err)
		return
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(floodPatience)); err != nil {
		f.t.Error(err)
		return
	}
	err = manners[manner](f, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		f.t.Errorf("%s: still connected after %v", manner, floodPatience)
	} else if err != nil {
		f.early.Add(1)
	}
}

// talk has an agent call another one again and again, until the function that it returns is called, which says how
// often it was answered and was not, and how long it waited at most. It reports only: the machine may be too small for
// the flood and the agents.
func (f *flood) talk(a *sdk.Agent) (stop func() (calls, failed int, slowest time.Duration)) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var talking sync.WaitGroup
	var calls, failed int
	var slowest time.Duration
	talking.Go(func() {
		for {
			began := time.Now()
			err := call(ctx, a, "meanwhile")
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failed++
			}
			calls, slowest = calls+1, max(slowest, time.Since(began))
		}
	})
	return func() (int, int, time.Duration) {
		cancel()
		talking.Wait()
		return calls, failed, slowest
	}
}

// until waits until none of the series is above its value, and returns the node's metrics then.
func (f *flood) until(most map[string]float64) map[string]float64 {
	f.t.Helper()
	deadline := time.Now().Add(floodPatience)
	for {
		now, above := scrape(f.t, f.node), ""
		for series, value := range most {
			if now[series] > value {
				above = fmt.Sprintf("%s is %v, want %v", series, now[series], value)
			}
		}
		if above == "" {
			return now
		}
		if time.Now().After(deadline) {
			f.t.Fatal(above)
		}
	}
}
