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
}
