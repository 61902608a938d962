package trust

import (
	"fmt"
	"math"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Condition is one thing that the next level asks for. Suspicion is met when there is no more of it than Need, all else when
// there is no less.
type Condition struct {
	Name string `json:"name"` // score, held, tenure, outcomes, in-class, operators, votes, clean, dwell, suspicion, sign-off, parent
	Have int64  `json:"have"`
	Need int64  `json:"need"`
	Unit string `json:"unit"` // per mille, ms, outcomes, operators, votes, people, level
	Met  bool   `json:"met"`
}

// String returns "outcomes: 12 of 30", or "suspicion: 400, at most 300".
func (c Condition) String() string {
	if c.Name == suspicion {
		return fmt.Sprintf("%s: %d, at most %d", c.Name, c.Have, c.Need)
	}
	return fmt.Sprintf("%s: %d of %d %s", c.Name, c.Have, c.Need, c.Unit)
}

// Names of conditions that the code tells apart.
const (
	suspicion = "suspicion"
	signOff   = "sign-off"
)

var (
	// ErrUnripe is returned when the next level, or the lease, asks for more than the agent has.
	ErrUnripe = fault.New(fault.Denied, "trust: the level asks for more")
	// ErrNoAccount is returned for an agent of which the book keeps no account.
	ErrNoAccount = fault.New(fault.Unknown, "trust: no account of this agent")
)

// Next returns what the agent's next level asks for, in a fixed order, and how far the agent is; nothing at L5. What the
// level does not ask for is left out. Sign-off is among them, never met. The parent's level is the greatest its agent may
// have plus one; of an agent without parent, L5 plus one.
func (b *Book) Next(agent identity.ID, at, parent identity.Level, now int64) []Condition {
	if at >= identity.Steward {
		return nil
	}
	a, _ := b.agents[agent]
	if a == nil {
		a = &Account{}
	}
	r := b.rungs[at]
	next := a.Climb.asks(r, b.Scores(agent, now)[r.Class].Value, now)
	next = append(next, atMost(suspicion, b.Suspicion(agent, now), b.params.Suspect))
	next = append(next, Condition{Name: signOff, Need: int64(r.People), Unit: "people"})
	if parent <= identity.Steward {
		next = append(next, atLeast("parent", int64(parent)-1, int64(at)+1, "level"))
	}
	return next
}

// asks returns what the rung asks for, but for suspicion, parent and sign-off. The score is that of the rung's class.
func (c Climb) asks(r Rung, score uint64, now int64) []Condition {
	var all, inClass int64
	for class, n := range c.Outcomes {
		all += int64(n)
		if uint64(class) >= r.Class {
			inClass += int64(n)
		}
	}
	operators := int64(0)
	for _, id := range c.From {
		if !id.IsZero() {
			operators++
		}
	}
	out := []Condition{
		atLeast("score", int64(score), int64(r.Score), "per mille"),
		atLeast("held", since(c.HeldSince, now), r.Held, "ms"),
		atLeast("tenure", since(c.Since, now), r.Tenure, "ms"),
		atLeast("outcomes", all, int64(r.Outcomes), "outcomes"),
		atLeast("in-class", inClass, int64(r.InClass), "outcomes"),
		atLeast("operators", operators, int64(r.Operators), "operators"),
		atLeast("votes", int64(c.Votes), int64(r.Votes), "votes"),
		atLeast("clean", c.clean(r, now), r.CleanFor, "ms"),
		c.dwell(now),
	}
	return slices.DeleteFunc(out, func(c Condition) bool { return c.Need == 0 })
}

func atLeast(name string, have, need int64, unit string) Condition {
	return Condition{Name: name, Have: have, Need: need, Unit: unit, Met: have >= need}
}

func atMost(name string, have, need uint64) Condition {
	return Condition{Name: name, Have: int64(have), Need: int64(need), Unit: "per mille", Met: have <= need}
}

// since returns the ms from then to now, 0 if then is 0 or later.
func since(then, now int64) int64 {
	if then == 0 || then > now {
		return 0
	}
	return now - then
}

// clean returns for how long there was no violation that the rung minds, at most as long as it asks for.
func (c Climb) clean(r Rung, now int64) int64 {
	for severity := max(r.Clean, 1); severity <= uint64(len(c.Severity)); severity++ {
		if last := c.Severity[severity-1]; last != 0 && r.Clean != 0 {
			r.CleanFor = min(r.CleanFor, since(last, now))
		}
	}
	return r.CleanFor
}

// dwell returns how much of the time after the last demotion is over; nothing is needed once all of it is.
func (c Climb) dwell(now int64) Condition {
	if c.Blocked <= now {
		return Condition{Name: "dwell"}
	}
	return atLeast("dwell", since(c.Demoted[0], now), c.Blocked-c.Demoted[0], "ms")
}

// Promotable returns nil if all that the next level asks for but the sign-off is met; otherwise an error that names the first
// thing that is missing, and how much of it. Errors: [ErrNoAccount], [ErrUnripe].
func (b *Book) Promotable(agent identity.ID, at, parent identity.Level, now int64) error {
	if _, ok := b.agents[agent]; !ok {
		return ErrNoAccount
	}
	if at >= identity.Steward {
		return fmt.Errorf("%w: there is no level above %s", ErrUnripe, at)
	}
	return missing(b.Next(agent, at, parent, now))
}

func missing(conditions []Condition) error {
	for _, c := range conditions {
		if !c.Met && c.Name != signOff {
			return fmt.Errorf("%w: %s", ErrUnripe, c)
		}
	}
	return nil
}

// Renewable returns nil if the lease of the agent's level may be signed off anew: its score is not below the floor, and
// it is not under suspicion. A level without a lease has none to renew. Errors: [ErrNoAccount], [ErrUnripe].
func (b *Book) Renewable(agent identity.ID, at identity.Level, now int64) error {
	if _, ok := b.agents[agent]; !ok {
		return ErrNoAccount
	}
	if at == identity.Quarantined || at > identity.Steward || b.rungs[at-1].Lease == 0 {
		return fmt.Errorf("%w: %s has no lease", ErrUnripe, at)
	}
	r := b.rungs[at-1]
	return missing([]Condition{
		atLeast("score", int64(b.Scores(agent, now)[r.Class].Value), int64(r.Floor), "per mille"),
		atMost(suspicion, b.Suspicion(agent, now), b.params.Suspect),
	})
}

// Judge returns the level that the agent must fall to now, and why; false if it stays. It notes since when scores are held or
// low, so ask it after each event and regularly. Violations: see [Penalty].
func (b *Book) Judge(agent identity.ID, at identity.Level, now int64) (to identity.Level, why Why, falls bool) {
	a, ok := b.agents[agent]
	if !ok || at > identity.Steward {
		return at, 0, false
	}
	scores := b.Scores(agent, now)
	a.note(b.rungs, scores, at, now)
	if at <= identity.Observer {
		return at, 0, false
	}
	r := b.rungs[at-1]
	return a.judge(b.params, r, scores[r.Class].Fast, at, now)
}

// judge judges an account whose times are noted, at a level above L1 with its rung.
func (a *Account) judge(p Params, r Rung, fast uint64, at identity.Level, now int64) (identity.Level, Why, bool) {
	switch {
	case fast < p.Sudden && !a.fellSince(now-p.Grace):
		return at - 1, Fell, true
	case a.Climb.LowSince != 0 && now-a.Climb.LowSince >= p.Grace && a.judged(r):
		return at - 1, Sank, true
	case r.Lease != 0 && a.Climb.Until != 0 && now >= a.Climb.Until: // none ends where the ladder has no lease any more
		return at - 1, Lapsed, true
	}
	return at, 0, false
}

// note sets since when the next level's score is held, and since when this level's floor is not. Suspicion is left out of
// both: a detector can hold an agent up while its alarms last, but neither take its level nor what it has behind it.
func (a *Account) note(rungs []Rung, scores [Classes]Score, at identity.Level, now int64) {
	held := at < identity.Steward && scores[rungs[at].Class].lasting() >= rungs[at].Score
	low := at > identity.Observer && scores[rungs[at-1].Class].lasting() < rungs[at-1].Floor
	a.Climb.HeldSince = sinceWhen(a.Climb.HeldSince, held, now)
	a.Climb.LowSince = sinceWhen(a.Climb.LowSince, low, now)
}

// lasting returns the score as it is without suspicion.
func (s Score) lasting() uint64 { return s.Competence * s.Integrity / 1000 }

func sinceWhen(then int64, still bool, now int64) int64 {
	switch {
	case !still:
		return 0
	case then != 0:
		return then
	}
	return now
}

// fellSince reports whether sudden failures took a level after then.
func (a *Account) fellSince(then int64) bool {
	return slices.ContainsFunc(a.Turns, func(t Turn) bool { return t.Why == Fell && t.At > then })
}

// judged reports whether the floor holds for the agent: its level, or the one that it last sank from, was come to by evidence;
// or it has by now as much of it as the level asks for. Who was appointed without evidence is not judged by a score of 0.
func (a *Account) judged(r Rung) bool {
	for _, t := range slices.Backward(a.Turns) {
		if t.Why == Earned || t.Why == Renewed || t.Why == Sank {
			return true
		}
		if t.Why == Appointed && t.To >= t.From { // who was put lower is judged as before: no lowering saves from the floor
			break
		}
	}
	outcomes := uint64(0)
	for _, n := range a.Climb.Outcomes {
		outcomes += uint64(n)
	}
	return outcomes >= r.Outcomes
}

// Penalty returns the level that a violation of the severity leaves an agent of the level.
func Penalty(severity uint8, at identity.Level) identity.Level {
	switch severity {
	case 0, 1:
		return at
	case 2:
		return max(min(at, identity.Observer), at-min(at, 1))
	case 3:
		return min(at, identity.Observer)
	}
	return identity.Quarantined
}

// Remade returns the level that a change of what it is made of leaves an agent of the level.
func Remade(at identity.Level) identity.Level {
	return min(Penalty(2, at), identity.Journeyer)
}

// Moved notes a change of level: tenure, lease and counts begin anew, a fall makes the dwell. A lease that is [Renewed] at
// the same level ends later, and nothing else changes.
func (b *Book) Moved(agent identity.ID, t Turn) {
	a, ok := b.agents[agent]
	if !ok || t.To > identity.Steward {
		return
	}
	if len(a.Turns) == maxTurns {
		a.Turns = slices.Delete(a.Turns, 0, 1)
	}
	a.Turns = append(a.Turns, t)
	c := &a.Climb
	c.Why, c.Until = t.Why, 0
	if t.To > identity.Quarantined && b.rungs[t.To-1].Lease != 0 {
		c.Until = t.At + b.rungs[t.To-1].Lease
	}
	if t.Why == Renewed && t.From == t.To {
		return
	}
	c.Since, c.HeldSince, c.LowSince = t.At, 0, 0
	c.Outcomes, c.From = [Classes]uint32{}, [4]identity.ID{}
	if t.To < t.From {
		c.demote(b.params, t)
	}
}

// maxTurns is how many changes of level an account remembers.
const maxTurns = 16

// demote notes a demotion and blocks promotion: the longer, the more demotions there were lately.
func (c *Climb) demote(p Params, t Turn) {
	dwell := p.Dwell
	for _, at := range c.Demoted {
		if at != 0 && since(at, t.At) < p.Longest && dwell <= math.MaxInt64/2 {
			dwell *= 2
		}
	}
	dwell = min(dwell, p.Longest)
	if t.Why == Changed {
		dwell /= 2
	}
	copy(c.Demoted[1:], c.Demoted[:])
	c.Demoted[0] = t.At
	c.Blocked = max(c.Blocked, t.At+dwell)
}
