// Package control is what principals and nodes say to each other about the realm: the requests, the replies and their
// error codes, written once for both sides. [Client] asks, [Server] answers, over any [bus.Conn].
//
// Nothing that a node says here is believed for itself: tickets, credentials, heads and certificates are signed, and
// the receiver verifies them. A node can withhold or steer, but not forge.
package control

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Op names a request.
type Op string

// The requests, with body and answer.
const (
	OpRealm       Op = "realm"       // Nothing → Realm
	OpSubmit      Op = "submit"      // Submit → Submitted
	OpWho         Op = "who"         // Who → Principal
	OpSender      Op = "sender"      // Process → Vouched
	OpAnnounce    Op = "announce"    // Announce → Nothing
	OpFind        Op = "find"        // Find → Found
	OpMembers     Op = "members"     // Nothing → Members
	OpDecision    Op = "decision"    // DecisionID → DecisionView
	OpDecisions   Op = "decisions"   // Nothing → Decisions
	OpCertificate Op = "certificate" // DecisionID → Certificate
	OpUse         Op = "use"         // UseID → Used
	OpDryRun      Op = "dryrun"      // DryRun → Outlook
	OpPlan        Op = "plan"        // Plan → Planned
	OpStatus      Op = "status"      // Nothing → Status
	OpCluster     Op = "cluster"     // Nothing → Cluster
	OpRoster      Op = "roster"      // PutRoster → Submitted, of operators only
	OpTransfer    Op = "transfer"    // Transfer → Nothing, of operators only
	OpTightenings Op = "tightenings" // Tightenings → InForce; a lost one is handed in by OpSubmit, as registry.Remind
	OpStanding    Op = "standing"    // Who → Account
	OpRanking     Op = "ranking"     // Page → Ranking
)

// Nothing is the empty body.
type Nothing struct{}

// Request is what a principal sends.
type Request struct {
	Op   Op       `cbor:"1,keyasint"`
	Body wire.Raw `cbor:"2,keyasint"`
}

// Reply is what a node answers.
type Reply struct {
	Code    fault.Code `cbor:"1,keyasint,omitempty"` // empty: done
	Message string     `cbor:"2,keyasint,omitempty"`
	Hint    string     `cbor:"3,keyasint,omitempty"`
	Body    []byte     `cbor:"4,keyasint,omitempty"`
}

// Realm is what anybody needs to check everything else.
type Realm struct {
	Genesis []byte      `cbor:"1,keyasint"`
	Rosters [][]byte    `cbor:"2,keyasint,omitempty"`
	Policy  []byte      `cbor:"3,keyasint"`           // the one that the genesis names
	Head    []byte      `cbor:"4,keyasint,omitempty"` // none before the first command
	Node    identity.ID `cbor:"5,keyasint"`
	Time    int64       `cbor:"6,keyasint"` // the node's clock, Unix milliseconds
	Nodes   []Address   `cbor:"7,keyasint,omitempty"`

	Policies  [][]byte `cbor:"8,keyasint,omitempty"`  // commands that replaced the policy since, oldest first
	Operators [][]byte `cbor:"9,keyasint,omitempty"`  // commands that made operators of those who signed them
	Keys      [][]byte `cbor:"10,keyasint,omitempty"` // successions of their keys
}

// Address is where a node of the roster takes connections of agents, as the node asked believes it. It proves nothing:
// who connects there demands the node's key.
type Address struct {
	Node identity.ID `cbor:"1,keyasint"`
	At   string      `cbor:"2,keyasint"` // host:port
}

// Submit hands in a signed command.
type Submit struct {
	Command []byte `cbor:"1,keyasint"`
	Receipt bool   `cbor:"2,keyasint,omitempty"` // also prove its result under a head
}

// Submitted is the ledger's answer, also where the ledger refused.
type Submitted struct {
	Answer  registry.Answer `cbor:"1,keyasint"`
	Receipt *audit.Receipt  `cbor:"2,keyasint,omitempty"`
}

// Who asks about a principal by its ID or its name.
type Who struct {
	ID   identity.ID `cbor:"1,keyasint"`
	Name string      `cbor:"2,keyasint,omitempty"`
}

// Principal is what the realm says of one.
type Principal struct {
	Ticket      []byte   `cbor:"1,keyasint"`
	Successions [][]byte `cbor:"2,keyasint,omitempty"`
	Card        []byte   `cbor:"3,keyasint,omitempty"`
}

