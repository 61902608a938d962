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
