package proof

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// vouch follows every party's key to the genesis: an agent's to an enrolment that its operator signed, an operator's
// to the roots, or to a command that enough vouched-for operators signed. So not even all nodes together can make a
// voter up.
func (e *examination) vouch() error {
	o, proposer := e.c.Opening, e.proposal.Statement().Proposer
	w, err := e.vouchers()
	if err != nil {
		return err
	}
	if err := w.admitAll(e.c.Levels, e.governed); err != nil {
		return err
	}
	decides := level(0) // the proposer's level matters only where it decides alone
	if o.Alone {
		decides = level(o.Level)
	}
	if err := w.vouch(proposer, o.Operator, o.Key, decides); err != nil {
		return fmt.Errorf("proposer: %w", err)
	}
	for _, v := range o.Voters {
		if err := w.vouch(v.ID, v.Operator, v.Key, level(v.Level)); err != nil {
			return fmt.Errorf("voter: %w", err)
		}
	}
	return nil
}

// vouchers reads, once, what the certificate brings along about its parties.
func (e *examination) vouchers() (w *witnesses, err error) {
	if e.witnesses == nil {
		e.witnesses, err = newWitnesses(e)
	}
	return e.witnesses, err
}

// witnesses is what the certificate brings along about its parties, indexed.
type witnesses struct {
	realm      wire.Realm
	remembered *Verifier
	enrol      identity.Level                   // highest level that one operator's token gives
	operators  map[identity.ID]bool             // shown to be operators
	holders    map[wire.PublicKey][]identity.ID // operators by all keys they have had
	appointed  []appointment                    // not yet shown to be signed by enough operators
	successors map[identity.ID][][]byte         // successions by principal, oldest first
	enrolments map[identity.ID][]byte           // by agent
	raised     map[identity.ID]identity.Level   // shown to have been given by enough operators
	known      map[identity.ID][]wire.PublicKey // answers of keys
}

func newWitnesses(e *examination) (*witnesses, error) {
	w := &witnesses{
		realm: e.a.Realm, remembered: e.known, operators: map[identity.ID]bool{},
		holders: map[wire.PublicKey][]identity.ID{}, raised: map[identity.ID]identity.Level{},
		successors: map[identity.ID][][]byte{}, enrolments: map[identity.ID][]byte{},
		known: map[identity.ID][]wire.PublicKey{},
	}
	for _, raw := range e.c.Keys {
		s, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		w.successors[s.Claim.Principal] = append(w.successors[s.Claim.Principal], raw)
	}
	for _, raw := range e.c.Enrolments {
		c, err := wire.ParseCosigned[identity.Enrolment](raw, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		w.enrolments[c.Claim.Agent] = raw
	}
	for _, root := range e.a.Roots {
		if err := w.admit(root); err != nil {
			return nil, err
		}
	}
	for _, raw := range e.c.Operators {
		body, signed, err := commanded[registry.AddOperator](w.realm, raw, registry.TypeOperator)
		if err != nil {
			return nil, err
		}
		w.appointed = append(w.appointed, appointment{operator: body.Operator, signed: signed})
	}
	return w, nil
}

// appointment is a command that makes somebody an operator, if enough of those who signed it are operators.
type appointment struct {
	operator identity.ID
	signed   []wire.PublicKey // whose signatures hold
}

// commanded reads a command of one of the types and returns what it asks for and whose signatures it has. All of them hold;
// whether they are enough is the caller's to say.
func commanded[T any](realm wire.Realm, raw []byte, types ...registry.Type) (body T, signed []wire.PublicKey, err error) {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return body, nil, err
	}
	if !slices.Contains(types, c.Claim.Type) {
		return body, nil, wire.ErrWrongKind
	}
	if body, err = registry.Body[T](c.Claim); err != nil {
		return body, nil, err
	}
	signed = c.Keys()
	_, err = c.Verify(realm, 1, signed)
	return body, signed, err
}

// admit takes somebody as an operator, by every key that it has had.
func (w *witnesses) admit(operator identity.ID) error {
	if w.operators[operator] {
		return nil
	}
	keys, err := w.keys(operator)
	if err != nil {
		return err
	}
	w.operators[operator] = true
	for _, k := range keys {
		w.holders[k] = append(w.holders[k], operator)
	}
	return nil
}

