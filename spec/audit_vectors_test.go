package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func headVectors() *group {
	g := &group{folder: "head", statement: "head", realm: theRealm(), context: chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}}
	type claim = audit.Head
	honest := claim{Version: 1, Roster: 1, Size: 3, Root: wire.Digest{1}, Time: now, State: wire.Digest{2}}
	nodes := keys(node+1, 3)
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honest, change), nodes...))
	}
	g.accept("ok", cosigned(g.realm, honest, nodes[:2]...))
	g.accept("ok-all-nodes", cosigned(g.realm, honest, nodes...))
	g.refuse("one-node", "head-majority", fault.NoQuorum, cosigned(g.realm, honest, nodes[0]))
	g.refuse("node-and-outgoing-node", "among", fault.NoQuorum, cosigned(g.realm, honest, nodes[0], key(node)))
	g.refuse("node-and-root", "among", fault.NoQuorum, cosigned(g.realm, honest, nodes[0], key(root)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honest, nodes...))
	with("version", "head-version", fault.Version, func(h *claim) { h.Version = 2 })
	with("empty", "head-size", fault.Malformed, func(h *claim) { h.Size = 0 })
	with("no-root", "head-root", fault.Malformed, func(h *claim) { h.Root = wire.Digest{} })
	with("time-below-zero", "head-time", fault.Malformed, func(h *claim) { h.Time = -1 })
	with("older-roster", "head-roster", fault.Superseded, func(h *claim) { h.Roster = 0 })
	with("later-roster", "head-roster", fault.Superseded, func(h *claim) { h.Roster = 2 })
	return g
}

// inclusionVectors are on a tree of seven leaves; what is shown is that of index 3, whose result is the text "done".
func inclusionVectors() *group {
	realm, result := theRealm(), encode("done")
	leaves := make([]audit.Leaf, 7)
	hashes := make([]merkle.Hash, len(leaves))
	for i := range leaves {
		leaves[i] = audit.Leaf{Index: uint64(i + 1), Command: wire.Digest{byte(i)}, Result: wire.Hash(result)}
		if i == 3 {
			leaves[i].Verdict, leaves[i].Result = fault.Denied, wire.Digest{}
		}
		if i == 4 {
			leaves[i].Verdict = fault.Denied
		}
		hashes[i] = leaves[i].Hash()
	}
	paths, err := merkle.Paths(hashes)
	if err != nil {
		panic(err)
	}
	head := audit.Head{Version: 1, Size: 7, Root: wire.Digest(merkle.Root(hashes)), Time: now, State: wire.Digest{2}}
	under := func(h audit.Head) inclusionContext {
		return inclusionContext{chainContext{Genesis: theGenesis()}, cosigned(realm, h, keys(node, 2)...), nil}
	}
	showing := changed(under(head), func(c *inclusionContext) { c.Result = result })
	g := &group{folder: "inclusion", statement: "inclusion", realm: realm, context: under(head)}
	type claim = audit.Inclusion
	of := func(i int) claim { return claim{Leaf: leaves[i], Path: paths[i]} }
	with := func(name, check string, change func(*claim)) {
		g.refuse(name, check, fault.BadSignature, encode(changed(of(2), change)))
	}

	g.accept("ok", encode(of(2)))
	g.accept("ok-last", encode(of(6)))
	g.accept("ok-refused-command", encode(of(3)))
	g.accept("ok-shows-result", encode(of(2)), knowing(showing))
	g.refuse("shows-another-result", "leaf-result", fault.BadSignature, encode(of(2)),
		knowing(changed(showing, func(c *inclusionContext) { c.Result = encode("else") })))
	g.refuse("shows-a-refusal", "leaf-verdict", fault.BadSignature, encode(of(4)), knowing(showing))
	with("index-zero", "inclusion", func(i *claim) { i.Leaf.Index = 0 })
	with("index-above-size", "inclusion", func(i *claim) { i.Leaf.Index = 8 })
	with("other-index", "inclusion", func(i *claim) { i.Leaf.Index = 4 })
	with("other-command", "inclusion", func(i *claim) { i.Leaf.Command = wire.Digest{9} })
	with("verdict-changed", "inclusion", func(i *claim) { i.Leaf.Verdict = fault.Denied })
	with("path-of-another", "inclusion", func(i *claim) { i.Path = paths[1] })
	with("path-shorter", "inclusion", func(i *claim) { i.Path = i.Path[:2] })
	with("path-longer", "inclusion", func(i *claim) { i.Path = append(bytesOf(i.Path), merkle.Hash{}) })
	g.refuse("other-root", "inclusion", fault.BadSignature, encode(of(2)),
		knowing(under(changed(head, func(h *audit.Head) { h.Root = wire.Digest{1} }))))
	g.refuse("size-below", "inclusion", fault.BadSignature, encode(of(2)),
		knowing(under(changed(head, func(h *audit.Head) { h.Size = 4 }))))
	g.refuse("head-of-one-node", "head-majority", fault.NoQuorum, encode(of(2)),
		knowing(changed(under(head), func(c *inclusionContext) { c.Head = cosigned(realm, head, key(node)) })))
	return g
}
