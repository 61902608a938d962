package spec_test

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// The agent of the vectors is key 1, its process's keys are 2 and 3; its operator is root 10; key 50 is one-time.

func honestToken() identity.Token {
	return identity.Token{
		Version: 1, Operator: id(identity.Operator, root), Name: "reviewer", Level: identity.Journeyer,
		OneTime: key(50).Public(), Issued: now, Expires: now + hour, Addresses: []string{"node.example:4222"},
		Pins: ids(identity.Node, node, 3), Serves: []string{"review.*"}, Roster: 1,
	}
}

func tokenVectors() *group {
	g := &group{folder: "token", statement: "token", realm: theRealm(), context: keyContext{public(key(root))}}
	type claim = identity.Token
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(root), g.realm, changed(honestToken(), change)))
	}
	body := encode(honestToken())

	g.accept("ok", signed(key(root), g.realm, honestToken()))
	g.accept("ok-serves-nothing", signed(key(root), g.realm, changed(honestToken(), func(k *claim) { k.Serves = nil })))
	g.accept("ok-address-of-any-form", signed(key(root), g.realm, changed(honestToken(), func(k *claim) { k.Addresses = []string{"", "here"} })))
	g.refuse("other-operator", "signature", fault.BadSignature, signed(key(root+1), g.realm, honestToken()))
	g.refuse("serves-null", "re-encoding", fault.Malformed, signedBytes(key(root), g.realm, wire.Token,
		edited(body, "09 81 68 7265766965772e2a", "09 f6")))
	g.refuse("address-not-utf8", "utf8", fault.Malformed, signedBytes(key(root), g.realm, wire.Token,
		edited(body, "6e6f6465 2e 6578616d706c65", "6e6f6465 ff 6578616d706c65")))
	with("version", "token-version", fault.Version, func(k *claim) { k.Version = 0 })
	with("agent-as-operator", "token-operator", fault.Malformed, func(k *claim) { k.Operator = id(identity.Agent, root) })
	with("weak-operator", "token-operator-key", fault.BadKey, func(k *claim) { k.Operator = weakID(identity.Operator) })
	with("no-address", "token-address", fault.Malformed, func(k *claim) { k.Addresses = nil })
	with("too-many-addresses", "token-addresses", fault.Malformed, func(k *claim) { k.Addresses = make([]string, 17) })
	with("name", "token-name", fault.Malformed, func(k *claim) { k.Name = "Reviewer" })
	with("level", "token-level", fault.Malformed, func(k *claim) { k.Level = 6 })
	with("weak-one-time-key", "token-one-time-key", fault.BadKey, func(k *claim) { k.OneTime = wire.PublicKey{1} })
	with("serves", "token-serves", fault.Malformed, func(k *claim) { k.Serves = []string{"re*"} })
	with("no-pins", "token-pins", fault.Malformed, func(k *claim) { k.Pins = nil })
	with("life", "token-life", fault.Malformed, func(k *claim) { k.Expires = k.Issued + identity.MaxTokenLife + 1 })
	parent := func(of identity.ID) func(*claim) { return func(k *claim) { k.Parent = &of } }
	g.accept("ok-of-a-child", signed(key(root), g.realm, changed(honestToken(), parent(id(identity.Agent, 1)))))
	with("person-as-parent", "token-parent", fault.Malformed, parent(id(identity.Operator, 1)))
	with("weak-parent", "token-parent-key", fault.BadKey, parent(weakID(identity.Agent)))
	return g
}

func enrolmentVectors() *group {
	g := &group{folder: "enrolment", statement: "enrolment", realm: theRealm(), context: keyContext{public(key(root))}}
	type claim = identity.Enrolment
	honest := identity.Enrolment{Version: 1, Token: signed(key(root), g.realm, honestToken()), Agent: id(identity.Agent, 1), Issued: now}
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honest, change), key(1), key(50)))
	}
	stolen := changed(honest, func(e *claim) { e.Agent = id(identity.Agent, 60) })
	itself := changed(honest, func(e *claim) { e.Agent = id(identity.Agent, 50) })

	g.accept("ok", cosigned(g.realm, honest, key(1), key(50)))
	g.refuse("agent-alone", "enrolment-both", fault.NoQuorum, cosigned(g.realm, honest, key(1)))
	g.refuse("one-time-key-alone", "enrolment-both", fault.NoQuorum, cosigned(g.realm, honest, key(50)))
	g.refuse("token-stolen-without-seed", "among", fault.NoQuorum, cosigned(g.realm, stolen, key(60), key(61)))
	g.refuse("one-time-key-of-the-agent", "enrolment-distinct", fault.Malformed, cosigned(g.realm, itself, key(50)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honest, key(1), key(50)))
	with("token-by-somebody-else", "signature", fault.BadSignature, func(e *claim) { e.Token = signed(key(61), g.realm, honestToken()) })
	with("token-of-other-realm", "signature", fault.BadSignature, func(e *claim) { e.Token = signed(key(root), wire.Realm{1}, honestToken()) })
	with("version", "enrolment-version", fault.Version, func(e *claim) { e.Version = 2 })
	with("no-time", "enrolment-issued", fault.Malformed, func(e *claim) { e.Issued = 0 })
	with("node-as-agent", "enrolment-role", fault.Malformed, func(e *claim) { e.Agent = id(identity.Node, 1) })
	with("weak-agent", "enrolment-agent-key", fault.BadKey, func(e *claim) { e.Agent = weakID(identity.Agent) })
	return g
}

