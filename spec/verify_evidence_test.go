package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// witnessContext is who the verifier knows to have the parties' identity keys.
type witnessContext struct {
	Author   hexBytes `json:"author"`
	Attester hexBytes `json:"attester,omitempty"` // of an outcome
}

func verifyEvidence(v vector, raw []byte) error {
	c, err := contextOf[witnessContext](v)
	if err != nil {
		return err
	}
	var attester wire.PublicKey
	if len(c.Attester) > 0 {
		attester = wire.PublicKey(c.Attester)
	}
	_, err = trust.VerifyEvidence(raw, v.Realm, wire.PublicKey(c.Author), attester, v.Now)
	return err
}
