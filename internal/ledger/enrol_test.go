package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// enrolling is one enrolment that a row spoils before it is signed and handed in.
type enrolling struct {
	s        standardRealm
	agent    identity.Signer // who enrols
	author   identity.Signer // who signs the command
	operator identity.Signer // who signs the token
	token    identity.Token
	once     func(wire.Key) wire.Key // the one-time key that signs the enrolment
	before   func()                  // runs when everything is signed
}

func enrolment(t *testing.T) *enrolling {
	s := standard(t)
	e := &enrolling{s: s, agent: s.Signer(identity.Agent), operator: s.a, token: s.Token(s.a.ID(), "new", identity.Observer)}
	e.author = e.agent
	e.once = func(k wire.Key) wire.Key { return k }
	e.before = func() {}
	return e
}

func (e *enrolling) run() registry.Answer {
	token, once := e.s.Invite(e.operator, e.token)
	raw := e.s.Enrolment(e.agent, token, e.once(once))
	e.before()
	return e.s.Do(e.author, registry.TypeEnrol, registry.Enrol{Enrolment: raw})
}

func TestEnrol(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*enrolling)
		want  fault.Code
	}{
		{"honest", func(*enrolling) {}, ""},
		{"last moment of the token", func(e *enrolling) { e.before = func() { e.s.Tick(60*minute - 1) } }, ""},
		{"token expired", func(e *enrolling) { e.before = func() { e.s.Tick(60 * minute) } }, fault.Expired},
		{"token within skew", func(e *enrolling) { e.token.Issued += identity.Skew }, ""},
		{"token of the future", func(e *enrolling) { e.token.Issued += identity.Skew + 1 }, fault.NotYet},
		{"name taken", func(e *enrolling) { e.token.Name = "worker" }, fault.Conflict},
		{"an operator's name", func(e *enrolling) { e.token.Name = "root-1" }, fault.Conflict},
		{"level above", func(e *enrolling) { e.token.Level = identity.Apprentice }, fault.NoQuorum},
		{"lowest level", func(e *enrolling) { e.token.Level = identity.Quarantined }, ""},
		{"operator quarantined", func(e *enrolling) {
			e.before = func() { e.s.Must(e.s.b, registry.TypeStatus, quarantine(e.s.a.ID())) }
		}, fault.Quarantined},
		{"operator revoked", func(e *enrolling) {
			e.before = func() { e.s.Must(e.s.b, registry.TypeStatus, revoke(e.s.a.ID())) }
		}, fault.Revoked},
		{"operator unknown", func(e *enrolling) {
			e.operator = e.s.Signer(identity.Operator)
			e.token.Operator = e.operator.ID()
		}, fault.Unknown},
		{"token signed by another operator", func(e *enrolling) { e.operator = e.s.b }, fault.BadSignature},
		{"operator's superseded key", func(e *enrolling) { e.s.Rotate(e.s.a) }, fault.BadSignature},
		{"stolen token without its seed", func(e *enrolling) {
			e.once = func(wire.Key) wire.Key { return e.s.Key() }
		}, fault.NoQuorum},
		{"another agent's enrolment", func(e *enrolling) { e.author = e.s.Signer(identity.Agent) }, fault.Denied},
		{"handed in by an operator", func(e *enrolling) { e.author = e.s.a }, fault.Conflict},
		{"handed in by an unknown operator", func(e *enrolling) { e.author = e.s.Signer(identity.Operator) }, fault.Denied},
		{"handed in by a node", func(e *enrolling) { e.author = e.s.Nodes[0] }, fault.Denied},
		{"long token", func(e *enrolling) { e.token.Addresses = []string{strings.Repeat("a", 7<<10)} }, ""},
		{"too long a token", func(e *enrolling) { e.token.Addresses = []string{strings.Repeat("a", 8<<10)} }, fault.TooLarge},
		{"enrolled before", func(e *enrolling) { e.agent, e.author = e.s.worker, e.s.worker }, fault.Conflict},
		{"an operator's key", func(e *enrolling) {
			e.agent = identity.NewSigner(identity.NewID(identity.Agent, e.s.b.Public()), e.s.b.Key())
			e.author = e.agent
		}, fault.Conflict},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := enrolment(t)
			row.spoil(e)
			members, size := len(e.s.Ledger.Members()), e.s.Ledger.Size()
			answer := e.run()
			wantCode(t, answer, row.want)
			if e.s.Ledger.Size() == size {
				t.Error("the command left no leaf")
			}
			if joined := len(e.s.Ledger.Members()) > members; joined != (row.want == "") {
				t.Errorf("joined %v with %q", joined, row.want)
			}
		})
	}
}

