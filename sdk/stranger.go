package sdk

import (
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// strangers bounds how often what is not verified yet makes this agent ask the node who sent it: the answers are paid
// for with its own rate. It is safe for concurrent use.
type strangers struct {
	most int // in strangerTime, of one sender

	mu    sync.Mutex
	since int64               // Unix milliseconds
	asked map[identity.ID]int // since then, by the sender that the subject names
}

const (
	strangerTime = 10 * 1000        // ms
	strangerAsks = bus.MaxProcesses // in that time that came to nothing
	disownAsks   = maxHandlers      // requests of one sender in that time that are answered though they cannot be read
)

// admit reports whether the node may be asked about the sender once more, and counts it.
func (s *strangers) admit(from identity.ID, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil || now < s.since || now-s.since >= strangerTime {
		s.since, s.asked = now, map[identity.ID]int{}
	}
	s.asked[from]++
	return s.asked[from] <= s.most
}

// forgive takes back what was counted for a question that led to a verified message.
func (s *strangers) forgive(from identity.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[from] > 0 {
		s.asked[from]--
	}
}
