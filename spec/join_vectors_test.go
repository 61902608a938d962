package spec_test

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The nodes that join are the keys 40 and 41; the one-time keys of their tokens are 50 and 51.
const newcomer = 40

func honestJoinToken() identity.JoinToken {
	return identity.JoinToken{
		Version: 1, OneTime: key(50).Public(), Issued: now, Expires: now + 3*hour, Addresses: []string{"node.example:4225"},
		Pins: ids(identity.Node, node+1, 3), Roster: 1,
	}
}

func theJoinToken() []byte { return cosigned(theRealm(), honestJoinToken(), keys(root, 2)...) }

func honestAdmission() identity.Admission {
	return identity.Admission{Version: 1, Token: theJoinToken(), Node: id(identity.Node, newcomer), Issued: now}
}

func joinTokenVectors() *group {
	g := &group{folder: "join-token", statement: "join-token", realm: theRealm(), context: chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}}
	type claim = identity.JoinToken
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honestJoinToken(), change), keys(root, 3)...))
	}

	g.accept("ok", theJoinToken())
	g.accept("ok-all-roots", cosigned(g.realm, honestJoinToken(), keys(root, 3)...))
	g.accept("ok-address-of-any-form", cosigned(g.realm, changed(honestJoinToken(), func(k *claim) { k.Addresses = []string{"", "here"} }), keys(root, 3)...))
	g.refuse("one-root", "join-token-threshold", fault.NoQuorum, cosigned(g.realm, honestJoinToken(), key(root)))
	g.refuse("root-and-stranger", "among", fault.NoQuorum, cosigned(g.realm, honestJoinToken(), key(root), key(99)))
	g.refuse("nodes", "among", fault.NoQuorum, cosigned(g.realm, honestJoinToken(), keys(node+1, 3)...))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honestJoinToken(), keys(root, 3)...))
	with("version", "join-token-version", fault.Version, func(k *claim) { k.Version = 0 })
	with("no-address", "join-token-address", fault.Malformed, func(k *claim) { k.Addresses = nil })
	with("too-many-addresses", "join-token-addresses", fault.Malformed, func(k *claim) { k.Addresses = make([]string, 17) })
	with("weak-one-time-key", "join-token-one-time-key", fault.BadKey, func(k *claim) { k.OneTime = wire.PublicKey{1} })
	with("no-pins", "join-token-pins", fault.Malformed, func(k *claim) { k.Pins = nil })
	with("life", "join-token-life", fault.Malformed, func(k *claim) { k.Expires = k.Issued + identity.MaxJoinTokenLife + 1 })
	return g
}

func admissionVectors() *group {
	g := &group{folder: "admission", statement: "admission", realm: theRealm(), context: chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}}
	type claim = identity.Admission
	honest := honestAdmission()
	both := []wire.Key{key(newcomer), key(50)}
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honest, change), both...))
	}
	by := func(name, check string, code fault.Code, realm wire.Realm, by ...wire.Key) {
		with(name, check, code, func(a *claim) { a.Token = cosigned(realm, honestJoinToken(), by...) })
	}
	stolen := changed(honest, func(a *claim) { a.Node = id(identity.Node, 60) })
	itself := changed(honest, func(a *claim) { a.Node = id(identity.Node, 50) })

	g.accept("ok", cosigned(g.realm, honest, both...))
	g.refuse("node-alone", "admission-both", fault.NoQuorum, cosigned(g.realm, honest, key(newcomer)))
	g.refuse("one-time-key-alone", "admission-both", fault.NoQuorum, cosigned(g.realm, honest, key(50)))
	g.refuse("token-stolen-without-seed", "among", fault.NoQuorum, cosigned(g.realm, stolen, key(60), key(61)))
	g.refuse("one-time-key-of-the-node", "admission-distinct", fault.Malformed, cosigned(g.realm, itself, key(50)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honest, both...))
	by("token-by-one-root", "join-token-threshold", fault.NoQuorum, g.realm, key(root))
	by("token-by-strangers", "among", fault.NoQuorum, g.realm, keys(90, 2)...)
	by("token-of-other-realm", "signature", fault.BadSignature, wire.Realm{1}, keys(root, 3)...)
	with("version", "admission-version", fault.Version, func(a *claim) { a.Version = 2 })
	with("no-time", "admission-issued", fault.Malformed, func(a *claim) { a.Issued = 0 })
	with("agent-as-node", "admission-role", fault.Malformed, func(a *claim) { a.Node = id(identity.Agent, newcomer) })
	with("weak-node", "admission-node-key", fault.BadKey, func(a *claim) { a.Node = weakID(identity.Node) })
	return g
}

