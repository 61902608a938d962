package node

import (
	"path/filepath"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Description is what a data directory says of its realm. Signatures are counted, not verified: [Open] verifies.
type Description struct {
	Realm   wire.Realm
	Genesis identity.Genesis
	Signed  uint64 // roots whose key has a signature on the genesis
	Listen  string // host:port of conclave.yaml
}

// Describe reads a data directory, which a node may be running on. Error: [ErrNotInitialised].
func Describe(dir string) (Description, error) {
	var d Description
	raw, err := readGenesis(dir)
	if err != nil {
		return d, err
	}
	c, err := wire.ParseCosigned[identity.Genesis](raw, wire.MaxStatement)
	if err != nil {
		return d, err
	}
	d.Realm, d.Genesis = wire.Realm(c.ID(wire.Realm{})), c.Claim
	for _, key := range c.Keys() {
		for _, root := range c.Claim.Roots {
			if root.Key() == key {
				d.Signed++
			}
		}
	}
	text, err := datadir.ReadPrivate(filepath.Join(dir, settingsFile), 1<<16)
	if err != nil {
		return d, err
	}
	s, err := parseSettings(text)
	d.Listen = s.Listen
	return d, err
}
