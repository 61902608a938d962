package proof

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// vouched follows every party's key to the genesis: an agent's to an enrolment that its operator signed, an operator's
// to the roots, or to a command that enough vouched-for operators signed. So not even all nodes together can make a
// voter up.
func (e *examination) vouched() error {
	w, err := newWitnesses(e)
	if err != nil {
		return err
	}
	o, proposer := e.c.Opening, e.proposal.Statement().Proposer
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

// witnesses is what the certificate brings along about its parties, indexed.
type witnesses struct {
	realm      wire.Realm
	loosen     int
	enrol      identity.Level                   // highest level that one operator's token gives
	operators  map[identity.ID]bool             // shown to be operators
	successors map[identity.ID][][]byte         // successions by principal, oldest first
	enrolments map[identity.ID][]byte           // by agent
	raised     map[identity.ID]identity.Level   // shown to have been given by enough operators
	known      map[identity.ID][]wire.PublicKey // answers of keys
}

func newWitnesses(e *examination) (*witnesses, error) {
	w := &witnesses{
		realm: e.a.Realm, loosen: int(e.policy.Loosen), enrol: e.policy.Enrol, operators: map[identity.ID]bool{},
		raised:     map[identity.ID]identity.Level{},
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
		w.operators[root] = true
	}
	if err := w.admitOperators(e.c.Operators); err != nil {
		return nil, err
	}
	return w, w.admitRaises(e.c.Levels)
}

// appointment is a command that makes somebody an operator, if enough of those who signed it are operators.
type appointment struct {
	operator identity.ID
	signed   []wire.PublicKey // whose signatures hold
}

// admitOperators accepts commands that made operators, in any order, until no more can be accepted. It verifies each
// signature once, however the commands are ordered.
func (w *witnesses) admitOperators(commands [][]byte) error {
	pending := make([]appointment, len(commands))
	for i, raw := range commands {
		a, err := w.readAppointment(raw)
		if err != nil {
			return err
		}
		pending[i] = a
	}
	for len(pending) > 0 {
		var rest []appointment
		for _, a := range pending {
			ok, err := w.admitOperator(a)
			if err != nil {
				return err
			}
			if !ok {
				rest = append(rest, a)
			}
		}
		if len(rest) == len(pending) {
			return fmt.Errorf("%w: a command that made an operator lacks signatures", ErrUnvouched)
		}
		pending = rest
	}
	return nil
}

func (w *witnesses) readAppointment(raw []byte) (appointment, error) {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return appointment{}, err
	}
	if c.Claim.Type != registry.TypeOperator {
		return appointment{}, wire.ErrWrongKind
	}
	body, err := registry.Body[registry.AddOperator](c.Claim)
	if err != nil {
		return appointment{}, err
	}
	signed := c.Keys()
	if _, err := c.Verify(w.realm, 1, signed); err != nil {
		return appointment{}, err
	}
	return appointment{operator: body.Operator, signed: signed}, nil
}

// admitOperator reports whether enough distinct operators, by any key they have had, signed the command.
func (w *witnesses) admitOperator(a appointment) (bool, error) {
	enough, err := w.quorum(a.signed)
	if enough {
		w.operators[a.operator] = true
	}
	return enough, err
}

// quorum reports whether the keys are those of enough distinct operators, by any key that each has had.
func (w *witnesses) quorum(signed []wire.PublicKey) (bool, error) {
	signers := 0
	for id := range w.operators {
		keys, err := w.keys(id)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(keys, func(k wire.PublicKey) bool { return slices.Contains(signed, k) }) {
			signers++
		}
	}
	return signers >= w.loosen, nil
}

// admitRaises accepts commands that raised an agent's level. All operators who signed them are known by now.
func (w *witnesses) admitRaises(commands [][]byte) error {
	for _, raw := range commands {
		c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
		if err != nil {
			return err
		}
		if c.Claim.Type != registry.TypeLevel {
			return wire.ErrWrongKind
		}
		body, err := registry.Body[registry.SetLevel](c.Claim)
		if err != nil {
			return err
		}
		signed := c.Keys()
		if _, err := c.Verify(w.realm, 1, signed); err != nil {
			return err
		}
		enough, err := w.quorum(signed)
		if err != nil {
			return err
		}
		if !enough {
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
		enrolment, token, err := identity.VerifyEnrolment(w.enrolments[id], w.realm, key)
		if err != nil {
			continue
		}
		if enrolment.Statement().Agent == id && token.Statement().Operator == operator {
			return min(token.Statement().Level, w.enrol), nil
		}
	}
	return 0, fmt.Errorf("%w: no enrolment of %s", ErrUnvouched, id)
}