// admitOperators accepts commands that made operators, in any order, until no more can be accepted: each needs the
// signatures of so many distinct operators.
func (w *witnesses) admitOperators(loosen uint64) error {
	for {
		var rest []appointment
		for _, a := range w.appointed {
			if w.signers(a.signed) < loosen {
				rest = append(rest, a)
				continue
			}
			if err := w.admit(a.operator); err != nil {
				return err
			}
		}
		if len(rest) == len(w.appointed) {
			return nil
		}
		w.appointed = rest
	}
}

// signers returns how many distinct operators the keys are, by any key that each has had.
func (w *witnesses) signers(signed []wire.PublicKey) uint64 {
	distinct := map[identity.ID]bool{}
	for _, k := range signed {
		for _, id := range w.holders[k] {
			distinct[id] = true
		}
	}
	return uint64(len(distinct))
}

// admitAll accepts every command that made an operator or raised an agent's level, and refuses the certificate if one
// cannot be accepted.
func (w *witnesses) admitAll(raises [][]byte, governed reign) error {
	w.enrol = governed.enrol
	if err := w.admitOperators(governed.loosen); err != nil {
		return err
	}
	if len(w.appointed) > 0 {
		return fmt.Errorf("%w: a command that made an operator lacks signatures", ErrUnvouched)
	}
	for _, raw := range raises {
		// A promotion raises as a level command does: what it was earned by, nobody can prove here, so the signatures count.
		body, signed, err := commanded[registry.SetLevel](w.realm, raw, registry.TypeLevel, registry.TypePromote)
		if err != nil {
			return err
		}
		if w.signers(signed) < governed.loosen {
			return fmt.Errorf("%w: a command that raised %s lacks signatures", ErrUnvouched, body.Principal)
		}
		w.raised[body.Principal] = max(w.raised[body.Principal], body.Level)
	}
	return nil
}

// keys returns the identity keys that a principal has had, oldest first.
func (w *witnesses) keys(id identity.ID) ([]wire.PublicKey, error) {
	if keys, ok := w.known[id]; ok {
		return keys, nil
	}
	chain := w.successors[id]
	if _, err := identity.VerifySuccessions(w.realm, id, chain); err != nil {
		return nil, err
	}
	keys := []wire.PublicKey{id.Key()}
	for _, raw := range chain {
		c, err := wire.ParseCosigned[identity.Succession](raw, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		keys = append(keys, c.Claim.New)
	}
	w.known[id] = keys
	return keys, nil
}

// vouch checks that key is an identity key that id has had (it may have changed since the decision opened), that
// operator answers for it, and that operators have given it the level.
func (w *witnesses) vouch(id, operator identity.ID, key wire.PublicKey, at identity.Level) error {
	keys, err := w.keys(id)
	if err != nil {
		return err
	}
	if !slices.Contains(keys, key) || !w.operators[operator] {
		return fmt.Errorf("%w: %s", ErrUnvouched, id)
	}
	if id.Role() == identity.Operator {
		if id != operator {
			return fmt.Errorf("%w: %s", ErrUnvouched, id)
		}
		return nil
	}
	given, err := w.enrolled(id, operator)
	if err != nil {
		return err
	}
	if at > max(given, w.raised[id]) {
		return fmt.Errorf("%w: nobody gave %s level %s", ErrUnvouched, id, at)
	}
	return nil
}

// enrolled checks the agent's enrolment by any key its operator has had, and returns the level that its token gave: at
// most what the policy lets one operator give.
func (w *witnesses) enrolled(id, operator identity.ID) (identity.Level, error) {
	operatorKeys, err := w.keys(operator)
	if err != nil {
		return 0, err
	}
	for _, key := range operatorKeys {
		invited, err := w.remembered.enrolment(w.enrolments[id], w.realm, key)
		if err != nil {
			continue
		}
		if invited.agent == id && invited.operator == operator {
			return min(invited.level, w.enrol), nil
		}
	}
	return 0, fmt.Errorf("%w: no enrolment of %s", ErrUnvouched, id)
}
