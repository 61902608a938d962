package registrar

import (
	"context"
	"crypto/rand"
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

// errSigned is returned when this node has signed another roster of that number, which must be completed first.
var errSigned = fault.New(fault.Conflict, "registrar: another change of the roster is under way").
	WithHint("wait a moment and try again")

// signed returns the roster of the number that this node has signed, or nil. signing is held.
func (s *seats) signed(number uint64) ([]byte, error) {
	raw, err := s.keeper.Load()
	if err != nil || raw == nil {
		return nil, err
	}
	c, err := wire.ParseCosigned[identity.Roster](raw, wire.MaxStatement)
	if err != nil || c.Claim.Number != number {
		return nil, err
	}
	return raw, nil
}

// sign adds this node's signature to a roster that may follow, and remembers it first: one roster a number. If it has
// signed another one of that number, it returns that.
func (s *seats) sign(raw []byte) (signed, instead []byte, err error) {
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
	if apart := c.Claim.Issued - r.nowMilli(); apart > identity.Skew || apart < -registry.MaxCommandLife {
		return nil, nil, fmt.Errorf("%w: %d ms apart", errRosterTime, apart)
	}
	before, err := s.signed(c.Claim.Number)
	if err != nil {
		return nil, nil, err
	}
	if before != nil {
		b, err := wire.ParseCosigned[identity.Roster](before, wire.MaxStatement)
		if err != nil {
			return nil, nil, err
		}
		if b.ID(r.Realm()) != c.ID(r.Realm()) {
			return nil, before, nil
		}
	}
	if signed, err = identity.AddTo[identity.Roster](r.config.Signer, r.Realm(), raw); err != nil {
		return nil, nil, err
	}
	return signed, nil, s.keeper.Save(signed)
}

var errRosterTime = fault.New(fault.Expired, "registrar: the roster was not made just now").
	WithHint("make it again; if it was, the clocks of the nodes differ: check them")

// cosign answers a peer.
func (s *seats) cosign(raw []byte) (cosignAnswer, error) {
	signed, instead, err := s.sign(raw)
	return cosignAnswer{Signed: signed, Instead: instead}, err
}

// seat has a roster signed by a majority of the outgoing nodes and puts it through the log. If one of them has signed
// another roster of that number, which was left half-way, that one is completed, and the error says to try again.
func (s *seats) seat(ctx context.Context, raw []byte) (registry.Answer, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	signed, instead, err := s.sign(raw)
	if err != nil {
		return registry.Answer{}, err
	}
	if instead != nil {
		return registry.Answer{}, errors.Join(errSigned, s.complete(ctx, instead))
	}
	answer, others, err := s.submit(ctx, signed)
	for _, other := range others {
		return registry.Answer{}, errors.Join(errSigned, err, s.complete(ctx, other))
	}
	return answer, err
}

// complete finishes a change that was left half-way, if it can be.
func (s *seats) complete(ctx context.Context, raw []byte) error {
	_, _, err := s.submit(ctx, raw)
	return err
}

func (s *seats) submit(ctx context.Context, raw []byte) (registry.Answer, map[identity.ID][]byte, error) {
	r := s.registrar
	authority := r.ledger.Authority()
	if err := authority.Consents(raw); err != nil {
		return registry.Answer{}, nil, err
	}
	all, instead, err := majority[identity.Roster](ctx, r.panel, authority, raw)
	if err != nil {
		return registry.Answer{}, instead, err
	}
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return registry.Answer{}, nil, fmt.Errorf("registrar: nonce: %w", err)
	}
	c, err := registry.New(r.ID(), registry.TypeRoster, registry.PutRoster{Roster: all}, nonce, r.nowMilli())
	if err != nil {
		return registry.Answer{}, nil, err
	}
	command, err := r.config.Signer.Cosign(r.Realm(), c)
	if err != nil {
		return registry.Answer{}, nil, err
	}
	answer, err := r.Submit(ctx, command)
	if err == nil {
		err = answer.Err()
	}
	return answer, nil, err
}

// next returns the roster that follows the one in force, to be changed.
func (r *Registrar) nextRoster() identity.Roster {
	a := r.ledger.Authority()
	return identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: r.nowMilli(), Roots: a.Roots,
		Threshold: a.Threshold, Nodes: slices.Clone(a.Nodes), Joining: slices.Clone(a.Joining),
	}
}

// ErrAloneOnly is returned by a node that no other node can reach.
var errNotInvited = fault.New(fault.Denied, "registrar: a node joins by an admission that names it")

// Admit gives a node that was invited a place among those that join. raw is its identity.Admission. A node that has its
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