func honestCredential() identity.Credential {
	return identity.Credential{
		Version: 1, Principal: id(identity.Agent, 1), Epoch: 3, Connect: key(2).Public(), Signing: key(3).Public(),
		Sealing: wire.Digest{4}, Issued: now, Expires: now + hour,
	}
}

func credentialVectors() *group {
	g := &group{folder: "credential", statement: "credential", realm: theRealm(), context: keyContext{public(key(1))}}
	type claim = identity.Credential
	good := signed(key(1), g.realm, honestCredential())
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(1), g.realm, changed(honestCredential(), change)))
	}

	g.accept("ok", good)
	g.accept("ok-by-successor", signed(key(9), g.realm, honestCredential()), knowing(keyContext{public(key(9))}))
	g.accept("ok-first-moment", good, at(now-identity.Skew))
	g.accept("ok-last-moment", good, at(now+hour+identity.Skew-1))
	g.refuse("not-yet", "not-yet", fault.NotYet, good, at(now-identity.Skew-1))
	g.refuse("expired", "expired", fault.Expired, good, at(now+hour+identity.Skew))
	g.refuse("by-superseded-key", "signature", fault.BadSignature, good, knowing(keyContext{public(key(9))}))
	with("version", "credential-version", fault.Version, func(c *claim) { c.Version = 2 })
	with("no-sealing-key", "credential-sealing", fault.Malformed, func(c *claim) { c.Sealing = wire.Digest{} })
	with("one-key-for-both", "credential-distinct", fault.Malformed, func(c *claim) { c.Signing = c.Connect })
	with("nobody", "credential-principal", fault.Malformed, func(c *claim) { c.Principal = identity.ID{} })
	with("weak-signing-key", "credential-keys", fault.BadKey, func(c *claim) { c.Signing = wire.PublicKey{1} })
	with("no-time", "life-issued", fault.Malformed, func(c *claim) { c.Issued, c.Expires = 0, hour })
	with("no-life", "life-expires", fault.Malformed, func(c *claim) { c.Expires = c.Issued })
	with("long-life", "life-longest", fault.Malformed, func(c *claim) { c.Expires = c.Issued + identity.MaxCredentialLife + 1 })
	return g
}

func honestSuccession() identity.Succession {
	return identity.Succession{
		Version: 1, Principal: id(identity.Agent, 1), Number: 1, Old: key(1).Public(), New: key(2).Public(), Issued: now,
	}
}

func successionVectors() *group {
	first := honestSuccession()
	realm := theRealm()
	before := successionContext{first.Principal, []hexBytes{cosigned(realm, first, key(1), key(2))}}
	g := &group{folder: "succession", statement: "succession", realm: realm, context: before}
	second := identity.Succession{
		Version: 1, Principal: first.Principal, Number: 2, Previous: idOf(realm, first), Old: key(2).Public(),
		New: key(3).Public(), Issued: now + hour,
	}
	type claim = identity.Succession
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(realm, changed(second, change), key(2), key(3)))
	}

	g.accept("ok", cosigned(realm, second, key(2), key(3)))
	g.accept("ok-first", before.Chain[0], knowing(successionContext{Principal: first.Principal}))
	g.refuse("old-key-alone", "succession-both", fault.NoQuorum, cosigned(realm, second, key(2)))
	g.refuse("new-key-alone", "succession-both", fault.NoQuorum, cosigned(realm, second, key(3)))
	g.refuse("superseded-key-for-the-old", "among", fault.NoQuorum, cosigned(realm, second, key(1), key(3)))
	g.refuse("from-superseded-key", "succession-old", fault.Malformed,
		cosigned(realm, changed(second, func(s *claim) { s.Old = key(1).Public() }), key(1), key(3)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, second, key(2), key(3)))
	with("other-principal", "succession-principal", fault.Malformed, func(s *claim) { s.Principal = id(identity.Agent, 7) })
	with("number-skipped", "succession-number", fault.Malformed, func(s *claim) { s.Number = 3 })
	with("other-predecessor", "succession-previous", fault.Malformed, func(s *claim) { s.Previous[0] ^= 1 })
	with("version", "succession-version", fault.Version, func(s *claim) { s.Version = 2 })
	with("no-time", "succession-issued", fault.Malformed, func(s *claim) { s.Issued = 0 })
	g.refuse("weak-new-key", "succession-new-key", fault.BadKey,
		cosigned(realm, changed(second, func(s *claim) { s.New = wire.PublicKey{1} }), key(2)))
	return g
}

