// Package middleware is what goes around an agent's handlers: recovery from panics, time limits, retries, rates, logs,
// least levels, idempotency and checks of content.
//
//	agent.Use(
//		middleware.Log(logger),
//		middleware.MinLevel(identity.Journeyer),
//		middleware.RateLimit(middleware.Rate{Every: 100 * time.Millisecond, Burst: 20}),
//		middleware.Validate(check),
//		middleware.Dedup(middleware.Window{}),
//		middleware.Timeout(10*time.Second),
//		middleware.Retry(middleware.Backoff{Attempts: 3}),
//		middleware.Recover(logger),
//	)
//	err := sdk.Handle(agent, "text.summarise", summarise)
//
// The first one given is the outermost, so this order is the one to keep: Log sees every outcome; what refuses comes
// before what costs, and the cheapest refusal first; Dedup stands outside of Timeout and Retry, so that a duplicate
// waits for all attempts of the first; Recover stands next to the handler, because a panic in a handler that outlived
// its Timeout is in no caller's reach any more.
//
// Every refusal carries a code. A parameter that is missing or out of range denies everything: nothing here opens when
// it is configured wrongly. Each function returns middleware with a state of its own, shared by all the handlers that
// it is put around; give the same value to several agents, and they share it as well. All of it is safe for concurrent
// use, keeps no goroutine of its own, and never logs content.
package middleware
