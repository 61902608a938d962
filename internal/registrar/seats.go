package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// seats changes who runs the realm: rosters are signed here and handed to the ledger. It is safe for concurrent use.
type seats struct {
	registrar *Registrar
	keeper    Keeper // of the newest roster that this node has signed

	changing sync.Mutex // one change at a time begins at this node
	signing  sync.Mutex
}

// promise is for how long a node that has signed one roster of a number signs no other, in milliseconds: long enough for
// the first to reach the log, if it ever does. The log decides which of two is the roster.
const promise = 90 * 1000

// errSigned is returned when a node has signed another roster of that number just now.
var errSigned = fault.New(fault.Conflict, "registrar: another change of the roster is under way").
	WithHint("try again; if it was left half-way, in two minutes")

// promised is the newest roster that this node has signed, as it is kept.
type promised struct {
	Roster []byte `cbor:"1,keyasint"`
	At     int64  `cbor:"2,keyasint"` // Unix milliseconds
}

// standing returns the roster of the number that this node has signed and is bound to, or nil. signing is held.
func (s *seats) standing(number uint64, now int64) ([]byte, error) {
	raw, err := s.keeper.Load()
	if err != nil || raw == nil {
		return nil, err
	}
	var p promised
	if err := wire.Decode(raw, &p); err != nil {
		return nil, err
	}
	c, err := wire.ParseCosigned[identity.Roster](p.Roster, wire.MaxStatement)
	if err != nil || c.Claim.Number != number || now >= p.At+promise {
		return nil, err
	}
	return p.Roster, nil
}

// sign adds this node's signature to a roster that may follow, and remembers it first. If it is bound to another roster
// of that number, it returns that one, and signs nothing.
func (s *seats) sign(raw []byte) (signed, bound []byte, err error) {
	s.signing.Lock()
	defer s.signing.Unlock()
	r := s.registrar
	if err := r.ledger.Authority().Consents(raw); err != nil {
		return nil, nil, err
	}
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return nil, nil, err
	}
	now := r.nowMilli()
	if ahead := c.Claim.Issued - now; ahead > identity.Skew {
		return nil, nil, fmt.Errorf("%w: by %d ms", errRosterTime, ahead)
	}
	before, err := s.standing(c.Claim.Number, now)
	if err != nil {
		return nil, nil, err
	}
	if before != nil {
		b, err := wire.ParseCosigned[identity.Roster](before, wire.MaxStatement)
		if err != nil || b.ID(r.Realm()) != c.ID(r.Realm()) {
			return nil, before, err
		}
	}
	if signed, err = identity.AddTo[identity.Roster](r.config.Signer, r.Realm(), raw); err != nil {
		return nil, nil, err
	}
	kept, err := wire.Encode(promised{Roster: signed, At: now})
	if err != nil {
		return nil, nil, err
	}
	return signed, nil, s.keeper.Save(kept)
}

var errRosterTime = fault.New(fault.NotYet, "registrar: the roster is of a later time").
	WithHint("the clocks of the nodes, or of who made it, differ: check them")

// cosign answers a peer.
func (s *seats) cosign(raw []byte) (cosignAnswer, error) {
	if err := s.upright(raw); err != nil {
		return cosignAnswer{}, err
	}
	signed, bound, err := s.sign(raw)
	if err == nil && bound != nil {
		err = errSigned
	}
	return cosignAnswer{Signed: signed}, err
}

var errNotUp = fault.New(fault.Pending, "registrar: a node that is to count is not up, or not as far as the others").
	WithHint("start it, and wait until it has caught up")

// upright refuses rosters by which nodes count that this node has not heard lately or that lack much of the log, whoever
// says that they are ready: one node that lies must not have the dead count, for then too few are left to sign.
func (s *seats) upright(raw []byte) error {
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	a, size := s.registrar.ledger.Authority(), s.registrar.ledger.Size()
	for _, m := range s.registrar.config.Cluster.Machines() {
		comes := slices.Contains(a.Joining, m.Node) && slices.Contains(c.Claim.Nodes, m.Node)
		if comes && (m.State == "silent" || m.Size+maxLacking < size) {
			return fmt.Errorf("%w: %s", errNotUp, m.Node)
		}
	}
	return nil
}

// maxLacking is how many commands a node may lack that is to count.
const maxLacking = 250

