package trust

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Event is a piece of evidence as the book counts it: admitted, its parties known.
type Event struct {
	Act       Act
	Subject   identity.ID
	By        identity.ID // whose word gives it weight: the attester of an outcome, who rates, endorses, accuses, detects
	Operator  identity.ID // who answers for By
	Rooted    bool        // By is a person, or attests as its operator would: its word needs no funds
	Class     uint8       // 0 to 3, of an outcome or vote
	OK        bool        // of an outcome
	Value     int64       // of a rating −1000 to 1000; of an alarm 1 to 1000; of a vote: the Brier error 0 to 1000
	Severity  uint8       // of a violation: 1 to 4
	Amount    Micro       // of an endorsement or a pardon
	Statement wire.Digest // the evidence's, zero where the ledger made it
	Index     uint64      // of the ledger's leaf
}

// Cap is what kept an event from its full weight. The zero value is nothing.
type Cap uint8

// The caps.
const (
	Uncapped  Cap = 0
	ByDay     Cap = 1 // the day is full: the more operators say something, the less each word weighs
	ByOne     Cap = 2 // one operator's words of the day share what one may say
	ByFunds   Cap = 3 // who says it has received too little itself
	ByRated   Cap = 4 // one operator's ratings weigh no more
	ByLimit   Cap = 5 // the person's allowance of the day, or an alarm's ceiling
	ByCrowd   Cap = 6 // more operators than the account keeps apart: they have one voice together
	ByNothing Cap = 7 // who says it has no standing of its own in the class
)

// String returns the cap's word.
func (c Cap) String() string {
	words := [...]string{"", "day", "operator", "funds", "ratings", "allowance", "crowd", "standing"}
	if int(c) < len(words) {
		return words[c]
	}
	return "unknown"
}

// Effect is what an event changed: the result of the command that handed it in.
type Effect struct {
	Subject identity.ID     `cbor:"1,keyasint"`
	Act     Act             `cbor:"2,keyasint"`
	Class   uint8           `cbor:"3,keyasint"`
	Nominal Micro           `cbor:"4,keyasint"` // before caps; negative where it speaks against the subject
	Weight  Micro           `cbor:"5,keyasint"` // after
	Cap     Cap             `cbor:"6,keyasint,omitempty"`
	Before  [Classes]uint64 `cbor:"7,keyasint"` // scores in per mille
	After   [Classes]uint64 `cbor:"8,keyasint"`
	Level   identity.Level  `cbor:"9,keyasint"` // the subject's level afterwards
}

// Trace is one of an account's last events.
type Trace struct {
	At        int64       `json:"at"`    // log time, Unix milliseconds
	Index     uint64      `json:"index"` // of the ledger's leaf
	Act       Act         `json:"act"`
	Class     uint8       `json:"class"`
	By        identity.ID `json:"by"` // zero: the ledger itself
	Statement wire.Digest `json:"statement"`
	Nominal   Micro       `json:"nominal_micro"` // before caps; negative where it speaks against; of an alarm a unit is one per mille
	Weight    Micro       `json:"weight_micro"`  // after
	Cap       Cap         `json:"cap"`
	Score     uint64      `json:"score"` // in the event's class afterwards, per mille
}

// Sample is an account at the end of a day.
type Sample struct {
	Day   uint32         `json:"day"`   // days since 1970
	Score uint16         `json:"score"` // in the class that the next level asks for, per mille
	Level identity.Level `json:"level"`
}

// Turn is one change of level.
type Turn struct {
	At    int64          `cbor:"1,keyasint" json:"at"` // log time, Unix milliseconds
	Index uint64         `cbor:"2,keyasint" json:"index"`
	From  identity.Level `cbor:"3,keyasint" json:"from"`
	To    identity.Level `cbor:"4,keyasint" json:"to"`
	Why   Why            `cbor:"5,keyasint" json:"why"`
}

// Why is the reason of a change of level.
type Why uint8

// The reasons.
const (
	Appointed Why = 1 // by as many operators as loosening needs, or by enrolment; or lowered by an operator
	Earned    Why = 2 // by evidence, time and sign-off
	Renewed   Why = 3 // the lease, at the same level
	Sank      Why = 4 // the score stayed below the floor
	Fell      Why = 5 // the fast score
	Violated  Why = 6
	Lapsed    Why = 7 // the lease ended
	Changed   Why = 8 // the model, prompt, tools or the operator's key changed
	Inherited Why = 9 // a parent's level fell
)

// String returns the reason's word.
func (w Why) String() string {
	words := [...]string{"", "appointed", "earned", "renewed", "score below the floor", "sudden failures", "violation",
		"lease ended", "capability digest changed", "parent's level fell"}
	if int(w) < len(words) {
		return words[w]
	}
	return "unknown"
}

// Book keeps the accounts of a realm's agents and the debts of their operators. It is a state machine: equal events in
// equal order make equal books. Times that go back count as the newest seen. Not safe for concurrent use; methods that only
// read may run together.
type Book struct {
	params    Params
	rungs     []Rung
	agents    map[identity.ID]*Account
	operators debts
	clock
}

// clock is the time of a book: the greatest At of all accounts and operators.
type clock struct{ newest int64 }

// time returns now, or the newest time seen if that is later.
func (c clock) time(now int64) int64 { return min(max(now, c.newest), latest) }

// NewBook returns an empty book. Both arguments must pass their checks.
func NewBook(p Params, rungs []Rung) *Book {
	return &Book{params: p, rungs: rungs, agents: map[identity.ID]*Account{}, operators: debts{}}
}

