package ledger_test

import (
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// step is one command of a table and its expected answer.
type step struct {
	name string
	run  func(s standardRealm) registry.Answer
	want fault.Code
}

func runSteps(t *testing.T, steps []step) {
	t.Helper()
	for _, row := range steps {
		t.Run(row.name, func(t *testing.T) {
			s := standard(t)
			wantCode(t, row.run(s), row.want)
		})
	}
}

func TestStatus(t *testing.T) {
	runSteps(t, []step{
		{"quarantine by one", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeStatus, quarantine(s.worker.ID()))
		}, ""},
		{"revoke by one", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeStatus, revoke(s.worker.ID()))
		}, ""},
		{"quarantine by an agent", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeStatus, quarantine(s.worker.ID()))
		}, fault.Denied},
		{"release by one", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
			return s.Do(s.a, registry.TypeStatus, release(s.worker.ID()))
		}, fault.NoQuorum},
		{"release by two", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
			return s.Do(s.a, registry.TypeStatus, release(s.worker.ID()), s.b)
		}, ""},
		{"release of who is revoked, by all", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, revoke(s.worker.ID()))
			return s.Do(s.a, registry.TypeStatus, release(s.worker.ID()), s.b, s.c)
		}, fault.Revoked},
		{"quarantine of who is revoked", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, revoke(s.worker.ID()))
			return s.Do(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
		}, fault.Revoked},
		{"an operator of three", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, quarantine(s.b.ID()))
		}, ""},
		{"one of the last two operators", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
			return s.Do(s.a, registry.TypeStatus, quarantine(s.c.ID()))
		}, fault.Denied},
		{"an agent while two operators are left", func(s standardRealm) registry.Answer {
			s.Must(s.a, registry.TypeStatus, quarantine(s.b.ID()))
			return s.Do(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
		}, ""},
		{"no such status", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, registry.SetStatus{Principal: s.worker.ID(), Status: 4}, s.b)
		}, fault.Malformed},
		{"the zero status", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, registry.SetStatus{Principal: s.worker.ID()}, s.b)
		}, fault.Malformed},
		{"of nobody", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, quarantine(s.Signer(identity.Agent).ID()))
		}, fault.Unknown},
		{"of a node", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, quarantine(s.Nodes[0].ID()))
		}, fault.Unknown},
		{"longest reason", func(s standardRealm) registry.Answer {
			body := quarantine(s.worker.ID())
			body.Reason = strings.Repeat("x", registry.MaxDetail)
			return s.Do(s.a, registry.TypeStatus, body)
		}, ""},
		{"too long a reason", func(s standardRealm) registry.Answer {
			body := quarantine(s.worker.ID())
			body.Reason = strings.Repeat("x", registry.MaxDetail+1)
			return s.Do(s.a, registry.TypeStatus, body)
		}, fault.TooLarge},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeStatus, registry.Enrol{})
		}, fault.Malformed},
		{"the only operator of a solo realm", func(standardRealm) registry.Answer {
			o := solo(t)
			return o.Do(o.root, registry.TypeStatus, quarantine(o.rootID))
		}, fault.Denied},
	})
}

func TestQuarantinedAuthorIsRefused(t *testing.T) {
	s := standard(t)
	s.Must(s.worker, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 1})
	s.Must(s.a, registry.TypeStatus, quarantine(s.worker.ID()))
	if got := status(t, s.World, s.worker.ID()); got != trust.Quarantined {
		t.Fatalf("got %s", got)
	}
	wantCode(t, s.Do(s.worker, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 2}), fault.Quarantined)
	s.Must(s.a, registry.TypeStatus, release(s.worker.ID()), s.b)
	s.Must(s.worker, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 2})
	s.Must(s.a, registry.TypeStatus, revoke(s.worker.ID()))
	wantCode(t, s.Do(s.worker, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 3}), fault.Revoked)
	m, err := s.Ledger.Member(s.worker.ID())
	if wantErr(t, err, ""); m.Epoch != 2 || m.Reason != "" || m.Status != trust.Revoked {
		t.Errorf("got %+v", m)
	}
}

func setLevel(id identity.ID, l identity.Level) registry.SetLevel {
	return registry.SetLevel{Principal: id, Level: l, Reason: "test"}
}

