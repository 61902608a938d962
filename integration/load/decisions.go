package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

// decide returns a decider's work: it proposes an action, has it approved, and executes it. The same proposal is taken
// up again until it is known how it ended.
func (l *Load) decide() func(context.Context, *client) {
	number := 0
	return func(ctx context.Context, c *client) {
		if l.decideOne(ctx, c, number) {
			number++
		}
	}
}

// decideOne says whether the decision has ended, one way or another.
func (l *Load) decideOne(ctx context.Context, c *client, number int) bool {
	key := fmt.Sprintf("%s-%d", c.name, number)
	action := sdk.NewAction("load.act", key, nil)
	d, err := c.agent.Propose(ctx, sdk.Proposal{Action: action, Key: key})
	if err != nil {
		return ended(err)
	}
	id := d.ID().String()
	view, err := c.approver.agent.Ballots().View(ctx, id)
	if err == nil && view.State == "open" {
		_, err = c.approver.agent.Ballots().Vote(ctx, view, ballot.Approve("load"))
	}
	if err != nil && sdk.CodeOf(err) != code.Spent {
		return ended(err)
	}
	start := l.recorder.Now()
	if _, err := d.Wait(ctx); err != nil {
		if sdk.CodeOf(err) == code.Rejected {
			l.recorder.Add(check.Event{Op: check.Certificate, Agent: c.name, Start: start, Result: check.OK, Key: id, Outcome: "rejected"})
		}
		return ended(err)
	}
	l.recorder.Add(check.Event{Op: check.Certificate, Agent: c.name, Start: start, Result: check.OK, Key: id, Outcome: check.Approved})
	err = c.agent.Execute(ctx, d, action, func(context.Context) error {
		now := l.recorder.Now()
		l.recorder.Add(check.Event{Op: check.Act, Agent: c.name, Start: now, End: now, Result: check.OK, Key: id})
		return mark(l.realm.StateDir, key)
	})
	return err == nil || ended(err)
}

// ended says whether trying again is of no use.
func ended(err error) bool {
	c := sdk.CodeOf(err)
	return c != "" && !c.Retryable()
}

// mark leaves a file that may be made only once.
func mark(dir, key string) error {
	f, err := os.OpenFile(filepath.Join(dir, "acted-"+key), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
