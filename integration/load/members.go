package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// FieldLevel is a member's autonomy level in the history.
const FieldLevel = "level"

func fields(m admin.Member) map[string]string {
	return map[string]string{check.FieldStatus: m.Status, FieldLevel: m.Level.String()}
}

// first records the members as they are before the load, as the commands that made them so.
func (l *Load) first(ctx context.Context, operator *sdk.Agent) error {
	members, err := operator.Admin().Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if name, ours := l.names[m.ID]; ours {
			now := l.recorder.Now()
			l.recorder.Add(check.Event{
				Op: check.Write, Agent: "enroller", Start: now, End: now, Result: check.OK, Key: name, Fields: fields(m), Index: m.Changed,
			})
		}
	}
	return nil
}

// look has the node to which the client is connected tell all members, and records those of the load. The suspects'
// reads are left out while the load lasts: their cards change them too. A read counts as a node's word if that node said
// its name before and after it: clients turn to other nodes by themselves.
func (l *Load) look(ctx context.Context, c *client, final bool) error {
	node, _ := l.told(ctx, c)
	start := l.recorder.Now()
	members, err := c.agent.Admin().Members(ctx)
	end := l.recorder.Now()
	if after, _ := l.told(ctx, c); after != node {
		node = ""
	}
	if err == nil && final && node != l.realm.Names[c.node] {
		err = fmt.Errorf("another node has answered for %s", l.realm.Names[c.node])
	}
	if err != nil {
		r, why := outcome(err)
		l.recorder.Add(check.Event{Op: check.Look, Agent: c.name, Node: node, Start: start, End: end, Result: r, Code: why})
		return err
	}
	for _, m := range members {
		name, ours := l.names[m.ID]
		if !ours || l.suspects[m.ID] && !final {
			continue
		}
		if !final {
			c.seen[name] = m.Changed
		}
		l.recorder.Add(check.Event{
			Op: check.Look, Agent: c.name, Node: node, Start: start, End: end, Result: check.OK, Key: name, Fields: fields(m),
			Index: m.Changed, Stale: !l.size.Strict || final, Final: final,
		})
	}
	return nil
}

// change is a registrar's work: it reads all members, or changes one, sometimes only if nobody else did meanwhile.
func (l *Load) change(ctx context.Context, c *client) {
	if c.random.IntN(3) == 0 || len(c.seen) < l.size.Targets {
		_ = l.look(ctx, c, false) // recorded
		return
	}
	target := l.members[c.random.IntN(l.size.Targets)].ID()
	expect := uint64(0)
	if c.random.IntN(2) == 0 {
		expect = c.seen[l.names[target]]
	}
	levels := []identity.Level{identity.Apprentice, identity.Journeyer}
	switch c.random.IntN(4) {
	case 0:
		l.setLevel(ctx, c, target, levels[c.random.IntN(2)], expect)
	case 1:
		l.setStatus(ctx, c, target, trust.Active, expect)
	default:
		l.setStatus(ctx, c, target, trust.Quarantined, expect)
	}
}

func (l *Load) setStatus(ctx context.Context, c *client, of identity.ID, s trust.Status, expect uint64) check.Result {
	body := registry.SetStatus{Principal: of, Status: s, Reason: "load"}
	return l.write(ctx, c, of, registry.TypeStatus, body, expect, map[string]string{check.FieldStatus: s.String()})
}

func (l *Load) setLevel(ctx context.Context, c *client, of identity.ID, level identity.Level, expect uint64) check.Result {
	body := registry.SetLevel{Principal: of, Level: level, Reason: "load"}
	return l.write(ctx, c, of, registry.TypeLevel, body, expect, map[string]string{FieldLevel: level.String()})
}

// write hands in one command and records its end.
func (l *Load) write(ctx context.Context, c *client, of identity.ID, typ registry.Type, body any, expect uint64, sets map[string]string) check.Result {
	e := check.Event{
		Op: check.Write, Agent: c.name, Node: l.realm.Names[c.node], Start: l.recorder.Now(), Key: l.names[of], Fields: sets, Expect: expect,
	}
	raw, err := c.agent.Admin().Prepare(typ, body, expect)
	var answer registry.Answer
	if err == nil {
		answer, err = c.agent.Admin().Submit(ctx, raw)
	}
	e.Result, e.Code = outcome(err)
	switch {
	case err == nil:
		e.Index = answer.Index
		c.seen[e.Key] = e.Index
	case answer.Code == "": // the ledger has not answered: somebody on the way has
		e.Result = check.Unknown
	}
	l.recorder.Add(e)
	return e.Result
}

