package bench

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// load is how much processor time was used up to a moment.
type load struct {
	at   time.Time
	all  time.Duration // by everybody on this machine; 0 if that is not known
	self time.Duration // by this process and its children
}

// tick is the unit of /proc/stat: a hundredth of a second on every system that has it.
const tick = 10 * time.Millisecond

// look says how much was used up to now, by this process and those that the bout has started as its own.
func (b *bout) look() load {
	l := load{at: time.Now(), self: cpuTime() + childrenTime() + b.started.used()}
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		l.all = busyTime(string(text))
	}
	return l
}

// busyTime reads from the first line of /proc/stat how long all cores have worked; 0 if it has another form.
func busyTime(text string) time.Duration {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal …
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0
	}
	var ticks time.Duration
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * tick
}

// others returns how many cores other programs kept busy between two looks; 0 if that is not known.
func others(from, to load) float64 {
	took := to.at.Sub(from.at)
	if from.all == 0 || to.all == 0 || took <= 0 {
		return 0
	}
	return max(0, ((to.all-from.all)-(to.self-from.self)).Seconds()/took.Seconds())
}
