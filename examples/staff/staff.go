// Package staff brings into a realm of `conclave dev` whom an example needs beside the person whose realm it is: an agent of
// that person that proposes, and an operator of its own with agents that vote. In a realm that is in use people do all of this by
// hand: conclave operator add, agent token, agent grant, policy apply.
//
//	team, err := staff.Hire(ctx, person, staff.Role{Name: "coder"}, []staff.Role{{Name: "tests", Family: "tests"}})
//	defer team.Dismiss(ctx)
package staff

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Role is what an agent is hired for.
type Role struct {
	Name     string // its own, in this run
	Family   string // of which model it is made, written like a capability; "" for none
	StateDir string // keeps its sealed ballots while it is away; "" for one that does not go away
	Apart    bool   // of a proposer: an operator of its own answers for it, and not the person

	Level  identity.Level // L3 where it is 0
	Serves []string       // what it may serve; anything where it is nil
}

func (r Role) level() identity.Level {
	if r.Level == 0 {
		return identity.Journeyer
	}
	return r.Level
}

func (r Role) serves() []string {
	if r.Serves == nil {
		return []string{"*"}
	}
	return r.Serves
}

// Team is who was hired. Its agents are connected, each by a connection of its own. It is not safe for concurrent use; its agents
// are.
type Team struct {
	Proposer *sdk.Agent
	Voters   []*sdk.Agent // in the order of their roles
	Operator *sdk.Agent   // who answers for the voters
	Owner    *sdk.Agent   // who answers for the proposer
	Own      []*sdk.Agent // brought in by Bring

	person *sdk.Agent
	opts   []sdk.Option
	suffix string // of all names: those of an earlier run stay taken
	place  sdk.Profile
	voters []sdk.Profile
	hired  []sdk.ID
	before *policy.Policy // that Govern replaced
}

// Hire enrols and connects a proposer under the person, and the voters under an operator of their own, by connections that the
// options describe. The person must govern the realm alone, as in one of `conclave dev`. Whoever has it calls Dismiss in the end.
func Hire(ctx context.Context, person *sdk.Agent, proposer Role, voters []Role, opts ...sdk.Option) (*Team, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	t := &Team{person: person, opts: opts, suffix: "-" + hex.EncodeToString(random[:])}
	err := t.hire(ctx, proposer, voters)
	if err != nil {
		return nil, errors.Join(err, t.Dismiss(ctx))
	}
	return t, nil
}

func (t *Team) hire(ctx context.Context, proposer Role, voters []Role) (err error) {
	if t.Operator, err = t.appoint(ctx, "voters"); err != nil {
		return err
	}
	t.Owner = t.person
	if proposer.Apart {
		if t.Owner, err = t.appoint(ctx, "owner"); err != nil {
			return err
		}
	}
	if t.Proposer, err = t.enrol(ctx, t.Owner, proposer); err != nil {
		return err
	}
	for _, r := range voters {
		a, err := t.enrol(ctx, t.Operator, r)
		if err != nil {
			return err
		}
		t.Voters, t.voters = append(t.Voters, a), append(t.voters, t.place)
	}
	return nil
}

// Bring enrols and connects a further agent, for which the person answers.
func (t *Team) Bring(ctx context.Context, r Role) (*sdk.Agent, error) {
	a, err := t.enrol(ctx, t.person, r)
	if err == nil {
		t.Own = append(t.Own, a)
	}
	return a, err
}

// Name returns the name in the realm of whom was hired for a role.
func (t *Team) Name(r Role) string { return r.Name + t.suffix }