// admitted is the admission of node n by a token of the one-time key.
func admitted(n, once byte, edits ...func(*identity.JoinToken)) []byte {
	k := honestJoinToken()
	k.OneTime = key(once).Public()
	for _, edit := range edits {
		edit(&k)
	}
	a := identity.Admission{Version: 1, Token: cosigned(theRealm(), k, keys(root, 2)...), Node: id(identity.Node, n), Issued: now}
	return cosigned(theRealm(), a, key(n), key(once))
}

// staying is the roster of the number that leaves roots and nodes as roster 1 has them, after the one before.
func staying(number uint64, before identity.Roster) identity.Roster {
	r := honestRoster(1)
	r.Number, r.Previous, r.Issued = number, idOf(theRealm(), before), now+int64(number)*hour
	return r
}

// joiningVectors are rosters that admit a node, and the lists of those that join.
func joiningVectors() *group {
	g := &group{folder: "roster", statement: "roster", realm: theRealm(), context: chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}}
	type claim = identity.Roster
	roots, nodes := keys(root, 3), keys(node+1, 3)
	honest := changed(staying(2, honestRoster(1)), func(r *claim) {
		r.Joining, r.Admission = ids(identity.Node, newcomer, 1), admitted(newcomer, 50)
	})
	listed := changed(honest, func(r *claim) { r.Admission = nil })
	// with is the honest roster, edited, signed by everybody who could.
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honest, change), joined(roots, nodes)...))
	}
	list := func(name, check string, code fault.Code, joining []identity.ID) {
		g.refuse(name, check, code, cosigned(g.realm, changed(listed, func(r *claim) { r.Joining = joining }), joined(roots, nodes)...))
	}
	token := func(name, check string, code fault.Code, change func(*identity.JoinToken)) {
		with(name, check, code, func(r *claim) { r.Admission = admitted(newcomer, 50, change) })
	}
	issued := func(time int64) []byte {
		return cosigned(g.realm, changed(honest, func(r *claim) { r.Issued = time }), nodes[:2]...)
	}
	strangers := changed(honestAdmission(), func(a *identity.Admission) { a.Token = cosigned(g.realm, honestJoinToken(), keys(90, 2)...) })
	again := changed(staying(3, honest), func(r *claim) {
		r.Joining, r.Admission, r.Issued = ids(identity.Node, newcomer, 2), admitted(newcomer+1, 50), honest.Issued+minute
	})

	g.accept("ok-admission", cosigned(g.realm, honest, nodes[:2]...))
	g.accept("ok-admission-roots-too", cosigned(g.realm, honest, joined(roots, nodes)...))
	g.accept("ok-admission-first-moment", issued(now-identity.Skew))
	g.accept("ok-admission-last-moment", issued(now+3*hour-1))
	g.accept("ok-joining-by-roots", cosigned(g.realm, listed, joined(roots[:2], nodes[:2])...))
	g.refuse("node-added-by-nodes", "promotion-members", fault.NoQuorum, cosigned(g.realm, changed(staying(2, honestRoster(1)), func(r *claim) {
		r.Nodes = ids(identity.Node, node+1, 4)
	}), nodes...))
	g.refuse("admission-by-one-node", "roster-majority", fault.NoQuorum, cosigned(g.realm, honest, joined(roots, nodes[:1])...))
	g.refuse("admission-by-roots", "roster-nodes", fault.NoQuorum, cosigned(g.realm, honest, roots...))
	g.refuse("admission-not-yet", "join-token-not-yet", fault.NotYet, issued(now-identity.Skew-1))
	g.refuse("admission-expired", "join-token-expired", fault.Expired, issued(now+3*hour))
	g.refuse("admission-again", "join-token-spent", fault.Spent, cosigned(g.realm, again, nodes...),
		knowing(chainContext{Genesis: theGenesis(), Rosters: append(theRosters(1), cosigned(g.realm, honest, nodes[:2]...))}))
	token("admission-of-later-token", "roster-token-roster", fault.Superseded, func(k *identity.JoinToken) { k.Roster = 2 })
	with("admission-by-strangers", "roster-admission", fault.NoQuorum, func(r *claim) {
		r.Admission = cosigned(g.realm, strangers, key(newcomer), key(50))
	})
	with("admission-of-another", "roster-newcomer", fault.Malformed, func(r *claim) { r.Admission = admitted(newcomer+1, 50) })
	with("admission-of-two", "roster-newcomer", fault.Malformed, func(r *claim) { r.Joining = ids(identity.Node, newcomer, 2) })
	with("admission-of-nobody", "roster-newcomer", fault.Malformed, func(r *claim) { r.Joining = nil })
	with("admission-of-a-node", "roster-newcomer", fault.Malformed, func(r *claim) { r.Joining, r.Admission = nil, admitted(node+1, 50) })
	with("admission-and-removal", "roster-same-nodes", fault.Malformed, func(r *claim) { r.Nodes = r.Nodes[:2] })
	with("admission-and-threshold", "roster-same-threshold", fault.Malformed, func(r *claim) { r.Threshold = 1 })
	with("admission-and-roots", "roster-same-roots", fault.Malformed, func(r *claim) { r.Roots = r.Roots[:2] })
	with("admission-by-recovery", "roster-recovery-admits", fault.Malformed, func(r *claim) { r.Recovery = true })
	list("joining-unsorted", "roster-joining", fault.Malformed, reversed(ids(identity.Node, newcomer, 2)))
	list("joining-too-many", "roster-members", fault.Malformed, ids(identity.Node, newcomer, wire.MaxCosigners-2))
	list("joining-a-node", "roster-disjoint", fault.Malformed, listed.Nodes[1:2])
	empty := append([]byte{0xa9}, append(encode(honestRoster(1))[1:], unhex("08 80")...)...)
	g.refuse("joining-empty", "re-encoding", fault.Malformed,
		assembled(wire.Roster, empty, pairs(g.realm, wire.Roster, empty, joined(roots, keys(node, 3)))), knowing(chainContext{Genesis: theGenesis()}))
	return g
}

