package trust_test

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// numbers is SplitMix64: the same numbers on every machine and in every release of Go.
type numbers struct{ state uint64 }

func stream(seed uint64) *numbers { return &numbers{seed} }

func (n *numbers) next() uint64 {
	n.state += 0x9e3779b97f4a7c15
	z := n.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n−1.
func (n *numbers) below(most int) int { return int(n.next() % uint64(most)) }

// peopled returns a book with the agents, shared out among the operators.
func peopled(agents, operators int) *trust.Book {
	b := trust.NewBook(trust.Defaults(), nil)
	for i := range agents {
		b.Open(agent(i), operator(i%operators), identity.Observer, now)
	}
	return b
}

// event returns any event about one of the agents: mostly outcomes, half of them attested by other agents.
func (n *numbers) event(agents, operators int) trust.Event {
	by := n.below(agents)
	e := trust.Event{
		Act: trust.Outcome, Subject: agent(n.below(agents)), By: agent(by), Operator: operator(by % operators),
		Class: uint8(n.below(4)), OK: n.below(10) > 0, Index: n.next() % 1000,
	}
	e.Statement[0] = byte(n.next())
	if n.below(2) == 0 {
		e.By, e.Rooted = e.Operator, true
	}
	switch n.below(20) {
	case 0, 1, 2:
		e.Act, e.Value = trust.Rating, int64(n.below(2001)-1000)
	case 3:
		e.Act, e.Severity = trust.Violation, uint8(1+n.below(4))
	case 4:
		e.Act, e.Value = trust.Alarm, int64(1+n.below(1000))
	case 5:
		e.Act, e.Amount = trust.Endorsement, trust.Micro(1+n.below(4_000_000))
	case 6:
		e.Act, e.Amount = trust.Pardon, trust.Micro(1+n.below(32_000_000))
	case 7, 8:
		e.Act, e.Value = trust.Settled, int64(n.below(1001))
	}
	return e
}
