package admin

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Member is one of the realm, as the node tells it: unsigned, for display. Times are Unix milliseconds.
type Member struct {
	ID       identity.ID    `json:"id"`
	Name     string         `json:"name"`
	Operator identity.ID    `json:"operator"`
	Status   string         `json:"status"`
	Level    identity.Level `json:"level"`
	Serves   []string       `json:"serves,omitempty"`
	Live     uint64         `json:"connections"`
	Done     uint64         `json:"done"`
	Failed   uint64         `json:"failed"`
	Changed  uint64         `json:"changed"`
	Joined   int64          `json:"joined"`
	Reason   string         `json:"reason,omitempty"`

	Family      string `json:"family,omitempty"`                // model family of an agent
	Calibration uint64 `json:"calibration_per_mille,omitempty"` // what an agent's stated confidence is worth
	Settled     uint64 `json:"settled_votes,omitempty"`         // how many of its votes say so
}

// Status is how a node is, as it tells it. Times are Unix milliseconds.
type Status struct {
	Realm   wire.Realm  `json:"realm"`
	Node    identity.ID `json:"node"`
	Version string      `json:"version"`
	Started int64       `json:"started"`
	Time    int64       `json:"time"`
	LogTime int64       `json:"log_time"`
	Size    uint64      `json:"commands"`
	Root    wire.Digest `json:"root"`
	State   wire.Digest `json:"state"`
	Agents  uint64      `json:"agents"`
	Live    uint64      `json:"connections"`
	Open    uint64      `json:"open_decisions"`
	Preset  string      `json:"policy"`
	Address string      `json:"address"`
	Stopped string      `json:"stopped,omitempty"` // why commands are refused
	Monitor string      `json:"metrics,omitempty"` // address of metrics and health, on the node's machine only

	Policy   wire.Digest `json:"policy_digest"`
	Policies uint64      `json:"policies,omitempty"` // how often the policy was replaced
	Reviews  []Review    `json:"reviews,omitempty"`
}

// Review is an emergency decision that was approved and waits to be settled. Times are Unix milliseconds.
type Review struct {
	Decision wire.Digest `json:"decision"`
	At       int64       `json:"approved"`
	Due      int64       `json:"due"`
	Over     bool        `json:"overdue,omitempty"` // there are no other emergencies until it is settled
}

// Planned is what became of one decision, and what would have by another policy.
type Planned struct {
	ID      wire.Digest `json:"id"`
	Kind    string      `json:"kind"`
	Target  string      `json:"target,omitempty"` // its beginning
	Was     Ruling      `json:"was"`
	Would   Ruling      `json:"would"`
	Changed bool        `json:"changed"`
}

// Ruling is what one policy makes of one decision, in words.
type Ruling struct {
	Class   string `json:"class"`
	Rule    string `json:"rule"`
	Alone   bool   `json:"alone,omitempty"`
	State   string `json:"state"`             // open of what has ended: the ballots cast do not decide it
	Refused string `json:"refused,omitempty"` // the code it would have been refused with
}
