//go:build !planted

package node

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
)

// afflicted returns the node's machine as it is. A build with the tag planted may return a broken one.
func afflicted(m consensus.Machine, _ identity.ID) consensus.Machine { return m }
