package registrar

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// ErrForked is returned when the log does not continue what this node has signed before.
var ErrForked = fault.New(fault.Superseded, "registrar: the registry does not continue the last head that this node signed").
	WithHint("the data directory was restored from an older copy or damaged: recover it from the newest one; whatever " +
		"becomes of it, save its file tightenings.cbor, and show it to the realm when that runs again: " +
		"conclave cluster remind --from DATADIR/tightenings.cbor")

// ErrDiverged is what stops a node whose state is not the one that a majority has.
var ErrDiverged = fault.New(fault.Conflict, "registrar: a majority of the nodes has another state than this node").
	WithHint("keep the data directory as evidence; bring the node back with an empty one: conclave server join")

// Keeper remembers the last head that this node signed, so that it never signs two of one size, nor goes back.
type Keeper interface {
	// Load returns what Save kept last, or nil.
	Load() ([]byte, error)
	// Save returns when a loss of power cannot undo it.
	Save(head []byte) error
}

// heads signs the tree's heads, keeps the last one and has a majority sign what is handed out. It is safe for
// concurrent use.
type heads struct {
	keeper Keeper
	panel  panel
	failed func(error)             // is told of a head that could not be kept, and of a state that is not the majority's
	proof  func(map[string][]byte) // keeps what shows that states differ
	signed atomic.Uint64           // heads since the start

	mu    sync.Mutex           // guards what this node signs
	last  audit.Head           // the newest that this node has signed
	raw   []byte               // the same, signed by this node alone
	stale bool                 // last is of a size that the ledger has not reached since the start
	liars map[identity.ID]bool // peers whose false head was kept since the start

	asking chan struct{} // holds one while a round runs; who waits for its end mostly finds its head signed
	agreed atomic.Pointer[agreedHead]
}

// agreedHead is a head that a majority has signed.
type agreedHead struct {
	raw    []byte
	size   uint64
	roster uint64
}

// openHeads checks that the ledger continues the last head kept. A node of several may be behind it until the others
// have told it what it missed; it signs nothing until then. One that is alone has nobody to tell it.
func openHeads(keeper Keeper, p panel, alone bool, failed func(error), proof func(map[string][]byte)) (*heads, error) {
	h := &heads{keeper: keeper, panel: p, failed: failed, proof: proof, liars: map[identity.ID]bool{}, asking: make(chan struct{}, 1)}
	raw, err := keeper.Load()
	if err != nil {
		return nil, fmt.Errorf("registrar: last signed head: %w", err)
	}
	if raw == nil {
		return h, nil
	}
	c, err := wire.ParseCosigned[audit.Head](raw, wire.MaxStatement)
	if err != nil {
		return nil, fmt.Errorf("registrar: last signed head: %w", err)
	}
	if _, err := c.Verify(p.ledger.Authority().Realm, 1, []wire.PublicKey{p.signer.Public()}); err != nil {
		return nil, fmt.Errorf("registrar: last signed head: %w", err)
	}
	h.last, h.raw = c.Claim, raw
	if p.peers != nil && !alone && p.ledger.Size() < h.last.Size {
		h.stale = true
		return h, nil
	}
	return h, h.continues()
}

// continues checks that the ledger's tree begins with what was signed last.
func (h *heads) continues() error {
	root, err := h.panel.ledger.RootAt(h.last.Size)
	if err != nil || root != h.last.Root {
		return fmt.Errorf("%w: size %d", ErrForked, h.last.Size)
	}
	return nil
}

// errBehind says that a node has not yet applied what it had before its last stop.
var errBehind = fault.New(fault.Unreachable, "registrar: this node has not caught up with what it signed before its start")

// own returns the head of what is applied now, signed by this node. mu is held.
func (h *heads) own() ([]byte, audit.Head, error) {
	head := h.panel.ledger.Head()
	if h.stale {
		if head.Size < h.last.Size {
			return nil, head, errBehind
		}
		if err := h.continues(); err != nil {
			h.failed(err)
			return nil, head, err
		}
		h.stale = false
	}
	if head.Size == h.last.Size {
		return h.raw, h.last, nil
	}
	raw, err := h.panel.signer.Cosign(h.panel.ledger.Authority().Realm, head)
	if err != nil {
		return nil, head, err
	}
	if err := h.keeper.Save(raw); err != nil {
		err = fmt.Errorf("registrar: keep head: %w", err)
		h.failed(err)
		return nil, head, err
	}
	h.last, h.raw = head, raw
	h.signed.Add(1)
	return raw, head, nil
}

