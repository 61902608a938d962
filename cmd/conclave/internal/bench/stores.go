package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// store is a peer of the registry: a replicated store whose nodes are processes on this machine, written to over HTTP.
type store struct {
	name  string
	path  string                                                      // of its program
	args  func(nth int, dir string, clients, nodes []string) []string // addresses are host:port
	route string                                                      // of writes
	setup []byte                                                      // a first write, if any
	write func(client, nth int, value []byte) any                     // the body, as JSON
}

// stores starts the peers whose programs were given.
func stores(ctx context.Context, b *bout) ([]contender, error) {
	var list []contender
	for _, s := range []store{etcd(b.Etcd), rqlite(b.Rqlite)} {
		if s.path == "" {
			continue
		}
		b.say("starting "+s.name, 0, 0)
		c, err := s.open(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func etcd(path string) store {
	return store{
		name: "etcd puts", path: path, route: "/v3/kv/put",
		args: func(nth int, dir string, clients, nodes []string) []string {
			var all []string
			for i, at := range nodes {
				all = append(all, fmt.Sprintf("n%d=http://%s", i, at))
			}
			return []string{
				"--name", fmt.Sprintf("n%d", nth), "--data-dir", dir, "--logger", "zap", "--log-level", "error",
				"--listen-client-urls", "http://" + clients[nth], "--advertise-client-urls", "http://" + clients[nth],
				"--listen-peer-urls", "http://" + nodes[nth], "--initial-advertise-peer-urls", "http://" + nodes[nth],
				"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", "new",
			}
		},
		write: func(client, _ int, value []byte) any { // bytes are base64 in its JSON, too
			return map[string][]byte{"key": fmt.Appendf(nil, "bench-%d", client), "value": value}
		},
	}
}

func rqlite(path string) store {
	return store{
		name: "rqlite writes", path: path, route: "/db/execute",
		args: func(nth int, dir string, clients, nodes []string) []string {
			args := []string{"-node-id", fmt.Sprint(nth), "-http-addr", clients[nth], "-raft-addr", nodes[nth]}
			if len(nodes) > 1 {
				args = append(args, "-bootstrap-expect", fmt.Sprint(len(nodes)), "-join", strings.Join(nodes, ","))
			}
			return append(args, dir)
		},
		setup: []byte(`["CREATE TABLE IF NOT EXISTS bench (id INTEGER NOT NULL PRIMARY KEY, value TEXT)"]`),
		write: func(client, _ int, value []byte) any {
			return [][]any{{"INSERT OR REPLACE INTO bench(id, value) VALUES(?, ?)", client, string(value)}}
		},
	}
}

// open starts the store's nodes, until the bout's end, and waits until all of them take writes.
func (s store) open(ctx context.Context, b *bout) (contender, error) {
	var clients, nodes []string
	for range b.Nodes {
		at, err := freePlace()
		if err != nil {
			return contender{}, err
		}
		clients, nodes = append(clients, at.Listen), append(nodes, at.Cluster)
	}
	for i := range b.Nodes {
		dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", strings.Fields(s.name)[0], i))
		if _, err := b.launch(ctx, s.name, nil, s.path, s.args(i, dir, clients, nodes)...); err != nil {
			return contender{}, err
		}
	}
	transport := &http.Transport{MaxIdleConns: 2 * b.Clients, MaxIdleConnsPerHost: b.Clients}
	b.later(func() error { transport.CloseIdleConnections(); return nil })
	hc := &http.Client{Transport: transport, Timeout: b.patience}
	value := bytes.Repeat([]byte("x"), b.Size)
	first := s.setup
	if first == nil {
		var err error
		if first, err = json.Marshal(s.write(0, 0, value)); err != nil {
			return contender{}, fmt.Errorf("bench: %w", err)
		}
	}
	for _, at := range clients {
		if err := b.insist(ctx, func() error { return s.put(ctx, hc, at, first) }); err != nil {
			return contender{}, err
		}
	}
	return contender{name: s.name, run: func(ctx context.Context) (sample, error) {
		return pump(ctx, b, b.Clients, func(ctx context.Context, client, nth int) error {
			body, err := json.Marshal(s.write(client, nth, value))
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			return s.put(ctx, hc, clients[client%len(clients)], body)
		})
	}}, nil
}

var errStore = fault.New(fault.Internal, "bench: the peer refused a write")

// put makes one write and sees that it was taken.
func (s store) put(ctx context.Context, hc *http.Client, at string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at+s.route, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := hc.Do(request)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if closed := response.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if response.StatusCode != http.StatusOK || refusal(answer) {
		return fmt.Errorf("%w: %s: %.200s", errStore, response.Status, answer)
	}
	return nil
}

// refusal reports whether an answer is no JSON, or says error, itself or for one of its results.
func refusal(answer []byte) bool {
	var said struct {
		Error   any
		Results []struct{ Error string }
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Error != nil {
		return true
	}
	for _, result := range said.Results {
		if result.Error != "" {
			return true
		}
	}
	return false
}
