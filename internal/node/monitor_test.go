package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/metrics"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// watched opens a node with metrics.
func watched(t *testing.T) (n *Node, operator identity.Signer) {
	t.Helper()
	dir, operator := solo(t)
	n, err := Open(context.Background(), Config{Dir: dir, Metrics: "127.0.0.1:0", Version: "v9"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() }) // a test may have broken it
	return n, operator
}

// scrape returns the value of every series, as they stand in the text.
func scrape(t *testing.T, n *Node) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Host = "localhost"
	n.monitor.Load().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[cut+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		series[line[:cut]] = value
	}
	return series
}

// reaches waits until the series have the values; what a node counts follows what it does by a moment.
func reaches(t *testing.T, n *Node, what string, want map[string]float64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		now, missing := scrape(t, n), ""
		for series, value := range want {
			if now[series] != value {
				missing = fmt.Sprintf("%s is %v, want %v", series, now[series], value)
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, missing)
		}
		runtime.Gosched()
	}
}

func readiness(t *testing.T, n *Node) (status int, r metrics.Readiness) {
	t.Helper()
	w := httptest.NewRecorder()
	q := httptest.NewRequest(http.MethodGet, "/readyz", nil)
	q.Host = "localhost"
	n.monitor.Load().ServeHTTP(w, q)
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w.Code, r
}

// failing returns the code of the check that fails, or "" if it passes.
func failing(r metrics.Readiness, name string) fault.Code {
	for _, c := range r.Checks {
		if c.Name == name && !c.OK {
			return c.Code
		}
	}
	return ""
}

func TestMetricsFollowTheNode(t *testing.T) {
	n, operator := watched(t)
	before := scrape(t, n)
	if before["conclave_log_leader"] != 1 || before[`conclave_build_info{version="v9"}`] != 1 ||
		before[`conclave_principals{role="operator",status="active"}`] != 1 {
		t.Fatalf("an honest node: %v", before)
	}
	if before["conclave_connections"] != 0 || before["conclave_connections_admitted_total"] != 0 {
		t.Fatalf("connections before there are any: %v", before)
	}

	if a := submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"}); a.Code != "" {
		t.Fatal(a.Err())
	}
	again := submit(t, n, operator, 2, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	if again.Code != fault.Conflict {
		t.Fatal("a name was given twice")
	}
	if _, err := n.Submit(t.Context(), []byte("junk")); err == nil {
		t.Fatal("junk was taken")
	}
	after := scrape(t, n)
	for series, more := range map[string]float64{
		`conclave_commands_total{verdict="ok"}`:                     1,
		`conclave_commands_total{verdict="conflict"}`:               1,
		`conclave_commands_refused_total{code="malformed"}`:         1,
		`conclave_log_append_seconds_count`:                         2,
		`conclave_principals{role="operator",status="active"}`:      1,
		`conclave_trail_entries`:                                    3,
		`conclave_connections_refused_total{code="bad_key"}`:        0,
		`conclave_log_append_errors_total{code="disk_full"}`:        0,
		`conclave_control_requests_total{code="ok",op="realm"}`:     0,
		`conclave_principals{role="operator",status="quarantined"}`: 0,
		`conclave_principals{role="agent",status="active"}`:         0,
		`conclave_connections_admitted_total`:                       0,
		`conclave_connections_refused_total{code="malformed"}`:      0,
		`conclave_connections_cut_total{code="superseded"}`:         0,
		`conclave_rate_windows_closed_total`:                        0,
		`conclave_slow_consumers_total`:                             0,
		`conclave_connections`:                                      0,
		`conclave_presences`:                                        0,
		`conclave_decisions{state="open"}`:                          0,
		`conclave_check_passed{check="log"}`:                        0,
	} {
		if after[series] != before[series]+more {
			t.Errorf("%s went from %v to %v, want %v more", series, before[series], after[series], more)
		}
	}
	if after["conclave_log_applied_index"] < before["conclave_log_applied_index"]+2 {
		t.Errorf("applied %v, before %v", after["conclave_log_applied_index"], before["conclave_log_applied_index"])
	}
	if after["conclave_registry_commands"] < 2 || after["conclave_log_append_seconds_sum"] <= 0 {
		t.Errorf("commands %v, seconds %v", after["conclave_registry_commands"], after["conclave_log_append_seconds_sum"])
	}
}

