package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// presenceContext is the credential of the process, and its principal's current identity key.
type presenceContext struct {
	Key        hexBytes `json:"key"`
	Credential hexBytes `json:"credential"`
}

// cardContext is the agent, and its current identity key.
type cardContext struct {
	Agent identity.ID `json:"agent"`
	Key   hexBytes    `json:"key"`
}

// inclusionContext is the signed head that the inclusion is to stand under, and the result that it is to show.
type inclusionContext struct {
	chainContext
	Head   hexBytes `json:"head"`
	Result hexBytes `json:"result,omitempty"` // encoded; absent: any, accepted or not
}

func verifyPresence(v vector, raw []byte) error {
	c, err := contextOf[presenceContext](v)
	if err != nil {
		return err
	}
	credential, err := identity.VerifyCredential(c.Credential, v.Realm, wire.PublicKey(c.Key), v.Now)
	if err != nil {
		return err
	}
	_, err = discovery.VerifyPresence(raw, v.Realm, credential, v.Now)
	return err
}

func verifyCard(v vector, raw []byte) error {
	c, err := contextOf[cardContext](v)
	if err != nil {
		return err
	}
	_, err = discovery.VerifyCard(raw, v.Realm, c.Agent, wire.PublicKey(c.Key))
	return err
}

func (c chainContext) authority(realm wire.Realm) (*identity.Authority, error) {
	return identity.VerifyChain(realm, c.Genesis, plain(c.Rosters), c.Least)
}

func verifyHead(v vector, raw []byte) error {
	a, err := authorityOf(v)
	if err != nil {
		return err
	}
	_, err = audit.VerifyHead(raw, a)
	return err
}

func verifyInclusion(v vector, raw []byte) error {
	c, err := contextOf[inclusionContext](v)
	if err != nil {
		return err
	}
	a, err := c.authority(v.Realm)
	if err != nil {
		return err
	}
	head, err := audit.VerifyHead(c.Head, a)
	if err != nil {
		return err
	}
	var i audit.Inclusion
	if err := wire.Decode(raw, &i); err != nil {
		return err
	}
	if c.Result == nil {
		return i.Verify(head)
	}
	return i.Shows(head, wire.Raw(c.Result))
}
