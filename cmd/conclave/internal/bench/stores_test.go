package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// TestWhatStoresAreTold is the form of a write and of the arguments of each peer.
func TestWhatStoresAreTold(t *testing.T) {
	clients, nodes := []string{"c:1", "c:2", "c:3"}, []string{"n:1", "n:2", "n:3"}
	for _, row := range []struct {
		s           store
		body        string
		three, lone string
	}{
		{
			etcd("x"), `{"key":"YmVuY2gtNw==","value":"dg=="}`,
			"--name n1 --data-dir DIR --logger zap --log-level error --listen-client-urls http://c:2 --advertise-client-urls " +
				"http://c:2 --listen-peer-urls http://n:2 --initial-advertise-peer-urls http://n:2 " +
				"--initial-cluster n0=http://n:1,n1=http://n:2,n2=http://n:3 --initial-cluster-state new",
			"--initial-cluster n0=http://n:1 ",
		},
		{
			rqlite("x"), `[["INSERT OR REPLACE INTO bench(id, value) VALUES(?, ?)",7,"v"]]`,
			"-node-id 1 -http-addr c:2 -raft-addr n:2 -bootstrap-expect 3 -join n:1,n:2,n:3 DIR",
			"-node-id 0 -http-addr c:1 -raft-addr n:1 DIR",
		},
	} {
		body, err := json.Marshal(row.s.write(7, 0, []byte("v")))
		if err != nil || string(body) != row.body {
			t.Errorf("%s: %v %s", row.s.name, err, body)
		}
		if got := strings.Join(row.s.args(1, "DIR", clients, nodes), " "); got != row.three {
			t.Errorf("%s: %s", row.s.name, got)
		}
		if got := strings.Join(row.s.args(0, "DIR", clients[:1], nodes[:1]), " "); !strings.Contains(got, row.lone) {
			t.Errorf("%s alone: %s", row.s.name, got)
		}
	}
}

// TestRefusedWrites is what a peer may answer.
func TestRefusedWrites(t *testing.T) {
	for _, row := range []struct {
		status int
		answer string
		good   bool
	}{
		{200, `{"header":{"revision":"2"}}`, true},
		{200, `{"results":[{"last_insert_id":1,"rows_affected":1}]}`, true},
		{200, `{"results":[{"error":"no such table"}]}`, false},
		{200, `{"error":"no leader","code":14}`, false},
		{200, `not json`, false},
		{503, `{"results":[]}`, false},
	} {
		var asked string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path
			w.WriteHeader(row.status)
			fmt.Fprint(w, row.answer)
		}))
		s := store{route: "/write"}
		err := s.put(context.Background(), server.Client(), strings.TrimPrefix(server.URL, "http://"), []byte("{}"))
		if (err == nil) != row.good || asked != "POST /write" {
			t.Errorf("%d %s: %v, asked %q", row.status, row.answer, err, asked)
		}
		server.Close()
		if err := s.put(context.Background(), server.Client(), strings.TrimPrefix(server.URL, "http://"), nil); err == nil {
			t.Error("nobody answered, and it was taken")
		}
	}
}

// TestPeersThatAreNotThere are refused before anything is measured.
func TestPeersThatAreNotThere(t *testing.T) {
	c := tiny(t)
	c.Rounds, c.Messages, c.Nodes, c.Clients, c.Etcd = 1, 4, 1, 1, "/does/not/exist"
	if _, err := Run(context.Background(), "registry", c); err == nil || fault.CodeOf(err) == "" {
		t.Errorf("%v", err)
	}
}
