package agefile

import "github.com/seed-3e86d5b2/conclave/identity"

// SaveFast is SaveSuccessor with so small a work factor that tests do not wait.
func SaveFast(path string, id identity.ID, seed [32]byte, passphrase Passphrase) error {
	return save(path, id, seed, passphrase, 4)
}