func TestLevel(t *testing.T) {
	runSteps(t, []step{
		{"raise by two others", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeLevel, setLevel(s.worker.ID(), identity.Principal), s.c)
		}, ""},
		{"raise by one", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Principal))
		}, fault.NoQuorum},
		{"raise by one and the agent", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Principal), s.worker)
		}, fault.NoQuorum},
		{"lower by one", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeLevel, setLevel(s.worker.ID(), identity.Observer))
		}, ""},
		{"own promotion", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeLevel, setLevel(s.worker.ID(), identity.Principal))
		}, fault.Denied},
		{"own promotion, operators signing along", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeLevel, setLevel(s.worker.ID(), identity.Principal), s.a, s.b)
		}, fault.Denied},
		{"lowered by an agent", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeLevel, setLevel(s.worker.ID(), identity.Observer))
		}, fault.Denied},
		{"of an operator", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, setLevel(s.b.ID(), identity.Principal), s.b)
		}, fault.Denied},
		{"above the ladder", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, setLevel(s.worker.ID(), 6), s.b)
		}, fault.Malformed},
		{"of nobody", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, setLevel(s.Signer(identity.Agent).ID(), 1), s.b)
		}, fault.Unknown},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeLevel, registry.Enrol{}, s.b)
		}, fault.Malformed},
	})
	s := standard(t)
	s.Must(s.a, registry.TypeLevel, setLevel(s.worker.ID(), identity.Steward), s.b, s.c)
	if m, err := s.Ledger.Member(s.worker.ID()); err != nil || m.Level != identity.Steward || m.Reason != "test" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestGrant(t *testing.T) {
	grant := func(id identity.ID, serves ...string) registry.Grant {
		return registry.Grant{Principal: id, Serves: serves}
	}
	runSteps(t, []step{
		{"by its operator", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, grant(s.worker.ID(), "build", "review.*"))
		}, ""},
		{"nothing", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, grant(s.worker.ID()))
		}, ""},
		{"by another operator", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeGrant, grant(s.worker.ID(), "build"))
		}, fault.Denied},
		{"by itself", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeGrant, grant(s.worker.ID(), "build"))
		}, fault.Denied},
		{"to an operator", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, grant(s.a.ID(), "build"))
		}, fault.Denied},
		{"unsorted", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, grant(s.worker.ID(), "b", "a"))
		}, fault.Malformed},
		{"of nobody", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, grant(s.Signer(identity.Agent).ID(), "build"))
		}, fault.Unknown},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeGrant, registry.Enrol{})
		}, fault.Malformed},
	})
	s := standard(t)
	s.Must(s.a, registry.TypeGrant, grant(s.worker.ID(), "build"))
	if m, err := s.Ledger.Member(s.worker.ID()); err != nil || len(m.Serves) != 1 || m.Serves[0] != "build" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func (s standardRealm) card(agent identity.Signer, sequence uint64, names ...string) registry.PutCard {
	c := discovery.Card{Version: 1, Agent: agent.ID(), Sequence: sequence, Issued: s.Now}
	for _, name := range names {
		c.Capabilities = append(c.Capabilities, discovery.Capability{Name: name})
	}
	return registry.PutCard{Card: s.SignAlone(c, agent.Key())}
}

func TestCard(t *testing.T) {
	runSteps(t, []step{
		{"granted", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 1, "review.code", "review.text"))
		}, ""},
		{"empty", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 1))
		}, ""},
		{"not granted", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 1, "build", "review.code"))
		}, fault.Denied},
		{"newer", func(s standardRealm) registry.Answer {
			s.Must(s.worker, registry.TypeCard, s.card(s.worker, 5, "review.code"))
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 6, "review.text"))
		}, ""},
		{"same number", func(s standardRealm) registry.Answer {
			s.Must(s.worker, registry.TypeCard, s.card(s.worker, 5, "review.code"))
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 5, "review.text"))
		}, fault.Conflict},
		{"older", func(s standardRealm) registry.Answer {
			s.Must(s.worker, registry.TypeCard, s.card(s.worker, 5, "review.code"))
			return s.Do(s.worker, registry.TypeCard, s.card(s.worker, 4, "review.text"))
		}, fault.Conflict},
		{"another agent's", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeCard, s.card(s.reviewer, 1, "review.code"))
		}, fault.Malformed},
		{"signed by a superseded key", func(s standardRealm) registry.Answer {
			card := s.card(s.worker, 1, "review.code")
			return s.Do(s.Rotate(s.worker), registry.TypeCard, card)
		}, fault.BadSignature},
		{"by an operator", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeCard, s.card(s.worker, 1, "review.code"))
		}, fault.Malformed},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeCard, registry.Tick{})
		}, fault.Malformed},
	})
	s := standard(t)
	put := s.card(s.worker, 3, "review.code")
	s.Must(s.worker, registry.TypeCard, put)
	parsed, err := wire.Parse[discovery.Card](put.Card, discovery.MaxCard)
	wantErr(t, err, "")
	if ticket, err := s.Ledger.Ticket(s.worker.ID(), s.Now); err != nil || ticket.Card != parsed.ID(s.Realm) {
		t.Errorf("got %+v, %v", ticket, err)
	}
}

