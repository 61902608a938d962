package identity

import (
	"fmt"
	"log/slog"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// JoinInvitation is what the roots give to a new node: the realm, the signed join token and the one-time key's seed. It
// is a secret until it is used or expires.
type JoinInvitation struct {
	Realm wire.Realm `cbor:"1,keyasint"`
	Token []byte     `cbor:"2,keyasint"`
	Seed  [32]byte   `cbor:"3,keyasint"`
}

// Format prints no secret, whatever the verb.
func (i JoinInvitation) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "invitation of a node to realm %s", i.Realm) // a fmt.State keeps its own errors
}

// LogValue implements [slog.LogValuer]; it shows no secret.
func (i JoinInvitation) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(i)) }

const joinPrefix = "conclave-join-1."

// MakeJoinInvitation makes a one-time key, completes the token with its public half and has the first root sign it.
// Where the threshold is higher the others follow with [JoinInvitation.Cosign].
func MakeJoinInvitation(first Signer, realm wire.Realm, t JoinToken) (JoinInvitation, error) {
	seed, err := newSeed()
	if err != nil {
		return JoinInvitation{}, err
	}
	t.OneTime = wire.NewKey(seed).Public()
	raw, err := first.Cosign(realm, t)
	if err != nil {
		return JoinInvitation{}, err
	}
	return JoinInvitation{Realm: realm, Token: raw, Seed: seed}, nil
}

// Cosign returns the invitation with the signature of one more root on its token.
func (i JoinInvitation) Cosign(root Signer) (JoinInvitation, error) {
	raw, err := AddTo[JoinToken](root, i.Realm, i.Token)
	if err != nil {
		return JoinInvitation{}, err
	}
	i.Token = raw
	return i, nil
}

// Encode returns the one line of text that is handed over.
func (i JoinInvitation) Encode() (string, error) { return encodeSecret(joinPrefix, i) }

// ParseJoinInvitation reads the text and the token in it. Who may sign the token is known only to those who have the
// realm's chain ([VerifyJoinToken]); a node that joins learns the chain from a member whose key Pins names, and checks
// it by Realm.
func ParseJoinInvitation(text string) (JoinInvitation, JoinToken, error) {
	var i JoinInvitation
	if err := decodeSecret(joinPrefix, "a join token", text, &i); err != nil {
		return JoinInvitation{}, JoinToken{}, err
	}
	c, err := wire.ParseCosigned[JoinToken](i.Token, wire.MaxStatement)
	if err != nil {
		return JoinInvitation{}, JoinToken{}, err
	}
	if c.Claim.OneTime != i.Key().Public() {
		return JoinInvitation{}, JoinToken{}, fmt.Errorf("%w: the seed is not of the token's one-time key", wire.ErrMalformed)
	}
	return i, c.Claim, nil
}

// Key returns the one-time key, which is also the client's key in the TLS handshake with a member.
func (i JoinInvitation) Key() wire.Key { return wire.NewKey(i.Seed) }

// Join signs an admission of the node by its key and the invitation's one-time key.
func (i JoinInvitation) Join(node Signer, now int64) ([]byte, error) {
	return node.Cosign(i.Realm, Admission{Version: 1, Token: i.Token, Node: node.ID(), Issued: now}, i.Key())
}
