package registrar

import (
	"context"
	"slices"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// desk answers the requests of principals.
type desk struct{ *Registrar }

// handlers is the table of requests; what is absent is refused.
func (r desk) handlers() map[control.Op]control.Handler {
	table := r.requests()
	for op, answer := range table {
		if !undecided[op] {
			table[op] = r.leased(answer)
		}
	}
	return table
}

func (r desk) requests() map[control.Op]control.Handler {
	return map[control.Op]control.Handler{
		control.OpRealm:       r.onRealm,
		control.OpSubmit:      r.onSubmit,
		control.OpWho:         r.onWho,
		control.OpSender:      r.onSender,
		control.OpAnnounce:    r.onAnnounce,
		control.OpFind:        r.onFind,
		control.OpMembers:     r.onMembers,
		control.OpDecision:    r.onDecision,
		control.OpDecisions:   r.onDecisions,
		control.OpCertificate: r.onCertificate,
		control.OpUse:         r.onUse,
		control.OpDryRun:      r.onDryRun,
		control.OpPlan:        r.onPlan,
		control.OpStatus:      r.onStatus,
		control.OpCluster:     r.onCluster,
		control.OpRoster:      r.onRoster,
		control.OpTransfer:    r.onTransfer,
		control.OpTightenings: r.onTightenings,
		control.OpStanding:    r.onStanding,
		control.OpRanking:     r.onRanking,
	}
}

func (r *Registrar) nowMilli() int64 {
	now, _ := r.clock.now() // a stepped clock stops commands; tickets run by wall clocks
	return now
}

func (r desk) onRealm(ctx context.Context, _ control.Caller, _ wire.Raw) (any, error) {
	head, _, err := r.heads.current(ctx, r.ledger.Size())
	if err != nil {
		return nil, err
	}
	out := control.Realm{
		Genesis: r.ledger.Genesis(), Rosters: r.ledger.Rosters(), Policy: r.ledger.Founded().Encode(), Head: head,
		Node: r.ID(), Time: r.nowMilli(), Nodes: r.config.Cluster.Addresses(), Policies: r.ledger.Policies(),
	}
	if len(out.Policies) > 0 {
		out.Operators, out.Keys = r.ledger.PolicyVouchers()
	}
	return out, nil
}

var errOnlyEnrol = fault.New(fault.Denied, "registrar: a one-time key may only enrol")

func (r desk) onSubmit(ctx context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Submit](body)
	if err != nil {
		return nil, err
	}
	if from.OneTime {
		c, err := wire.ParseCosigned[registry.Command](in.Command, wire.MaxStatement)
		if err != nil {
			return nil, err
		}
		if c.Claim.Type != registry.TypeEnrol {
			return nil, errOnlyEnrol
		}
	}
	answer, err := r.Submit(ctx, in.Command)
	if err != nil {
		return nil, err
	}
	out := control.Submitted{Answer: answer}
	if in.Receipt && answer.Code == "" {
		receipt, err := r.heads.receipt(ctx, leafOf(answer))
		if err != nil {
			return nil, err
		}
		out.Receipt = &receipt
	}
	return out, nil
}

// leafOf returns the leaf that an answer left in the tree.
func leafOf(a registry.Answer) audit.Leaf {
	leaf := audit.Leaf{Index: a.Index, Command: a.Command, Verdict: a.Code}
	if len(a.Result) > 0 {
		leaf.Result = wire.Hash(a.Result)
	}
	return leaf
}

func (r desk) onWho(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Who](body)
	if err != nil {
		return nil, err
	}
	id := in.ID
	if id.IsZero() {
		m, err := fresh(ctx, r.Registrar, func() (ledger.Member, error) { return r.ledger.Named(in.Name) })
		if err != nil {
			return nil, err
		}
		id = m.ID
	}
	return r.principal(ctx, id)
}

// principal returns what a receiver verifies about a principal.
func (r desk) principal(ctx context.Context, id identity.ID) (control.Principal, error) {
	m, err := fresh(ctx, r.Registrar, func() (ledger.Member, error) { return r.ledger.Member(id) })
	if err != nil {
		return control.Principal{}, err
	}
	ticket, err := r.tickets.of(ctx, id, r.nowMilli())
	if err != nil {
		return control.Principal{}, err
	}
	return control.Principal{Ticket: ticket, Successions: m.Successions, Card: m.Card}, nil
}

func (r desk) onSender(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Process](body)
	if err != nil {
		return nil, err
	}
	m, err := fresh(ctx, r.Registrar, func() (ledger.Member, error) { return r.ledger.Member(in.Principal) })
	if err != nil {
		return nil, err
	}
	if err := m.Status.Check(); err != nil {
		return nil, err
	}
	q, err := r.presences.process(in.Principal, in.Credential)
	if err != nil && whereabouts(r).askSender(ctx, in) == nil {
		q, err = r.presences.process(in.Principal, in.Credential)
	}
	if err != nil {
		return nil, err
	}
	return r.vouched(ctx, q)
}

