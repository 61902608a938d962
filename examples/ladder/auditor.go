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
	jobs  map[said]job
	dones map[said]done
	more  chan struct{} // closed when something was heard
}

// said is a message by who said it: nobody is judged by another's work, or by another's job.
type said struct {
	by   sdk.ID
	what sdk.Digest
}

// audit has the agent hear the topics and attest.
func audit(agent *sdk.Agent) (*auditor, error) {
	a := newAuditor()
	_, err := sdk.Subscribe(agent, "work.jobs", func(_ context.Context, m *sdk.Message[job]) error {
		return hear(a, a.jobs, m.From.ID, m.Data)
	})
	if err != nil {
		return nil, err
	}
	_, err = sdk.Subscribe(agent, "report.done", func(_ context.Context, m *sdk.Message[done]) error {
		return hear(a, a.dones, m.From.ID, m.Data)
	})
	if err != nil {
		return nil, err
	}
	return a, agent.Standing().Attest(a.attest, "file.read") // what sorting is, whatever class an author would like
}

func newAuditor() *auditor {
	return &auditor{jobs: map[said]job{}, dones: map[said]done{}, more: make(chan struct{})}
}

func hear[T any](a *auditor, heard map[said]T, by sdk.ID, data T) error {
	id, err := digestOf(data)
	a.mu.Lock()
	defer a.mu.Unlock()
	heard[said{by, id}] = data
	close(a.more)
	a.more = make(chan struct{})
	return err
}

// attest says whether the work that a claim is about was right. What it cannot see it does not judge: "wrong" would be the
// author's word alone.
func (a *auditor) attest(ctx context.Context, c standing.Claim) (bool, error) {
	if c.Called {
		return called(c)
	}
	e := c.Evidence
	for {
		a.mu.Lock()
		j, asked := a.jobs[said{e.Author, e.Request}]
		d, answered := a.dones[said{e.Subject, e.Result}]
		more := a.more
		a.mu.Unlock()
		if asked && answered {
			if j.For != c.Subject.Name || j.Number != d.Number {
				return false, sdk.Errorf(code.InvalidInput, "that job was not its, or that is another's answer")
			}
			return right(j, d), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false, sdk.Errorf(code.NotFound, "this auditor has not heard both the job and the answer")
		}
	}
}

// called judges a call.
func called(c standing.Claim) (bool, error) {
	var j job
	var d done
	if c.Capability != "file.sort" || json.Unmarshal(c.Request, &j) != nil {
		return false, sdk.Errorf(code.InvalidInput, "not a job")
	}
	if !c.Answered || c.Failure != nil {
		return false, sdk.Errorf(code.NotFound, "no answer to check")
	}
	return json.Unmarshal(c.Answer, &d) == nil && right(j, d), nil
}
