//go:build hostile

package hostile

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// joinRequest is what a node that was invited hands in.
type joinRequest struct {
	Admission []byte `cbor:"1,keyasint"`
	Record    record `cbor:"2,keyasint"`
}

// hand hands an admission in at a node, over a connection made with a one-time key.
func (m *mallory) hand(n *node.Node, i identity.JoinInvitation, key wire.Key, newcomer identity.Signer) error {
	m.t.Helper()
	admission, err := newcomer.Cosign(m.realm.id, identity.Admission{
		Version: 1, Token: i.Token, Node: newcomer.ID(), Issued: time.Now().UnixMilli(),
	}, i.Key())
	if err != nil {
		m.t.Fatal(err)
	}
	body, err := wire.Encode(joinRequest{Admission: admission, Record: record{Node: newcomer.ID(), Cluster: m.mesh.Addr(), Stamp: 1}})
	if err != nil {
		m.t.Fatal(err)
	}
	for { // one a second from one address
		ctx, cancel := context.WithTimeout(m.t.Context(), patience)
		_, err = mesh.AskToJoin(ctx, n.ClusterAddr(), []identity.ID{n.ID()}, m.realm.id, key, body)
		cancel()
		if fault.CodeOf(err) != fault.Rate {
			return err
		}
	}
}

// joined makes an honest newcomer that has been admitted and does not run.
func (r *realm) joined(name string) (dir string, i identity.JoinInvitation) {
	r.t.Helper()
	dir, i = filepath.Join(r.t.TempDir(), name), r.invite()
	text, err := i.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := node.Join(r.t.Context(), dir, text, node.Place{Listen: anywhere, Cluster: anywhere}); err != nil {
		r.t.Fatal(err)
	}
	return dir, i
}

// A hostile node brings in nobody whom the roots have not invited, nobody twice, and throws out nobody.
func TestNobodyJoinsUninvited(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	n := r.nodes[0]
	_, used := r.joined("d")
	seated := r.authority()
	if len(seated.Joining) != 1 {
		t.Fatalf("the honest newcomer did not join: %v", seated.Joining)
	}
	self := identity.JoinInvitation{Realm: r.id, Seed: [32]byte{1}}
	own := r.token()
	own.OneTime = self.Key().Public()
	var err error
	if self.Token, err = wire.Cosign(r.id, own, m.Key()); err != nil {
		t.Fatal(err)
	}
	over := r.token()
	over.Issued, over.Expires = over.Issued-2*3600_000, over.Issued-3600_000
	expired, err := identity.MakeJoinInvitation(r.operator, r.id, over)
	if err != nil {
		t.Fatal(err)
	}
	fresh := r.invite()
	for name, c := range map[string]struct {
		i   identity.JoinInvitation
		key wire.Key
	}{
		"a used token":                {used, used.Key()},
		"a token signed by itself":    {self, self.Key()},
		"a token that is over":        {expired, expired.Key()},
		"a token without its own key": {fresh, newSigner(t, identity.Node).Key()},
	} {
		err := m.hand(n, c.i, c.key, newSigner(t, identity.Node))
		wantCode(t, name, err, fault.Denied, fault.Spent, fault.NoQuorum, fault.Expired, fault.BadSignature)
	}
	if a := r.authority(); a.Number != seated.Number {
		t.Errorf("roster %d, was %d", a.Number, seated.Number)
	}
	next := identity.Roster{
		Version: 1, Number: seated.Number + 1, Previous: seated.Latest(), Issued: time.Now().UnixMilli(), Roots: seated.Roots,
		Threshold: seated.Threshold, Nodes: []identity.ID{m.ID()}, Joining: seated.Joining,
	}
	raw, err := wire.Cosign(r.id, next, m.Key())
	if err != nil {
		t.Fatal(err)
	}
	var out control.Submitted
	if err := r.try(n, control.OpRoster, control.PutRoster{Roster: raw}, &out); err == nil {
		t.Error("a roster without the others was taken")
	}
	r.tick("after")
}

