package admin

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Reign is one of the policies that have been in force.
type Reign struct {
	Number uint64      `json:"number"` // 0: the one that the genesis names
	Digest wire.Digest `json:"digest"`
	// Of the command that put it in force; zero of the genesis's.
	Author  identity.ID      `json:"author"`
	Signed  int64            `json:"signed"` // when, by the author's clock, Unix milliseconds
	Keys    []wire.PublicKey `json:"-"`      // that signed it, sorted, each once
	Command wire.Digest      `json:"command"`
	Policy  *policy.Policy   `json:"-"` // nil of the genesis's, unless it is in force
}

// History returns all policies that were in force since the genesis, the one in force last. The chain was verified: each was put
// in force by as many operators as the one before it asks for.
func (ad Admin) History() ([]Reign, error) {
	k := ad.known()
	all := []Reign{{Digest: k.Authority.Policy}}
	if len(k.Changes) == 0 {
		all[0].Policy = &k.Policy
	}
	for i, raw := range k.Changes {
		r, err := reignOf(k.Realm, raw)
		if err != nil {
			return nil, fmt.Errorf("policy %d: %w", i+1, err)
		}
		r.Number = uint64(i) + 1
		all = append(all, r)
	}
	return all, nil
}

func reignOf(realm wire.Realm, raw []byte) (Reign, error) {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return Reign{}, err
	}
	body, err := registry.Body[registry.PutPolicy](c.Claim)
	if err != nil {
		return Reign{}, err
	}
	p, err := policy.Parse(body.Policy)
	if err != nil {
		return Reign{}, err
	}
	return Reign{
		Digest: p.Digest(), Author: c.Claim.Author, Signed: c.Claim.Issued, Keys: c.Keys(), Command: c.ID(realm), Policy: &p,
	}, nil
}
