package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// told is what a node's newest tick said.
type told struct {
	Node    identity.ID `cbor:"1,keyasint"`
	Time    int64       `cbor:"2,keyasint"`
	Feature uint64      `cbor:"3,keyasint,omitempty"`
}

// maxTime is the last millisecond of the year 9999: sums of times stay far from where 64 bits end.
const maxTime = 253_402_300_799_999

var (
	errBackwards = fault.New(fault.Superseded, "ledger: a tick may not tell an earlier time")
	errNoTick    = fault.New(fault.Malformed, "ledger: not a tick")
)

// applyTick hears one node's tick. It leaves a leaf, or some, only if it ends decisions or takes levels away, for then it is
// what did that; all other ticks, those refused among them, leave none, and no tick's answer is remembered. So ticks may be as many and as
// odd as they like: the tree tells what happened, not that time passed.
func (s *state) applyTick(raw []byte) registry.Answer {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return s.answer(s.tree.Size(), wire.Hash(raw), nil, err)
	}
	id := c.ID(s.authority.Realm)
	body, err := s.hear(c)
	if err != nil {
		return s.answer(s.tree.Size(), id, nil, err)
	}
	o := &order{Command: c.Claim, id: id}
	s.countDue(o, body)
	s.sweep(o)
	return s.answer(s.tree.Size(), id, body, nil)
}

// hear checks a tick and notes what it tells.
func (s *state) hear(c wire.Cosigned[registry.Command]) (registry.Tick, error) {
	body, err := s.timeTold(c)
	if err != nil {
		return body, err
	}
	node := c.Claim.Author
	s.clocks[node] = told{Node: node, Time: body.Time, Feature: body.Feature}
	s.now = max(s.now, s.reached())
	s.advance()
	return body, nil
}

// timeTold checks a tick: by a node of the roster, telling a later time than that node did before.
func (s *state) timeTold(c wire.Cosigned[registry.Command]) (registry.Tick, error) {
	if c.Claim.Type != registry.TypeTick || c.Claim.Expect != 0 {
		return registry.Tick{}, errNoTick
	}
	if c.Claim.Author.Role() != identity.Node {
		return registry.Tick{}, fmt.Errorf("%w: only nodes tell the time", ErrDenied)
	}
	body, err := registry.Body[registry.Tick](c.Claim)
	if err != nil {
		return registry.Tick{}, err
	}
	node := c.Claim.Author
	if !slices.Contains(s.authority.Nodes, node) {
		return registry.Tick{}, notSeated(node)
	}
	if body.Time > maxTime {
		return registry.Tick{}, fmt.Errorf("%w: a time after the year 9999", wire.ErrMalformed)
	}
	if body.Time <= s.clocks[node].Time {
		return registry.Tick{}, errBackwards
	}
	if _, err := c.Verify(s.authority.Realm, 1, []wire.PublicKey{node.Key()}); err != nil {
		return registry.Tick{}, err
	}
	return body, nil
}

func notSeated(node identity.ID) error {
	return fmt.Errorf("%w: node %s is not in the roster", ErrUnknown, node)
}

// reached returns the greatest time that a majority of the roster's nodes has told, or 0. As long as a majority is
// honest, some honest node's clock has reached it, and so has every time that all honest nodes have told.
func (s *state) reached() int64 {
	var times []int64
	for _, node := range s.authority.Nodes {
		if t, ok := s.clocks[node]; ok {
			times = append(times, t.Time)
		}
	}
	most := s.authority.Majority()
	if len(times) < most {
		return 0
	}
	slices.SortFunc(times, func(a, b int64) int { return cmp.Compare(b, a) })
	return times[most-1]
}

// spoken returns the least feature level that the roster's nodes have told; 0 for one that has not.
func (s *state) spoken() uint64 {
	least := s.clocks[s.authority.Nodes[0]].Feature
	for _, node := range s.authority.Nodes {
		least = min(least, s.clocks[node].Feature)
	}
	return least
}

// advance raises the feature level to what all nodes speak. From level 2 on it is noted when a member was tightened:
// what was issued before that is no news to this ledger, whoever reminds it. From level 4 on evidence is counted: every
// agent that there is gets its account now.
func (s *state) advance() {
	before := s.feature
	s.feature = max(s.feature, s.spoken())
	if before < reminding && s.feature >= reminding && s.tree.Size() > 0 {
		s.since = s.now + identity.Skew
	}
	if s.feature >= registry.TrustFeature && s.reckoner == nil {
		s.reckoner = newReckoner(s)
		s.reckoner.open()
	}
}

// speaks refuses what needs a feature level that the realm has not reached.
func (s *state) speaks(typ registry.Type, level uint64) error {
	if s.feature >= level {
		return nil
	}
	for _, node := range s.authority.Nodes {
		if t, ok := s.clocks[node]; !ok {
			return fmt.Errorf("%w: %s needs feature level %d, and node %s has not told its level", errSilent, typ, level, node)
		} else if t.Feature < level {
			return fmt.Errorf("%w: %s needs feature level %d, node %s told %d", errOldNode, typ, level, node, t.Feature)
		}
	}
	return fmt.Errorf("%w: %s needs feature level %d", errOldNode, typ, level) // speaks counts what spoken counts
}

var (
	errSilent = fault.New(fault.Version, "ledger: a node has not told what it speaks").
			WithHint("start that node, or remove it from the roster; then try again")
	errOldNode = fault.New(fault.Version, "ledger: a node's build does not speak this").
			WithHint("update that node's program, then try again")
)

// sweep forgets used tokens and answers that have expired, and looks at everybody's standing. It runs at most once a minute
// of log time.
func (s *state) sweep(o *order) {
	if s.now < s.sweepAt {
		return
	}
	before := s.sweepAt - sweepEvery
	s.sweepAt = s.now + sweepEvery
	for id, expires := range s.tokens {
		if expires <= s.now {
			delete(s.tokens, id)
		}
	}
	for key, r := range s.answers {
		if r.Expires <= s.now {
			delete(s.answers, key)
		}
	}
	if s.reckoner != nil {
		s.reckoner.review(o, before)
	}
}

// Told returns the newest time that a node of the roster has told by a tick applied here, in Unix milliseconds, and
// whether it has told any.
func (l *Ledger) Told(node identity.ID) (time int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t, ok := l.state.clocks[node]
	return t.Time, ok
}

// Feature returns the realm's feature level: what every node of the roster has told to speak. It never goes down.
func (l *Ledger) Feature() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.feature
}
