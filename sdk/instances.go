package sdk

import (
	"context"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	maxTargets = 1024     // whose instances are remembered
	freshTime  = 3 * 1000 // ms: for which an answer is used without asking again
)

// instances remembers which processes serve which target, as the node said and this agent verified: until their
// presences end, or something is heard of them. It is safe for concurrent use.
type instances struct {
	mu      sync.Mutex
	targets map[Target]*answered
}

// answered is a node's answer about one target.
type answered struct {
	turn lane // for asking: others wait for the answer

	list       []*instance
	at         int64 // Unix milliseconds
	refreshing bool
}

// of returns the entry of a target. It makes room by forgetting, which costs a question.
func (c *instances) of(to Target) *answered {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.targets[to]
	if a == nil {
		if c.targets == nil || len(c.targets) >= maxTargets {
			c.targets = map[Target]*answered{}
		}
		a = &answered{turn: newLane()}
		c.targets[to] = a
	}
	return a
}

// live returns the processes of the last answer whose presences have not ended, and whether it is time to ask again;
// that is said to one caller only until the next answer.
func (c *instances) live(a *answered, now int64) (list []*instance, refresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list = keep(a.list, func(i *instance) bool { return now < i.presence.Statement().Expires })
	if refresh = !a.refreshing && (now < a.at || now-a.at >= freshTime); refresh {
		a.refreshing = true
	}
	return list, refresh
}

// learn replaces the answer about a target.
func (c *instances) learn(a *answered, list []*instance, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.list, a.at, a.refreshing = list, now, false
}

// stale lets the next caller ask again: the question came to nothing.
func (c *instances) stale(a *answered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.refreshing = false
}

// drop forgets the instances that gone says so of.
func (c *instances) drop(gone func(i *instance) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.targets {
		a.list = slices.DeleteFunc(slices.Clone(a.list), gone) // others may be reading the old one
	}
}

// dropPrincipals forgets all instances of principals that something was heard of.
func (c *instances) dropPrincipals(ids []ID) {
	c.drop(func(i *instance) bool { return slices.Contains(ids, i.ticket.Statement().Principal) })
}

// dropProcess forgets a process that did not answer.
func (c *instances) dropProcess(process wire.Digest) {
	c.drop(func(i *instance) bool { return i.credential.ID() == process })
}

// clear forgets everything.
func (c *instances) clear() { c.drop(func(*instance) bool { return true }) }

// candidates returns the processes that serve the target now: those remembered, or else those that the node names. Old
// answers are used while a new one is fetched in the background.
func (q *acquaintances) candidates(ctx context.Context, to Target) ([]*instance, error) {
	a := q.instances.of(to)
	list, refresh := q.usable(a, to)
	if len(list) > 0 {
		if refresh && !q.link.crew.chore(func() { q.refresh(a, to) }) {
			q.instances.stale(a)
		}
		return list, nil
	}
	if err := a.turn.enter(ctx); err != nil {
		return nil, err
	}
	defer a.turn.leave()
	if list, _ = q.usable(a, to); len(list) > 0 { // whoever was before in turn has asked
		return list, nil
	}
	return q.look(ctx, a, to)
}

func (q *acquaintances) refresh(a *answered, to Target) {
	ctx, cancel := context.WithTimeout(q.link.crew.ctx, askTime)
	defer cancel()
	if _, err := q.look(ctx, a, to); err != nil {
		q.link.options.logger.Debug("instances not looked for", "target", to.String(), "error", err)
	}
}

// look asks the node who serves the target, and remembers the answer.
func (q *acquaintances) look(ctx context.Context, a *answered, to Target) ([]*instance, error) {
	f, err := to.find()
	if err != nil {
		return nil, err
	}
	found, err := q.find(ctx, f)
	if err != nil {
		q.instances.stale(a)
		return nil, err
	}
	list := slices.DeleteFunc(found, func(i *instance) bool { return !to.names(i) })
	q.instances.learn(a, list, q.link.now())
	return q.worthy(list, to), nil
}

func (q *acquaintances) usable(a *answered, to Target) (list []*instance, refresh bool) {
	list, refresh = q.instances.live(a, q.link.now())
	return q.worthy(list, to), refresh
}

// worthy leaves out this process, and those whose principals may not serve the target by what is known of them now.
func (q *acquaintances) worthy(list []*instance, to Target) []*instance {
	own, now := q.link.current().process.Credential().ID(), q.link.now()
	return keep(list, func(i *instance) bool {
		id := i.credential.ID()
		sender, err := q.peers.Sender(i.credential.Statement().Principal, id, now)
		return err == nil && id != own && sender.Level >= to.least &&
			identity.MatchCapability(q.link.rights(sender.Level).Serve, to.capability)
	})
}

// keep returns those of the list that fit: the list itself if all do. It does not change it.
func keep(list []*instance, fits func(i *instance) bool) []*instance {
	for n, i := range list {
		if fits(i) {
			continue
		}
		kept := slices.Clone(list[:n])
		for _, i := range list[n+1:] {
			if fits(i) {
				kept = append(kept, i)
			}
		}
		return kept
	}
	return list
}
