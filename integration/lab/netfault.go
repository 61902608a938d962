package lab

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// number makes the names of counters unique.
var number atomic.Uint64

// cut drops packets that some hosts send to others.
type cut struct {
	name    string
	wires   *Wires // nil: none are laid
	percent int
	links   [][2]*Host
	counter string
	laid    [][2]*Host
	dropped map[string]uint64
}

func newCut(name string, w *Wires, percent int, links [][2]*Host) Fault {
	return &cut{name: name, wires: w, percent: percent, links: links, counter: fmt.Sprint("fault", number.Add(1)), dropped: map[string]uint64{}}
}

// NewPartition cuts two groups of hosts off from each other, both ways. Wires is nil if none are laid.
func NewPartition(w *Wires, a, b []*Host) Fault {
	return newCut("partition "+names(a)+" | "+names(b), w, 100, append(pairs(a, b), pairs(b, a)...))
}

// NewOneWay drops everything that the hosts of one group send to the other's.
func NewOneWay(w *Wires, from, to []*Host) Fault {
	return newCut("nothing from "+names(from)+" to "+names(to), w, 100, pairs(from, to))
}

// NewLoss drops packets between the hosts at random, percent of 100.
func NewLoss(w *Wires, hosts []*Host, percent int) Fault {
	return newCut(fmt.Sprintf("lose %d %% between %s", percent, names(hosts)), w, percent, pairs(hosts, hosts))
}

func (c *cut) Name() string { return c.name }

// Start implements Fault.
func (c *cut) Start() error {
	for _, link := range c.links {
		c.laid = append(c.laid, link)
		if err := link[0].drop(c.rule(link), leaving, c.wires.addresses(link[0], link[1]), c.percent); err != nil {
			return err
		}
	}
	return nil
}

// Stop implements Fault.
func (c *cut) Stop() error {
	var err error
	for _, link := range c.laid {
		n, failed := link[0].lift(c.rule(link))
		c.dropped[link[0].name+"→"+link[1].name] += n
		err = errors.Join(err, failed)
	}
	return err
}

func (c *cut) rule(link [2]*Host) string { return c.counter + link[1].name }

// Took implements Fault: by the packets that each rule dropped. One of a pair's ways may have been silent, but not all.
func (c *cut) Took() (bool, string) {
	total := uint64(0)
	for _, n := range c.dropped {
		total += n
	}
	return total > 0, fmt.Sprintf("packets dropped: %v", c.dropped)
}

// storm is weather on the wires.
type storm struct {
	name   string
	on     []lane
	w      Weather
	before uint64
	after  uint64
}

// NewDelay delays what the hosts send each other.
func NewDelay(w *Wires, hosts []*Host, least, jitter time.Duration) Fault {
	name := fmt.Sprintf("delay %v to %v between %s", least, least+jitter, names(hosts))
	return newStorm(name, w, hosts, hosts, Weather{Delay: least, Jitter: jitter})
}

// NewStorm lets weather happen to what the hosts of one group send to those of the other.
func NewStorm(w *Wires, from, to []*Host, weather Weather) Fault {
	return newStorm(fmt.Sprintf("%+v from %s to %s", weather, names(from), names(to)), w, from, to, weather)
}

func newStorm(name string, w *Wires, from, to []*Host, weather Weather) *storm {
	return &storm{name: name, on: w.between(from, to), w: weather}
}

func (s *storm) Name() string { return s.name }

func (s *storm) set(w Weather) {
	for _, l := range s.on {
		l.proxy.Set(l.way, w)
	}
}

func (s *storm) touched() (bytes uint64) {
	for _, l := range s.on {
		bytes += l.proxy.Touched(l.way)
	}
	return bytes
}

// Start implements Fault.
func (s *storm) Start() error {
	s.before = s.touched()
	s.set(s.w)
	return nil
}

// Stop implements Fault.
func (s *storm) Stop() error {
	s.set(Weather{})
	s.after = s.touched() - s.before
	return nil
}

// Took implements Fault: by the bytes that met the weather.
func (s *storm) Took() (bool, string) { return s.after > 0, fmt.Sprintf("%d bytes", s.after) }

func names(hosts []*Host) string {
	list := make([]string, len(hosts))
	for i, h := range hosts {
		list[i] = h.name
	}
	return strings.Join(list, ",")
}

// pairs returns every ordered pair of two different hosts, one of each group.
func pairs(from, to []*Host) [][2]*Host {
	var list [][2]*Host
	for _, a := range from {
		for _, b := range to {
			if a != b {
				list = append(list, [2]*Host{a, b})
			}
		}
	}
	return list
}
