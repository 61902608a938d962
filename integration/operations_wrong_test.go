package integration

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// TestStrangersAtEveryPortOfANode has somebody without a key of the realm knock at a node of three. What it says to such
// a one may name itself, and nothing of the realm.
func TestStrangersAtEveryPortOfANode(t *testing.T) {
	s := three(t)
	pin, err := identity.ParseID(s.names["a"])
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := wire.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := peertls.Client([]identity.ID{pin}, func() (*tls.Certificate, error) { return peertls.Certificate(stranger) })
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, at, protocol string
		mute               bool // not a byte comes back
	}{
		{"agents", "127.0.0.1:7415", "", false},
		{"nodes, without a protocol", "127.0.0.1:7416", "", true},
		{"nodes, the log", "127.0.0.1:7416", "conclave-raft/1", true},
		{"nodes, calls", "127.0.0.1:7416", "conclave-rpc/1", true},
		{"nodes, joining", "127.0.0.1:7416", "conclave-join/1", false},
		{"routes", "127.0.0.1:7417", "", true},
	} {
		mine := config
		if row.protocol != "" {
			mine = peertls.WithProtocols(config, row.protocol)
		}
		for _, hello := range []string{"CONNECT {\"verbose\":true}\r\nPING\r\n", "\x00\x00\x00\x05hello", "INFO {}\r\n"} {
			said := s.knock(s.here(row.at), mine, hello)
			if row.mute && said != "" {
				t.Errorf("%s: a stranger was told %q", row.name, said)
			}
			for what, secret := range s.secrets() {
				if strings.Contains(said, secret) {
					t.Errorf("%s: a stranger was told %s: %q", row.name, what, said)
				}
			}
		}
		if said := s.knock(s.here(row.at), nil, "hello\r\n\r\n"); !plain(said) {
			t.Errorf("%s: without TLS a stranger was told %q", row.name, said)
		}
	}
	s.whole("abc")
	s.keeps("kept")
}

// plain reports whether that is all that TLS says to who does not speak it: an alert, or nothing.
func plain(said string) bool { return said == "" || said[0] == 0x15 && len(said) <= 7 }

// secrets are what only members may learn.
func (s terminals) secrets() map[string]string {
	return map[string]string{
		"another node's key": s.names["b"], "another node's door": s.here("127.0.0.1:7425"), "another node's address": s.here("127.0.0.1:7436"),
		"another node's routes": s.here("127.0.0.1:7427"), "an agent": "kept",
	}
}

// knock sends one message and returns all that comes back until the other end hangs up; a refused handshake says nothing.
func (s terminals) knock(address string, config *tls.Config, hello string) string {
	s.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	if config != nil {
		secured := tls.Client(conn, config)
		if secured.Handshake() != nil {
			return ""
		}
		conn = secured
	}
	_, _ = io.WriteString(conn, hello) // the node may have hung up
	said, _ := io.ReadAll(conn)        // ends with an alert, or by the deadline
	return string(said)
}

// TestACopyOfANode runs a second node with the directory, and so the key, of one that runs.
func TestACopyOfANode(t *testing.T) {
	s := three(t)
	for _, original := range []string{"a", "c"} { // a leads, unless something odd has happened
		if out, code := s.shell("cp -a " + original + " x"); code != 0 {
			t.Fatal(out)
		}
		for _, name := range []string{"in the directory itself --data ./" + original, "at the same ports --data ./x"} {
			what, data, _ := strings.Cut(name, " --data ")
			if out, code := s.shell("conclave server run --data " + data); code != 1 || !strings.Contains(out, "(in_use)") {
				t.Errorf("%s: exit %d\n%s", what, code, out)
			}
		}
		began := s.applied(original)
		s.begin("x", strings.Fields(s.here("server run --data ./x --listen 127.0.0.1:7465 --cluster 127.0.0.1:7466 --metrics-listen 127.0.0.1:7457"))...)
		s.keeps("beside-" + original)
		s.await(func() string { return "some leases later" }, func() bool { return s.applied(original) > began+30 })
		s.whole("abc")
		if _, codes := readiness(t, s.here("127.0.0.1:7457")); codes["registrar"] != "unreachable" {
			t.Errorf("the copy of %s: %v", original, codes)
		}
		select {
		case line := <-s.nodes["x"].lines:
			t.Errorf("the copy of %s said %q", original, line)
		default:
		}
		if code := s.end("x", os.Interrupt); code != 0 {
			t.Errorf("the copy of %s ended with %d", original, code)
		}
		if err := os.RemoveAll(filepath.Join(s.dir, "x")); err != nil {
			t.Fatal(err)
		}
	}
	s.whole("abc")
	s.keeps("kept")
}

