package identity

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxJoinTokenLife is the longest life of a join token: 24 hours, in milliseconds.
const MaxJoinTokenLife = 24 * 60 * 60 * 1000

// JoinToken is the roots' invitation of one node, signed by their threshold. What they hand over is the signed token
// and the one-time key's seed ([JoinInvitation]); the seed never leaves the node that joins.
type JoinToken struct {
	Version   uint64         `cbor:"0,keyasint"` // 1
	OneTime   wire.PublicKey `cbor:"1,keyasint"`
	Issued    int64          `cbor:"2,keyasint"` // Unix milliseconds
	Expires   int64          `cbor:"3,keyasint"` // at most 24 h later
	Addresses []string       `cbor:"4,keyasint"` // host:port of the nodes' cluster listeners, 1 to 16
	Pins      []ID           `cbor:"5,keyasint"` // the nodes' keys, sorted
	Roster    uint64         `cbor:"6,keyasint"` // number of the newest roster when it was issued
}

// Kind implements [wire.Statement].
func (JoinToken) Kind() wire.Kind { return wire.JoinToken }

// Check implements [wire.Statement].
func (t JoinToken) Check() error {
	if t.Version != 1 {
		return wire.ErrVersion
	}
	if len(t.Addresses) == 0 || len(t.Addresses) > 16 {
		return fmt.Errorf("%w: a join token has 1 to 16 addresses", wire.ErrMalformed)
	}
	if err := wire.CheckKey(t.OneTime); err != nil {
		return err
	}
	if err := checkSorted(t.Pins, Node); err != nil {
		return err
	}
	return checkSpan(t.Issued, t.Expires, MaxJoinTokenLife)
}

// Admission binds a node's key to a join token. The node's key and the one-time key both sign it, so neither a node
// that saw the token nor a thief of the signed token alone can bring a key of its own into the roster.
type Admission struct {
	Version uint64 `cbor:"0,keyasint"` // 1
	Token   []byte `cbor:"1,keyasint"` // the join token, signed by the roots
	Node    ID     `cbor:"2,keyasint"`
	Issued  int64  `cbor:"3,keyasint"` // Unix milliseconds
}

// Kind implements [wire.Statement].
func (Admission) Kind() wire.Kind { return wire.Admission }

// Check implements [wire.Statement].
func (a Admission) Check() error {
	if a.Version != 1 {
		return wire.ErrVersion
	}
	if a.Node.Role() != Node || a.Issued <= 0 || len(a.Token) == 0 {
		return fmt.Errorf("%w: admission's node, time or token", wire.ErrMalformed)
	}
	return a.Node.Check()
}

// VerifyJoinToken reads a join token and checks that at least threshold of the roots have signed it. It checks no time:
// [Authority.Next] does, by the roster that uses it.
func VerifyJoinToken(raw []byte, realm wire.Realm, roots []ID, threshold uint64) (wire.Verified[JoinToken], error) {
	c, err := wire.ParseCosigned[JoinToken](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[JoinToken]{}, err
	}
	return c.Verify(realm, int(threshold), Keys(roots))
}

// VerifyAdmission reads an admission and the join token in it and checks the signatures of the roots' threshold, of the
// node's key and of the one-time key. It checks no time: [Authority.Next] does, by the roster that holds it.
func VerifyAdmission(
	raw []byte, realm wire.Realm, roots []ID, threshold uint64,
) (wire.Verified[Admission], wire.Verified[JoinToken], error) {
	var noAdmission wire.Verified[Admission]
	var noToken wire.Verified[JoinToken]
	c, err := wire.ParseCosigned[Admission](raw, wire.MaxStatement)
	if err != nil {
		return noAdmission, noToken, err
	}
	token, err := VerifyJoinToken(c.Claim.Token, realm, roots, threshold)
	if err != nil {
		return noAdmission, noToken, err
	}
	node, once := c.Claim.Node.Key(), token.Statement().OneTime
	if node == once {
		return noAdmission, noToken, fmt.Errorf("%w: the one-time key may not be the node's", wire.ErrMalformed)
	}
	v, err := c.Verify(realm, 2, []wire.PublicKey{node, once})
	if err != nil {
		return noAdmission, noToken, err
	}
	return v, token, nil
}
