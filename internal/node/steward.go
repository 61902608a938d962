package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/broker"
	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// greetEvery is how often a node tells the others of itself; stewardTime bounds one change of the log's servers.
const (
	greetEvery  = time.Second
	greetTime   = 2 * time.Second
	stewardTime = 10 * time.Second
)

// steward tells the other nodes of this one, and keeps links, routes and, while this node leads, the log's servers in
// step with the roster.
type steward struct{ *cluster }

// greet tells all other nodes of this one, again and again, and hears of them.
func (c steward) greet(ctx context.Context) {
	every := time.NewTicker(greetEvery)
	defer every.Stop()
	for {
		c.greetAll(ctx)
		c.judgeLeader()
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (c steward) greetAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	body, err := wire.Encode(c.greeting())
	if err != nil {
		return // texts and numbers: cannot happen
	}
	var all sync.WaitGroup
	for _, id := range c.members() {
		if id == c.node.ID() {
			continue
		}
		all.Go(func() {
			raw, err := c.mesh.Call(ctx, id, opHello, body)
			if err == nil {
				err = c.hear(id, raw)
			}
			if err != nil {
				c.node.config.Logger.Debug("node not greeted", "node", id.String(), "code", string(fault.CodeOf(err)), "error", err)
			}
		})
	}
	all.Wait()
	c.wake()
}

// attend keeps everything in step with the roster and the addresses, whenever one of them may have changed: links,
// routes, the copy on disk and, while this node leads, the servers of the log.
func (c steward) attend(ctx context.Context) {
	var routed []broker.Route
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
		}
		c.follow()
		if routes := c.routes(); !slices.Equal(routes, routed) {
			if err := c.node.broker.Routes(routes); err != nil {
				c.node.config.Logger.Warn("routes not changed", "code", string(fault.CodeOf(err)), "error", err)
			} else {
				routed = routes
				c.node.registrar.TellNodes()
			}
		}
		if c.node.log.Leads() {
			c.lead(ctx)
		}
	}
}

// follow takes a new roster to heart, and cuts links with nodes that neither it nor the log has any more.
func (c steward) follow() {
	c.following.Lock()
	defer c.following.Unlock()
	r := c.node.registrar
	if a := r.Authority(); a.Number > c.chain.authority().Number {
		if err := c.chain.keep(r.Rosters(), a); err != nil {
			r.Fail(err)
			return
		}
	}
	if links := c.linked(); !slices.Equal(links, c.links) {
		c.links = links
		c.mesh.Recheck()
		c.book.keep(append(links[:len(links):len(links)], c.node.ID()))
	}
}

// lead brings the log's servers in line with the roster, one step at a time, and lets nodes count that have caught up.
func (c steward) lead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stewardTime)
	defer cancel()
	if err := c.step(ctx, c.node.log); err != nil {
		c.node.config.Logger.Info("the log's servers do not follow the roster yet", "code", string(fault.CodeOf(err)), "error", err)
	}
}

func (c steward) step(ctx context.Context, log *raftlog.Log) error {
	if err := c.dismiss(ctx, log); err != nil {
		return err
	}
	a := c.node.registrar.Authority()
	servers := map[string]raftlog.Server{}
	for _, s := range log.Servers() {
		servers[s.Node] = s
	}
	for _, id := range a.Members() {
		known := c.book.of(id)
		if id == c.node.ID() || known.Server == "" || !recent(known) || servers[id.String()].ID == known.Server {
			continue
		}
		if err := log.Admit(ctx, known.Server); err != nil {
			return err
		}
	}
	if err := c.promoteServers(ctx, a, log); err != nil {
		return err
	}
	return c.promoteNodes(ctx, a, log)
}

// dismiss removes the servers whose nodes the roster does not name. A node that has just begun to lead may not have
// applied the roster that names one: so it looks again after a barrier.
func (c steward) dismiss(ctx context.Context, log *raftlog.Log) error {
	if len(c.unseated(log)) == 0 {
		return nil
	}
	if err := log.Barrier(ctx); err != nil {
		return err
	}
	for _, node := range c.unseated(log) {
		if err := log.Dismiss(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// unseated returns the log's servers whose nodes the roster does not name; this node, which hands over, comes last.
func (c steward) unseated(log *raftlog.Log) []string {
	a, self := c.node.registrar.Authority(), c.node.ID().String()
	var others, last []string
	for _, s := range log.Servers() {
		if id, err := identity.ParseID(s.Node); err == nil && slices.Contains(a.Members(), id) {
			continue
		}
		if s.Node == self {
			last = []string{self}
		} else {
			others = append(others, s.Node)
		}
	}
	return append(others, last...)
}

// promoteServers makes voters of the servers whose nodes count.
func (c steward) promoteServers(ctx context.Context, a *identity.Authority, log *raftlog.Log) error {
	var waiting []string
	for _, s := range log.Servers() {
		if id, err := identity.ParseID(s.Node); err == nil && !s.Voter && slices.Contains(a.Nodes, id) {
			waiting = append(waiting, s.ID)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	return log.Promote(ctx, waiting...)
}

// maxBehind is how many entries a node may lack that is to count.
const maxBehind = 250

// promoteNodes lets nodes count that have joined and caught up, as many as make the number of those that count odd.
func (c steward) promoteNodes(ctx context.Context, a *identity.Authority, log *raftlog.Log) error {
	last := log.Stats().Committed
	var ready []identity.ID
	for _, id := range a.Joining {
		known := c.book.of(id)
		admitted := slices.ContainsFunc(log.Servers(), func(s raftlog.Server) bool { return s.ID == known.Server })
		if admitted && recent(known) && known.Applied+maxBehind >= last && known.Feature >= c.node.registrar.Feature() {
			ready = append(ready, id)
		}
	}
	if (len(a.Nodes)+len(ready))%2 == 0 && len(ready) > 0 {
		ready = ready[:len(ready)-1]
	}
	if len(ready) == 0 {
		return nil
	}
	return c.node.registrar.PromoteNodes(ctx, ready)
}

// yieldTime bounds how long a node that stops tries to have another one lead.
const yieldTime = time.Second

// yield has another node lead before this one stops, so that nobody waits for an election. Where no other node can,
// there is nobody to wait.
func (c steward) yield() {
	ctx, cancel := context.WithTimeout(context.Background(), yieldTime)
	defer cancel()
	if log := c.node.log; log.Leads() && len(log.Servers()) > 1 {
		if err := log.Transfer(ctx, ""); err != nil {
			c.node.config.Logger.Info("no other node leads yet", "code", string(fault.CodeOf(err)), "error", err)
		}
	}
}