// Process names one process of a principal.
type Process struct {
	Principal  identity.ID `cbor:"1,keyasint"`
	Credential wire.Digest `cbor:"2,keyasint"`
}

// Vouched is what shows a process to be its principal's.
type Vouched struct {
	Credential []byte    `cbor:"1,keyasint"`
	Principal  Principal `cbor:"2,keyasint"`
	Presence   []byte    `cbor:"3,keyasint,omitempty"` // newest, if it serves or publishes
}

// Announce hands in a signed presence.
type Announce struct {
	Presence []byte `cbor:"1,keyasint"`
}

// Find looks for processes that are there now: by capability, by topic, by principal, or all where everything is
// empty. Only active principals are found.
type Find struct {
	Capability string      `cbor:"1,keyasint,omitempty"`
	Topic      string      `cbor:"2,keyasint,omitempty"` // a topic or pattern
	Name       string      `cbor:"3,keyasint,omitempty"`
	ID         identity.ID `cbor:"4,keyasint"`
}

// Found lists processes.
type Found struct {
	Processes []Vouched `cbor:"1,keyasint,omitempty"`
}

// Members lists who takes part, by name.
type Members struct {
	Members []Member `cbor:"1,keyasint,omitempty"`
}

// Member is one line of the list, as the node tells it: unsigned, for display.
type Member struct {
	ID       identity.ID    `cbor:"1,keyasint" json:"id"`
	Name     string         `cbor:"2,keyasint" json:"name"`
	Operator identity.ID    `cbor:"3,keyasint" json:"operator"`
	Status   string         `cbor:"4,keyasint" json:"status"`
	Level    identity.Level `cbor:"5,keyasint" json:"level"`
	Serves   []string       `cbor:"6,keyasint,omitempty" json:"serves,omitempty"`
	Live     uint64         `cbor:"7,keyasint" json:"connections"`
	Done     uint64         `cbor:"8,keyasint" json:"done"`
	Failed   uint64         `cbor:"9,keyasint" json:"failed"`
	Changed  uint64         `cbor:"10,keyasint" json:"changed"`
	Joined   int64          `cbor:"11,keyasint" json:"joined"`
	Reason   string         `cbor:"12,keyasint,omitempty" json:"reason,omitempty"`

	Family      string `cbor:"13,keyasint,omitempty" json:"family,omitempty"`
	Calibration uint64 `cbor:"14,keyasint,omitempty" json:"calibration_per_mille,omitempty"` // of an agent
	Settled     uint64 `cbor:"15,keyasint,omitempty" json:"settled_votes,omitempty"`
}

// Status is how a node is.
type Status struct {
	Realm   wire.Realm  `cbor:"1,keyasint" json:"realm"`
	Node    identity.ID `cbor:"2,keyasint" json:"node"`
	Version string      `cbor:"3,keyasint" json:"version"`
	Started int64       `cbor:"4,keyasint" json:"started"`
	Time    int64       `cbor:"5,keyasint" json:"time"`
	LogTime int64       `cbor:"6,keyasint" json:"log_time"`
	Size    uint64      `cbor:"7,keyasint" json:"commands"`
	Root    wire.Digest `cbor:"8,keyasint" json:"root"`
	State   wire.Digest `cbor:"9,keyasint" json:"state"`
	Agents  uint64      `cbor:"10,keyasint" json:"agents"`
	Live    uint64      `cbor:"11,keyasint" json:"connections"`
	Open    uint64      `cbor:"12,keyasint" json:"open_decisions"`
	Preset  string      `cbor:"13,keyasint" json:"policy"`
	Address string      `cbor:"14,keyasint" json:"address"`
	Stopped string      `cbor:"15,keyasint,omitempty" json:"stopped,omitempty"` // why commands are refused
	Monitor string      `cbor:"16,keyasint,omitempty" json:"metrics,omitempty"` // address of metrics and health, on the node's machine only

	Policy   wire.Digest `cbor:"17,keyasint" json:"policy_digest"`
	Policies uint64      `cbor:"18,keyasint,omitempty" json:"policies,omitempty"` // how often the policy was replaced
	Reviews  []Review    `cbor:"19,keyasint,omitempty" json:"reviews,omitempty"`
}

