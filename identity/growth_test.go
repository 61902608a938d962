package identity_test

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// growing is a realm whose nodes stay and to which nodes are added: three roots, threshold two, three nodes.
type growing struct{ *chain }

func newGrowing(t testing.TB) growing { return growing{newChain(t, 0)} }

// next is the roster that would follow and changes nothing, unsigned.
func (g growing) next(t testing.TB) identity.Roster {
	t.Helper()
	a := g.authority(t)
	return identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: now + minute, Roots: a.Roots, Threshold: a.Threshold,
		Nodes: a.Nodes, Joining: a.Joining,
	}
}

// token is a join token of the one-time key with the number, by two roots.
func (g growing) token(t testing.TB, number byte, edits ...func(*identity.JoinToken)) []byte {
	t.Helper()
	k := joinToken()
	k.OneTime = key(number).Public()
	for _, edit := range edits {
		edit(&k)
	}
	return must(wire.Cosign(g.realm, k, keys(g.roots[:2]...)...))(t)
}

// admission is node's answer to the token of the one-time key with the number.
func (g growing) admission(t testing.TB, node identity.Signer, number byte, token []byte) []byte {
	t.Helper()
	a := identity.Admission{Version: 1, Token: token, Node: node.ID(), Issued: now}
	return must(node.Cosign(g.realm, a, key(number)))(t)
}

// admitting is the next roster, which adds newcomer by the token of key 50.
func (g growing) admitting(t testing.TB) identity.Roster {
	t.Helper()
	return adding(g.next(t), newcomer, g.admission(t, newcomer, 50, g.token(t, 50)))
}

func adding(r identity.Roster, node identity.Signer, admission []byte) identity.Roster {
	r.Joining, r.Admission = inserted(r.Joining, node.ID()), admission
	return r
}

func inserted(list []identity.ID, more ...identity.ID) []identity.ID {
	all := slices.Concat(list, more)
	slices.SortFunc(all, identity.ID.Compare)
	return all
}

func without(list []identity.ID, one identity.ID) []identity.ID {
	return slices.DeleteFunc(slices.Clone(list), func(n identity.ID) bool { return n == one })
}

// add appends a roster signed by the nodes alone.
func (g growing) add(t testing.TB, r identity.Roster) {
	t.Helper()
	g.rosters = append(g.rosters, g.sign(t, r, nil, g.nodes[0]))
	g.authority(t)
}

// TestGrowth takes a realm of one node to three by two admissions and one promotion, the roots signing tokens only.
func TestGrowth(t *testing.T) {
	first, roots := signer(identity.Node, 20), signers(identity.Operator, 10, 1)
	genesis := must(roots[0].Cosign(wire.Realm{}, changed(honestGenesis(), func(g *identity.Genesis) {
		g.Roots, g.Threshold, g.Nodes = ids(roots), 1, []identity.ID{first.ID()}
	})))(t)
	g := growing{&chain{
		roots: roots, nodes: [][]identity.Signer{{first}}, genesis: genesis, realm: must(identity.RealmOf(genesis))(t),
	}}
	var members []identity.ID
	for i, node := range []identity.Signer{newcomer, signer(identity.Node, 41)} {
		token := must(roots[0].Cosign(g.realm, changed(joinToken(), func(k *identity.JoinToken) { k.OneTime = key(50 + byte(i)).Public() })))(t)
		g.add(t, adding(g.next(t), node, g.admission(t, node, 50+byte(i), token)))
		members = inserted(members, node.ID())
		a := g.authority(t)
		if !slices.Equal(a.Joining, members) || len(a.Nodes) != 1 || a.Majority() != 1 ||
			!slices.Equal(a.Members(), inserted(members, first.ID())) {
			t.Fatalf("after admission %d: %+v", i, a)
		}
	}
	promotion := changed(g.next(t), func(r *identity.Roster) { r.Nodes, r.Joining = inserted(r.Nodes, r.Joining...), nil })
	g.add(t, promotion)
	if a := g.authority(t); len(a.Nodes) != 3 || len(a.Joining) != 0 || a.Majority() != 2 || a.Number != 3 || a.Recovered {
		t.Errorf("after the promotion: %+v", a)
	}
}

type growthRow struct {
	name   string
	change func(*identity.Roster)
	roots  []identity.Signer
	nodes  []identity.Signer
	want   fault.Code
}

