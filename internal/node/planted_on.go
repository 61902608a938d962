//go:build planted

package node

import (
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// afflicted returns a machine that has the faults planted at this node.
func afflicted(m consensus.Machine, node identity.ID) consensus.Machine {
	return &broken{Machine: m, node: node}
}

// broken is a machine that hangs or applies something else. The log calls it from one goroutine at a time.
type broken struct {
	consensus.Machine
	node     identity.ID
	diverged bool
}

// Apply implements [consensus.Machine].
func (b *broken) Apply(index uint64, entry []byte) []byte {
	for planted.At(planted.Stalls, b.node) {
		time.Sleep(5 * time.Millisecond)
	}
	if planted.At(planted.Diverges, b.node) && !b.diverged {
		entry = b.other(entry)
	}
	return b.Machine.Apply(index, entry)
}

// other spoils the first proposal: the ledger refuses it, and has as many commands as the others'.
func (b *broken) other(entry []byte) []byte {
	var e ledger.Entry
	if wire.Decode(entry, &e) != nil {
		return entry
	}
	c, err := wire.ParseCosigned[registry.Command](e.Command, wire.MaxStatement)
	if err != nil || c.Claim.Type != registry.TypePropose {
		return entry
	}
	e.Command = []byte("something else")
	spoilt, err := wire.Encode(e)
	if err != nil {
		return entry
	}
	b.diverged = true
	return spoilt
}