// promotionVectors are rosters after one with two nodes that join, signed by the nodes alone.
func promotionVectors() *group {
	type claim = identity.Roster
	roots, nodes := keys(root, 2), keys(node+1, 3)
	before := changed(staying(2, honestRoster(1)), func(r *claim) { r.Joining = ids(identity.Node, newcomer, 2) })
	g := &group{folder: "roster", statement: "roster", realm: theRealm(), context: chainContext{
		Genesis: theGenesis(), Rosters: append(theRosters(1), cosigned(theRealm(), before, joined(roots, nodes)...)),
	}}
	all := func(r *claim) []identity.ID {
		list := slices.Concat(r.Nodes, r.Joining)
		slices.SortFunc(list, identity.ID.Compare)
		return list
	}
	unchanged := changed(staying(3, before), func(r *claim) { r.Joining = before.Joining })
	honest := changed(unchanged, func(r *claim) { r.Nodes, r.Joining = all(r), nil })
	one := changed(unchanged, func(r *claim) {
		r.Joining = append(r.Joining[:0:0], before.Joining[0])
		r.Nodes = all(&claim{Nodes: r.Nodes, Joining: before.Joining[1:]})
	})
	// with is a roster, edited, signed by all nodes.
	with := func(name, check string, r claim, change func(*claim)) {
		g.refuse(name, check, fault.NoQuorum, cosigned(g.realm, changed(r, change), nodes...))
	}

	g.accept("ok-promotion", cosigned(g.realm, honest, nodes[:2]...))
	g.accept("ok-promotion-of-one", cosigned(g.realm, one, nodes[:2]...))
	g.accept("ok-removal-by-roots", cosigned(g.realm, changed(unchanged, func(r *claim) { r.Nodes = r.Nodes[:2] }), joined(roots, nodes[:2])...))
	g.refuse("promotion-by-those-who-join", "roster-majority", fault.NoQuorum, cosigned(g.realm, honest, joined(nodes[:1], keys(newcomer, 2))...))
	with("removal-by-nodes", "roster-roots", unchanged, func(r *claim) { r.Nodes, r.Joining = r.Nodes[:2], nil })
	with("nothing-changed-by-nodes", "promotion-grows", unchanged, func(*claim) {})
	with("promotion-as-recovery", "promotion-recovery", honest, func(r *claim) { r.Recovery = true })
	with("promotion-and-threshold", "roster-same-threshold", honest, func(r *claim) { r.Threshold = 1 })
	with("promotion-and-roots", "roster-same-roots", honest, func(r *claim) { r.Roots = r.Roots[:2] })
	with("promotion-and-demotion", "promotion-keeps", honest, func(r *claim) {
		back := before.Nodes[0]
		r.Joining = []identity.ID{back}
		r.Nodes = slices.DeleteFunc(slices.Clone(r.Nodes), func(n identity.ID) bool { return n == back })
	})
	with("promotion-of-stranger", "promotion-members", honest, func(r *claim) {
		r.Nodes = all(&claim{Nodes: r.Nodes, Joining: ids(identity.Node, newcomer+2, 1)})
	})
	with("promotion-and-removal-of-who-joins", "promotion-members", one, func(r *claim) { r.Joining = nil })
	with("promotion-and-stranger-joins", "promotion-members", one, func(r *claim) {
		r.Joining = all(&claim{Nodes: r.Joining, Joining: ids(identity.Node, newcomer+2, 1)})
	})
	return g
}
