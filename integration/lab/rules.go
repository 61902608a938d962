package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// Every host has one nftables table with a chain for what leaves and one for what comes. A rule has a counter of its own
// by which its fault proves that packets met it.
const table = "lab"

func (h *Host) nft(args ...string) error { return h.inside(append([]string{"nft"}, args...)...) }

func (h *Host) prepareRules() error {
	return errors.Join(
		h.nft("add", "table", "ip", table),
		h.nft("add", "chain", "ip", table, "out", "{ type filter hook output priority 0 ; }"),
		h.nft("add", "chain", "ip", table, "in", "{ type filter hook input priority 0 ; }"),
		h.nft("add", "chain", "ip", table, "wires", "{ type nat hook output priority -100 ; }"),
	)
}

// direction is one of a host's two chains.
type direction string

const (
	leaving direction = "out"
	coming  direction = "in"
)

// drop drops packets of one direction to or from some addresses: all of them, or percent of 100 at random. It is
// identified by its counter until lift removes it.
func (h *Host) drop(counter string, d direction, peers []netip.Addr, percent int) error {
	match := map[direction]string{leaving: "daddr", coming: "saddr"}[d]
	texts := make([]string, len(peers))
	for i, p := range peers {
		texts[i] = p.String()
	}
	rule := fmt.Sprintf("ip %s { %s }", match, strings.Join(texts, ", "))
	if percent < 100 {
		rule += fmt.Sprintf(" numgen random mod 100 < %d", percent)
	}
	rule += fmt.Sprintf(" counter name %s drop", counter)
	return errors.Join(h.nft("add", "counter", "ip", table, counter), h.nft("add", "rule", "ip", table, string(d), rule))
}

// lift removes the rules of a counter and returns how many packets they had dropped.
func (h *Host) lift(counter string) (packets uint64, err error) {
	listing, err := h.listing()
	if err != nil {
		return 0, err
	}
	for _, o := range listing {
		if o.Counter != nil && o.Counter.Name == counter {
			packets = o.Counter.Packets
		}
		if o.Rule != nil && o.Rule.uses(counter) {
			err = errors.Join(err, h.nft("delete", "rule", "ip", table, o.Rule.Chain, "handle", fmt.Sprint(o.Rule.Handle)))
		}
	}
	return packets, errors.Join(err, h.nft("delete", "counter", "ip", table, counter))
}

// object is what the lab needs of one object in nft's JSON.
type object struct {
	Counter *struct {
		Name    string
		Packets uint64
	}
	Rule *rule
}

type rule struct {
	Chain  string
	Handle int
	Expr   []json.RawMessage
}

func (r rule) uses(counter string) bool {
	return slices.ContainsFunc(r.Expr, func(e json.RawMessage) bool {
		var named struct{ Counter string }
		return json.Unmarshal(e, &named) == nil && named.Counter == counter
	})
}

func (h *Host) listing() ([]object, error) {
	out, err := exec.Command("ip", "netns", "exec", h.namespace(), "nft", "-j", "list", "table", "ip", table).Output()
	if err != nil {
		return nil, fmt.Errorf("list the rules of %s: %w", h.name, err)
	}
	return objects(out)
}

func objects(raw []byte) ([]object, error) {
	var listing struct{ Nftables []object }
	err := json.Unmarshal(raw, &listing)
	return listing.Nftables, err
}