func TestMetricsFollowTheDoor(t *testing.T) {
	n, operator := watched(t)
	now := time.Now().UnixMilli()
	p, err := identity.NewProcess(n.Realm(), operator, 1, now, 60_000)
	if err != nil {
		t.Fatal(err)
	}
	shown := natsbus.Presentation{Connect: p.Connect(), Statement: p.Credential().Raw()}
	conn, err := natsbus.Dial(t.Context(), natsbus.Options{
		Addresses: []string{n.Addr()}, Pins: []identity.ID{n.ID()}, Refusals: 1,
		Present: func() (natsbus.Presentation, error) { return shown, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, n, "one let in", map[string]float64{
		"conclave_connections": 1, "conclave_connections_admitted_total": 1, "conclave_sockets": 2,
	})
	knock(t, n)
	reaches(t, n, "one refused", map[string]float64{
		"conclave_connections": 1, "conclave_connections_admitted_total": 1,
		`conclave_connections_refused_total{code="malformed"}`: 1, "conclave_sockets": 2,
	})
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	reaches(t, n, "it left", map[string]float64{
		"conclave_connections": 0, "conclave_connections_admitted_total": 1, "conclave_sockets": 1,
	})
}

// knock logs in with a token that is none, and waits until it is refused.
func knock(t *testing.T, n *Node) {
	t.Helper()
	stranger, err := wire.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := peertls.Client([]identity.ID{n.ID()}, func() (*tls.Certificate, error) { return peertls.Certificate(stranger) })
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", n.Addr(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, `CONNECT {"auth_token":"c3RyYW5nZXI"}`+"\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(bufio.NewReader(c)); !strings.Contains(string(said), "Authorization Violation") {
		t.Fatalf("%q, %v", said, err)
	}
}

func TestReadyUntilTheLogEnds(t *testing.T) {
	n, _ := watched(t)
	if status, r := readiness(t, n); status != http.StatusOK || !r.Ready || len(r.Checks) != 5 {
		t.Fatalf("an honest node: %d %+v", status, r)
	}
	if err := n.log.Close(); err != nil {
		t.Fatal(err)
	}
	status, r := readiness(t, n)
	if status != http.StatusServiceUnavailable || failing(r, "log") != fault.Unreachable || failing(r, "trail") != "" {
		t.Errorf("without a log: %d %+v", status, r)
	}
	if now := scrape(t, n); now[`conclave_check_passed{check="log"}`] != 0 || now[`conclave_check_passed{check="trail"}`] != 1 {
		t.Errorf("without a log: %v", now)
	}
}

func TestNotReadyOnceARegistrarFailed(t *testing.T) {
	n, _ := watched(t)
	if status, _ := readiness(t, n); status != http.StatusOK {
		t.Fatal(status)
	}
	n.registrar.Fail(fault.New(fault.DiskFull, "no room"))
	if status, r := readiness(t, n); status != http.StatusServiceUnavailable || failing(r, "registrar") != fault.DiskFull {
		t.Errorf("%d %+v", status, r)
	}
}

func TestNotReadyOnceClosed(t *testing.T) {
	n, _ := watched(t)
	address := n.MetricsAddr()
	if r, err := http.Get("http://" + address + "/readyz"); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", r, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("metrics are served by a closed node")
	}
	status, r := readiness(t, n)
	if status != http.StatusServiceUnavailable {
		t.Errorf("closed: %d", status)
	}
	for _, check := range []string{"node", "log", "broker", "trail"} {
		if failing(r, check) == "" {
			t.Errorf("closed, and %s is fine", check)
		}
	}
	scrape(t, n) // what is gone does not fail it
}

// TestScrapesDuringAStop has the race detector look at who reads what is being closed.
func TestScrapesDuringAStop(t *testing.T) {
	n, operator := watched(t)
	submit(t, n, operator, 1, registry.TypeOperator, registry.AddOperator{Operator: newOperator(t), Name: "ben"})
	begun, stop := make(chan struct{}), make(chan struct{})
	var scraping sync.WaitGroup
	scraping.Go(func() {
		for i := 0; ; i++ {
			scrape(t, n)
			readiness(t, n)
			if i == 3 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-begun
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	close(stop)
	scraping.Wait()
}

func TestMetricsForOthersAreRefused(t *testing.T) {
	dir, _ := solo(t)
	for _, address := range []string{"0.0.0.0:0", ":0", "10.0.0.1:9464", "[::]:0", "nonsense"} {
		n, err := Open(context.Background(), Config{Dir: dir, Metrics: address})
		if fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", address, err)
		}
		if n != nil {
			_ = n.Close()
		}
	}
	n := open(t, dir) // nothing was left locked, and without an address there are none
	if n.MetricsAddr() != "" {
		t.Errorf("served on %s unasked", n.MetricsAddr())
	}
}

func TestMetricsAddressInUse(t *testing.T) {
	n, _ := watched(t)
	dir, _ := solo(t)
	if _, err := Open(context.Background(), Config{Dir: dir, Metrics: n.MetricsAddr()}); fault.CodeOf(err) != fault.InUse {
		t.Errorf("%v", err)
	}
	open(t, dir) // the lock was given back
}
