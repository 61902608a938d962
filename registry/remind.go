package registry

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Remind shows the registry a tightening that a later state of it had accepted, for nodes that were all restored from
// an older backup have forgotten it. The result is [Reminded].
type Remind struct {
	Command []byte `cbor:"1,keyasint"` // cosigned, at most MaxReminded bytes
}

// Reminded is the result of a [Remind] that was accepted.
type Reminded struct {
	News   bool   `cbor:"1,keyasint"` // it took effect; else the registry knew it, or what came after it
	Change Change `cbor:"2,keyasint"` // the principal as it stands now
}

// RemindFeature is the feature level of [TypeRemind].
const RemindFeature = 2

// MaxReminded bounds the command in a [Remind], in bytes: any tightening fits, with 64 signatures.
const MaxReminded = 8 << 10

// ErrNoTightening is returned for a command that could not tighten anything whenever it is applied.
var ErrNoTightening = fault.New(fault.WrongKind, "registry: not a command that quarantines, revokes, raises an epoch or changes a level")

// Tightening is what a command says that may tighten: whom it concerns, and which of the values below it sets.
type Tightening struct {
	Principal identity.ID
	Status    trust.Status   // of TypeStatus: quarantined or revoked
	Level     identity.Level // of TypeLevel; it tightens where the principal's level is higher
	Epoch     uint64         // of TypeEpoch
}

// TighteningOf reads what a command tightens. It checks no signature. Errors: [ErrNoTightening], those of the body.
func TighteningOf(c Command) (Tightening, error) {
	switch c.Type {
	case TypeStatus:
		body, err := Body[SetStatus](c)
		if err == nil && body.Status != trust.Quarantined && body.Status != trust.Revoked {
			err = fmt.Errorf("%w: status %s", ErrNoTightening, body.Status)
		}
		return Tightening{Principal: body.Principal, Status: body.Status}, err
	case TypeLevel:
		body, err := Body[SetLevel](c)
		return Tightening{Principal: body.Principal, Level: body.Level}, err
	case TypeEpoch:
		body, err := Body[RaiseEpoch](c)
		return Tightening{Principal: body.Principal, Epoch: body.Epoch}, err
	}
	return Tightening{}, fmt.Errorf("%w: %.32q", ErrNoTightening, string(c.Type))
}

// ParseTightening reads a cosigned command that tightens, at most [MaxReminded] bytes. It checks no signature.
func ParseTightening(raw []byte) (wire.Cosigned[Command], Tightening, error) {
	c, err := wire.ParseCosigned[Command](raw, MaxReminded)
	if err != nil {
		return c, Tightening{}, err
	}
	t, err := TighteningOf(c.Claim)
	return c, t, err
}

// Kept are tightenings as somebody keeps them in a file: a node beside its data, an agent or operator beside its key.
type Kept struct {
	Version  uint64   `cbor:"0,keyasint"` // 0
	Commands [][]byte `cbor:"1,keyasint,omitempty"`
}

// MaxKept bounds the commands in a [Kept], and MaxKeptBytes its encoding.
const (
	MaxKept      = 4096
	MaxKeptBytes = 8 << 20
)

// ParseKept reads a file of tightenings. It checks their form, and no signature. Errors: those of the encoding, and of
// [ParseTightening].
func ParseKept(raw []byte) (Kept, error) {
	var k Kept
	if len(raw) > MaxKeptBytes {
		return k, wire.ErrTooLarge
	}
	if err := wire.Decode(raw, &k); err != nil {
		return Kept{}, fmt.Errorf("tightenings: %w", err)
	}
	if k.Version != 0 {
		return Kept{}, fmt.Errorf("%w: tightenings are v: 0", wire.ErrVersion)
	}
	if len(k.Commands) > MaxKept {
		return Kept{}, fmt.Errorf("%w: over %d tightenings", wire.ErrTooLarge, MaxKept)
	}
	for _, command := range k.Commands {
		if _, _, err := ParseTightening(command); err != nil {
			return Kept{}, fmt.Errorf("tightenings: %w", err)
		}
	}
	return k, nil
}

// Encode returns the file. Of what is too much for one, the first commands are left out: put those first that may go.
func (k Kept) Encode() ([]byte, error) {
	size := 0
	from := len(k.Commands)
	for from > 0 && len(k.Commands)-from < MaxKept && size+len(k.Commands[from-1])+keptOverhead <= MaxKeptBytes-keptOverhead {
		from--
		size += len(k.Commands[from]) + keptOverhead
	}
	return wire.Encode(Kept{Version: k.Version, Commands: k.Commands[from:]})
}

// keptOverhead is more than what surrounds a command in the encoding takes, in bytes.
const keptOverhead = 16