// watchOver is a warden's work: it quarantines its suspect for a while, releases it for a while, and so on.
func (l *Load) watchOver(suspect identity.ID) func(context.Context, *client) {
	next, until := trust.Quarantined, time.Now().Add(l.size.Silence)
	return func(ctx context.Context, c *client) {
		if time.Now().Before(until) {
			return
		}
		if l.setStatus(ctx, c, suspect, next, 0) == check.OK {
			next, until = trust.Active+trust.Quarantined-next, time.Now().Add(l.size.Silence)
		}
	}
}

// Finals has every node of the realm tell its state and its members, each through a connection to it alone, once all of
// them have the same commands. The nodes may be others than at the start. It fails if they do not come to agree before
// ctx ends. It is called after Stop.
func (l *Load) Finals(ctx context.Context, r Realm) error {
	l.realm = r
	last := make([]*client, len(r.Doors))
	defer func() {
		for _, c := range last {
			c.close()
		}
	}()
	for i := range last {
		last[i] = &client{name: "judge", node: i, profile: l.only(i, r.Operator.Signer), seen: map[string]uint64{}}
	}
	if err := l.agree(ctx, last); err != nil {
		return err
	}
	for _, c := range last {
		if err := l.look(ctx, c, true); err != nil {
			return err
		}
	}
	return nil
}

// agree asks the nodes for their states until all of them answer and tell one size, and records that as their last
// words.
func (l *Load) agree(ctx context.Context, nodes []*client) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		told, err := l.states(ctx, nodes)
		for _, e := range told {
			e.Final = err == nil
			l.recorder.Add(e)
		}
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("the nodes do not come to agree: %w", err)
		}
	}
}

// states asks each node once. The error says who did not answer, or that they tell different sizes.
func (l *Load) states(ctx context.Context, nodes []*client) (told []check.Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, c := range nodes {
		e, failed := l.state(ctx, c)
		if failed != nil {
			c.close()
			err = errors.Join(err, fmt.Errorf("the state of %s: %w", l.realm.Names[i], failed))
			continue
		}
		told = append(told, e)
	}
	for _, e := range told {
		if err == nil && e.Index != told[0].Index {
			err = fmt.Errorf("%s has %d commands, %s %d", told[0].Node, told[0].Index, e.Node, e.Index)
		}
	}
	return told, err
}

// state asks the client's node; a client whose node refuses it may have turned to another one, which does not count.
func (l *Load) state(ctx context.Context, c *client) (check.Event, error) {
	if c.agent == nil {
		if err := c.connectOnce(ctx); err != nil {
			return check.Event{}, err
		}
	}
	e, err := l.ask(ctx, c)
	if err == nil && e.Node != l.realm.Names[c.node] {
		err = fmt.Errorf("another node, %q, has answered", e.Node)
	}
	return e, err
}

// told asks whoever the client is connected to for its state, records that, and returns the node's name, "" for none of
// the realm's.
func (l *Load) told(ctx context.Context, c *client) (node string, err error) {
	e, err := l.ask(ctx, c)
	if err == nil && e.Node != "" {
		l.recorder.Add(e)
	}
	return e.Node, err
}

func (l *Load) ask(ctx context.Context, c *client) (check.Event, error) {
	start := l.recorder.Now()
	s, err := c.agent.Admin().Status(ctx)
	if err != nil {
		return check.Event{}, err
	}
	e := check.Event{
		Op: check.State, Agent: c.name, Start: start, End: l.recorder.Now(), Result: check.OK, Index: s.Size, Root: s.Root.String(),
	}
	if i := slices.Index(l.realm.Keys, s.Node); i >= 0 {
		e.Node = l.realm.Names[i]
	}
	return e, nil
}
