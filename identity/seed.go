package identity

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
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

// ParseSeed reads what [EncodeSeed] wrote, white space around it apart.
func ParseSeed(text string) (Role, [32]byte, error) {
	prefix, raw, err := nkeys.DecodeSeed([]byte(strings.TrimSpace(text)))
	if err != nil || len(raw) != 32 {
		return 0, [32]byte{}, fmt.Errorf("%w: not an nkey seed", wire.ErrMalformed)
	}
	for _, role := range []Role{Agent, Node, Operator} {
		if p, _ := role.prefix(); p != prefix {
			continue
		}
		seed := [32]byte(raw)
		if again, err := EncodeSeed(role, seed); err != nil || again != strings.TrimSpace(text) {
			return 0, [32]byte{}, fmt.Errorf("%w: not an nkey seed", wire.ErrMalformed) // base32 skips line breaks
		}
		return role, seed, nil
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

// Format prints no secret, whatever the verb.
func (i Invitation) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "invitation to realm %s", i.Realm) // a fmt.State keeps its own errors
}

// LogValue implements [slog.LogValuer]; it shows no secret.
func (i Invitation) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(i)) }

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
	return encodeSecret(invitationPrefix, i)
}

func encodeSecret(prefix string, v any) (string, error) {
	b, err := wire.Encode(v)
	if err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// decodeSecret reads what encodeSecret wrote, white space around it apart; what names it to people.
func decodeSecret(prefix, what, text string, v any) error {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !ok {
		return fmt.Errorf("%w: %s begins with %s", wire.ErrMalformed, what, prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != body { // base64 skips line breaks
		return fmt.Errorf("%w: %s is not base64url", wire.ErrMalformed, what)
	}
	if err := wire.Decode(b, v); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// ParseInvitation reads the text and the token in it, whose operator's signature cannot be checked yet: the operator's
// inception key is its name, and the node checks its current one.
func ParseInvitation(text string) (Invitation, Token, error) {
	var i Invitation
	if err := decodeSecret(invitationPrefix, "an enrolment token", text, &i); err != nil {
		return Invitation{}, Token{}, err
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
