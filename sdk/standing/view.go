package standing

import (
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// View is where one agent stands, as the node tells it: unsigned, for display. Scores and shares are in per mille, times in
// Unix milliseconds by log time.
type View struct {
	ID           identity.ID    `json:"id"`
	Name         string         `json:"name"`
	Operator     identity.ID    `json:"operator"`
	OperatorName string         `json:"operator_name"`
	Parent       *identity.ID   `json:"parent,omitempty"`
	Children     []identity.ID  `json:"children,omitempty"`
	Make         *wire.Digest   `json:"make,omitempty"` // what the agent is made of, as its operator states it
	Status       trust.Status   `json:"status"`
	Level        identity.Level `json:"level"`
	Cap          identity.Level `json:"cap"`              // greatest level that its parent lets it have
	Reason       string         `json:"reason,omitempty"` // of the last change of status or level
	At           int64          `json:"at"`
	Index        uint64         `json:"index"` // commands applied

	Scores    [trust.Classes]trust.Score `json:"scores"`
	Suspicion uint64                     `json:"suspicion"`
	Throttle  uint64                     `json:"throttle"` // of its rate, taken away
	Class     uint8                      `json:"class"`    // that the next level asks for
	Score     uint64                     `json:"score"`    // in it
	Until     int64                      `json:"until,omitempty"`
	Blocked   int64                      `json:"blocked,omitempty"` // no promotion before
	Next      []trust.Condition          `json:"next"`              // what the next level asks for, and how far the agent is
	Account   trust.Account              `json:"account"`
}

// Rank is one line of the list of agents, as the node tells it. Scores and shares are in per mille.
type Rank struct {
	ID           identity.ID    `json:"id"`
	Name         string         `json:"name"`
	Operator     identity.ID    `json:"operator"`
	OperatorName string         `json:"operator_name"`
	Parent       *identity.ID   `json:"parent,omitempty"`
	Status       trust.Status   `json:"status"`
	Level        identity.Level `json:"level"`
	Class        uint8          `json:"class"` // that the next level asks for
	Score        uint64         `json:"score"` // in it
	Belief       uint64         `json:"belief"`
	Disbelief    uint64         `json:"disbelief"`
	Uncertainty  uint64         `json:"uncertainty"`
	Suspicion    uint64         `json:"suspicion"`
	Throttle     uint64         `json:"throttle"`
	Until        int64          `json:"until,omitempty"` // its lease's end, Unix milliseconds
}

// Change is a change of the agent's own level.
type Change struct {
	From identity.Level `json:"from"`
	To   identity.Level `json:"to"`
	Why  trust.Why      `json:"why"` // as the node tells it; 0 where it does not
	At   time.Time      `json:"at"`  // when this process learned of it
}
