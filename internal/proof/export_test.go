package proof

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
)

// Read reads a certificate's encoding as the check does.
func Read(raw []byte) (c consensus.Certificate, opening, verdict []byte, opened, decided audit.Inclusion, err error) {
	p, err := read(raw)
	return p.c, p.opening, p.verdict, p.opened, p.decided, err
}

// HashesAlike reports whether the verifier hashes a name, of each sort, as if it remembered none.
func HashesAlike(v *Verifier, n []byte) bool {
	for of := range ofSorts {
		if v.hash(of, n) != name(n).hash() {
			return false
		}
	}
	return true
}

// NameRoom is the length of the longest name that is remembered.
const NameRoom = nameRoom
