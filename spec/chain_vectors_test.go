package spec_test

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The realm of the vectors: roots are the keys 10, 11, 12, two of whom sign; nodes of the genesis are 20, 21, 22.
const root, node = 10, 20

func honestGenesis() identity.Genesis {
	return identity.Genesis{
		Version: 1, Created: now, Roots: ids(identity.Operator, root, 3), Threshold: 2, Nodes: ids(identity.Node, node, 3),
		Policy: wire.Digest{1}, Nonce: [16]byte{1},
	}
}

func idOf(realm wire.Realm, s wire.Statement) wire.Digest {
	return wire.ID(s.Kind(), realm, encode(s))
}

func theRealm() wire.Realm { return wire.Realm(idOf(wire.Realm{}, honestGenesis())) }

func theGenesis() []byte { return cosigned(wire.Realm{}, honestGenesis(), keys(root, 2)...) }

// honestRoster is the roster with the number, of the nodes 20+number … 22+number.
func honestRoster(number byte) identity.Roster {
	previous := wire.Digest(theRealm())
	if number > 1 {
		previous = idOf(theRealm(), honestRoster(number-1))
	}
	return identity.Roster{
		Version: 1, Number: uint64(number), Previous: previous, Issued: now + int64(number)*hour,
		Roots: ids(identity.Operator, root, 3), Threshold: 2, Nodes: ids(identity.Node, node+number, 3),
	}
}

// theRosters are the honest rosters 1 to n, signed.
func theRosters(n byte) []hexBytes {
	var all []hexBytes
	for i := range n {
		all = append(all, cosigned(theRealm(), honestRoster(i+1), joined(keys(root, 2), keys(node+i, 2))...))
	}
	return all
}

func genesisVectors() *group {
	g := &group{folder: "genesis", statement: "genesis", realm: theRealm(), context: struct{}{}}
	type claim = identity.Genesis
	// with is a realm of its own whose genesis was edited, signed by its first two roots.
	with := func(name, check string, code fault.Code, change func(*claim)) {
		s := changed(honestGenesis(), change)
		g.refuse(name, check, code, cosigned(wire.Realm{}, s, keys(root, 2)...), under(wire.Realm(idOf(wire.Realm{}, s))))
	}
	solo := changed(honestGenesis(), func(s *claim) { s.Solo, s.Roots, s.Threshold = true, ids(identity.Operator, root, 1), 1 })

	g.accept("ok", theGenesis())
	g.accept("ok-all-roots", cosigned(wire.Realm{}, honestGenesis(), keys(root, 3)...))
	g.accept("ok-solo", cosigned(wire.Realm{}, solo, key(root)), under(wire.Realm(idOf(wire.Realm{}, solo))))
	g.refuse("other-realm", "genesis-realm", fault.WrongRealm, theGenesis(), under(wire.Realm{1}))
	g.refuse("signed-under-its-own-realm", "signature", fault.BadSignature, cosigned(g.realm, honestGenesis(), keys(root, 2)...))
	g.refuse("one-root", "genesis-threshold", fault.NoQuorum, cosigned(wire.Realm{}, honestGenesis(), key(root)))
	g.refuse("root-and-stranger", "among", fault.NoQuorum, cosigned(wire.Realm{}, honestGenesis(), key(root), key(99)))
	g.refuse("root-and-node", "among", fault.NoQuorum, cosigned(wire.Realm{}, honestGenesis(), key(root), key(node)))
	with("version", "genesis-version", fault.Version, func(s *claim) { s.Version = 2 })
	with("no-time", "genesis-created", fault.Malformed, func(s *claim) { s.Created = 0 })
	with("no-policy", "genesis-policy", fault.Malformed, func(s *claim) { s.Policy = wire.Digest{} })
	with("no-nonce", "genesis-nonce", fault.Malformed, func(s *claim) { s.Nonce = [16]byte{} })
	with("threshold-zero", "threshold-least", fault.Malformed, func(s *claim) { s.Threshold = 0 })
	with("threshold-above-roots", "threshold-most", fault.Malformed, func(s *claim) { s.Threshold = 4 })
	with("solo-of-three", "solo-roots", fault.Malformed, func(s *claim) { s.Solo = true })
	with("no-nodes", "list-length", fault.Malformed, func(s *claim) { s.Nodes = nil })
	with("too-many-nodes", "list-length", fault.Malformed, func(s *claim) { s.Nodes = ids(identity.Node, node, wire.MaxCosigners+1) })
	with("nodes-unsorted", "list-sorted", fault.Malformed, func(s *claim) { s.Nodes = reversed(s.Nodes) })
	with("node-twice", "list-sorted", fault.Malformed, func(s *claim) { s.Nodes = []identity.ID{s.Nodes[0], s.Nodes[0]} })
	with("agent-among-nodes", "list-role", fault.Malformed, func(s *claim) { s.Nodes = ids(identity.Agent, node, 3) })
	with("weak-node", "list-keys", fault.BadKey, func(s *claim) { s.Nodes = []identity.ID{weakID(identity.Node)} })
	return g
}

