package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// fixture is a server whose sample and checks a test sets.
type fixture struct {
	*Server
	meter *Meter

	mu     sync.Mutex
	sample Sample
	failed map[string]error
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{meter: NewMeter("v0"), failed: map[string]error{}}
	check := func(name string) Check {
		return Check{Name: name, Test: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.failed[name]
		}}
	}
	s, err := Listen(Config{
		Address: "127.0.0.1:0", Meter: f.meter, Checks: []Check{check("log"), check("trail")},
		Sample: func() Sample {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.sample
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// get asks over the network and returns status and body.
func (f *fixture) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + f.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// scrape returns the value of every series by name and labels, as they stand in the text.
func (f *fixture) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	status, body := f.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	return parse(t, body)
}

func parse(t *testing.T, body string) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[cut+1:]), 64)
		if _, twice := series[line[:cut]]; err != nil || twice {
			t.Fatalf("line %q, twice: %t", line, twice)
		}
		series[line[:cut]] = value
	}
	return series
}

// full is a sample with something of everything, each number another one.
func full() Sample {
	return Sample{
		Open: 1, Admitted: 2, Opened: 3, Subscriptions: 4, In: Flow{5, 6}, Out: Flow{7, 8}, SlowConsumers: 9,
		Committed: 10, Applied: 11, Snapshot: 12, Leader: true, Commands: 13, Presences: 14, HeadsSigned: 15,
		TrailEntries: 16, Principals: map[Standing]int{{"agent", "active"}: 17, {"agent", "quarantined"}: 18},
		Decisions: map[string]int{"open": 19, "approved": 20},
	}
}

func TestEverySampleIsInTheScrape(t *testing.T) {
	f := start(t)
	want := map[string]float64{
		`conclave_sockets`:                                       1,
		`conclave_connections`:                                   2,
		`conclave_connections_opened_total`:                      3,
		`conclave_subscriptions`:                                 4,
		`conclave_messages_total{direction="in"}`:                5,
		`conclave_message_bytes_total{direction="in"}`:           6,
		`conclave_messages_total{direction="out"}`:               7,
		`conclave_message_bytes_total{direction="out"}`:          8,
		`conclave_slow_consumers_total`:                          9,
		`conclave_log_committed_index`:                           10,
		`conclave_log_applied_index`:                             11,
		`conclave_log_snapshot_bytes`:                            12,
		`conclave_log_leader`:                                    1,
		`conclave_registry_commands`:                             13,
		`conclave_presences`:                                     14,
		`conclave_heads_signed_total`:                            15,
		`conclave_trail_entries`:                                 16,
		`conclave_principals{role="agent",status="active"}`:      17,
		`conclave_principals{role="agent",status="quarantined"}`: 18,
		`conclave_decisions{state="open"}`:                       19,
		`conclave_decisions{state="approved"}`:                   20,
		`conclave_check_passed{check="log"}`:                     1,
		`conclave_check_passed{check="trail"}`:                   0,
		`conclave_build_info{version="v0"}`:                      1,
	}
	before := f.scrape(t)
	for series := range want {
		if fixed := strings.Contains(series, "check") || strings.Contains(series, "build"); before[series] != 0 && !fixed {
			t.Errorf("%s is %v before anything", series, before[series])
		}
	}
	f.set(func() { f.sample, f.failed["trail"] = full(), errors.New("gone") })
	after := f.scrape(t)
	for series, value := range want {
		if got, there := after[series]; !there || got != value {
			t.Errorf("%s is %v, want %v", series, got, value)
		}
	}
	for _, series := range []string{"go_goroutines", "process_open_fds"} {
		if after[series] == 0 {
			t.Errorf("no %s", series)
		}
	}
}

