package identity

import (
	"bytes"
	"fmt"

	"github.com/nats-io/nkeys"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Role says what a principal is.
type Role byte

// The roles, by the letter that their nkeys begin with.
const (
	Agent    Role = 'U' // a program that acts
	Node     Role = 'N' // a broker and registry node
	Operator Role = 'O' // a person
)

// String returns the role's word.
func (r Role) String() string {
	switch r {
	case Agent:
		return "agent"
	case Node:
		return "node"
	case Operator:
		return "operator"
	}
	return fmt.Sprintf("role(%d)", byte(r))
}

func (r Role) prefix() (nkeys.PrefixByte, bool) {
	switch r {
	case Agent:
		return nkeys.PrefixByteUser, true
	case Node:
		return nkeys.PrefixByteServer, true
	case Operator:
		return nkeys.PrefixByteOperator, true
	}
	return 0, false
}

// ID names a principal for ever: the role's letter and the 32 bytes of its inception public key, whatever key it uses
// now. The zero ID names nobody.
type ID [33]byte

// ErrBadID is returned when a text or bytes name no principal.
var ErrBadID = fault.New(fault.Malformed, "identity: not a principal's name (an nkey that begins with U, N or O)")

// NewID returns the ID of the role and inception key.
func NewID(role Role, key wire.PublicKey) ID {
	var id ID
	id[0] = byte(role)
	copy(id[1:], key[:])
	return id
}

// ParseID reads an nkey U…, N… or O… of a key that may be enrolled. Errors: [ErrBadID], [wire.ErrBadKey].
func ParseID(s string) (ID, error) {
	for _, role := range []Role{Agent, Node, Operator} {
		prefix, _ := role.prefix()
		raw, err := nkeys.Decode(prefix, []byte(s))
		if err != nil || len(raw) != 32 {
			continue
		}
		id := NewID(role, wire.PublicKey(raw))
		if id.String() != s {
			return ID{}, ErrBadID
		}
		if err := id.Check(); err != nil {
			return ID{}, err
		}
		return id, nil
	}
	return ID{}, fmt.Errorf("%w: %.64q", ErrBadID, s)
}

// Role returns what the principal is.
func (id ID) Role() Role { return Role(id[0]) }

// Key returns the inception key.
func (id ID) Key() wire.PublicKey { return wire.PublicKey(id[1:]) }

// IsZero reports whether id names nobody.
func (id ID) IsZero() bool { return id == ID{} }

// Check refuses IDs of no known role and keys that may not be enrolled.
func (id ID) Check() error {
	if _, ok := id.Role().prefix(); !ok {
		return ErrBadID
	}
	return wire.CheckKey(id.Key())
}

// Compare orders IDs by their bytes, for sorted lists.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// String returns the nkey, or "nobody".
func (id ID) String() string {
	prefix, ok := id.Role().prefix()
	if !ok {
		return "nobody"
	}
	b, err := nkeys.Encode(prefix, id[1:])
	if err != nil {
		return "nobody"
	}
	return string(b)
}

// MarshalText returns the nkey, or nothing for the zero ID.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(text))
	*id = v
	return err
}

// checkSorted refuses lists of IDs that are empty, unsorted, doubled, of another role, or of bad keys.
func checkSorted(ids []ID, role Role) error {
	if len(ids) == 0 || len(ids) > wire.MaxCosigners {
		return fmt.Errorf("%w: 1 to %d %ss", wire.ErrMalformed, wire.MaxCosigners, role)
	}
	for i, id := range ids {
		if id.Role() != role || (i > 0 && ids[i-1].Compare(id) >= 0) {
			return fmt.Errorf("%w: %ss must be sorted, each once", wire.ErrMalformed, role)
		}
		if err := id.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Keys returns the inception keys of ids, in their order.
func Keys(ids []ID) []wire.PublicKey {
	keys := make([]wire.PublicKey, len(ids))
	for i, id := range ids {
		keys[i] = id.Key()
	}
	return keys
}
