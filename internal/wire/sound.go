package wire

import (
	"encoding/binary"
	"sync/atomic"
)

// sound remembers keys that [CheckKey] has passed, because the same few keys stand in every command and the check costs
// as much as a signature. A key's place is given by its first bytes, and a newer one takes it over: nobody can make the
// table grow, at worst somebody has a check made again. What is in it is true for ever, whoever asks.
var sound [1 << 12]atomic.Pointer[PublicKey]

func place(k PublicKey) *atomic.Pointer[PublicKey] {
	return &sound[int(binary.LittleEndian.Uint16(k[:]))%len(sound)]
}

func knownSound(k PublicKey) bool {
	kept := place(k).Load()
	return kept != nil && *kept == k
}

func keepSound(k PublicKey) { place(k).Store(&k) }
