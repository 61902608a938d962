package identity

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxTokenLife is the longest life of an enrolment token: 7 days, in milliseconds.
const MaxTokenLife = 7 * 24 * 60 * 60 * 1000

// Token is an operator's invitation of one principal. What the operator hands over is the signed token and the
// one-time key's seed ([Invitation]); the seed never leaves the agent.
type Token struct {
	Version   uint64         `cbor:"0,keyasint"` // 1
	Operator  ID             `cbor:"1,keyasint"` // who invites and answers for it
	Name      string         `cbor:"2,keyasint"` // see [CheckName]
	Level     Level          `cbor:"3,keyasint"` // asked for; the policy decides
	OneTime   wire.PublicKey `cbor:"4,keyasint"`
	Issued    int64          `cbor:"5,keyasint"` // Unix milliseconds
	Expires   int64          `cbor:"6,keyasint"`
	Addresses []string       `cbor:"7,keyasint"` // host:port of nodes
	Pins      []ID           `cbor:"8,keyasint"` // the nodes' keys, sorted
	Serves    []string       `cbor:"9,keyasint"` // capability patterns granted, sorted; see [MatchCapability]
	Roster    uint64         `cbor:"10,keyasint"`

	// Parent is the agent on whose behalf this one acts: its level stays below that agent's. Nil: none.
	Parent *ID `cbor:"11,keyasint,omitempty"`
}

// Kind implements [wire.Statement].
func (Token) Kind() wire.Kind { return wire.Token }

// Check implements [wire.Statement].
func (t Token) Check() error {
	if t.Version != 1 {
		return wire.ErrVersion
	}
	if t.Operator.Role() != Operator || len(t.Addresses) == 0 || len(t.Addresses) > 16 {
		return fmt.Errorf("%w: token's operator or addresses", wire.ErrMalformed)
	}
	if err := t.Operator.Check(); err != nil {
		return err
	}
	if err := CheckName(t.Name); err != nil {
		return err
	}
	if err := t.Level.Check(); err != nil {
		return err
	}
	if err := wire.CheckKey(t.OneTime); err != nil {
		return err
	}
	if err := CheckCapabilities(t.Serves); err != nil {
		return err
	}
	if err := checkSorted(t.Pins, Node); err != nil {
		return err
	}
	if err := t.checkParent(); err != nil {
		return err
	}
	return checkSpan(t.Issued, t.Expires, MaxTokenLife)
}

func (t Token) checkParent() error {
	if t.Parent == nil {
		return nil
	}
	if t.Parent.Role() != Agent {
		return fmt.Errorf("%w: token's parent is no agent", wire.ErrMalformed)
	}
	return t.Parent.Check()
}

// Enrolment binds an agent's key to a token. The agent's key and the one-time key both sign it, so neither a node
// that saw the token nor a thief of the signed token alone can enrol a key of its own.
type Enrolment struct {
	Version uint64 `cbor:"0,keyasint"` // 1
	Token   []byte `cbor:"1,keyasint"` // the operator's signed token
	Agent   ID     `cbor:"2,keyasint"`
	Issued  int64  `cbor:"3,keyasint"` // Unix milliseconds
}

// Kind implements [wire.Statement].
func (Enrolment) Kind() wire.Kind { return wire.Enrolment }

// Check implements [wire.Statement].
func (e Enrolment) Check() error {
	if e.Version != 1 {
		return wire.ErrVersion
	}
	if e.Agent.Role() != Agent || e.Issued <= 0 || len(e.Token) == 0 {
		return fmt.Errorf("%w: enrolment's agent, time or token", wire.ErrMalformed)
	}
	return e.Agent.Check()
}

// VerifyToken reads a token and checks that key, its operator's current identity key, has signed it. Whether that
// operator may invite is the registry's to say.
func VerifyToken(raw []byte, realm wire.Realm, key wire.PublicKey) (wire.Verified[Token], error) {
	c, err := wire.Parse[Token](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[Token]{}, err
	}
	return c.Verify(realm, key)
}

// VerifyEnrolment reads an enrolment and the token in it and checks all three signatures; key is the current identity
// key of the token's operator. It checks no time: the registry does, by its own clock.
func VerifyEnrolment(raw []byte, realm wire.Realm, key wire.PublicKey) (wire.Verified[Enrolment], wire.Verified[Token], error) {
	var noToken wire.Verified[Token]
	c, err := wire.ParseCosigned[Enrolment](raw, wire.MaxStatement)
	if err != nil {
		return wire.Verified[Enrolment]{}, noToken, err
	}
	token, err := VerifyToken(c.Claim.Token, realm, key)
	if err != nil {
		return wire.Verified[Enrolment]{}, noToken, err
	}
	agent, once := c.Claim.Agent.Key(), token.Statement().OneTime
	if agent == once {
		return wire.Verified[Enrolment]{}, noToken, fmt.Errorf("%w: the one-time key may not be the agent's", wire.ErrMalformed)
	}
	v, err := c.Verify(realm, 2, []wire.PublicKey{agent, once})
	if err != nil {
		return wire.Verified[Enrolment]{}, noToken, err
	}
	return v, token, nil
}

// CheckName refuses names that are not 1 to 63 of a-z, 0-9 and -, beginning with a letter.
func CheckName(s string) error {
	ok := len(s) >= 1 && len(s) <= 63 && s[0] >= 'a' && s[0] <= 'z'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'
	}
	if !ok {
		return fmt.Errorf("%w: a name is 1 to 63 of a-z, 0-9 and -, beginning with a letter, not %.64q", wire.ErrMalformed, s)
	}
	return nil
}

// CheckCapability refuses capability names that are not dot-separated words of a-z, 0-9, _ and -, 128 bytes at most.
func CheckCapability(s string) error {
	if len(s) == 0 || len(s) > 128 || !words(s) {
		return fmt.Errorf("%w: a capability is words of a-z, 0-9, _ and - joined by dots, not %.64q", wire.ErrMalformed, s)
	}
	return nil
}

func words(s string) bool {
	last := byte('.')
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'
		if !letter && (c != '.' || last == '.') {
			return false
		}
		last = c
	}
	return last != '.'
}

// CheckCapabilities refuses lists of capability patterns that are unsorted, doubled, longer than 64, or contain what
// is neither a capability, nor a capability followed by ".*", nor "*".
func CheckCapabilities(patterns []string) error {
	if len(patterns) > 64 || !slices.IsSorted(patterns) || len(slices.Compact(slices.Clone(patterns))) != len(patterns) {
		return fmt.Errorf("%w: capabilities must be at most 64, sorted, each once", wire.ErrMalformed)
	}
	for _, p := range patterns {
		if p == "*" {
			continue
		}
		if n := len(p); n > 2 && p[n-2:] == ".*" {
			p = p[:n-2]
		}
		if err := CheckCapability(p); err != nil {
			return err
		}
	}
	return nil
}

// MatchCapability reports whether one of the patterns is the capability, covers it by a trailing ".*", or is "*".
func MatchCapability(patterns []string, capability string) bool {
	for _, p := range patterns {
		if p == "*" || p == capability {
			return true
		}
		if n := len(p); n > 2 && p[n-2:] == ".*" && len(capability) > n-1 && capability[:n-1] == p[:n-1] {
			return true
		}
	}
	return false
}