// appoint makes a further operator, and connects it.
func (t *Team) appoint(ctx context.Context, name string) (*sdk.Agent, error) {
	signer, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		return nil, err
	}
	added := registry.AddOperator{Operator: signer.ID(), Name: name + t.suffix}
	if err := order(ctx, t.person, registry.TypeOperator, added); err != nil {
		return nil, err
	}
	t.hired = append(t.hired, signer.ID())
	text, err := t.person.Admin().Invite(name+t.suffix, identity.Observer, nil, time.Minute) // says where the nodes are
	if err != nil {
		return nil, err
	}
	_, at, err := identity.ParseInvitation(text)
	if err != nil {
		return nil, err
	}
	return t.connect(ctx, sdk.Profile{
		Realm: t.person.Self().Realm, Addresses: at.Addresses, Pins: at.Pins, Signer: signer,
	})
}

// enrol makes one agent of the operator, and connects it.
func (t *Team) enrol(ctx context.Context, by *sdk.Agent, r Role) (*sdk.Agent, error) {
	invitation, err := by.Admin().Invite(r.Name+t.suffix, r.level(), r.serves(), time.Minute)
	if err != nil {
		return nil, err
	}
	signer, profile, err := sdk.Enrol(ctx, invitation, sdk.KeepNothing(), t.opts...)
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", r.Name, err)
	}
	t.hired = append(t.hired, signer.ID())
	profile.StateDir = r.StateDir
	t.place = profile
	if r.Family != "" {
		grant := registry.Grant{Principal: signer.ID(), Serves: r.serves(), Family: r.Family}
		if err := order(ctx, by, registry.TypeGrant, grant); err != nil {
			return nil, err
		}
	}
	return t.connect(ctx, profile)
}

func (t *Team) connect(ctx context.Context, p sdk.Profile) (*sdk.Agent, error) {
	return sdk.Connect(ctx, append([]sdk.Option{sdk.WithProfile(p)}, t.opts...)...)
}

// Govern replaces the realm's policy by one that change has changed, until Dismiss. It may be called once.
func (t *Team) Govern(ctx context.Context, change func(*policy.Policy)) error {
	before := t.person.Admin().Policy()
	after, err := policy.Parse(before.Encode()) // a copy
	if err != nil {
		return err
	}
	change(&after)
	if after.Digest() == before.Digest() {
		return nil
	}
	if err := t.put(ctx, after); err != nil {
		return err
	}
	t.before = &before
	return nil
}

func (t *Team) put(ctx context.Context, p policy.Policy) error {
	raw, err := t.person.Admin().Govern(p)
	if err == nil {
		_, err = t.person.Admin().Submit(ctx, raw)
	}
	return err
}

// Dismiss puts the policy back, takes all rights from whom Hire brought in, and disconnects them. What they have signed stays
// valid.
func (t *Team) Dismiss(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if t.before != nil {
		err = t.put(ctx, *t.before)
		t.before = nil
	}
	for _, a := range slices.Concat(t.Voters, t.Own, []*sdk.Agent{t.Proposer, t.Operator, t.Owner}) {
		if a != nil && a != t.person {
			err = errors.Join(err, a.Close(ctx))
		}
	}
	for _, id := range t.hired {
		gone := registry.SetStatus{Principal: id, Status: trust.Revoked, Reason: "the example has ended"}
		err = errors.Join(err, order(ctx, t.person, registry.TypeStatus, gone))
	}
	t.Voters, t.Own, t.Proposer, t.Operator, t.Owner, t.hired = nil, nil, nil, nil, nil, nil
	return err
}

// Leave ends voter i's connection, as if its process ended. It may have committed to ballots.
func (t *Team) Leave(ctx context.Context, i int) error { return t.Voters[i].Close(ctx) }

// Join connects voter i again, which has left. Its role must have a StateDir: what it has committed to it then reveals by itself.
func (t *Team) Join(ctx context.Context, i int) (err error) {
	a, err := t.connect(ctx, t.voters[i])
	if err == nil {
		t.Voters[i] = a
	}
	return err
}

// order has an operator hand in a command that it signs alone.
func order(ctx context.Context, by *sdk.Agent, typ registry.Type, body any) error {
	raw, err := by.Admin().Prepare(typ, body, 0)
	if err == nil {
		_, err = by.Admin().Submit(ctx, raw)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", typ, err)
	}
	return nil
}