func reversed(list []identity.ID) []identity.ID {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

// weakID is a principal whose key is the identity point.
func weakID(role identity.Role) identity.ID { return identity.NewID(role, wire.PublicKey{1}) }

func rosterVectors() *group {
	before := chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}
	g := &group{folder: "roster", statement: "roster", realm: theRealm(), context: before}
	type claim = identity.Roster
	roots, outgoing := keys(root, 2), keys(node+1, 2)
	everybody := joined(keys(root, 3), keys(node+1, 3))
	honest := honestRoster(2)
	// with is the second roster, edited, signed by everybody who could.
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honest, change), everybody...))
	}
	recovery := changed(honest, func(r *claim) { r.Recovery = true })

	g.accept("ok", cosigned(g.realm, honest, joined(roots, outgoing)...))
	g.accept("ok-first", theRosters(1)[0], knowing(chainContext{Genesis: theGenesis()}))
	g.accept("ok-recovery-by-roots", cosigned(g.realm, recovery, roots...))
	g.refuse("one-root", "roster-threshold", fault.NoQuorum, cosigned(g.realm, honest, joined(roots[:1], outgoing)...))
	g.refuse("threshold-of-its-own", "roster-threshold", fault.NoQuorum,
		cosigned(g.realm, changed(honest, func(r *claim) { r.Threshold = 1 }), joined(roots[:1], outgoing)...))
	g.refuse("recovery-by-one-root", "roster-threshold", fault.NoQuorum, cosigned(g.realm, recovery, roots[0]))
	g.refuse("root-and-stranger", "among", fault.NoQuorum, cosigned(g.realm, honest, joined(roots[:1], outgoing, keys(99, 1))...))
	g.refuse("one-node", "roster-majority", fault.NoQuorum, cosigned(g.realm, honest, joined(roots, outgoing[:1])...))
	g.refuse("no-nodes", "roster-nodes", fault.NoQuorum, cosigned(g.realm, honest, roots...))
	g.refuse("incoming-nodes", "roster-nodes", fault.NoQuorum, cosigned(g.realm,
		changed(honest, func(r *claim) { r.Nodes = ids(identity.Node, 40, 3) }), joined(roots, keys(40, 3))...))
	g.refuse("older-than-seen", "roster-least", fault.Superseded, cosigned(g.realm, honest, everybody...),
		knowing(chainContext{before.Genesis, before.Rosters, 3}))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honest, everybody...))
	with("number-skipped", "roster-number", fault.Malformed, func(r *claim) { r.Number = 3 })
	with("number-repeated", "roster-number", fault.Malformed, func(r *claim) { r.Number = 1 })
	with("previous-of-first", "roster-previous", fault.Malformed, func(r *claim) { r.Previous = wire.Digest(g.realm) })
	with("version", "roster-version", fault.Version, func(r *claim) { r.Version = 2 })
	with("no-time", "roster-issued", fault.Malformed, func(r *claim) { r.Issued = 0 })
	with("threshold-zero", "threshold-least", fault.Malformed, func(r *claim) { r.Threshold = 0 })
	with("no-nodes-listed", "list-length", fault.Malformed, func(r *claim) { r.Nodes = nil })
	return g
}