// check has the next roster, edited, offered to Next and to Consents, which agree but for the majority.
func (g growing) check(t *testing.T, honest identity.Roster, rows []growthRow) {
	t.Helper()
	a := g.authority(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := changed(honest, row.change)
			raw := g.sign(t, r, row.roots, row.nodes)
			next, err := a.Next(raw)
			wantCode(t, err, row.want)
			if (next == nil) != (row.want != "") {
				t.Errorf("error %v with %+v", err, next)
			}
			wantCode(t, a.Consents(g.sign(t, r, row.roots, nil)), row.want)
			if row.want != "" {
				return
			}
			_, err = a.Next(g.sign(t, r, row.roots, row.nodes[:1]))
			wantCode(t, err, fault.NoQuorum)
		})
	}
}

func TestAdmissionByTheNodes(t *testing.T) {
	g := newGrowing(t)
	nodes, roots := g.nodes[0], g.roots
	other, stranger := signer(identity.Node, 41), signer(identity.Operator, 99)
	type r = identity.Roster
	admit := func(admission []byte) func(*r) { return func(r *r) { r.Admission = admission } }
	by := func(edits ...func(*identity.JoinToken)) func(*r) {
		return admit(g.admission(t, newcomer, 50, g.token(t, 50, edits...)))
	}
	few := must(wire.Cosign(g.realm, joinToken(), roots[0].Key(), stranger.Key()))(t)
	foreign := must(wire.Cosign(otherRealm, joinToken(), keys(roots...)...))(t)
	statement := identity.Admission{Version: 1, Token: g.token(t, 50), Node: newcomer.ID(), Issued: now}
	g.check(t, g.admitting(t), []growthRow{
		{"honest", func(*r) {}, nil, nodes[:2], ""},
		{"roots sign too", func(*r) {}, roots, nodes[:2], ""},
		{"first moment of the token", func(r *r) { r.Issued = now - identity.Skew }, nil, nodes[:2], ""},
		{"before its first moment", func(r *r) { r.Issued = now - identity.Skew - 1 }, nil, nodes, fault.NotYet},
		{"last moment of the token", func(r *r) { r.Issued = now + hour - 1 }, nil, nodes[:2], ""},
		{"expired", func(r *r) { r.Issued = now + hour }, nil, nodes, fault.Expired},
		{"expired, with roots", func(r *r) { r.Issued = now + hour }, roots, nodes, fault.Expired},
		{"token of another realm", admit(g.admission(t, newcomer, 50, foreign)), nil, nodes, fault.BadSignature},
		{"token by too few roots", admit(g.admission(t, newcomer, 50, few)), nil, nodes, fault.NoQuorum},
		{"token by too few roots, who sign the roster", admit(g.admission(t, newcomer, 50, few)), roots, nodes, fault.NoQuorum},
		{"token that knows a later roster", by(func(k *identity.JoinToken) { k.Roster = 1 }), nil, nodes, fault.Superseded},
		{"one-time key alone", admit(must(wire.Cosign(g.realm, statement, key(50)))(t)), nil, nodes, fault.NoQuorum},
		{"node's key alone", admit(must(wire.Cosign(g.realm, statement, newcomer.Key()))(t)), nil, nodes, fault.NoQuorum},
		{"admission of another realm", admit(must(wire.Cosign(otherRealm, statement, newcomer.Key(), key(50)))(t)), nil, nodes, fault.BadSignature},
		{"a token in place of the admission", admit(g.token(t, 50)), nil, nodes, fault.WrongKind},
		{"admission of another node", admit(g.admission(t, other, 50, g.token(t, 50))), nil, nodes, fault.Malformed},
		{"admission of another node, with roots", admit(g.admission(t, other, 50, g.token(t, 50))), roots, nodes, fault.Malformed},
		{"two nodes by one admission", func(r *r) { r.Joining = inserted(r.Joining, other.ID()) }, nil, nodes, fault.Malformed},
		{"nobody added", func(r *r) { r.Joining = nil }, nil, nodes, fault.Malformed},
		{"straight to the nodes", func(r *r) { r.Nodes, r.Joining = inserted(r.Nodes, newcomer.ID()), nil }, nil, nodes, fault.Malformed},
		{"and removes a node", func(r *r) { r.Nodes = r.Nodes[:2] }, nil, nodes, fault.Malformed},
		{"and changes the threshold", func(r *r) { r.Threshold = 1 }, nil, nodes, fault.Malformed},
		{"and removes a root", func(r *r) { r.Roots = r.Roots[:2] }, nil, nodes, fault.Malformed},
		{"of one who is a node", func(r *r) { r.Admission, r.Joining = g.admission(t, nodes[0], 50, g.token(t, 50)), nil }, nil, nodes, fault.Malformed},
		{"wrong previous", func(r *r) { r.Previous = wire.Digest{9} }, nil, nodes, fault.Malformed},
		{"skipped number", func(r *r) { r.Number++ }, nil, nodes, fault.Malformed},
		{"without the admission", func(r *r) { r.Admission = nil }, nil, nodes, fault.NoQuorum},
		{"without the admission, by the roots", func(r *r) { r.Admission = nil }, roots[:2], nodes[:2], ""},
	})
}

