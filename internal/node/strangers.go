package node

import (
	"fmt"
	"sync"
	"time"
)

// strangersPerSecond bounds what connections that nobody vouches for can write into the trail.
const strangersPerSecond = 20

// strangers counts the refusals of connections that were not shown to be anybody's, so that whoever can reach the port
// cannot fill the disk. It is safe for concurrent use.
type strangers struct {
	mu         sync.Mutex
	second     int64
	recorded   int
	suppressed int
}

// admit reports whether one more refusal is to be recorded at now, and how many were left out since the last one.
func (s *strangers) admit(now time.Time) (record bool, leftOut int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.recorded = second, 0
	}
	if s.recorded >= strangersPerSecond {
		s.suppressed++
		return false, 0
	}
	s.recorded++
	leftOut, s.suppressed = s.suppressed, 0
	return true, leftOut
}

func noted(kind string, leftOut int) string {
	if leftOut == 0 {
		return kind
	}
	return fmt.Sprintf("%s; %d more were not recorded", kind, leftOut)
}