// Replace changes the parameters from now on. What has been counted stays counted as it was; decay goes on by the new times.
func (b *Book) Replace(p Params, rungs []Rung, now int64) {
	now = b.time(now)
	for _, a := range b.agents { // in any order: they do not touch each other
		a.settle(&b.params.HalfLife, now)
		b.newest = now
	}
	for _, o := range b.operators {
		o.settle(&b.params.HalfLife, now)
		b.newest = now
	}
	b.params, b.rungs = p, rungs
}

// Open opens an agent's account at the level, whose lease begins. What its operator owes by now, it inherits, and when the
// operator's agents last broke rules: who comes in another's place is not cleaner for it. Opening it again changes nothing.
func (b *Book) Open(agent, operator identity.ID, level identity.Level, now int64) {
	if b.agents[agent] != nil {
		return
	}
	now = b.time(now)
	a := &Account{Agent: agent, Operator: operator, At: now, Fairness: fair}
	a.Inherited = b.operators.owed(a.Operator, &b.params.HalfLife, now)
	a.Turns = []Turn{{At: now, From: level, To: level, Why: Appointed}}
	a.Climb = Climb{Since: now, Why: Appointed}
	if n := int(level); n > 0 && n <= len(b.rungs) && b.rungs[n-1].Lease != 0 {
		a.Climb.Until = now + b.rungs[n-1].Lease
	}
	if o := b.operators[operator]; o != nil {
		a.Climb.Severity = o.Severity
	}
	b.agents[agent], b.newest = a, now
}

// Debt returns what the operator owes now for violations by its agents.
func (b *Book) Debt(operator identity.ID, now int64) Micro {
	return b.operators.owed(operator, &b.params.HalfLife, b.time(now))
}

// Apply counts an event. A failed outcome that is attested by an agent, not Rooted, is a peer's opinion: it takes back what
// peers have given, and beyond that, like bad ratings and together with them, at most a twentieth. The subject must have an
// account and the act be known, or nothing happens; a By without an account has no funds. Apply neither looks at who may say
// this (see [Evidence.Admit]) nor moves levels (see [Book.Judge]); the effect's level is left zero.
func (b *Book) Apply(e Event, now int64) Effect {
	e.Class = min(e.Class, Classes-1)
	effect := Effect{Subject: e.Subject, Act: e.Act, Class: e.Class}
	a := b.agents[e.Subject]
	if a == nil || e.Act < Outcome || e.Act > Settled {
		return effect
	}
	now = b.time(now)
	b.newest = now
	a.settle(&b.params.HalfLife, now)
	by := b.agents[e.By]
	if by != nil {
		by.settle(&b.params.HalfLife, now)
	}
	effect.Before = a.values(&b.params, b.operators.owed(a.Operator, &b.params.HalfLife, now))
	c := count{Book: b, Event: e, Effect: &effect, now: now, to: a, by: by}
	c.run()
	effect.After = a.values(&b.params, b.operators.owed(a.Operator, &b.params.HalfLife, now))
	a.trace(Trace{
		At: now, Index: e.Index, Act: e.Act, Class: e.Class, By: e.By, Statement: e.Statement,
		Nominal: effect.Nominal, Weight: effect.Weight, Cap: effect.Cap, Score: effect.After[e.Class],
	})
	return effect
}

// Scores returns an agent's scores, of an unknown one zero. Nothing is stored by asking.
func (b *Book) Scores(agent identity.ID, now int64) [Classes]Score {
	var all [Classes]Score
	a := b.agents[agent]
	if a == nil {
		return all
	}
	now = b.time(now)
	then := *a
	then.fade(&b.params.HalfLife, now)
	owed := b.operators.owed(a.Operator, &b.params.HalfLife, now)
	for c := range all {
		all[c] = then.score(&b.params, owed, c)
	}
	return all
}

// Suspicion returns what alarms have left on the agent, 0 to 1000.
func (b *Book) Suspicion(agent identity.ID, now int64) uint64 {
	a := b.agents[agent]
	if a == nil {
		return 0
	}
	left := decayed(a.Suspicion, passed(b.params.HalfLife.Suspicion, a.At, b.time(now)))
	return uint64(left / Unit)
}

// Account returns a copy of the agent's account; false if there is none.
func (b *Book) Account(agent identity.ID) (Account, bool) {
	a := b.agents[agent]
	if a == nil {
		return Account{}, false
	}
	return a.clone(), true
}

// Sample notes every agent's level, and its score in the class that the next level asks for, if they are others than last
// time; once a day is enough. Of one day the last sample stays.
func (b *Book) Sample(now int64, level func(identity.ID) identity.Level) {
	now = b.time(now)
	for id, a := range b.agents { // in any order: they do not touch each other
		l := level(id)
		then := *a
		then.fade(&b.params.HalfLife, now)
		score := then.score(&b.params, b.operators.owed(a.Operator, &b.params.HalfLife, now), next(b.rungs, l)).Value
		a.sample(Sample{Day: dayOf(now), Score: uint16(score), Level: l})
	}
}

// next returns the class whose score the level above asks for; at the top, the level itself.
func next(rungs []Rung, l identity.Level) int {
	if len(rungs) == 0 {
		return 0
	}
	return int(min(rungs[min(int(l), len(rungs)-1)].Class, Classes-1))
}

// debts are operators' entries.
type debts map[identity.ID]*Operator

// owed returns the operator's debt at now.
func (d debts) owed(id identity.ID, h *HalfLives, now int64) Micro {
	o := d[id]
	if o == nil {
		return 0
	}
	return decayed(o.Debt, passed(h.Debt, o.At, now))
}

// settled returns the operator's entry, decayed to now; a new one if there was none.
func (d debts) settled(id identity.ID, h *HalfLives, now int64) *Operator {
	o := d[id]
	if o == nil {
		o = &Operator{ID: id, At: now}
		d[id] = o
	}
	o.settle(h, now)
	return o
}
