package load

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

const (
	echo = "load.echo"
	news = "load.news"
)

// serve has an agent answer calls, and records each.
func (l *Load) serve(_ context.Context, c *client) error {
	return sdk.HandleBytes(c.agent, echo, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		l.handled(c.name, d, 0, 0)
		return d.Content, nil
	})
}

func (l *Load) handled(who string, d *sdk.Delivery, counter, process uint64) {
	now := l.recorder.Now()
	l.recorder.Add(check.Event{
		Op: check.Handle, Agent: who, Start: now, End: now, Result: check.OK, ID: string(d.Content), From: d.From.Name, Topic: d.Topic, Counter: counter, Process: process,
	})
}

// call is a caller's work: one request, under an id of its own, to whoever serves it.
func (l *Load) call(ctx context.Context, c *client) {
	e := check.Event{Op: check.Call, Agent: c.name, Start: l.recorder.Now(), ID: fmt.Sprintf("%s/%d", c.name, c.done)}
	reply, err := sdk.CallBytes(ctx, c.agent, sdk.Any(echo), []byte(e.ID))
	e.Result, e.Code = outcome(err)
	if err == nil && string(reply) != e.ID {
		e.Code = "wrong_reply"
		e.ID = "reply " + string(reply) // nobody handled that: the checker says so
	}
	l.recorder.Add(e)
}

// read has an agent read the topic, and records each message.
func (l *Load) read(_ context.Context, c *client) error {
	_, err := sdk.SubscribeBytes(c.agent, news, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
		var counter, process uint64
		_, numbers, _ := strings.Cut(string(d.Content), "/")
		if _, err := fmt.Sscanf(numbers, "%d/%d", &counter, &process); err != nil {
			counter, process = 0, 0 // no sender of ours: out of order at once
		}
		l.handled(c.name, d, counter, process)
		return nil, nil
	})
	return err
}

func advertise(ctx context.Context, c *client) error { return c.agent.Advertise(ctx, news) }

// publish is a publisher's work: one message with the next number, confirmed by its node.
func (l *Load) publish(ctx context.Context, c *client) { l.publishOne(ctx, c) }

func (l *Load) publishOne(ctx context.Context, c *client) check.Result {
	e := check.Event{Op: check.Publish, Agent: c.name, Start: l.recorder.Now(), ID: fmt.Sprintf("%s/%d/%d", c.name, c.done, c.process), Topic: news, Counter: c.done, Process: c.process}
	receipt, err := sdk.PublishBytes(ctx, c.agent, news, []byte(e.ID))
	if err == nil {
		_, err = receipt.Wait(ctx)
	}
	e.Result, e.Code = outcome(err)
	l.recorder.Add(e)
	return e.Result
}

// publishAnyhow is a suspect's work: it publishes, and if it is not let, connects anew and tries again.
func (l *Load) publishAnyhow(ctx context.Context, c *client) {
	if c.agent == nil {
		agent, err := sdk.Connect(ctx, sdk.WithProfile(c.profile))
		if err != nil {
			return
		}
		c.agent = agent
		c.process++
		if err := advertise(ctx, c); err != nil {
			c.close()
			return
		}
	}
	if l.publishOne(ctx, c) != check.OK {
		c.close()
	}
}
