package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// putRoster replaces the roster by its successor. Who must have signed that, and that a join token serves once, is
// identity's to say. It moves no time: the next tick does, by the nodes that are then in the roster.
func putRoster(s *state, o *order) (any, error) {
	next, raw, err := succession(s, o)
	if err != nil {
		return nil, err
	}
	s.authority, s.rosters = next, append(s.rosters[:len(s.rosters):len(s.rosters)], raw)
	for node := range s.clocks {
		if !slices.Contains(next.Nodes, node) {
			delete(s.clocks, node)
		}
	}
	s.advance()
	s.change.Roster = true
	return registry.Seated{Number: next.Number, ID: next.Latest(), Nodes: next.Nodes, Joining: next.Joining}, nil
}

// succession checks everything about a new roster and changes nothing.
func succession(s *state, o *order) (*identity.Authority, []byte, error) {
	body, err := registry.Body[registry.PutRoster](o.Command)
	if err != nil {
		return nil, nil, err
	}
	next, err := s.authority.Next(body.Roster)
	if err != nil {
		return nil, nil, err
	}
	if err := s.inTime(body.Roster); err != nil {
		return nil, nil, err
	}
	if !slices.Equal(next.Roots, s.authority.Roots) || next.Threshold != s.authority.Threshold {
		return nil, nil, errRoots
	}
	return next, body.Roster, nil
}

// inTime checks a verified roster by log time, which a majority of the nodes makes: the time that the roster itself
// names is only the word of whoever wrote it.
func (s *state) inTime(roster []byte) error {
	c, err := wire.ParseCosigned[identity.Roster](roster, wire.MaxStatement)
	if err != nil {
		return err
	}
	if c.Claim.Issued > s.now+identity.Skew {
		return fmt.Errorf("roster: %w", identity.ErrNotYet)
	}
	if len(c.Claim.Admission) == 0 {
		return nil
	}
	admission, err := wire.ParseCosigned[identity.Admission](c.Claim.Admission, wire.MaxStatement)
	if err != nil {
		return err
	}
	token, err := wire.ParseCosigned[identity.JoinToken](admission.Claim.Token, wire.MaxStatement)
	if err != nil {
		return err
	}
	if token.Claim.Expires <= s.now {
		return fmt.Errorf("%w: join token", ErrExpired)
	}
	return nil
}

// maySucceed refuses rosters that Apply could only refuse, but for the time, which may lag.
func maySucceed(s *state, o *order) error {
	_, _, err := succession(s, o)
	if errors.Is(err, identity.ErrNotYet) {
		return nil
	}
	return err
}

var errRoots = fault.New(fault.Version, "ledger: this build does not change root operators or their threshold").
	WithHint("leave roots and threshold as they are; add operators with: conclave operator add")

// Rosters returns all rosters after the genesis as they were signed, oldest first. The caller must not change them.
func (l *Ledger) Rosters() [][]byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.state.rosters)
}