func TestSuccession(t *testing.T) {
	runSteps(t, []step{
		{"honest", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeSucceed, registry.Succeed{Succession: s.Succession(s.worker, s.Key())})
		}, ""},
		{"second", func(s standardRealm) registry.Answer {
			next := s.Rotate(s.worker)
			return s.Do(next, registry.TypeSucceed, registry.Succeed{Succession: s.Succession(next, s.Key())})
		}, ""},
		{"an operator's", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeSucceed, registry.Succeed{Succession: s.Succession(s.a, s.Key())})
		}, ""},
		{"another principal's", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeSucceed, registry.Succeed{Succession: s.Succession(s.worker, s.Key())})
		}, fault.Malformed},
		{"old key again", func(s standardRealm) registry.Answer {
			body := registry.Succeed{Succession: s.Succession(s.worker, s.Key())}
			s.Rotate(s.worker)
			return s.Do(s.worker, registry.TypeSucceed, body)
		}, fault.NoQuorum},
		{"same succession twice", func(s standardRealm) registry.Answer {
			key := s.Key()
			body := registry.Succeed{Succession: s.Succession(s.worker, key)}
			s.Must(s.worker, registry.TypeSucceed, body)
			return s.Do(identity.NewSigner(s.worker.ID(), key), registry.TypeSucceed, body)
		}, fault.Malformed},
		{"somebody's key", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeSucceed,
				registry.Succeed{Succession: s.Succession(s.worker, s.reviewer.Key())})
		}, fault.Conflict},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeSucceed, registry.Tick{})
		}, fault.Malformed},
		{"not a succession", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeSucceed, registry.Succeed{Succession: []byte{1}})
		}, fault.Malformed},
	})
}

func TestSuccessionEndsTheOldKey(t *testing.T) {
	s := standard(t)
	next := s.Rotate(s.worker)
	m, err := s.Ledger.Member(s.worker.ID())
	if wantErr(t, err, ""); m.Key != next.Public() || m.Epoch != 1 || len(m.Successions) != 1 {
		t.Errorf("got %+v", m)
	}
	wantCode(t, s.Do(s.worker, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 5}), fault.NoQuorum)
	s.Must(next, registry.TypeEpoch, registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 5})

	operator := s.Rotate(s.a)
	wantCode(t, s.Do(s.a, registry.TypeStatus, quarantine(s.worker.ID())), fault.NoQuorum)
	s.Must(operator, registry.TypeStatus, quarantine(s.worker.ID()))
	s.Must(operator, registry.TypeStatus, release(s.worker.ID()), s.b)
}

// A card is the word of the key that signed it, so it ends with the key.
func TestSuccessionEndsTheCard(t *testing.T) {
	s := standard(t)
	s.Must(s.worker, registry.TypeCard, s.card(s.worker, 7, "review.code"))
	m, err := s.Ledger.Member(s.worker.ID())
	if wantErr(t, err, ""); len(m.Card) == 0 || m.CardID.IsZero() {
		t.Fatalf("got %+v", m)
	}
	next := s.Rotate(s.worker)
	m, err = s.Ledger.Member(s.worker.ID())
	if wantErr(t, err, ""); len(m.Card) != 0 || !m.CardID.IsZero() {
		t.Errorf("the old key's card stays: %+v", m)
	}
	s.Must(next, registry.TypeCard, s.card(next, 1, "review.code"))
}

