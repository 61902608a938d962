//go:build planted

package node

import (
	"bytes"
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
	node   identity.ID
	spoilt []byte // the command that this node has not applied
	answer []byte // to it
}

// Apply implements [consensus.Machine].
func (b *broken) Apply(index uint64, entry []byte) []byte {
	for planted.At(planted.Stalls, b.node) {
		time.Sleep(5 * time.Millisecond)
	}
	if !planted.At(planted.Diverges, b.node) {
		return b.Machine.Apply(index, entry)
	}
	var e ledger.Entry
	if wire.Decode(entry, &e) != nil || !b.spoils(e.Command) {
		return b.Machine.Apply(index, entry)
	}
	if b.answer != nil && len(e.Ticks) == 0 {
		return b.answer // the others find theirs too
	}
	e.Command = nil
	if b.answer == nil {
		e.Command = []byte("something else")
	}
	instead, err := wire.Encode(e)
	if err != nil {
		panic(err) // it was decoded
	}
	answer := b.Machine.Apply(index, instead)
	if b.answer == nil {
		b.answer = answer
	}
	return answer
}

// spoils reports whether this is the first proposal, maybe again: with another command in its place the ledger has as
// many as the others', and no other command is refused for it.
func (b *broken) spoils(command []byte) bool {
	if b.spoilt != nil {
		return bytes.Equal(command, b.spoilt)
	}
	c, err := wire.ParseCosigned[registry.Command](command, wire.MaxStatement)
	if err != nil || c.Claim.Type != registry.TypePropose {
		return false
	}
	b.spoilt = bytes.Clone(command)
	return true
}
