package sdk

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/contexts"
	"github.com/seed-3e86d5b2/conclave/internal/control"
)

// nodes is how a realm's nodes are reached: where they may be, and the keys that they must show there.
type nodes struct {
	addresses []string // host:port
	pins      []identity.ID
}

// with returns the nodes after a realm was learned. The pins are the keys of its newest roster's nodes; nodes that only
// join it are not among them. The addresses are what a node said, behind those known, which may be better from here:
// whoever is met there has to show one of the keys.
func (n nodes) with(learned lore) nodes {
	addresses := slices.Clone(n.addresses)
	for _, address := range learned.addresses {
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	for i := 0; len(addresses) > contexts.MaxAddresses && i < len(addresses); {
		if slices.Contains(learned.addresses, addresses[i]) {
			i++
			continue
		}
		addresses = slices.Delete(addresses, i, i+1)
	}
	return nodes{addresses: addresses, pins: slices.Clone(learned.authority.Nodes)}
}

func (n nodes) equal(other nodes) bool {
	return slices.Equal(n.addresses, other.addresses) && slices.Equal(n.pins, other.pins)
}

// names returns the pins as texts.
func (n nodes) names() []string {
	var names []string
	for _, pin := range n.pins {
		names = append(names, pin.String())
	}
	return names
}

// addressesOf returns the addresses that a node says the realm's nodes have: one of each, where it has the form of one.
func addressesOf(said []control.Address, a *identity.Authority) []string {
	var addresses []string
	told := map[identity.ID]bool{}
	for _, s := range said {
		if slices.Contains(a.Nodes, s.Node) && !told[s.Node] && dialable(s.At) {
			told[s.Node] = true
			addresses = append(addresses, s.At)
		}
	}
	return addresses
}

// maxHost bounds a host's name, as DNS does.
const maxHost = 253

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
