// Package registry names what can be asked of the realm's ledger: the [Command], a principal's signed statement, its
// bodies, one a type, and the results. Every replica checks a command's signatures and authority itself, so a node can
// delay one but not invent one.
//
// It is pure: no clock, socket, goroutine or randomness; times are Unix milliseconds.
package registry

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxCommandLife is the longest a command may wait to be applied: 10 minutes, in milliseconds.
const MaxCommandLife = 10 * 60 * 1000

// Type names what a command asks for.
type Type string

// The types, with the body of each.
const (
	TypeTick     Type = "tick"     // [Tick], by a node
	TypeEnrol    Type = "enrol"    // [Enrol], by the new agent
	TypeOperator Type = "operator" // [AddOperator], loosens
	TypeStatus   Type = "status"   // [SetStatus]; release loosens, the rest tightens
	TypeLevel    Type = "level"    // [SetLevel]; raising loosens, lowering tightens
	TypeGrant    Type = "grant"    // [Grant], by the agent's operator
	TypeCard     Type = "card"     // [PutCard], by the agent
	TypeSucceed  Type = "succeed"  // [Succeed], by the principal
	TypeEpoch    Type = "epoch"    // [RaiseEpoch], by the principal or its operator
	TypePropose  Type = "propose"  // [Propose], by the proposer
	TypeVote     Type = "vote"     // [Cast], by the voter
	TypeConsume  Type = "consume"  // [Consume], by the executor
	TypeReport   Type = "report"   // [Report], by the executor
	TypeRoster   Type = "roster"   // [PutRoster], by a node
	TypeRemind   Type = "remind"   // [Remind], by any member or a node

	TypeCommit     Type = "commit"     // [Commit], by the voter
	TypeCancel     Type = "cancel"     // [Cancel], by the proposer or its operator
	TypeEquivocate Type = "equivocate" // [Equivocate], by anybody
	TypeSettle     Type = "settle"     // [Settle], by a root or the proposer's operator
	TypePolicy     Type = "policy"     // [PutPolicy], loosens

	TypeEvidence Type = "evidence" // [Evidence], by any active member; what it tells is signed by its parties
	TypePromote  Type = "promote"  // [SetLevel]: one level up by evidence, or the lease anew, with the ladder's sign-off
)

// FormatVersion is the version of commands; see spec/README.md.
const FormatVersion = 1

// Feature is the newest feature level that this build speaks: what a node says in its [Tick]. Level 1 brought
// [TypeRoster], level 2 [TypeRemind], level 3 what decisions got with their formats' version 1: [TypeCommit], [TypeCancel],
// [TypeEquivocate], [TypeSettle] and [TypePolicy], level 4 [TypeEvidence] and [TypePromote], children of agents
// (identity.Token), capability digests ([Grant]) and policies that say how to reckon; all other types are of level 0. A
// type is executed from when every node of the roster has told its level.
const Feature = 4

// TrustFeature is the feature level of [TypeEvidence] and [TypePromote].
const TrustFeature = 4

// Command asks for one change. The author signs it, and so do the further operators that a loosening needs.
type Command struct {
	Version uint64      `cbor:"0,keyasint"` // 1
	Nonce   [16]byte    `cbor:"1,keyasint"` // the same author and nonce again: the same answer, no second effect
	Author  identity.ID `cbor:"2,keyasint"`
	Issued  int64       `cbor:"3,keyasint"`           // Unix milliseconds
	Expires int64       `cbor:"4,keyasint"`           // refused from then on, by log time
	Expect  uint64      `cbor:"5,keyasint,omitempty"` // index of the object's last change as the author saw it; 0: any
	Type    Type        `cbor:"6,keyasint"`
	Body    wire.Raw    `cbor:"7,keyasint"`
}

// Kind implements [wire.Statement].
func (Command) Kind() wire.Kind { return wire.Command }

// Check implements [wire.Statement].
func (c Command) Check() error {
	if c.Version != FormatVersion {
		return fmt.Errorf("%w: commands are v: %d", wire.ErrVersion, FormatVersion)
	}
	if c.Issued <= 0 || c.Expires <= c.Issued || c.Expires-c.Issued > MaxCommandLife || len(c.Body) == 0 {
		return fmt.Errorf("%w: command's life or body", wire.ErrMalformed)
	}
	return c.Author.Check()
}

// New returns a command with its body encoded, valid from now for [MaxCommandLife]. The nonce is the caller's.
func New(author identity.ID, typ Type, body any, nonce [16]byte, now int64) (Command, error) {
	b, err := wire.Encode(body)
	if err != nil {
		return Command{}, err
	}
	return Command{
		Version: FormatVersion, Nonce: nonce, Author: author, Issued: now, Expires: now + MaxCommandLife, Type: typ, Body: b,
	}, nil
}

// Body decodes the command's body strictly.
func Body[T any](c Command) (T, error) {
	var body T
	if err := wire.Decode(c.Body, &body); err != nil {
		return body, fmt.Errorf("%s: %w", c.Type, err)
	}
	return body, nil
}