// A hostile node cannot have a newcomer count that is not up: signatures would then need more nodes than there are.
func TestNobodyCountsWhoIsNotUp(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	r.joined("d")
	r.joined("e")
	a := r.authority()
	promote := func(joining ...identity.ID) identity.Roster {
		next := identity.Roster{
			Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots, Threshold: a.Threshold,
			Nodes: append(slices.Clone(a.Nodes), joining...),
		}
		slices.SortFunc(next.Nodes, identity.ID.Compare)
		for _, id := range a.Joining {
			if !slices.Contains(joining, id) {
				next.Joining = append(next.Joining, id)
			}
		}
		return next
	}
	for name, next := range map[string]identity.Roster{"one of two": promote(a.Joining[0]), "both": promote(a.Joining...)} {
		for _, n := range r.nodes {
			if answer, err := m.cosigned(n, next); err == nil && len(answer.Signed) > 0 {
				t.Errorf("%s that is not up counts, if a hostile node and one other want", name)
			}
		}
	}
	r.tick("after")
}

// The honest twin: newcomers that are up count.
func TestNewcomersCountBesideAHostileNode(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	d, _ := r.joined("d")
	e, _ := r.joined("e")
	r.open(d)
	r.open(e)
	until(t, "five count", func() bool {
		_ = m.greetAll(m.honest())
		return len(r.authority().Nodes) == 5
	})
	r.settled()
	r.tick("after")
}

// A node that the roots have removed comes back with its key and is met by nobody.
func TestARemovedNodeComesBack(t *testing.T) {
	r := grown(t)
	p := r.profile("alice", r.nodes[0])
	m := r.replace(r.follower())
	m.board()
	n := r.nodes[0]
	if err := m.greetAll(m.honest()); err != nil {
		t.Fatal(err)
	}
	ticket, _ := r.ticketOn(n, "alice")
	a := r.authority()
	next := identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots, Threshold: a.Threshold,
		Nodes: slices.DeleteFunc(slices.Clone(a.Nodes), func(id identity.ID) bool { return id == m.ID() }),
	}
	raw, err := r.operator.Cosign(r.id, next)
	if err != nil {
		t.Fatal(err)
	}
	var out control.Submitted
	r.ask(n, control.OpRoster, control.PutRoster{Roster: raw}, &out)
	until(t, "all honest nodes have removed it", func() bool {
		for _, n := range r.nodes {
			if r.cluster(n).Roster != next.Number {
				return false
			}
		}
		return true
	})
	for _, n := range r.nodes {
		until(t, "calls are refused", func() bool { _, err := m.greet(n, m.honest()); return fault.CodeOf(err) == fault.Denied })
		for _, op := range []string{"append", "cosign", "present", "transfer", "barrier", "gone", "sender"} {
			until(t, op+" is refused", func() bool { // or the connection was just cut
				_, err := m.call(n, op, []byte{})
				if err == nil {
					t.Errorf("%s was answered", op)
				}
				return fault.CodeOf(err) == fault.Denied
			})
		}
		until(t, "it does not reach the log", func() bool {
			conn, err := m.mesh.Streams(mesh.Raft).DialNode(n.ID().String(), time.Second)
			if err == nil {
				_ = conn.Close() // the log still lets it go
			}
			return fault.CodeOf(err) == fault.Denied
		})
	}
	until(t, "its routes are cut", func() bool { return len(m.broker.Peers()) == 0 })
	ticket.Issued = time.Now().UnixMilli()
	ticket.Expires = ticket.Issued + 60_000
	forged, err := m.Cosign(r.id, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if r.verifiesTicket(forged) {
		t.Error("a ticket of the removed node is valid")
	}
	r.settled()
	r.tick("after")
	bob := r.connect(p)
	serve(t, bob)
	until(t, "agents work", func() bool { return r.found(r.nodes[1], upper) == 1 })
}
