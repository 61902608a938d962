package spec_test

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// presentCredential is the agent's credential with the digest of this sealing key.
func presentCredential(sealing []byte) identity.Credential {
	return changed(honestCredential(), func(c *identity.Credential) { c.Sealing = wire.Hash(sealing) })
}

func presenceVectors() *group {
	realm, sealing := theRealm(), sealingKey(4).Bytes()
	about := func(c identity.Credential) presenceContext {
		return presenceContext{public(key(1)), signed(key(1), realm, c)}
	}
	credential := presentCredential(sealing)
	g := &group{folder: "presence", statement: "presence", realm: realm, context: about(credential)}
	type claim = discovery.Presence
	honest := claim{
		Version: 1, Principal: credential.Principal, Credential: idOf(realm, credential), Sealing: sealing,
		Serves: []string{"review.code"}, Topics: []string{"news.*"}, Sequence: 1, Issued: now, Expires: now + 15_000,
	}
	good := signed(key(3), realm, honest)
	with := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, signed(key(3), realm, changed(honest, change)))
	}
	large := make([]byte, 2049)

	g.accept("ok", good)
	g.accept("ok-serves-nothing", signed(key(3), realm, changed(honest, func(p *claim) { p.Serves, p.Topics = nil, nil })))
	g.accept("ok-last-moment", good, at(now+15_000+identity.Skew-1))
	g.refuse("expired", "expired", fault.Expired, good, at(now+15_000+identity.Skew))
	with("not-yet", "not-yet", fault.NotYet, func(p *claim) { p.Issued, p.Expires = now+identity.Skew+1, now+identity.Skew+2 })
	g.refuse("signed-by-identity-key", "signature", fault.BadSignature, signed(key(1), realm, honest))
	g.refuse("signed-by-connect-key", "signature", fault.BadSignature, signed(key(2), realm, honest))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(3), wire.Realm{1}, honest))
	with("version", "presence-version", fault.Version, func(p *claim) { p.Version = 2 })
	with("sequence-zero", "presence-sequence", fault.Malformed, func(p *claim) { p.Sequence = 0 })
	g.refuse("sealing-key-large", "presence-sealing-size", fault.Malformed, signed(key(3), realm, changed(honest, func(p *claim) {
		p.Sealing, p.Credential = large, idOf(realm, presentCredential(large))
	})), knowing(about(presentCredential(large))))
	with("no-time", "presence-issued", fault.Malformed, func(p *claim) { p.Issued, p.Expires = 0, 15_000 })
	with("no-life", "presence-expires", fault.Malformed, func(p *claim) { p.Expires = p.Issued })
	with("long-life", "presence-longest", fault.Malformed, func(p *claim) { p.Expires = p.Issued + discovery.MaxPresenceLife + 1 })
	with("topics", "presence-topics", fault.Malformed, func(p *claim) { p.Topics = []string{"new*"} })
	with("serves-unsorted", "presence-serves", fault.Malformed, func(p *claim) { p.Serves = []string{"b", "a"} })
	with("other-principal", "presence-principal", fault.Malformed, func(p *claim) { p.Principal = id(identity.Agent, 9) })
	with("other-credential", "presence-credential", fault.Malformed, func(p *claim) { p.Credential = wire.Digest{1} })
	with("other-sealing-key", "presence-sealing", fault.Malformed, func(p *claim) { p.Sealing = sealingKey(5).Bytes() })
	return g
}

func cardVectors() *group {
	agent := id(identity.Agent, 1)
	g := &group{folder: "card", statement: "card", realm: theRealm(), context: cardContext{agent, public(key(1))}}
	type claim = discovery.Card
	honest := claim{
		Version: 1, Agent: agent, Sequence: 1, Issued: now, Capabilities: []discovery.Capability{
			{Name: "review.code", Description: "Reviews a change.", Input: `{"type":"object"}`, Output: `{"type":"string"}`},
			{Name: "review.text"},
		},
	}
	with := func(name, check string, code fault.Code, change func(*claim), edits ...func(*vector)) {
		g.refuse(name, check, code, signed(key(1), g.realm, changed(honest, change)), edits...)
	}
	names := func(names ...string) func(*claim) {
		return func(c *claim) {
			c.Capabilities = nil
			for _, name := range names {
				c.Capabilities = append(c.Capabilities, discovery.Capability{Name: name})
			}
		}
	}
	var many []string
	for i := range 65 {
		many = append(many, fmt.Sprintf("review.n%02d", i))
	}

	g.accept("ok", signed(key(1), g.realm, honest))
	g.accept("ok-no-capability", signed(key(1), g.realm, changed(honest, names())))
	g.accept("ok-most", signed(key(1), g.realm, changed(honest, names(many[:64]...))))
	g.accept("ok-by-successor", signed(key(9), g.realm, honest), knowing(cardContext{agent, public(key(9))}))
	g.refuse("too-large", "size", fault.TooLarge, signed(key(1), g.realm, honest), zeros(discovery.MaxCard))
	g.refuse("by-superseded-key", "signature", fault.BadSignature, signed(key(1), g.realm, honest), knowing(cardContext{agent, public(key(9))}))
	g.refuse("other-realm", "signature", fault.BadSignature, signed(key(1), wire.Realm{1}, honest))
	with("version", "card-version", fault.Version, func(c *claim) { c.Version = 2 })
	operator := id(identity.Operator, 1)
	with("of-an-operator", "card-role", fault.Malformed, func(c *claim) { c.Agent = operator },
		knowing(cardContext{operator, public(key(1))}))
	with("sequence-zero", "card-sequence", fault.Malformed, func(c *claim) { c.Sequence = 0 })
	with("no-time", "card-issued", fault.Malformed, func(c *claim) { c.Issued = 0 })
	with("too-many", "card-length", fault.Malformed, names(many...))
	with("unsorted", "card-sorted", fault.Malformed, names("b", "a"))
	with("capability-twice", "card-sorted", fault.Malformed, names("a", "a"))
	with("pattern", "card-name", fault.Malformed, names("review.*"))
	with("other-agent", "card-agent", fault.Malformed, func(c *claim) { c.Agent = id(identity.Agent, 9) })
	return g
}
