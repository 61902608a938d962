// Package sdk is conclave for people who write agents.
//
// [Connect] makes an [Agent]: a verified connection to a realm under one identity. [Handle] and [Call] are typed
// request and reply, [Publish] and [Subscribe] topics, [Agent.Propose], [Decision.Wait] and [Guard] decisions:
//
//	agent, err := sdk.Connect(ctx, sdk.Name("summariser"))
//	err = sdk.Handle(agent, "text.summarise", func(ctx context.Context, r *sdk.Request[Ask]) (Answer, error) {
//		return Answer{Summary: shorten(r.Data.Text)}, nil // r.From is verified
//	})
//
// Whatever reaches a handler was signed by the agent that From names, for this process, unaltered, not seen before,
// and within that agent's rights. There is no way to read a payload that was not verified, and no option that turns a
// check off. Requests and replies are encrypted for the one process that they are for, under a session's key after
// the first ones. Messages of a topic are encrypted for the processes that joined their publisher and may read it, and
// for them only as long as they may, unless the realm's policy leaves the topic plain.
//
// [PublishBytes] queues and returns: what waits is signed together, in frames, when the signer is free, and a lone
// message goes at once. [Receipt.Wait] and [Agent.Flush] return when the node has it. A reader that is slower than its
// publishers loses messages, which [Subscription.Dropped] counts; [Stream], whose sender waits for its reader, does not.
// What fits no message is passed by reference: [Agent.Offer], [Agent.Fetch].
//
// The typed functions speak JSON and check it against the schema of the Go type; HandleBytes, CallBytes, PublishBytes
// and SubscribeBytes carry bytes as they are.
//
// Errors carry a code ([CodeOf], package code) that survives the wire. The package links no server, log or database.
//
// What not every agent needs stands beside it: package ballot for voting, package standing for reporting, attesting and seeing
// how agents work, package admin for operators, package verify
// for checking certificates offline, package middleware for what goes around handlers and calls,
// package otel for their spans.
package sdk
