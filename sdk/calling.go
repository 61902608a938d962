package sdk

import (
	"context"
	"slices"
	"sync"
)

// CallFunc makes one call: content goes to a process that serves the target, the answer comes back.
type CallFunc func(ctx context.Context, to Target, content []byte) ([]byte, error)

// CallMiddleware wraps an agent's own calls. The first one given is the outermost. It sees what [Call] and
// [CallBytes] send and get, decrypted; streams do not pass through it.
type CallMiddleware func(CallFunc) CallFunc

// UseCalls puts middleware around every call that is made afterwards, inside of what was put there before. It is safe
// for concurrent use.
func (a *Agent) UseCalls(mw ...CallMiddleware) { a.calling.use(mw) }

// calling is what an agent's calls go through. The zero value is ready.
type calling struct {
	mu         sync.Mutex
	middleware []CallMiddleware
	wrapped    CallFunc // nil until the first call after a change
}

func (c *calling) use(mw []CallMiddleware) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.middleware = append(c.middleware, mw...)
	c.wrapped = nil
}

// around returns innermost with the middleware around it. It must be the same function each time.
func (c *calling) around(innermost CallFunc) CallFunc {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrapped == nil {
		c.wrapped = innermost
		for _, mw := range slices.Backward(c.middleware) {
			c.wrapped = mw(c.wrapped)
		}
	}
	return c.wrapped
}
