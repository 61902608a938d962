package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Level is an autonomy level, L0 to L5. The zero value is the lowest.
type Level uint8

// The ladder.
const (
	Quarantined Level = iota // L0
	Observer                 // L1
	Apprentice               // L2
	Journeyer                // L3
	Principal                // L4
	Steward                  // L5
)

// String returns "L0" to "L5".
func (l Level) String() string { return fmt.Sprintf("L%d", uint8(l)) }

// Word returns the level's name.
func (l Level) Word() string {
	words := [...]string{"Quarantined", "Observer", "Apprentice", "Journeyer", "Principal", "Steward"}
	if int(l) < len(words) {
		return words[l]
	}
	return l.String()
}

// Check refuses levels above L5.
func (l Level) Check() error {
	if l > Steward {
		return fmt.Errorf("%w: level above L5", wire.ErrMalformed)
	}
	return nil
}

// ParseLevel reads "L0" to "L5", or "0" to "5".
func ParseLevel(s string) (Level, error) {
	if len(s) == 2 && (s[0] == 'L' || s[0] == 'l') {
		s = s[1:]
	}
	if len(s) != 1 || s[0] < '0' || s[0] > '5' {
		return 0, fmt.Errorf("%w: a level is L0 to L5, not %.16q", wire.ErrMalformed, s)
	}
	return Level(s[0] - '0'), nil
}
