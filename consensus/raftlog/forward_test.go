package raftlog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// A leader that has stopped without a word, as by SIGSTOP, keeps its connections open and answers nothing. Whoever has
// handed it an entry must not wait for it once another node leads.
func TestForwardIsGivenUpWhenAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3, recorders)
		const patience = time.Hour
		asked := make(chan string, 8)
		for _, m := range c.nodes {
			m.start(func(cfg *Config) {
				cfg.Patience = patience
				honest := cfg.Forward
				cfg.Forward = func(ctx context.Context, leader string, entry []byte) (uint64, error) {
					asked <- leader
					if index, err := honest(ctx, leader, entry); err == nil {
						return index, nil
					}
					<-ctx.Done() // no answer, and no broken connection either
					return 0, ctx.Err()
				}
			})
		}
		defer c.close()
		leader := c.leader()
		follower := c.nodes[(leader.number+1)%3].log
		if _, _, err := follower.Append(t.Context(), []byte("while it answers")); err != nil {
			t.Fatal(err)
		}
		<-asked
		c.isolate(leader.number)
		began := time.Now()
		_, _, err := follower.Append(t.Context(), []byte("while it does not"))
		if waited := time.Since(began); !errors.Is(err, consensus.ErrUncertain) || waited > time.Minute {
			t.Fatalf("after %v: %v", waited, err)
		}
		if to := <-asked; to != leader.key {
			t.Errorf("it had asked %s", to)
		}
		if _, _, err := follower.Append(t.Context(), []byte("by the next leader")); err != nil {
			t.Error(err)
		}
	})
}
