package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
)

// joinRequest is what a node that was invited hands in.
type joinRequest struct {
	Admission []byte `cbor:"1,keyasint"` // identity.Admission
	Record    record `cbor:"2,keyasint"`
}

// joinAnswer is what it learns: everything signed is verified by it, the addresses are hints.
type joinAnswer struct {
	Genesis []byte   `cbor:"1,keyasint"`
	Rosters [][]byte `cbor:"2,keyasint"`
	Policy  []byte   `cbor:"3,keyasint"`
	Known   []record `cbor:"4,keyasint"`
}

var (
	errNotTheInvited = fault.New(fault.Denied, "node: the connection was not made with the invitation's one-time key")
	errNotReady      = fault.New(fault.Unreachable, "node: this node cannot admit others now").
				WithHint("try again in a moment, or at another node")
)

// onJoin gives an invited node its place.
func (c peering) onJoin(ctx context.Context, oneTime wire.PublicKey, body []byte) ([]byte, error) {
	var in joinRequest
	if err := wire.Decode(body, &in); err != nil {
		return nil, err
	}
	r := c.node.live.registrar.Load()
	if r == nil {
		return nil, errNotReady
	}
	a := r.Authority()
	admission, token, err := identity.VerifyAdmission(in.Admission, c.node.Realm(), a.Roots, a.Threshold)
	if err != nil {
		return nil, err
	}
	if token.Statement().OneTime != oneTime {
		return nil, errNotTheInvited
	}
	if in.Record.Node != admission.Statement().Node {
		return nil, errSpeaksForOther
	}
	if _, err := r.AdmitNode(ctx, in.Admission); err != nil {
		return nil, err
	}
	steward(c).follow()
	known := append(c.book.records(), c.self())
	if err := c.book.overhear(in.Record.Node, []record{in.Record}); err != nil {
		return nil, err
	}
	return wire.Encode(joinAnswer{
		Genesis: c.node.contents.genesis, Rosters: r.Rosters(), Policy: c.node.contents.policy.Encode(), Known: known,
	})
}

// Place says where a new node listens.
type Place struct {
	Listen    string // host:port for agents
	Cluster   string // host:port for nodes
	Advertise string // host that others reach, where it listens on all addresses; may be empty
}

var (
	// ErrInvitation is returned when an invitation is over or not of the realm that answers.
	ErrInvitation = fault.New(fault.Expired, "node: the join token has expired").
			WithHint("have an operator make another: conclave server token")
	errNobodyAnswers error = fault.New(fault.Unreachable, "node: no node of the realm that the join token names admits this one").
				WithHint("check that they run and that their cluster addresses can be reached from here")
	errNotSeated = fault.New(fault.Denied, "node: the realm's roster does not name this node")
)

// Join makes a node of an existing realm in dir: it makes the node's key, has a node that the invitation names admit it
// and keeps what it has verified. [Open] runs it. A join that failed half-way may be made again with the same
// directory. Errors carry codes: expired, spent, denied, unreachable, conflict if the directory holds a realm.
func Join(ctx context.Context, dir, invitation string, at Place) (wire.Realm, error) {
	i, token, err := identity.ParseJoinInvitation(invitation)
	if err != nil {
		return wire.Realm{}, err
	}
	now := time.Now().UnixMilli()
	if token.Expires <= now {
		return wire.Realm{}, fmt.Errorf("%w on %s", ErrInvitation, time.UnixMilli(token.Expires).UTC().Format(time.RFC3339))
	}
	settings := at.settings()
	if _, err := parseSettings([]byte(settings)); err != nil {
		return wire.Realm{}, err
	}
	d, err := datadir.Open(dir)
	if err != nil {
		return wire.Realm{}, err
	}
	defer d.Close()
	if _, err := datadir.ReadPrivate(filepath.Join(dir, genesisFile), wire.MaxStatement); !errors.Is(err, fs.ErrNotExist) {
		return wire.Realm{}, errors.Join(ErrExists, err)
	}
	signer, err := nodeKey(filepath.Join(dir, keyFile))
	if err != nil {
		return wire.Realm{}, err
	}
	admission, err := i.Join(signer, now)
	if err != nil {
		return wire.Realm{}, err
	}
	body, err := wire.Encode(joinRequest{
		Admission: admission, Record: record{Node: signer.ID(), Cluster: at.reached(), Stamp: now},
	})
	if err != nil {
		return wire.Realm{}, err
	}
	answer, err := askAny(ctx, i, token, body)
	if err != nil {
		return wire.Realm{}, err
	}
	return i.Realm, settle(dir, i.Realm, token.Roster, signer.ID(), settings, answer)
}

// nodeKey reads the key that an earlier attempt made, or makes one.
func nodeKey(path string) (identity.Signer, error) {
	signer, err := agefile.Load(path, nil)
	if fault.CodeOf(err) != fault.NotFound {
		return signer, err
	}
	signer, seed, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		return identity.Signer{}, err
	}
	return signer, agefile.Save(path, identity.Node, seed, nil)
}

// How often and how fast a node that wants to join asks again: a realm admits one a second from one address, and its
// log pauses a moment when the second node comes.
const (
	joinRounds = 15
	joinPause  = 1100 * time.Millisecond
)

// askAny asks the nodes that the token names, one after the other and again, until one admits.
func askAny(ctx context.Context, i identity.JoinInvitation, t identity.JoinToken, body []byte) (joinAnswer, error) {
	for round := 1; ; round++ {
		answer, err := askEach(ctx, i, t, body)
		if err == nil || !passing(err) || round == joinRounds {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, errors.Join(ctx.Err(), err)
		case <-time.After(joinPause):
		}
	}
}

// passing reports whether a refusal may be over soon: nobody answers, too many ask, another change is under way.
func passing(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Unreachable, fault.Rate, fault.Uncertain, fault.Conflict:
		return true
	}
	return false
}

func askEach(ctx context.Context, i identity.JoinInvitation, t identity.JoinToken, body []byte) (joinAnswer, error) {
	var answer joinAnswer
	refused := errNobodyAnswers
	for _, address := range t.Addresses {
		raw, err := mesh.AskToJoin(ctx, address, t.Pins, i.Realm, i.Key(), body)
		if err == nil {
			return answer, wire.Decode(raw, &answer)
		}
		if !passing(err) {
			return answer, err // no other node would say otherwise
		}
		refused = fmt.Errorf("%w: %s: %w", refused, address, err)
	}
	return answer, refused
}

// settle verifies what a member said and writes the data directory, the genesis last: with it the directory is a node's.
func settle(dir string, realm wire.Realm, least uint64, self identity.ID, settings string, answer joinAnswer) error {
	a, err := identity.VerifyChain(realm, answer.Genesis, answer.Rosters, least)
	if err != nil {
		return err
	}
	if !slices.Contains(a.Members(), self) {
		return errNotSeated
	}
	if wire.Hash(answer.Policy) != a.Policy {
		return fmt.Errorf("policy: %w", wire.ErrMalformed)
	}
	p, err := policy.Parse(answer.Policy)
	if err != nil {
		return err
	}
	text, err := policyfile.Marshal(p)
	if err != nil {
		return err
	}
	known, err := wire.Encode(answer.Known)
	if err != nil {
		return err
	}
	if err := writeChain(filepath.Join(dir, chainFile), answer.Rosters); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{policyFile, text}, {settingsFile, []byte(settings)}, {bookFile, known}, {genesisFile, answer.Genesis}} {
		if err := datadir.WritePrivate(filepath.Join(dir, f.name), f.content); err != nil {
			return err
		}
	}
	return nil
}
