//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// deaf takes connections and never reads from them.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", anywhere)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan net.Conn, 1024)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken <- conn
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for close(taken); ; {
			conn, ok := <-taken
			if !ok {
				return
			}
			_ = conn.Close()
		}
	})
	return l.Addr().String()
}

// A node that takes every question and answers none, and one that does not even read, hold up nobody.
func TestANodeThatWithholds(t *testing.T) {
	for name, begin := range map[string]func(m *mallory) greeting{
		"the honest twin": func(m *mallory) greeting { return m.honest() },
		"it never answers": func(m *mallory) greeting {
			for _, op := range []string{"hello", "append", "barrier", "transfer", "cosign", "sender", "present", "gone"} {
				m.answers(op, func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
			}
			return m.honest()
		},
		"it never reads": func(m *mallory) greeting {
			g := m.honest()
			g.Cluster, g.Routes = deaf(m.t), deaf(m.t)
			return g
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := grown(t)
			m := r.replace(r.follower())
			g := begin(m)
			if err := m.greetAll(g); err != nil {
				t.Fatal(err)
			}
			bob := r.connect(r.profile("bob", r.nodes[0]))
			serve(t, bob)
			until(t, "bob is found at the other node", func() bool { return r.found(r.nodes[1], upper) == 1 })
			alice := r.connect(r.profile("alice", r.nodes[1]))
			until(t, "alice reaches bob", func() bool { return call(t, alice) == nil })
			for i := range 3 {
				r.tick(fmt.Sprint("w", i))
				for _, n := range r.nodes {
					if r.cluster(n).Lease <= 0 {
						t.Errorf("node %s has no lease", n.ID())
					}
				}
			}
			if err := bob.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, "bob is not found any more", func() bool { return r.found(r.nodes[1], upper) == 0 })
		})
	}
}
