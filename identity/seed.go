package identity

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func newSeed() (seed [32]byte, err error) {
	if _, err = rand.Read(seed[:]); err != nil {
		return seed, fmt.Errorf("identity: new seed: %w", err)
	}
	return seed, nil
}

// EncodeSeed returns the nkey text (SU…, SN…, SO…) of a principal's seed.
func EncodeSeed(role Role, seed [32]byte) (string, error) {
	prefix, ok := role.prefix()
	if !ok {
		return "", ErrBadID
	}
	b, err := nkeys.EncodeSeed(prefix, seed[:])
	if err != nil {
		return "", fmt.Errorf("identity: encode seed: %w", err)
	}
	return string(b), nil
}

// ParseSeed reads what [EncodeSeed] wrote.
func ParseSeed(text string) (Role, [32]byte, error) {
	prefix, raw, err := nkeys.DecodeSeed([]byte(strings.TrimSpace(text)))
	if err != nil || len(raw) != 32 {
		return 0, [32]byte{}, fmt.Errorf("%w: not an nkey seed", wire.ErrMalformed)
	}
	for _, role := range []Role{Agent, Node, Operator} {
		if p, _ := role.prefix(); p == prefix {
			return role, [32]byte(raw), nil
		}
	}
	return 0, [32]byte{}, ErrBadID
}

// Invitation is what an operator gives to a new agent: the realm, the signed token and the one-time key's seed. It is
// a secret until it is used or expires.
type Invitation struct {
	Realm wire.Realm `cbor:"1,keyasint"`
	Token []byte     `cbor:"2,keyasint"`
	Seed  [32]byte   `cbor:"3,keyasint"`
}

const invitationPrefix = "conclave-token-1."

// NewInvitation makes a one-time key, completes the token with its public half and signs it.
func NewInvitation(s Signer, realm wire.Realm, t Token) (Invitation, error) {
	seed, err := newSeed()
	if err != nil {
		return Invitation{}, err
	}
	t.OneTime = wire.NewKey(seed).Public()
	raw, err := s.Sign(realm, t)
	if err != nil {
		return Invitation{}, err
	}
	return Invitation{Realm: realm, Token: raw, Seed: seed}, nil
}

// Encode returns the one line of text that is handed over.
func (i Invitation) Encode() (string, error) {
	b, err := wire.Encode(i)
	if err != nil {
		return "", err
	}
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// ParseInvitation reads the text and the token in it, whose operator's signature cannot be checked yet: the operator's
// inception key is its name, and the node checks its current one.
func ParseInvitation(text string) (Invitation, Token, error) {
	var i Invitation
	body, ok := strings.CutPrefix(strings.TrimSpace(text), invitationPrefix)
	if !ok {
		return i, Token{}, fmt.Errorf("%w: an enrolment token begins with %s", wire.ErrMalformed, invitationPrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return i, Token{}, fmt.Errorf("%w: enrolment token: %w", wire.ErrMalformed, err)
	}
	if err := wire.Decode(b, &i); err != nil {
		return Invitation{}, Token{}, fmt.Errorf("enrolment token: %w", err)
	}
	c, err := wire.Parse[Token](i.Token, wire.MaxStatement)
	if err != nil {
		return Invitation{}, Token{}, err
	}
	if c.Claim.OneTime != wire.NewKey(i.Seed).Public() {
		return Invitation{}, Token{}, fmt.Errorf("%w: the seed is not of the token's one-time key", wire.ErrMalformed)
	}
	return i, c.Claim, nil
}

// Enrol signs an enrolment of the agent by its key and the invitation's one-time key.
func (i Invitation) Enrol(agent Signer, now int64) ([]byte, error) {
	return agent.Cosign(i.Realm, Enrolment{Version: 1, Token: i.Token, Agent: agent.ID(), Issued: now}, wire.NewKey(i.Seed))
}
