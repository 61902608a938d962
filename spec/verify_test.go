package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// verifiers gives each statement the function of the product that reads it from outside. A new statement adds a row
// here, a generator in generate_test.go, a folder of vectors, and rows in mutations.txt.
var verifiers = map[string]func(v vector, raw []byte) error{
	"genesis":    verifyGenesis,
	"roster":     verifyRoster,
	"join-token": verifyJoinToken,
	"admission":  verifyAdmission,
	"token":      verifyToken,
	"enrolment":  verifyEnrolment,
	"credential": verifyCredential,
	"succession": verifySuccession,
	"ticket":     verifyTicket,
	"presence":   verifyPresence,
	"card":       verifyCard,
	"envelope":   verifyEnvelope,
	"batch":      verifyEnvelope,
	"head":       verifyHead,
	"inclusion":  verifyInclusion,

	"policy":       verifyPolicy,
	"command":      verifyCommand,
	"proposal":     verifyProposal,
	"opening":      verifyOpening,
	"ballot":       verifyBallot,
	"commitment":   verifyCommitment,
	"equivocation": verifyEquivocation,
	"tally":        verifyTally,
	"certificate":  verifyCertificate,
	"consumption":  verifyConsumption,
	"evidence":     verifyEvidence,
}

// chainContext is the statements that lead to the verifier's roster.
type chainContext struct {
	Genesis hexBytes   `json:"genesis"`
	Rosters []hexBytes `json:"rosters,omitempty"` // oldest first
	Least   uint64     `json:"least,omitempty"`   // the newest roster number the verifier has seen
}

// keyContext is the identity key that the verifier knows to be current.
type keyContext struct {
	Key hexBytes `json:"key"`
}

// successionContext is the principal whose chain is followed, and its successions before the input.
type successionContext struct {
	Principal identity.ID `json:"principal"`
	Chain     []hexBytes  `json:"chain,omitempty"` // oldest first
}

func verifyGenesis(v vector, raw []byte) error {
	_, err := identity.VerifyGenesis(raw, v.Realm)
	return err
}

func verifyRoster(v vector, raw []byte) error {
	c, err := contextOf[chainContext](v)
	if err != nil {
		return err
	}
	_, err = identity.VerifyChain(v.Realm, c.Genesis, append(plain(c.Rosters), raw), c.Least)
	return err
}

func verifyJoinToken(v vector, raw []byte) error {
	a, err := authorityOf(v)
	if err != nil {
		return err
	}
	_, err = identity.VerifyJoinToken(raw, v.Realm, a.Roots, a.Threshold)
	return err
}

func verifyAdmission(v vector, raw []byte) error {
	a, err := authorityOf(v)
	if err != nil {
		return err
	}
	_, _, err = identity.VerifyAdmission(raw, v.Realm, a.Roots, a.Threshold)
	return err
}

func authorityOf(v vector) (*identity.Authority, error) {
	c, err := contextOf[chainContext](v)
	if err != nil {
		return nil, err
	}
	return c.authority(v.Realm)
}

func verifyToken(v vector, raw []byte) error {
	key, err := keyOf(v)
	if err != nil {
		return err
	}
	_, err = identity.VerifyToken(raw, v.Realm, key)
	return err
}

func verifyEnrolment(v vector, raw []byte) error {
	key, err := keyOf(v)
	if err != nil {
		return err
	}
	_, _, err = identity.VerifyEnrolment(raw, v.Realm, key)
	return err
}

func verifyCredential(v vector, raw []byte) error {
	key, err := keyOf(v)
	if err != nil {
		return err
	}
	_, err = identity.VerifyCredential(raw, v.Realm, key, v.Now)
	return err
}

func verifySuccession(v vector, raw []byte) error {
	c, err := contextOf[successionContext](v)
	if err != nil {
		return err
	}
	_, err = identity.VerifySuccessions(v.Realm, c.Principal, append(plain(c.Chain), raw))
	return err
}

func verifyTicket(v vector, raw []byte) error {
	a, err := authorityOf(v)
	if err != nil {
		return err
	}
	_, err = trust.VerifyTicket(raw, a, v.Now)
	return err
}

func keyOf(v vector) (wire.PublicKey, error) {
	c, err := contextOf[keyContext](v)
	if err != nil {
		return wire.PublicKey{}, err
	}
	return wire.PublicKey(c.Key), nil
}

func plain(list []hexBytes) [][]byte {
	all := make([][]byte, len(list))
	for i, b := range list {
		all[i] = b
	}
	return all
}