func TestSuccessionsAreBounded(t *testing.T) {
	s := standard(t)
	for range 32 {
		s.worker = s.Rotate(s.worker)
	}
	wantCode(t, s.Do(s.worker, registry.TypeSucceed,
		registry.Succeed{Succession: s.Succession(s.worker, s.Key())}), fault.TooLarge)
}

func TestEpoch(t *testing.T) {
	epoch := func(id identity.ID, n uint64) registry.RaiseEpoch {
		return registry.RaiseEpoch{Principal: id, Epoch: n}
	}
	runSteps(t, []step{
		{"by itself", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeEpoch, epoch(s.worker.ID(), 1))
		}, ""},
		{"by its operator", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeEpoch, epoch(s.worker.ID(), 7))
		}, ""},
		{"an operator's own", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeEpoch, epoch(s.a.ID(), 7))
		}, ""},
		{"by another operator", func(s standardRealm) registry.Answer {
			return s.Do(s.b, registry.TypeEpoch, epoch(s.worker.ID(), 1))
		}, fault.Denied},
		{"by another agent", func(s standardRealm) registry.Answer {
			return s.Do(s.reviewer, registry.TypeEpoch, epoch(s.worker.ID(), 1))
		}, fault.Denied},
		{"not higher", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeEpoch, epoch(s.worker.ID(), 0))
		}, fault.Conflict},
		{"highest", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeEpoch, epoch(s.worker.ID(), 1<<53))
		}, ""},
		{"too high", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeEpoch, epoch(s.worker.ID(), 1<<53+1))
		}, fault.Malformed},
		{"of nobody", func(s standardRealm) registry.Answer {
			return s.Do(s.a, registry.TypeEpoch, epoch(s.Signer(identity.Agent).ID(), 1))
		}, fault.Unknown},
		{"another body", func(s standardRealm) registry.Answer {
			return s.Do(s.worker, registry.TypeEpoch, registry.Enrol{})
		}, fault.Malformed},
	})
}

func TestExpect(t *testing.T) {
	for _, row := range []struct {
		name   string
		author func(standardRealm) identity.Signer
		typ    registry.Type
		body   func(standardRealm) any
		plain  bool // the type changes no member
	}{
		{"status", func(s standardRealm) identity.Signer { return s.a }, registry.TypeStatus,
			func(s standardRealm) any { return quarantine(s.worker.ID()) }, false},
		{"level", func(s standardRealm) identity.Signer { return s.a }, registry.TypeLevel,
			func(s standardRealm) any { return setLevel(s.worker.ID(), 1) }, false},
		{"grant", func(s standardRealm) identity.Signer { return s.a }, registry.TypeGrant,
			func(s standardRealm) any { return registry.Grant{Principal: s.worker.ID()} }, false},
		{"card", func(s standardRealm) identity.Signer { return s.worker }, registry.TypeCard,
			func(s standardRealm) any { return s.card(s.worker, 1) }, false},
		{"succeed", func(s standardRealm) identity.Signer { return s.worker }, registry.TypeSucceed,
			func(s standardRealm) any {
				return registry.Succeed{Succession: s.Succession(s.worker, s.Key())}
			}, false},
		{"epoch", func(s standardRealm) identity.Signer { return s.a }, registry.TypeEpoch,
			func(s standardRealm) any { return registry.RaiseEpoch{Principal: s.worker.ID(), Epoch: 9} }, false},
		{"propose", func(s standardRealm) identity.Signer { return s.worker }, registry.TypePropose,
			func(s standardRealm) any {
				return registry.Propose{Proposal: s.SignAlone(s.Proposal(s.worker.ID(), s.a.ID(), "db.read"), s.worker.Key())}
			}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			do := func(offset int) registry.Answer {
				s := standard(t)
				m, err := s.Ledger.Member(s.worker.ID())
				wantErr(t, err, "")
				author := row.author(s)
				c := s.Command(author.ID(), row.typ, row.body(s))
				c.Expect = uint64(int(m.Changed) + offset)
				if offset == 0 && row.plain {
					c.Expect = 0
				}
				return s.Apply(s.Sign(c, author))
			}
			wantCode(t, do(0), "")
			want := fault.Conflict
			if row.plain {
				want = fault.Malformed
			}
			wantCode(t, do(-1), want)
			wantCode(t, do(1), want)
		})
	}
}