// seat has a roster signed by a majority of the outgoing nodes and puts it through the log. If this node is bound to
// another one, from an attempt that failed half-way, that one goes first.
func (s *seats) seat(ctx context.Context, raw []byte) (registry.Answer, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	signed, bound, err := s.sign(raw)
	if err != nil {
		return registry.Answer{}, err
	}
	if bound == nil {
		return s.submit(ctx, signed)
	}
	same, err := sameSeats(raw, bound)
	if err != nil {
		return registry.Answer{}, err
	}
	answer, err := s.submit(ctx, bound)
	if same {
		return answer, err
	}
	return registry.Answer{}, errors.Join(errSigned, err)
}

// sameSeats reports whether two rosters differ in nothing but when they were made.
func sameSeats(x, y []byte) (bool, error) {
	a, err := wire.ParseCosigned[identity.Roster](x, wire.MaxStatement)
	if err != nil {
		return false, err
	}
	b, err := wire.ParseCosigned[identity.Roster](y, wire.MaxStatement)
	if err != nil {
		return false, err
	}
	a.Claim.Issued = b.Claim.Issued
	p, err := wire.Encode(a.Claim)
	if err != nil {
		return false, err
	}
	q, err := wire.Encode(b.Claim)
	return bytes.Equal(p, q), err
}

func (s *seats) submit(ctx context.Context, raw []byte) (registry.Answer, error) {
	r := s.registrar
	authority := r.ledger.Authority()
	if err := authority.Consents(raw); err != nil {
		return registry.Answer{}, err
	}
	raw, _, err := majority[identity.Roster](ctx, r.panel, authority, raw)
	if err != nil {
		return registry.Answer{}, err
	}
	command, err := r.command(registry.TypeRoster, registry.PutRoster{Roster: raw}, r.nowMilli())
	if err != nil {
		return registry.Answer{}, err
	}
	answer, err := r.Submit(ctx, command)
	if err == nil {
		err = answer.Err()
	}
	return answer, err
}

// nextRoster returns the roster that follows the one in force, to be changed.
func (r *Registrar) nextRoster() identity.Roster {
	a := r.ledger.Authority()
	return identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: r.nowMilli(), Roots: a.Roots,
		Threshold: a.Threshold, Nodes: slices.Clone(a.Nodes), Joining: slices.Clone(a.Joining),
	}
}

var errNotInvited = fault.New(fault.Denied, "registrar: only a node that has joined can count")

// AdmitNode gives a node that was invited a place among those that join. raw is its identity.Admission. A node that has its
// place already is told so by a nil error.
func (r *Registrar) AdmitNode(ctx context.Context, raw []byte) (identity.ID, error) {
	a := r.ledger.Authority()
	admission, token, err := identity.VerifyAdmission(raw, r.Realm(), a.Roots, a.Threshold)
	if err != nil {
		return identity.ID{}, err
	}
	id, t := admission.Statement().Node, token.Statement()
	if slices.Contains(a.Members(), id) {
		return id, nil
	}
	if err := identity.CheckTime(t.Issued, t.Expires, r.nowMilli()); err != nil {
		return id, fmt.Errorf("join token: %w", err)
	}
	next := r.nextRoster()
	next.Admission = raw
	next.Joining = append(next.Joining, id)
	slices.SortFunc(next.Joining, identity.ID.Compare)
	return id, r.propose(ctx, next)
}

// PromoteNodes makes nodes that have joined and caught up count.
func (r *Registrar) PromoteNodes(ctx context.Context, ids []identity.ID) error {
	next := r.nextRoster()
	for _, id := range ids {
		if !slices.Contains(next.Joining, id) {
			return errNotInvited
		}
	}
	next.Joining = slices.DeleteFunc(next.Joining, func(id identity.ID) bool { return slices.Contains(ids, id) })
	next.Nodes = append(next.Nodes, ids...)
	slices.SortFunc(next.Nodes, identity.ID.Compare)
	if len(next.Joining) == 0 {
		next.Joining = nil
	}
	return r.propose(ctx, next)
}

func (r *Registrar) propose(ctx context.Context, next identity.Roster) error {
	raw, err := wire.Cosign(r.Realm(), next)
	if err != nil {
		return err
	}
	_, err = r.seats.seat(ctx, raw)
	return err
}