// Review is an emergency decision that waits to be settled.
type Review struct {
	Decision wire.Digest `cbor:"1,keyasint" json:"decision"`
	At       int64       `cbor:"2,keyasint" json:"approved"` // log time, Unix milliseconds
	Due      int64       `cbor:"3,keyasint" json:"due"`
	Over     bool        `cbor:"4,keyasint,omitempty" json:"overdue,omitempty"` // there are no other emergencies until it is settled
}

// Cluster is what a node knows of the realm's nodes: unsigned, for display.
type Cluster struct {
	Roster  uint64    `cbor:"1,keyasint" json:"roster"`
	Latest  []byte    `cbor:"2,keyasint" json:"-"` // id of the newest roster statement, or the realm's
	Feature uint64    `cbor:"3,keyasint" json:"feature"`
	Lease   int64     `cbor:"4,keyasint" json:"lease"` // milliseconds left to the node asked; 0 if it has none; -1 if it needs none
	Nodes   []Machine `cbor:"5,keyasint,omitempty" json:"nodes"`
}

// Machine is one node of a cluster.
type Machine struct {
	Node    identity.ID `cbor:"1,keyasint" json:"node"`
	Client  string      `cbor:"2,keyasint,omitempty" json:"client,omitempty"`   // host:port for agents
	Cluster string      `cbor:"3,keyasint,omitempty" json:"cluster,omitempty"`  // host:port for nodes
	State   string      `cbor:"4,keyasint" json:"state"`                        // leader, follower, joining, silent, or unknown
	Self    bool        `cbor:"5,keyasint,omitempty" json:"self"`               // the node asked
	Size    uint64      `cbor:"6,keyasint,omitempty" json:"commands,omitempty"` // commands it had applied when last heard
	Heard   int64       `cbor:"7,keyasint,omitempty" json:"heard,omitempty"`    // when that was, Unix milliseconds
	Version string      `cbor:"8,keyasint,omitempty" json:"version,omitempty"`  // of its program
}

// PutRoster hands in a roster that the roots have signed. The node asks the outgoing nodes for their signatures.
type PutRoster struct {
	Roster []byte `cbor:"1,keyasint"`
}

// Transfer asks that another node lead: the one named, or any that is up to date if it names nobody.
type Transfer struct {
	To identity.ID `cbor:"1,keyasint"`
}

// MaxTightenings is how many tightenings one question may name, and how many one answer holds at most.
const MaxTightenings = 64

// Tightenings asks which tightenings are in force.
type Tightenings struct {
	Digest wire.Digest   `cbor:"1,keyasint"`           // of the set, as it was told last; zero if it never was
	Have   []wire.Digest `cbor:"2,keyasint,omitempty"` // IDs of those that the asker holds, at most MaxTightenings
}

// InForce is what an asker does not know of the tightenings in force. If the digest is the one that was asked with,
// nothing has changed, and the rest is empty.
type InForce struct {
	Digest   wire.Digest   `cbor:"1,keyasint"`
	Commands [][]byte      `cbor:"2,keyasint,omitempty"` // the newest that the asker does not hold, in the order of their issue
	Lacks    []wire.Digest `cbor:"3,keyasint,omitempty"` // of those that the asker holds, which are not in force here
}

// Hint is what a node broadcasts when something changed: where to look again. It proves nothing.
type Hint struct {
	Size      uint64        `cbor:"1,keyasint"` // commands applied
	Decisions []wire.Digest `cbor:"2,keyasint,omitempty"`
	Members   []identity.ID `cbor:"3,keyasint,omitempty"`

	Opened    []wire.Digest `cbor:"4,keyasint,omitempty"` // of the decisions, those that wait for votes since now
	Revealing []wire.Digest `cbor:"5,keyasint,omitempty"` // those whose ballots may be revealed
	More      bool          `cbor:"6,keyasint,omitempty"` // others have changed too
	// Restricted: the node has no lease and lets those that are connected to it do what is R0 and nothing else.
	Restricted bool `cbor:"7,keyasint,omitempty"`
}

// Err returns the reply's refusal as an error with its code, or nil.
func (r Reply) Err() error {
	if r.Code == "" {
		return nil
	}
	return &fault.Error{Code: r.Code, Message: r.Message, Hint: r.Hint}
}
