package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Files of a node in a cluster.
const (
	chainFile    = "rosters.cbor"  // the rosters after the genesis: who the other nodes are, before the log says so
	seatFile     = "roster.cbor"   // the newest roster that this node has signed
	bookFile     = "book.cbor"     // addresses
	evidenceFile = "evidence.cbor" // heads of one size that differ
)

// maxChain bounds a file of rosters, in bytes.
const maxChain = 4 << 20

// chain keeps the rosters on disk, so that a node knows from its start whom to speak with. It is safe for concurrent
// use by one writer.
type chain struct {
	path   string
	newest atomic.Pointer[identity.Authority]
}

func openChain(dir string, c contents) (*chain, error) {
	rosters, err := readChain(dir)
	if err != nil {
		return nil, err
	}
	a, err := identity.VerifyChain(c.realm, c.genesis, rosters, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chainFile, registrar.Unsigned(err))
	}
	k := &chain{path: filepath.Join(dir, chainFile)}
	k.newest.Store(a)
	return k, nil
}

func readChain(dir string) ([][]byte, error) {
	raw, err := datadir.ReadPrivate(filepath.Join(dir, chainFile), maxChain)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rosters [][]byte
	if err := wire.Decode(raw, &rosters); err != nil {
		return nil, fmt.Errorf("%s: %w", chainFile, err)
	}
	return rosters, nil
}

// authority returns who runs the realm by the newest roster kept.
func (k *chain) authority() *identity.Authority { return k.newest.Load() }

// keep writes a longer chain, which has been verified to lead to a.
func (k *chain) keep(rosters [][]byte, a *identity.Authority) error {
	if err := writeChain(k.path, rosters); err != nil {
		return err
	}
	k.newest.Store(a)
	return nil
}

func writeChain(path string, rosters [][]byte) error {
	raw, err := wire.Encode(rosters)
	if err != nil {
		return err
	}
	return datadir.WritePrivate(path, raw)
}
