package main

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
)

// auditor attests how work was done, having done it again itself. It hears what is said on the topics, and of a call it is
// shown what both sides have signed. It is safe for concurrent use.
type auditor struct {
	mu    sync.Mutex
	jobs  map[sdk.Digest]job
	dones map[sdk.Digest]done
	more  chan struct{} // closed when something was heard
}

// audit has the agent hear the topics and attest.
func audit(agent *sdk.Agent) (*auditor, error) {
	a := &auditor{jobs: map[sdk.Digest]job{}, dones: map[sdk.Digest]done{}, more: make(chan struct{})}
	_, err := sdk.Subscribe(agent, "work.jobs", func(_ context.Context, m *sdk.Message[job]) error {
		return hear(a, a.jobs, m.Data)
	})
	if err != nil {
		return nil, err
	}
	_, err = sdk.Subscribe(agent, "report.done", func(_ context.Context, m *sdk.Message[done]) error {
		return hear(a, a.dones, m.Data)
	})
	if err != nil {
		return nil, err
	}
	return a, agent.Standing().Attest(a.attest)
}

func hear[T any](a *auditor, heard map[sdk.Digest]T, said T) error {
	id, err := digestOf(said)
	a.mu.Lock()
	defer a.mu.Unlock()
	heard[id] = said
	close(a.more)
	a.more = make(chan struct{})
	return err
}

// attest says whether the work that a claim is about was right.
func (a *auditor) attest(ctx context.Context, c standing.Claim) (bool, error) {
	if c.Called {
		var j job
		var d done
		if err := json.Unmarshal(c.Request, &j); err != nil {
			return false, sdk.Errorf(code.InvalidInput, "not a job")
		}
		return c.Answered && json.Unmarshal(c.Answer, &d) == nil && right(j, d), nil
	}
	for {
		a.mu.Lock()
		j, asked := a.jobs[c.Evidence.Request]
		d, answered := a.dones[c.Evidence.Result]
		more := a.more
		a.mu.Unlock()
		if asked && answered {
			return right(j, d), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false, sdk.Errorf(code.NotFound, "this auditor has not heard both the job and the answer")
		}
	}
}
