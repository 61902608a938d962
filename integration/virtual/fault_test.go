package virtual

import (
	"errors"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/registrar"
)

// kind names one kind of fault.
type kind string

// The kinds. Those of the wires and of processes are package lab's, in virtual time; those of clocks are played here
// only.
const (
	kill       kind = "kill"        // a node dies and comes back at the end
	killLeader kind = "kill-leader" // the one that leads
	partition  kind = "partition"   // a node is cut off
	split      kind = "split"       // two nodes do not reach each other, and both reach the third
	oneWayOut  kind = "one-way-out" // nothing from a node arrives
	oneWayIn   kind = "one-way-in"  // nothing arrives at a node
	flap       kind = "flap"        // a node is cut off and back again and again
	loss       kind = "loss"        // a fifth of everything is lost
	delay      kind = "delay"       // everything takes longer
	disorder   kind = "disorder"    // everything takes longer by its own measure: what is sent later comes earlier
	reset      kind = "reset"       // all connections of the logs break, again and again

	clockAhead   kind = "clock-ahead"   // a node starts with its clock an hour ahead
	clockBehind  kind = "clock-behind"  // a node starts with its clock an hour behind
	clockForward kind = "clock-forward" // a running node's clock steps an hour forward
	clockBack    kind = "clock-back"    // a running node's clock steps an hour back
	clocksStill  kind = "clocks-still"  // the clocks of two running nodes stand still
	clockFast    kind = "clock-fast"    // a node's clock goes half as fast again
	clockSlow    kind = "clock-slow"    // a node's clock loses a tenth
)

// kinds are all kinds of faults.
var kinds = []kind{
	kill, killLeader, partition, split, oneWayOut, oneWayIn, flap, loss, delay, disorder, reset,
	clockAhead, clockBehind, clockForward, clockBack, clocksStill, clockFast, clockSlow,
}

// suffer has a fault last for so long, and undoes it. It returns how often something felt it: 0 is no fault.
func (r *realm) suffer(k kind, victim int, length time.Duration) (felt int) {
	r.t.Helper()
	switch k {
	case kill:
		return r.withoutNode(victim, length)
	case killLeader:
		return r.withoutNode(r.leader(), length)
	case reset:
		return r.repeatedly(length, 300*time.Millisecond, func(int) int { return r.exchange.reset() })
	case clockAhead, clockBehind, clockForward, clockBack, clocksStill, clockFast, clockSlow:
		return r.withClock(k, victim, length)
	}
	before := r.wires.took()
	defer func() {
		r.wires.heal()
		felt = r.wires.took() - before
	}()
	other := (victim + 1) % nodes
	all := func(route) bool { return true }
	switch k {
	case partition:
		r.wires.cut(victim)
	case split:
		between := []route{{victim, other}, {other, victim}}
		r.wires.set(func(w route) bool { return slices.Contains(between, w) }, weather{held: true})
	case oneWayOut:
		r.wires.set(func(w route) bool { return w.from == victim }, weather{held: true})
	case oneWayIn:
		r.wires.set(func(w route) bool { return w.to == victim }, weather{held: true})
	case flap:
		r.repeatedly(length, 700*time.Millisecond, func(i int) int {
			if r.wires.heal(); i%2 == 0 {
				r.wires.cut(victim)
			}
			return 1
		})
		return 0 // what was felt is counted above
	case loss:
		r.wires.set(all, weather{delay: calm.delay, vary: calm.vary, loss: 200})
	case delay:
		r.wires.set(all, weather{delay: 60 * time.Millisecond, vary: calm.vary})
	case disorder:
		r.wires.set(all, weather{delay: calm.delay, vary: 150 * time.Millisecond})
	default:
		r.t.Fatalf("no fault is called %q", k)
	}
	time.Sleep(length)
	return 0
}

// busDelay is the longest that a message of the bus is under way by any of these faults.
const busDelay = 200 * time.Millisecond

// repeatedly does something again and again, and returns the sum of its answers.
func (r *realm) repeatedly(length, every time.Duration, do func(i int) int) (sum int) {
	for i := range int(length / every) {
		sum += do(i)
		time.Sleep(every)
	}
	return sum
}

func (r *realm) withoutNode(victim int, length time.Duration) (felt int) {
	r.t.Helper()
	n := r.nodes[victim]
	before := n.life()
	r.must(n.stop())
	time.Sleep(length)
	r.must(n.restart(r.t.Context()))
	if before != nil && before != n.life() {
		felt = 1
	}
	return felt
}

// leader returns which node leads.
func (r *realm) leader() (i int) {
	r.t.Helper()
	r.await("a node leads", func() bool {
		i = slices.IndexFunc(r.nodes, func(n *node) bool { return n.life() != nil && n.life().log.Leads() })
		return i >= 0
	})
	return i
}

// distrusted says whether a kind is one that a node must notice, and then take no more commands.
func (k kind) distrusted() bool { return k == clockForward || k == clockBack || k == clocksStill }

// withClock spoils a clock, or two, and counts how often somebody was shown a wrong time. Whoever's clock was wrong is
// started again with a right one, as an operator would.
func (r *realm) withClock(k kind, victim int, length time.Duration) (felt int) {
	r.t.Helper()
	hit := []*node{r.nodes[victim]}
	switch k {
	case clockAhead, clockBehind:
		r.must(hit[0].stop())
		hit[0].clock.step(map[kind]time.Duration{clockAhead: time.Hour, clockBehind: -time.Hour}[k], right)
		r.must(hit[0].restart(r.t.Context()))
	case clockForward:
		hit[0].clock.step(time.Hour, right)
	case clockBack:
		hit[0].clock.step(-time.Hour, right)
	case clocksStill:
		hit = append(hit, r.nodes[(victim+1)%nodes])
		for _, n := range hit {
			n.clock.step(0, 0)
		}
	case clockFast:
		hit[0].clock.step(0, 1500)
	case clockSlow:
		hit[0].clock.step(0, 900)
	}
	time.Sleep(length)
	for _, n := range hit {
		_, wrong := n.clock.shown()
		felt += wrong - n.forgiven
		if err := n.life().registrar.Ready(); k.distrusted() && !errors.Is(err, registrar.ErrClock) {
			r.t.Errorf("%s: %s goes on: %v", k, n.name, err)
		}
	}
	r.heal()
	return felt
}