func TestEnrolledMember(t *testing.T) {
	e := enrolment(t)
	change := result[registry.Change](t, e.run())
	m, err := e.s.Ledger.Named("new")
	wantErr(t, err, "")
	if m.ID != e.agent.ID() || m.Operator != e.s.a.ID() || m.Key != e.agent.Public() || m.Status != trust.Active ||
		m.Level != identity.Observer || m.Joined != e.s.Now || m.Changed != e.s.Ledger.Size() || len(m.Serves) != 1 {
		t.Errorf("got %+v", m)
	}
	if change != (registry.Change{Principal: m.ID, Status: m.Status, Level: m.Level, Key: m.Key}) {
		t.Errorf("got %+v", change)
	}
}

func TestTokenIsSpent(t *testing.T) {
	s := solo(t)
	token, once := s.Invite(s.root, s.Token(s.rootID, "first", identity.Observer))
	first, second := s.Signer(identity.Agent), s.Signer(identity.Agent)
	spent, late := s.Enrolment(first, token, once), s.Enrolment(second, token, once)
	s.Must(first, registry.TypeEnrol, registry.Enrol{Enrolment: spent})
	wantCode(t, s.Do(second, registry.TypeEnrol, registry.Enrol{Enrolment: late}), fault.Spent)
	s.Tick(59 * minute) // sweeps, and the token is not over yet
	wantCode(t, s.Do(second, registry.TypeEnrol, registry.Enrol{Enrolment: late}), fault.Spent)
	s.Tick(2 * minute)
	wantCode(t, s.Do(second, registry.TypeEnrol, registry.Enrol{Enrolment: late}), fault.Expired)
}

// A used token does not open the log any more, except to ask for the answer again.
func TestUsedTokenIsNotAdmissible(t *testing.T) {
	s := solo(t)
	token, once := s.Invite(s.root, s.Token(s.rootID, "first", identity.Observer))
	enrol := func(agent identity.Signer) []byte {
		body := registry.Enrol{Enrolment: s.Enrolment(agent, token, once)}
		return s.Sign(s.Command(agent.ID(), registry.TypeEnrol, body), agent)
	}
	first, second := enrol(s.Signer(identity.Agent)), enrol(s.Signer(identity.Agent))
	wantErr(t, s.Ledger.Admissible(first), "")
	wantErr(t, s.Ledger.Admissible(second), "")
	wantCode(t, s.Apply(first), "")
	wantErr(t, s.Ledger.Admissible(first), "")
	wantErr(t, s.Ledger.Admissible(second), fault.Spent)

	other, otherOnce := s.Invite(s.root, s.Token(s.rootID, "first", identity.Observer))
	agent := s.Signer(identity.Agent)
	taken := registry.Enrol{Enrolment: s.Enrolment(agent, other, otherOnce)}
	wantErr(t, s.Ledger.Admissible(s.Sign(s.Command(agent.ID(), registry.TypeEnrol, taken), agent)), fault.Conflict)
}