func TestEveryEventIsInTheScrape(t *testing.T) {
	f := start(t)
	for _, c := range []struct {
		name   string
		event  func(*Meter)
		series []string // that it adds one to
	}{
		{"admitted", (*Meter).Admitted, []string{`conclave_connections_admitted_total`}},
		{"refused", func(m *Meter) { m.Refused(fault.BadKey) }, []string{`conclave_connections_refused_total{code="bad_key"}`}},
		{"cut", func(m *Meter) { m.Cut(fault.Revoked) }, []string{`conclave_connections_cut_total{code="revoked"}`}},
		{"throttled", (*Meter).Throttled, []string{`conclave_rate_windows_closed_total`}},
		{"applied", func(m *Meter) { m.Commanded("", true) }, []string{`conclave_commands_total{verdict="ok"}`}},
		{"applied, refused by the ledger", func(m *Meter) { m.Commanded(fault.Conflict, true) },
			[]string{`conclave_commands_total{verdict="conflict"}`}},
		{"not applied", func(m *Meter) { m.Commanded(fault.Malformed, false) },
			[]string{`conclave_commands_refused_total{code="malformed"}`}},
		{"appended", func(m *Meter) { m.Appended("", time.Millisecond) }, []string{`conclave_log_append_seconds_count`}},
		{"not appended", func(m *Meter) { m.Appended(fault.DiskFull, time.Second) },
			[]string{`conclave_log_append_errors_total{code="disk_full"}`}},
		{"asked", func(m *Meter) { m.Asked("find", "", time.Millisecond) },
			[]string{`conclave_control_requests_total{code="ok",op="find"}`, `conclave_control_request_seconds_count{op="find"}`}},
		{"asked in vain", func(m *Meter) { m.Asked("who", fault.Unknown, time.Millisecond) },
			[]string{`conclave_control_requests_total{code="unknown",op="who"}`, `conclave_control_request_seconds_count{op="who"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.scrape(t)
			c.event(f.meter)
			after := f.scrape(t)
			for _, s := range c.series {
				if after[s] != before[s]+1 {
					t.Errorf("%s went from %v to %v", s, before[s], after[s])
				}
				delete(after, s)
				delete(before, s)
			}
			// A histogram's buckets and sum move with its count.
			others := func(name string, _ float64) bool {
				return !strings.HasPrefix(name, "conclave_") || strings.Contains(name, "_bucket") || strings.Contains(name, "_sum")
			}
			maps.DeleteFunc(before, others)
			maps.DeleteFunc(after, others)
			if !maps.Equal(before, after) {
				t.Errorf("it changed something else: before %v, after %v", before, after)
			}
		})
	}
}

func TestScrapeFollowsTheConventions(t *testing.T) {
	f := start(t)
	f.set(func() { f.sample = full() })
	f.meter.Asked("find", fault.Unknown, time.Second)
	f.meter.Refused(fault.Denied)
	_, body := f.get(t, "/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for name := range parse(t, body) {
		if !strings.HasPrefix(name, "conclave_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s has another prefix", name)
		}
	}
}

// TestNobodyMakesSeries tells a meter of names without end.
func TestNobodyMakesSeries(t *testing.T) {
	f := start(t)
	for i := range 10_000 {
		code := fault.Code(fmt.Sprint("code_", i))
		f.meter.Refused(code)
		f.meter.Cut(code)
		f.meter.Commanded(code, i%2 == 0)
		f.meter.Appended(code, 0)
		f.meter.Asked(string(code), fault.Denied, 0)
	}
	f.set(func() {
		f.sample = Sample{Principals: map[Standing]int{}, Decisions: map[string]int{}}
		for i := range 10_000 {
			f.sample.Principals[Standing{Role: fmt.Sprint(i)}] = 1
			f.sample.Decisions[fmt.Sprint(i)] = 1
		}
	})
	_, body := f.get(t, "/metrics")
	of := map[string]int{}
	for series := range parse(t, body) {
		name, _, _ := strings.Cut(series, "{")
		of[name]++
	}
	for name, n := range of {
		if most := MaxValues + 2; n > most && !strings.HasSuffix(name, "_bucket") || n > most*(len(latencies)+1) {
			t.Errorf("%s has %d series", name, n)
		}
	}
	if !strings.Contains(body, `conclave_connections_refused_total{code="other"}`) {
		t.Error("what did not fit is not counted")
	}
}

func TestHealthIsWhileTheProcessLives(t *testing.T) {
	f := start(t)
	f.set(func() { f.failed["log"] = errors.New("gone") })
	if status, body := f.get(t, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := f.get(t, "/elsewhere"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

func TestReadyNamesWhatFails(t *testing.T) {
	f := start(t)
	ask := func(want int) Readiness {
		t.Helper()
		status, body := f.get(t, "/readyz")
		var r Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil || status != want || r.Ready != (want == http.StatusOK) {
			t.Fatalf("%d, want %d: %v %s", status, want, err, body)
		}
		return r
	}
	if r := ask(http.StatusOK); len(r.Checks) != 2 || !r.Checks[0].OK || !r.Checks[1].OK || r.Checks[0].Reason != "" {
		t.Errorf("%+v", r)
	}
	f.set(func() { f.failed["log"] = fault.New(fault.DiskFull, "no room") })
	r := ask(http.StatusServiceUnavailable)
	if r.Checks[0] != (Result{Name: "log", Code: fault.DiskFull, Reason: "no room"}) || !r.Checks[1].OK {
		t.Errorf("%+v", r)
	}
	f.set(func() { delete(f.failed, "log") })
	ask(http.StatusOK)
}

func TestOnlyGETFromThisMachine(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if status, _ := f.get(t, path); status != http.StatusOK {
			t.Fatalf("the honest twin, %s: %d", path, status)
		}
		for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			w := ask(f.Server, method, path, f.Addr())
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	for host, want := range map[string]int{
		"127.0.0.1:9":    http.StatusOK,
		"127.0.0.1":      http.StatusOK,
		"127.8.8.8:9":    http.StatusOK,
		"localhost:9":    http.StatusOK,
		"localhost":      http.StatusOK,
		"[::1]:9":        http.StatusOK,
		"[::1]":          http.StatusOK,
		"evil.example":   http.StatusForbidden, // a name that was made to point here
		"evil.example:9": http.StatusForbidden,
		"10.0.0.1:9":     http.StatusForbidden,
		"":               http.StatusForbidden,
		"localhost.evil": http.StatusForbidden,
		"127.0.0.1.evil": http.StatusForbidden,
	} {
		if w := ask(f.Server, http.MethodGet, "/healthz", host); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}

func ask(h http.Handler, method, path, host string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	h.ServeHTTP(w, r)
	return w
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "127.0.0.2:9464", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		if err := CheckAddress(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"", ":", ":9464", "0.0.0.0:9464", "[::]:9464", "10.0.0.1:9464", "192.168.1.1:0", "example.com:80", "127.0.0.1",
		"127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.1:80", "localhost.:80", "[fe80::1]:80", "2130706433:80",
	} {
		err := CheckAddress(address)
		if !errors.Is(err, ErrAddress) || fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", address, err)
		}
		s, err := Listen(Config{Address: address, Meter: NewMeter(""), Sample: func() Sample { return Sample{} }})
		if !errors.Is(err, ErrAddress) {
			t.Errorf("Listen on %q: %v", address, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}

func TestAddressInUse(t *testing.T) {
	f := start(t)
	_, err := Listen(Config{Address: f.Addr(), Meter: NewMeter(""), Sample: func() Sample { return Sample{} }})
	if !errors.Is(err, ErrInUse) || fault.CodeOf(err) != fault.InUse || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// TestLimits holds that a client that says nothing, or too much, is let go.
func TestLimits(t *testing.T) {
	f := start(t)
	for name, said := range map[string]string{
		"nothing":     "",
		"half a line": "GET /met",
		"a giant":     "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", f.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, said) // it may hang up meanwhile
			answer, err := io.ReadAll(c)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("still connected")
			}
			if strings.Contains(string(answer), " 200 ") {
				t.Errorf("answered %q", answer)
			}
		})
	}
}

// TestClientsWaitForAPlace has silent clients take all places; they lose them when their time is over.
func TestClientsWaitForAPlace(t *testing.T) {
	f := start(t)
	if status, _ := f.get(t, "/healthz"); status != http.StatusOK {
		t.Fatal(status)
	}
	http.DefaultClient.CloseIdleConnections()
	began := time.Now()
	for range 2 * maxClients {
		c, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for len(f.listener.(*limited).slots) < maxClients {
		runtime.Gosched()
	}
	if status, _ := f.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("after the silent: %d", status)
	}
	if took := time.Since(began); took < headerTime {
		t.Errorf("one more than all places were served after %v", took)
	}
}

func TestCloseDoesNotWaitForAPlace(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(inner, 1)
	held, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	_ = l.Close() // a second one does nothing new
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _ = first.Close(); len(l.slots) != 0 { // a second one frees nothing twice
		t.Errorf("%d places are taken", len(l.slots))
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	client := &http.Client{Transport: &http.Transport{}}
	s, err := Listen(Config{Address: "127.0.0.1:0", Meter: NewMeter(""), Sample: full})
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Get("http://" + s.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	client.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}
