package node

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// record is where a node can be reached and what it is, by its own word. It proves nothing: who connects there demands
// the node's key.
type record struct {
	Node    identity.ID `cbor:"1,keyasint"`
	Cluster string      `cbor:"2,keyasint"`           // host:port for nodes
	Client  string      `cbor:"3,keyasint,omitempty"` // host:port for agents
	Routes  string      `cbor:"4,keyasint,omitempty"` // host:port of the broker for other brokers
	Server  string      `cbor:"5,keyasint,omitempty"` // name of its log: its key and the id of its directory
	Version string      `cbor:"6,keyasint,omitempty"`
	Feature uint64      `cbor:"7,keyasint,omitempty"` // what its program speaks
	Stamp   int64       `cbor:"8,keyasint"`           // when it said so, by its clock, Unix milliseconds
}

// Bounds of a record's texts, in bytes: it is kept, shown to operators and told to all other nodes every second.
const (
	maxHost    = 253 // as DNS has it
	maxVersion = 128
	maxServer  = 128
)

// check refuses what no node says of itself: addresses that nobody could dial, the log server of another node, texts
// that are long or not printable.
func (r record) check() error {
	if err := r.Node.Check(); err != nil || r.Node.Role() != identity.Node {
		return errors.Join(fmt.Errorf("%w: record of no node", wire.ErrMalformed), err)
	}
	if !dialable(r.Cluster) || r.Client != "" && !dialable(r.Client) || r.Routes != "" && !dialable(r.Routes) {
		return fmt.Errorf("%w: an address in a record is not host:port", wire.ErrMalformed)
	}
	if r.Server != "" && (len(r.Server) > maxServer || !strings.HasPrefix(r.Server, r.Node.String()+".")) {
		return fmt.Errorf("%w: a node's record names the log of another node", wire.ErrMalformed)
	}
	if len(r.Version) > maxVersion || strings.ContainsFunc(r.Version, func(c rune) bool { return c < ' ' || c > '~' }) {
		return fmt.Errorf("%w: a version in a record is no short line of text", wire.ErrMalformed)
	}
	return nil
}

// timely reports whether a record may be from now or before, as far as the clocks of nodes agree.
func (r record) timely(now time.Time) bool { return r.Stamp <= now.UnixMilli()+identity.Skew }

// dialable reports whether a text is host:port and nothing else.
func dialable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || len(host) > maxHost {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:%", r))
	})
}