var (
	metricsAt = regexp.MustCompile(` metrics (\S+)`)
	appliedTo = regexp.MustCompile(`(?m)^conclave_log_applied_index (\d+)$`)
)

// page asks a node for one of its pages.
func page(t *testing.T, address, path string) (status int, body []byte) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// monitor is where a node that is ready serves its pages.
func (s terminals) monitor(node string) string {
	s.Helper()
	at := metricsAt.FindStringSubmatch(s.nodes[node].ready)
	if at == nil {
		s.Fatalf("no address in %q", s.nodes[node].ready)
	}
	return at[1]
}

// applied is how many entries of the log a node has applied.
func (s terminals) applied(node string) int {
	s.Helper()
	_, body := page(s.T, s.monitor(node), "/metrics")
	m := appliedTo.FindSubmatch(body)
	if m == nil {
		s.Fatalf("no index in\n%s", body)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// readiness asks whether a node is ready, and for the codes of the checks that fail.
func readiness(t *testing.T, address string) (ready bool, codes map[string]string) {
	t.Helper()
	status, body := page(t, address, "/readyz")
	var told struct {
		Ready  bool
		Checks []struct {
			Name, Code string
			OK         bool
		}
	}
	if err := json.Unmarshal(body, &told); err != nil {
		t.Fatal(err)
	}
	codes = map[string]string{}
	for _, c := range told.Checks {
		if !c.OK {
			codes[c.Name] = c.Code
		}
	}
	if told.Ready != (len(codes) == 0) || told.Ready != (status == http.StatusOK) {
		t.Errorf("status %d, but %+v", status, told)
	}
	return told.Ready, codes
}

// TestFewerThanAMajority asks a node for everything after the two others have gone.
func TestFewerThanAMajority(t *testing.T) {
	s := three(t)
	asked := []string{
		"cluster members", "server status", "agent ls", "agent show kept", "server token", "cluster transfer", "cluster remove NODE_C",
		`agent enroll "$(cat token)"`,
	}
	if out, code := s.shell("conclave agent token --name late > token"); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, honest := range asked[:5] {
		if out, code := s.shell("conclave " + honest); code != 0 {
			t.Errorf("%s, of three: exit %d\n%s", honest, code, out)
		}
	}
	s.end("b", os.Kill)
	s.end("c", os.Kill)
	s.await(func() string { return "the lease of the node that is left has ended" }, func() bool {
		_, codes := readiness(t, s.monitor("a"))
		return codes["registrar"] == "unreachable"
	})
	for _, line := range asked {
		out, code := s.shell(s.here("conclave --json " + line))
		var told struct {
			Error struct{ Code, Hint string }
		}
		i := strings.LastIndex(out, "{\"error\"")
		if i < 0 || json.Unmarshal([]byte(out[i:]), &told) != nil || code != 3 || told.Error.Code != "unreachable" || told.Error.Hint == "" {
			t.Errorf("%s: exit %d\n%s", line, code, out)
		}
		t.Logf("%s: %s", line, told.Error)
	}
	for _, node := range []string{"b", "c"} {
		s.launch(node, strings.Fields(s.here("server run --data ./"+node))...)
	}
	s.whole("abc")
	s.keeps("kept")
	if out, code := s.shell("conclave agent show late"); code == 0 {
		t.Errorf("what was refused took effect:\n%s", out)
	}
	if ready, codes := readiness(t, s.monitor("a")); !ready {
		t.Errorf("not ready again: %v", codes)
	}
}
