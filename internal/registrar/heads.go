package registrar

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
)

// ErrForked is returned when the ledger does not continue the head that this node has signed: its disk was rewound or
// its state differs. The node must not sign on.
var ErrForked = fault.New(fault.Superseded, "registrar: the registry does not continue the last head that this node signed").
	WithHint("the data directory was restored from an older copy or damaged: recover it from the newest one")

// Keeper keeps the last signed head, durably.
type Keeper interface {
	// Load returns what Save kept last, or nil.
	Load() ([]byte, error)
	// Save returns when a loss of power cannot undo it.
	Save(head []byte) error
}

// heads signs tree heads: one a size, each kept before anybody sees it. It is safe for concurrent use.
type heads struct {
	mu     sync.Mutex
	keeper Keeper
	signer identity.Signer
	ledger *ledger.Ledger
	failed func(error) // is told of a head that could not be kept
	last   audit.Head
	raw    []byte
	signed atomic.Uint64 // heads since the start
}

// openHeads reads the last signed head and checks that the ledger, restored, continues it.
func openHeads(keeper Keeper, signer identity.Signer, l *ledger.Ledger, failed func(error)) (*heads, error) {
	h := &heads{keeper: keeper, signer: signer, ledger: l, failed: failed}
	raw, err := keeper.Load()
	if err != nil {
		return nil, fmt.Errorf("registrar: last signed head: %w", err)
	}
	if raw == nil {
		return h, nil
	}
	v, err := audit.VerifyHead(raw, l.Authority())
	if err != nil {
		return nil, fmt.Errorf("registrar: last signed head: %w", err)
	}
	h.last, h.raw = v.Statement(), raw
	root, err := l.RootAt(h.last.Size)
	if err != nil || root != h.last.Root {
		return nil, fmt.Errorf("%w: size %d", ErrForked, h.last.Size)
	}
	return h, nil
}

// current returns a signed head over all commands applied so far, and its size. Before the first command there is none.
func (h *heads) current() ([]byte, uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	head := h.ledger.Head()
	if head.Size == h.last.Size {
		return h.raw, h.last.Size, nil
	}
	raw, err := h.signer.Cosign(h.ledger.Authority().Realm, head)
	if err != nil {
		return nil, 0, err
	}
	if err := h.keeper.Save(raw); err != nil {
		err = fmt.Errorf("registrar: keep head: %w", err)
		h.failed(err)
		return nil, 0, err
	}
	h.last, h.raw = head, raw
	h.signed.Add(1)
	return raw, head.Size, nil
}

// receipt proves a leaf under the current head.
func (h *heads) receipt(leaf audit.Leaf) (audit.Receipt, error) {
	raw, size, err := h.current()
	if err != nil {
		return audit.Receipt{}, err
	}
	i, err := h.ledger.Inclusion(leaf, size)
	if err != nil {
		return audit.Receipt{}, err
	}
	return audit.Receipt{Inclusion: i, Head: raw}, nil
}
