package registrar

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Admission is what the ledger says of a connection now.
type Admission struct {
	Principal   identity.ID
	Process     wire.Digest // id of its credential; for a one-time key, the key's digest
	Permissions bus.Permissions
	Restricted  []string // subjects that it may still publish on while this node has no lease; none: it is disconnected
	Rate        uint64   // messages a minute
	Expires     int64    // Unix milliseconds: the connection ends then
}

var errConnectKey = fault.New(fault.BadKey, "registrar: the TLS key is not the one that the credential or token names")

var errUsed = fault.New(fault.Spent, "registrar: the token was used, or another agent has its name")

// Admit judges a credential, as it came, of a client that proved the key connect.
func (r *Registrar) Admit(raw []byte, connect wire.PublicKey, now int64) (Admission, error) {
	if err := r.mayServe(); err != nil {
		return Admission{}, err
	}
	claimed, err := wire.Parse[identity.Credential](raw, wire.MaxStatement)
	if err != nil {
		return Admission{}, err
	}
	m, err := r.ledger.Member(claimed.Claim.Principal)
	if err != nil {
		return Admission{Principal: claimed.Claim.Principal}, err
	}
	a := Admission{Principal: m.ID}
	v, err := identity.VerifyCredential(raw, r.Realm(), m.Key, now)
	if err != nil {
		return a, err
	}
	c := v.Statement()
	if c.Connect != connect {
		return a, errConnectKey
	}
	if err := m.Status.Check(); err != nil {
		return a, err
	}
	if c.Epoch < m.Epoch {
		return a, trust.ErrSuperseded
	}
	if err := r.presences.connect(v, r.ID(), now); err != nil {
		return a, err
	}
	rules := r.ledger.Policy()
	rights, left := rules.Rights(m.Level), rules.RestrictedRights(m.Level)
	a.Rate = throttled(rights.Rate, m.Throttle) + bus.ControlRate
	if m.ID.Role() != identity.Agent {
		rights, left, a.Rate = trust.Rights{}, trust.Rights{}, bus.OperatorRate
	}
	a.Process, a.Expires = v.ID(), c.Expires
	party := bus.Party{
		Realm: r.Realm(), Node: r.ID(), Principal: m.ID, Process: v.ID(), Status: m.Status, Rights: rights,
	}
	a.Permissions = party.Permissions()
	if party.Rights = left; rules.Lease.Restrict {
		a.Restricted = party.Permissions().Publish
	}
	return a, nil
}

// throttled is what suspicion leaves of a rate; throttle is in per mille. What is asked of nodes is not throttled: who is
// suspected must hear what becomes of it.
func throttled(rate, throttle uint64) uint64 {
	return rate * (1000 - min(throttle, 1000)) / 1000 // a rate is at most 60,000,000
}

// AdmitInvited judges an operator's token, as it came, of a client that proved the one-time key connect.
func (r *Registrar) AdmitInvited(raw []byte, connect wire.PublicKey, now int64) (Admission, error) {
	if err := r.mayServe(); err != nil {
		return Admission{}, err
	}
	claimed, err := wire.Parse[identity.Token](raw, wire.MaxStatement)
	if err != nil {
		return Admission{}, err
	}
	a := Admission{Principal: bus.OneTime(claimed.Claim.OneTime)}
	operator, err := r.ledger.Member(claimed.Claim.Operator)
	if err != nil {
		return a, fmt.Errorf("token's operator: %w", err)
	}
	if err := operator.Status.Check(); err != nil {
		return a, fmt.Errorf("token's operator: %w", err)
	}
	v, err := identity.VerifyToken(raw, r.Realm(), operator.Key)
	if err != nil {
		return a, err
	}
	t := v.Statement()
	if err := identity.CheckTime(t.Issued, t.Expires, now); err != nil {
		return a, fmt.Errorf("token: %w", err)
	}
	if t.OneTime != connect {
		return a, errConnectKey
	}
	// Whoever has just enrolled may have missed the answer, and come back for it as long as it is remembered.
	if m, err := r.ledger.Named(t.Name); err == nil && now-m.Joined >= registry.MaxCommandLife {
		return a, errUsed
	}
	a.Process, a.Expires, a.Rate = wire.Hash(t.OneTime[:]), t.Expires, bus.ControlRate
	a.Permissions = bus.OneTimePermissions(r.Realm(), r.ID(), t.OneTime)
	return a, nil
}

// Left says that a process's connection has ended, by itself or because it was cut: nobody is offered it any more.
func (r *Registrar) Left(principal identity.ID, process wire.Digest) {
	r.presences.leave(principal, process, r.ID())
	r.departures.add(control.Process{Principal: principal, Credential: process})
}

// Entered says that a process's connection was admitted: the other nodes hear of it.
func (r *Registrar) Entered(principal identity.ID, process wire.Digest) {
	if q, err := r.presences.process(principal, process); err == nil {
		whereabouts{r}.tell(wordOf(q))
	}
}
