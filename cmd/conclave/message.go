package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// target reads "capability" or "agent/capability".
func target(text string) (sdk.Target, error) {
	who, capability, named := strings.Cut(text, "/")
	if !named {
		who, capability = "", text
	}
	if err := identity.CheckCapability(capability); err != nil {
		return sdk.Target{}, asUsage(err)
	}
	if !named {
		return sdk.Any(capability), nil
	}
	if _, err := identity.ParseID(who); err != nil {
		if err := identity.CheckName(who); err != nil {
			return sdk.Target{}, asUsage(err)
		}
	}
	return sdk.To(who, capability), nil
}

// messageCommands are call, pub and sub.
type messageCommands struct{ *program }

func (p messageCommands) call() *cobra.Command {
	var as string
	c := &cobra.Command{
		Use: "call TARGET [JSON|-]", Short: "Send one request and print the reply", Args: cobra.RangeArgs(1, 2),
		Long: "Send one signed, encrypted request. TARGET is a capability, for whoever serves it, or AGENT/CAPABILITY. The\n" +
			"reply, verified to come from the agent that was asked, is printed as one JSON document.",
		Example: `  conclave call text.summarise '{"text":"..."}'` + "\n" + `  conclave call writer/text.summarise - < request.json`,
		RunE: func(c *cobra.Command, args []string) error {
			to, err := target(args[0])
			if err != nil {
				return err
			}
			content, err := p.jsonInput(args, 1)
			if err != nil {
				return err
			}
			opts, err := acting(as)
			if err != nil {
				return err
			}
			return p.with(c.Context(), callTime, opts, func(ctx context.Context, s session) error {
				if err := s.mustBeAgent(); err != nil {
					return err
				}
				s.changes()
				reply, err := sdk.CallBytes(ctx, s.Agent, to, content)
				if err != nil {
					return err
				}
				return p.line(jsonOrText(reply))
			})
		},
	}
	asAgent(c, &as)
	return c
}

func (p messageCommands) pub() *cobra.Command {
	var as string
	var wait time.Duration
	c := &cobra.Command{
		Use: "pub TOPIC [JSON|-]", Short: "Publish one message", Args: cobra.RangeArgs(1, 2),
		Long: "Publish one signed message on a topic. Readers hear a process only once they have joined it, which takes\n" +
			"them up to 4 seconds: --wait gives them that time before the message is sent.",
		Example: `  conclave pub report.daily '{"done":12}'`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := asUsage(identity.CheckCapability(args[0])); err != nil {
				return err
			}
			content, err := p.jsonInput(args, 1)
			if err != nil {
				return err
			}
			opts, err := acting(as)
			if err != nil {
				return err
			}
			return p.with(c.Context(), callTime, opts, func(ctx context.Context, s session) error {
				return s.publish(ctx, args[0], content, wait)
			})
		},
	}
	c.Flags().DurationVar(&wait, "wait", 5*time.Second, "how long readers get to join before the message is sent")
	asAgent(c, &as)
	return c
}

func (s session) publish(ctx context.Context, topic string, content []byte, wait time.Duration) error {
	if err := s.mustBeAgent(); err != nil {
		return err
	}
	s.changes()
	if err := s.Advertise(ctx, topic); err != nil {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	receipt, err := sdk.PublishBytes(ctx, s.Agent, topic, content)
	if err != nil {
		return err
	}
	id, err := receipt.Wait(ctx)
	if err != nil {
		return err
	}
	return s.emit(map[string]string{"id": id.String(), "topic": topic}, textLine("published "+id.String()))
}

// message is one line of sub.
type message struct {
	ID    string          `json:"id"`
	From  sdk.Peer        `json:"from"`
	Topic string          `json:"topic"`
	Data  json.RawMessage `json:"data"`
}

func (p messageCommands) sub() *cobra.Command {
	var as string
	var count int
	c := &cobra.Command{
		Use: "sub PATTERN", Short: "Print the messages of a topic", Args: cobra.ExactArgs(1),
		Long: "Print every verified message on a topic, or on all that a pattern as report.* covers, until interrupted,\n" +
			"--count or --timeout. With --json each message is one JSON object on a line of its own.",
		Example: "  conclave sub 'report.*' --count 1 --json",
		RunE: func(c *cobra.Command, args []string) error {
			if err := asUsage(identity.CheckCapabilities(args)); err != nil {
				return err
			}
			opts, err := acting(as)
			if err != nil {
				return err
			}
			return p.with(c.Context(), 0, opts, func(ctx context.Context, s session) error {
				return s.read(ctx, args[0], count)
			})
		},
	}
	c.Flags().IntVar(&count, "count", 0, "end after so many messages; 0: never")
	asAgent(c, &as)
	return c
}

// read prints messages until there were count, or ctx ends; an interruption is an ordinary end.
func (s session) read(interrupted context.Context, pattern string, count int) error {
	if err := s.mustBeAgent(); err != nil {
		return err
	}
	ctx, cancel := s.within(interrupted, 0)
	defer cancel()
	heard := make(chan *sdk.Delivery)
	sub, err := sdk.SubscribeBytes(s.Agent, pattern, func(handling context.Context, d *sdk.Delivery) ([]byte, error) {
		select {
		case heard <- d:
		case <-ctx.Done():
		case <-handling.Done():
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	s.say("reading %s as %s", pattern, s.ID())
	for n := 0; count == 0 || n < count; n++ {
		select {
		case d := <-heard:
			if err := s.show(d); err != nil {
				return err
			}
		case <-ctx.Done():
			if count == 0 || interrupted.Err() != nil {
				return nil
			}
			return fault.New(fault.NoResponder, fmt.Sprintf("%d of %d messages came in time", n, count))
		}
	}
	return sub.Stop()
}

func (s session) show(d *sdk.Delivery) error {
	m := message{ID: d.ID().String(), From: d.From, Topic: d.Topic, Data: jsonOrText(d.Content)}
	if s.flags.json {
		return s.line(m)
	}
	fmt.Fprintf(s.stdout, "%s %s (%s): ", visible(m.Topic), visible(m.From.Name), m.From.Level)
	return s.line(m.Data)
}
