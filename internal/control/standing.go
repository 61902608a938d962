package control

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Account is one agent's account and what follows from it, as the node reckons it: unsigned, for display. Scores and shares
// are in per mille, times in Unix milliseconds by log time.
type Account struct {
	ID           identity.ID    `cbor:"1,keyasint"`
	Name         string         `cbor:"2,keyasint"`
	Operator     identity.ID    `cbor:"3,keyasint"`
	OperatorName string         `cbor:"4,keyasint"`
	Parent       *identity.ID   `cbor:"5,keyasint,omitempty"`
	Children     []identity.ID  `cbor:"6,keyasint,omitempty"`
	Make         *wire.Digest   `cbor:"7,keyasint,omitempty"` // what the agent is made of, as its operator states it
	Status       trust.Status   `cbor:"8,keyasint"`
	Level        identity.Level `cbor:"9,keyasint"`
	Cap          identity.Level `cbor:"10,keyasint"` // greatest level that its parent lets it have
	Reason       string         `cbor:"11,keyasint,omitempty"`
	At           int64          `cbor:"12,keyasint"`
	Index        uint64         `cbor:"13,keyasint"` // commands applied

	Scores    [trust.Classes]trust.Score `cbor:"14,keyasint"`
	Suspicion uint64                     `cbor:"15,keyasint"`
	Throttle  uint64                     `cbor:"16,keyasint"` // of its rate, taken away
	Class     uint8                      `cbor:"17,keyasint"` // that the next level asks for
	Score     uint64                     `cbor:"18,keyasint"` // in it
	Until     int64                      `cbor:"19,keyasint,omitempty"`
	Blocked   int64                      `cbor:"20,keyasint,omitempty"`
	Next      []trust.Condition          `cbor:"21,keyasint,omitempty"`
	Account   trust.Account              `cbor:"22,keyasint"`
}

// Page asks for the part of a list that follows the first so many entries.
type Page struct {
	After uint64 `cbor:"1,keyasint,omitempty"`
}

// Ranking is a part of the list of agents: the highest level first, then the highest score, then by name.
type Ranking struct {
	Ranks []Rank `cbor:"1,keyasint,omitempty"`
	All   uint64 `cbor:"2,keyasint"` // how many there are
	At    int64  `cbor:"3,keyasint"` // log time
}

// Rank is one line of the list, as the node tells it: unsigned, for display.
type Rank struct {
	ID           identity.ID    `cbor:"1,keyasint"`
	Name         string         `cbor:"2,keyasint"`
	Operator     identity.ID    `cbor:"3,keyasint"`
	OperatorName string         `cbor:"4,keyasint"`
	Parent       *identity.ID   `cbor:"5,keyasint,omitempty"`
	Status       trust.Status   `cbor:"6,keyasint"`
	Level        identity.Level `cbor:"7,keyasint"`
	Class        uint8          `cbor:"8,keyasint"` // that the next level asks for
	Score        uint64         `cbor:"9,keyasint"` // in it
	Belief       uint64         `cbor:"10,keyasint"`
	Disbelief    uint64         `cbor:"11,keyasint"`
	Uncertainty  uint64         `cbor:"12,keyasint"`
	Suspicion    uint64         `cbor:"13,keyasint"`
	Throttle     uint64         `cbor:"14,keyasint"`
	Until        int64          `cbor:"15,keyasint,omitempty"` // its lease's end
}