// TestATokenAdmitsOnce holds even after the roots have removed the node that it admitted.
func TestATokenAdmitsOnce(t *testing.T) {
	g := newGrowing(t)
	first := g.admitting(t)
	g.add(t, first)
	nodes, other := g.nodes[0], signer(identity.Node, 41)
	g.check(t, g.next(t), []growthRow{
		{"by a token of its own", func(r *identity.Roster) {
			*r = adding(*r, other, g.admission(t, other, 51, g.token(t, 51, func(k *identity.JoinToken) { k.Roster = 1 })))
		}, nil, nodes[:2], ""},
		{"by a token issued before the roster", func(r *identity.Roster) {
			*r = adding(*r, other, g.admission(t, other, 51, g.token(t, 51)))
		}, nil, nodes[:2], ""},
		{"second node by the same token", func(r *identity.Roster) {
			*r = adding(*r, other, g.admission(t, other, 50, g.token(t, 50)))
		}, nil, nodes, fault.Spent},
		{"second token of the same one-time key", func(r *identity.Roster) {
			*r = adding(*r, other, g.admission(t, other, 50, g.token(t, 50, func(k *identity.JoinToken) { k.Expires++ })))
		}, nil, nodes, fault.Spent},
		{"same admission again", func(r *identity.Roster) { r.Admission = first.Admission }, nil, nodes, fault.Malformed},
		{"same node by another token", func(r *identity.Roster) {
			r.Admission = g.admission(t, newcomer, 51, g.token(t, 51))
		}, nil, nodes, fault.Malformed},
	})
	removal := changed(g.next(t), func(r *identity.Roster) { r.Joining = nil })
	g.rosters = append(g.rosters, g.sign(t, removal, g.roots, nodes))
	g.check(t, g.next(t), []growthRow{
		{"back by the roots", func(r *identity.Roster) { r.Joining = []identity.ID{newcomer.ID()} }, g.roots[:2], nodes[:2], ""},
		{"back by its old admission", func(r *identity.Roster) { *r = adding(*r, newcomer, first.Admission) }, nil, nodes, fault.Spent},
	})
}