func honestTicket() trust.Ticket {
	return trust.Ticket{
		Version: 1, Principal: id(identity.Agent, 1), Name: "reviewer", Operator: id(identity.Operator, root),
		Status: trust.Active, Level: identity.Journeyer, Key: key(1).Public(), Epoch: 3, Serves: []string{"review.*"},
		Policy: wire.Digest{1}, Roster: 1, Index: 100, Issued: now, Expires: now + trust.MaxTicketLife,
	}
}

func ticketVectors() *group {
	g := &group{folder: "ticket", statement: "ticket", realm: theRealm(), context: chainContext{Genesis: theGenesis(), Rosters: theRosters(1)}}
	type claim = trust.Ticket
	nodes := keys(node+1, 3)
	good := cosigned(g.realm, honestTicket(), nodes[:2]...)
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honestTicket(), change), nodes...))
	}

	g.accept("ok", good)
	g.accept("ok-all-nodes", cosigned(g.realm, honestTicket(), nodes...))
	g.accept("ok-quarantined", cosigned(g.realm, changed(honestTicket(), func(k *claim) { k.Status = trust.Quarantined }), nodes...))
	g.accept("ok-first-moment", good, at(now-identity.Skew))
	g.accept("ok-last-moment", good, at(now+trust.MaxTicketLife+identity.Skew-1))
	g.refuse("not-yet", "not-yet", fault.NotYet, good, at(now-identity.Skew-1))
	g.refuse("expired", "expired", fault.Expired, good, at(now+trust.MaxTicketLife+identity.Skew))
	g.refuse("one-node", "ticket-majority", fault.NoQuorum, cosigned(g.realm, honestTicket(), nodes[0]))
	g.refuse("node-and-outgoing-node", "among", fault.NoQuorum, cosigned(g.realm, honestTicket(), nodes[0], key(node)))
	g.refuse("node-and-root", "among", fault.NoQuorum, cosigned(g.realm, honestTicket(), nodes[0], key(root)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honestTicket(), nodes...))
	with("older-roster", "ticket-roster", fault.Superseded, func(k *claim) { k.Roster = 0 })
	with("later-roster", "ticket-roster", fault.Superseded, func(k *claim) { k.Roster = 2 })
	with("version", "ticket-version", fault.Version, func(k *claim) { k.Version = 2 })
	with("weak-principal", "ticket-principal", fault.BadKey, func(k *claim) { k.Principal = weakID(identity.Agent) })
	with("name", "ticket-name", fault.Malformed, func(k *claim) { k.Name = "" })
	with("agent-without-operator", "ticket-operator", fault.Malformed, func(k *claim) { k.Operator = identity.ID{} })
	with("operator-of-another", "ticket-operator", fault.Malformed, func(k *claim) { k.Principal = id(identity.Operator, 11) })
	with("weak-operator", "ticket-operator-key", fault.BadKey, func(k *claim) { k.Operator = weakID(identity.Operator) })
	with("level", "ticket-level", fault.Malformed, func(k *claim) { k.Level = 6 })
	with("serves", "ticket-serves", fault.Malformed, func(k *claim) { k.Serves = []string{"b", "a"} })
	with("weak-key", "ticket-key", fault.BadKey, func(k *claim) { k.Key = wire.PublicKey{1} })
	with("no-status", "ticket-status", fault.Malformed, func(k *claim) { k.Status = 0 })
	with("unknown-status", "ticket-status", fault.Malformed, func(k *claim) { k.Status = 4 })
	with("no-policy", "ticket-policy", fault.Malformed, func(k *claim) { k.Policy = wire.Digest{} })
	with("long-life", "ticket-life", fault.Malformed, func(k *claim) { k.Expires++ })
	return g
}
