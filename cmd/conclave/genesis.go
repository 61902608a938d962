package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// genesisFile is the genesis in a data directory, as package node writes it.
const genesisFile = "genesis.cbor"

// beginning is what a data directory says of its realm. Signatures are counted, not verified: the node verifies them
// when it starts.
type beginning struct {
	realm   wire.Realm
	genesis identity.Genesis
	signed  uint64 // roots whose key has a signature on it
}

// readGenesis reads a data directory, which a node may be running on. Error: [node.ErrNotInitialised].
func readGenesis(dir string) (beginning, error) {
	raw, err := datadir.ReadPrivate(filepath.Join(dir, genesisFile), wire.MaxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return beginning{}, fmt.Errorf("%s: %w", dir, node.ErrNotInitialised)
	}
	if err != nil {
		return beginning{}, err
	}
	c, err := wire.ParseCosigned[identity.Genesis](raw, wire.MaxStatement)
	if err != nil {
		return beginning{}, err
	}
	b := beginning{realm: wire.Realm(c.ID(wire.Realm{})), genesis: c.Claim}
	for _, key := range c.Keys() {
		for _, root := range c.Claim.Roots {
			if root.Key() == key {
				b.signed++
			}
		}
	}
	return b, nil
}