func TestPromotionByTheNodes(t *testing.T) {
	g := newGrowing(t)
	g.add(t, g.admitting(t))
	second := signer(identity.Node, 41)
	g.add(t, adding(g.next(t), second, g.admission(t, second, 51, g.token(t, 51))))
	nodes, roots := g.nodes[0], g.roots
	stranger := signer(identity.Node, 42).ID()
	type r = identity.Roster
	promote := func(r *r, who ...identity.ID) {
		r.Nodes = inserted(r.Nodes, who...)
		for _, n := range who {
			r.Joining = without(r.Joining, n)
		}
	}
	both := func(r *r) { promote(r, newcomer.ID(), second.ID()) }
	and := func(edit func(*r)) func(*r) {
		return func(r *r) {
			both(r)
			edit(r)
		}
	}
	g.check(t, g.next(t), []growthRow{
		{"both", both, nil, nodes[:2], ""},
		{"one, the other still joins", func(r *r) { promote(r, second.ID()) }, nil, nodes[:2], ""},
		{"roots sign too", both, roots, nodes[:2], ""},
		{"one root signs too", both, roots[:1], nodes[:2], ""},
		{"nothing moves", func(*r) {}, nil, nodes, fault.NoQuorum},
		{"nothing moves, by the roots", func(*r) {}, roots[:2], nodes[:2], ""},
		{"somebody who does not join", and(func(r *r) { r.Nodes = inserted(r.Nodes, stranger) }), nil, nodes, fault.NoQuorum},
		{"a stranger in place of one who joins", func(r *r) {
			promote(r, second.ID())
			r.Nodes, r.Joining = inserted(r.Nodes, stranger), nil
		}, nil, nodes, fault.NoQuorum},
		{"a stranger joins without admission", func(r *r) {
			promote(r, second.ID())
			r.Joining = inserted(r.Joining, stranger)
		}, nil, nodes, fault.NoQuorum},
		{"removes a node", func(r *r) { r.Nodes = r.Nodes[:2] }, nil, nodes, fault.NoQuorum},
		{"removes a node, by the roots", func(r *r) { r.Nodes = r.Nodes[:2] }, roots[:2], nodes[:2], ""},
		{"promotes and removes a node", and(func(r *r) { r.Nodes = without(r.Nodes, nodes[0].ID()) }), nil, nodes, fault.NoQuorum},
		{"promotes and puts a node back to joining", and(func(r *r) {
			r.Nodes, r.Joining = without(r.Nodes, nodes[0].ID()), []identity.ID{nodes[0].ID()}
		}), nil, nodes, fault.NoQuorum},
		{"puts a node back to joining", func(r *r) {
			r.Nodes, r.Joining = without(r.Nodes, nodes[0].ID()), inserted(r.Joining, nodes[0].ID())
		}, nil, nodes, fault.NoQuorum},
		{"drops one who joins", func(r *r) { r.Joining = r.Joining[:1] }, nil, nodes, fault.NoQuorum},
		{"promotes and drops one who joins", func(r *r) {
			promote(r, second.ID())
			r.Joining = nil
		}, nil, nodes, fault.NoQuorum},
		{"and changes the threshold", and(func(r *r) { r.Threshold = 1 }), nil, nodes, fault.NoQuorum},
		{"and removes a root", and(func(r *r) { r.Roots = r.Roots[1:] }), nil, nodes, fault.NoQuorum},
		{"and replaces a root", and(func(r *r) { r.Roots = ids(signers(identity.Operator, 11, 3)) }), nil, nodes, fault.NoQuorum},
		{"by one root and the nodes", and(func(r *r) { r.Threshold = 1 }), roots[:1], nodes, fault.NoQuorum},
		{"as a recovery", and(func(r *r) { r.Recovery = true }), nil, nodes, fault.NoQuorum},
		{"wrong previous", and(func(r *r) { r.Previous = wire.Digest(g.realm) }), nil, nodes, fault.Malformed},
		{"number repeated", and(func(r *r) { r.Number-- }), nil, nodes, fault.Malformed},
	})
}

// TestThoseWhoJoinDoNotCount holds: a majority is of the outgoing nodes alone.
func TestThoseWhoJoinDoNotCount(t *testing.T) {
	g := newGrowing(t)
	g.add(t, g.admitting(t))
	promotion := changed(g.next(t), func(r *identity.Roster) { r.Nodes, r.Joining = inserted(r.Nodes, r.Joining...), nil })
	a := g.authority(t)
	_, err := a.Next(g.sign(t, promotion, nil, g.nodes[0][:2]))
	wantCode(t, err, "")
	_, err = a.Next(g.sign(t, promotion, nil, []identity.Signer{g.nodes[0][0], newcomer}))
	wantCode(t, err, fault.NoQuorum)
	_, err = a.Next(g.sign(t, promotion, g.roots, []identity.Signer{g.nodes[0][0], newcomer}))
	wantCode(t, err, fault.NoQuorum)
	recovery := changed(promotion, func(r *identity.Roster) { r.Recovery = true })
	next, err := a.Next(g.sign(t, recovery, g.roots[:2], nil))
	wantCode(t, err, "")
	if !next.Recovered || a.Recovered || len(a.Joining) != 1 {
		t.Error("the recovery is not marked, or the authority before has changed")
	}
	if fault.HintOf(a.Consents(g.sign(t, recovery, g.roots[:1], nil))) == "" {
		t.Error("a roster that needs the roots does not say so")
	}
}

func TestConsentsVerifiesWhatItCounts(t *testing.T) {
	g := newGrowing(t)
	a := g.authority(t)
	removal := changed(g.next(t), func(r *identity.Roster) { r.Nodes = r.Nodes[:1] })
	wantCode(t, a.Consents(g.sign(t, removal, g.roots[:2], nil)), "")
	foreign := must(wire.Cosign(otherRealm, removal, keys(g.roots...)...))(t)
	wantCode(t, a.Consents(foreign), fault.BadSignature)
	wantCode(t, a.Consents(nil), fault.Malformed)
	wantCode(t, a.Consents(g.genesis), fault.WrongKind)
}