func TestEnrolBodies(t *testing.T) {
	s := solo(t)
	agent := s.Signer(identity.Agent)
	token, once := s.Invite(s.root, s.Token(s.rootID, "new", identity.Observer))
	wantErr(t, s.Ledger.Admissible(s.Sign(s.Command(agent.ID(), registry.TypeEnrol,
		registry.Enrol{Enrolment: s.Enrolment(agent, token, once)}), agent)), "")
	noToken := s.Sign(identity.Enrolment{Version: 1, Token: []byte{1}, Agent: agent.ID(), Issued: s.Now}, agent)
	for name, body := range map[string]any{
		"no enrolment":  registry.Enrol{},
		"no token":      registry.Enrol{Enrolment: noToken},
		"another body":  registry.Tick{Time: 1},
		"not a mapping": 5,
	} {
		t.Run(name, func(t *testing.T) {
			command := s.Sign(s.Command(agent.ID(), registry.TypeEnrol, body), agent)
			wantErr(t, s.Ledger.Admissible(command), fault.Malformed)
			wantCode(t, s.Apply(command), fault.Malformed)
		})
	}
}

func TestAddOperator(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(s standardRealm, fresh identity.Signer) registry.Answer
		want fault.Code
	}{
		{"two of three", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, s.b)
		}, ""},
		{"one of three", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"})
		}, fault.NoQuorum},
		{"one and its candidate", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, n)
		}, fault.NoQuorum},
		{"one and an agent", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, s.reviewer)
		}, fault.NoQuorum},
		{"one and a quarantined one", func(s standardRealm, n identity.Signer) registry.Answer {
			s.Must(s.c, registry.TypeStatus, quarantine(s.b.ID()))
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, s.b)
		}, fault.NoQuorum},
		{"one and a superseded key", func(s standardRealm, n identity.Signer) registry.Answer {
			s.Rotate(s.b)
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, s.b)
		}, fault.NoQuorum},
		{"by an agent", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.worker, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "new"}, s.a, s.b)
		}, fault.Denied},
		{"an agent's name", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator,
				registry.AddOperator{Operator: s.Signer(identity.Agent).ID(), Name: "new"}, s.b)
		}, fault.Malformed},
		{"a weak key", func(s standardRealm, n identity.Signer) registry.Answer {
			id := identity.NewID(identity.Operator, weak)
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: id, Name: "new"}, s.b)
		}, fault.BadKey},
		{"a bad name", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "New"}, s.b)
		}, fault.Malformed},
		{"a taken name", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: n.ID(), Name: "worker"}, s.b)
		}, fault.Conflict},
		{"an operator already", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: s.c.ID(), Name: "new"}, s.b)
		}, fault.Conflict},
		{"an operator already, with a new key", func(s standardRealm, n identity.Signer) registry.Answer {
			s.Rotate(s.c)
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: s.c.ID(), Name: "new"}, s.b)
		}, fault.Conflict},
		{"an agent's key", func(s standardRealm, n identity.Signer) registry.Answer {
			id := identity.NewID(identity.Operator, s.worker.Public())
			return s.Do(s.a, registry.TypeOperator, registry.AddOperator{Operator: id, Name: "new"}, s.b)
		}, fault.Conflict},
		{"another body", func(s standardRealm, n identity.Signer) registry.Answer {
			return s.Do(s.a, registry.TypeOperator, registry.Enrol{}, s.b)
		}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := standard(t)
			fresh := s.Signer(identity.Operator)
			wantCode(t, row.run(s, fresh), row.want)
			_, err := s.Ledger.Named("new")
			if joined := err == nil; joined != (row.want == "") {
				t.Errorf("joined %v with %q", joined, row.want)
			}
		})
	}
	s := standard(t)
	fresh := s.Operator("new", s.a, s.b)
	if m, err := s.Ledger.Member(fresh.ID()); err != nil || m.Operator != fresh.ID() || m.Key != fresh.Public() ||
		m.Status != trust.Active || m.Joined != s.Now || len(m.Origin) == 0 {
		t.Errorf("got %+v, %v", m, err)
	}
	s.Operator("newer", fresh, s.a) // and it counts from now on
}