func (r desk) vouched(ctx context.Context, q process) (control.Vouched, error) {
	p, err := r.principal(ctx, q.credential.Statement().Principal)
	if err != nil {
		return control.Vouched{}, err
	}
	return control.Vouched{Credential: q.credential.Raw(), Principal: p, Presence: q.presence.Raw()}, nil
}

func (r desk) onAnnounce(_ context.Context, from control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Announce](body)
	if err != nil {
		return nil, err
	}
	if err := r.presences.announce(r.Realm(), from.Principal, in.Presence, r.ID(), r.nowMilli()); err != nil {
		return nil, err
	}
	if claimed, err := wire.Parse[discovery.Presence](in.Presence, wire.MaxStatement); err == nil {
		r.Entered(from.Principal, claimed.Claim.Credential)
	}
	return control.Nothing{}, nil
}

// What one answer may hold: it must fit one message.
const (
	maxFound  = 32        // processes
	maxAnswer = 160 << 10 // bytes of processes
	maxListed = 200       // decisions
	maxTarget = 256       // bytes of each one's target

	maxReviews = 64
)

func (r desk) onFind(ctx context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Find](body)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		m, err := r.ledger.Named(in.Name)
		if err != nil {
			return nil, err
		}
		in.ID = m.ID
	}
	var out control.Found
	size := 0
	for _, q := range r.presences.search(in, r.nowMilli()) {
		if len(out.Processes) == maxFound {
			break
		}
		if !r.mayOffer(q, in) {
			continue
		}
		v, err := r.vouched(ctx, q)
		if err != nil {
			return nil, err
		}
		b, err := wire.Encode(v)
		if err != nil {
			return nil, err
		}
		if size+len(b) > maxAnswer {
			continue // a smaller one may fit
		}
		size += len(b)
		out.Processes = append(out.Processes, v)
	}
	return out, nil
}

// mayOffer reports whether the process may do what it is looked for. A presence is its own word: those that nobody
// would believe must not keep the others out of the answer.
func (r desk) mayOffer(q process, f control.Find) bool {
	m, err := r.ledger.Member(q.credential.Statement().Principal)
	if err != nil || m.Status != trust.Active {
		return false
	}
	rights := r.ledger.Policy().Rights(m.Level)
	if f.Capability != "" && !(identity.MatchCapability(m.Serves, f.Capability) &&
		identity.MatchCapability(rights.Serve, f.Capability)) {
		return false
	}
	return f.Topic == "" || slices.ContainsFunc(q.presence.Statement().Topics, func(topic string) bool {
		return identity.MatchCapability([]string{f.Topic}, topic) && identity.MatchCapability(rights.Publish, topic)
	})
}

func (r desk) onMembers(context.Context, control.Caller, wire.Raw) (any, error) {
	var out control.Members
	for _, m := range r.ledger.Members() {
		out.Members = append(out.Members, control.Member{
			ID: m.ID, Name: m.Name, Operator: m.Operator, Status: m.Status.String(), Level: m.Level, Serves: m.Serves,
			Live: uint64(r.live(m.ID)), Done: m.Done, Failed: m.Failed, Changed: m.Changed, Joined: m.Joined,
			Reason: m.Reason, Family: m.Family, Settled: m.Settlements,
		})
		if m.ID.Role() == identity.Agent {
			out.Members[len(out.Members)-1].Calibration = m.Calibration()
		}
		if planted.At(planted.TellsFalse, r.ID()) {
			out.Members[len(out.Members)-1].Status = trust.Active.String()
		}
	}
	return out, nil
}

func (r desk) onStatus(context.Context, control.Caller, wire.Raw) (any, error) {
	head, rules := r.ledger.Head(), r.ledger.Policy()
	s := control.Status{
		Realm: r.Realm(), Node: r.ID(), Version: r.config.Version, Started: r.started.UnixMilli(), Time: r.nowMilli(),
		LogTime: head.Time, Size: head.Size, Root: head.Root, State: head.State, Preset: rules.Preset, Policy: rules.Digest(), Policies: uint64(len(r.ledger.Policies())),
		Address: r.config.Address(), Monitor: r.config.Monitor(),
	}
	if _, err := r.clock.now(); err != nil {
		s.Stopped = err.Error()
	}
	for _, m := range r.ledger.Members() {
		s.Live += uint64(r.live(m.ID))
		if m.ID.Role() == identity.Agent {
			s.Agents++
		}
	}
	for _, d := range r.ledger.Decisions() {
		if d.Verdict.State == consensus.Open {
			s.Open++
		}
	}
	for _, v := range r.ledger.Reviews() {
		if len(s.Reviews) < maxReviews {
			s.Reviews = append(s.Reviews, control.Review(v))
		}
	}
	return s, nil
}
