package bench

import "encoding/json"

// Result is what a benchmark found. Ours, Peer and those of the rounds are in Unit; Ratio is Ours over Peer. Without
// a peer its name is empty, and its figures are 0 here and null in JSON.
type Result struct {
	Name  string  `json:"name"`
	What  string  `json:"what"` // what was compared, for people
	Unit  string  `json:"unit"`
	Lower bool    `json:"lower_is_better"`
	Ours  float64 `json:"ours"` // median of the rounds, like Peer
	Peer  float64 `json:"peer"`
	Ratio float64 `json:"ratio"`

	PeerName string `json:"peer_name"`
	Bound    string `json:"bound"` // what holds ours back, for people

	P50     float64 `json:"p50"` // of Delay, in DelayUnit, over all rounds of ours; 0 where there is none
	P99     float64 `json:"p99"`
	PeerP50 float64 `json:"peer_p50"`
	PeerP99 float64 `json:"peer_p99"`
	Delay   string  `json:"delay"`

	DelayUnit string `json:"delay_unit"`

	Rounds   []Round   `json:"rounds"`
	Spread   Spread    `json:"spread"`
	CPU      Pair      `json:"cpu_us"` // microseconds of processor time a message, of everybody in this process
	Variants []Variant `json:"variants"`
	Crypto   Crypto    `json:"crypto"`

	// Of rtt only: the plain round trip with two signatures and two checks, in DelayUnit; and how much ours takes over
	// the plain one, as a multiple of those.
	FloorP50    float64 `json:"floor_p50,omitempty"`
	CryptoRatio float64 `json:"crypto_ratio,omitempty"`

	// Of realms of several nodes only: how long the disk takes to make 4 KiB durable, the median in microseconds; how
	// many nodes and clients there were; what became of their commands, "lost" being those acknowledged and gone; and
	// what is to be known of the figures.
	Fsync    float64        `json:"fsync_us,omitempty"`
	Nodes    int            `json:"nodes,omitempty"`
	Clients  int            `json:"clients,omitempty"`
	Commands map[string]int `json:"commands,omitempty"`
	Note     string         `json:"note,omitempty"`

	Messages int     `json:"messages"` // of each contender in each round
	Size     int     `json:"size"`     // bytes of content
	Agents   int     `json:"agents"`
	Window   int     `json:"window"` // messages under way at most, for ours and the peer alike
	Machine  Machine `json:"machine"`
}

// MarshalJSON writes null for what a peer would have been.
func (r Result) MarshalJSON() ([]byte, error) {
	type bare Result
	if r.PeerName != "" {
		return json.Marshal(bare(r))
	}
	type lone struct {
		Ours float64 `json:"ours"`
		Peer any     `json:"peer"`
	}
	rounds := make([]lone, len(r.Rounds))
	for i, round := range r.Rounds {
		rounds[i].Ours = round.Ours
	}
	return json.Marshal(struct {
		bare
		Peer    any    `json:"peer"`
		Ratio   any    `json:"ratio"`
		PeerP50 any    `json:"peer_p50"`
		PeerP99 any    `json:"peer_p99"`
		Rounds  []lone `json:"rounds"`
	}{bare: bare(r), Rounds: rounds})
}

// Round is one round's values.
type Round struct {
	Ours float64 `json:"ours"`
	Peer float64 `json:"peer"`
}

// Range is the least and the greatest value of the rounds.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// Spread is how far the rounds lie apart.
type Spread struct {
	Ours  Range `json:"ours"`
	Peer  Range `json:"peer"`
	Ratio Range `json:"ratio"` // of each round's own
}

// Pair is one value for ours and one for the peer, which is 0 where there is none.
type Pair struct {
	Ours float64 `json:"ours"`
	Peer float64 `json:"peer"`
}

// Variant is something measured beside, in the same rounds.
type Variant struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"` // median
	Unit   string  `json:"unit"`
	Spread Range   `json:"spread"`
	CPU    float64 `json:"cpu_us,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"` // to what Of names, if anything
	Of     string  `json:"of,omitempty"`
	P50    float64 `json:"p50,omitempty"` // of what each of its rounds timed, if anything
	P99    float64 `json:"p99,omitempty"`
}

// Crypto is what one Ed25519 signature and one check of it cost by the standard library, on one core, in nanoseconds.
type Crypto struct {
	Sign   float64 `json:"sign_ns"`
	Verify float64 `json:"verify_ns"`
}

// Machine is where it ran.
type Machine struct {
	Cores    int     `json:"cores"`
	Go       string  `json:"go"`
	Platform string  `json:"platform"`
	Others   float64 `json:"others"` // cores that other programs kept busy meanwhile; 0 if that is not known
}