// current returns a head signed by a majority over at least the first least commands, by the roster in force, and its
// size. Callers at the same time share one. If a majority signed another head of that size, this node fails with
// [ErrDiverged]. Errors: [ErrMajority], the context's and those of the keeper.
func (h *heads) current(ctx context.Context, least uint64) ([]byte, uint64, error) {
	if a := h.covering(least); a != nil {
		return a.raw, a.size, nil
	}
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if a := h.covering(least); a != nil {
		return a.raw, a.size, nil
	}
	raw, head, authority, err := h.newest()
	if err != nil || raw == nil {
		return nil, 0, err // no head before the first command
	}
	all, instead, err := majority[audit.Head](ctx, h.panel, authority, raw)
	h.compare(authority, head, raw, instead)
	if err != nil {
		return nil, 0, err
	}
	h.agreed.Store(&agreedHead{raw: all, size: head.Size, roster: head.Roster})
	return all, head.Size, nil
}

// newest returns this node's head of what is applied now and the roster that the head names.
func (h *heads) newest() ([]byte, audit.Head, *identity.Authority, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		raw, head, err := h.own()
		authority := h.panel.ledger.Authority()
		if err != nil || raw == nil || head.Roster == authority.Number {
			return raw, head, authority, err
		} // the roster changed in between, and its command left a leaf
	}
}

// covering returns the newest head that a majority has signed, if it covers the first least commands by the roster in
// force.
func (h *heads) covering(least uint64) *agreedHead {
	a := h.agreed.Load()
	if a == nil || a.size < least || a.roster != h.panel.ledger.Authority().Number {
		return nil
	}
	return a
}

// compare fails this node if a majority has signed one other head of the same size.
func (h *heads) compare(a *identity.Authority, own audit.Head, raw []byte, instead map[identity.ID][]byte) {
	if planted.Fault(planted.Diverges) {
		return
	}
	others := map[wire.Digest]int{}
	shown := map[string][]byte{h.panel.signer.ID().String(): raw}
	for id, other := range instead {
		c, err := wire.ParseCosigned[audit.Head](other, wire.MaxStatement)
		if err != nil || c.Claim.Size != own.Size || c.Claim == own {
			continue
		}
		if _, err := c.Verify(a.Realm, 1, []wire.PublicKey{id.Key()}); err != nil {
			continue
		}
		others[c.ID(a.Realm)]++
		shown[id.String()] = other
	}
	if len(others) == 0 {
		return
	}
	h.proof(shown)
	for _, count := range others {
		if count >= a.Majority() {
			h.failed(fmt.Errorf("%w: at size %d", ErrDiverged, own.Size))
		}
	}
}

// receipt proves a leaf under a head that a majority has signed.
func (h *heads) receipt(ctx context.Context, leaf audit.Leaf) (audit.Receipt, error) {
	raw, size, err := h.current(ctx, leaf.Index)
	if err != nil {
		return audit.Receipt{}, err
	}
	i, err := h.panel.ledger.Inclusion(leaf, size)
	if err != nil {
		return audit.Receipt{}, err
	}
	return audit.Receipt{Inclusion: i, Head: raw}, nil
}

// catchUp is how long a peer waits until it has applied what it is asked to sign.
const catchUp = 2 * time.Second

var errTooOld = fault.New(fault.Superseded, "registrar: a head so old is not remembered; ask for a newer one")

// cosign signs a head that a peer has signed, or shows the other one of that size that this node knows. The first such
// head of each peer is kept as evidence: the peer's signature is beneath it.
func (h *heads) cosign(from identity.ID, raw []byte) (cosignAnswer, error) {
	c, err := wire.ParseCosigned[audit.Head](raw, wire.MaxStatement)
	if err != nil {
		return cosignAnswer{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, _, err := h.own(); err != nil { // keeps a head at least as new as the one that is signed below
		return cosignAnswer{}, err
	}
	own, ok := h.panel.ledger.HeadAt(c.Claim.Size)
	if !ok || own.Size > h.last.Size {
		return cosignAnswer{}, errTooOld
	}
	realm := h.panel.ledger.Authority().Realm
	if own != c.Claim {
		instead, err := h.panel.signer.Cosign(realm, own)
		if err == nil && !h.liars[from] {
			h.liars[from] = true
			h.proof(map[string][]byte{h.panel.signer.ID().String(): instead, from.String(): raw})
		}
		return cosignAnswer{Instead: instead}, err
	}
	signed, err := identity.AddTo[audit.Head](h.panel.signer, realm, raw)
	return cosignAnswer{Signed: signed}, err
}
