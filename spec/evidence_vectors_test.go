package spec_test

import (
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Of the evidence's vectors the subject is the agent 1, the author the agent 2, the attester the person 11.
func honestOutcome() trust.Evidence {
	return trust.Evidence{
		Version: 1, Act: trust.Outcome, Subject: id(identity.Agent, 1), Author: id(identity.Agent, 2),
		Attester: id(identity.Operator, 11), Nonce: [16]byte{1}, Issued: now, Expires: now + hour, Action: "file.write",
		Request: wire.Digest{5}, Result: wire.Digest{6}, OK: true, Detail: "sums agree",
	}
}

func honestRating() trust.Evidence {
	return trust.Evidence{
		Version: 1, Act: trust.Rating, Subject: id(identity.Agent, 1), Author: id(identity.Agent, 2), Nonce: [16]byte{1}, Issued: now,
		Expires: now + hour, Value: -1000,
	}
}

func evidenceVectors() *group {
	type claim = trust.Evidence
	g := &group{
		folder: "evidence", statement: "evidence", realm: theRealm(), context: witnessContext{public(key(2)), public(key(11))},
	}
	alone := knowing(witnessContext{Author: public(key(2))})
	good := cosigned(g.realm, honestOutcome(), key(2), key(11))
	outcome := func(name, check string, code fault.Code, change func(*claim)) {
		g.refuse(name, check, code, cosigned(g.realm, changed(honestOutcome(), change), key(2), key(11)))
	}
	of := func(act trust.Act, change func(*claim)) []byte {
		return cosigned(g.realm, changed(changed(honestRating(), func(e *claim) { e.Act, e.Value = act, 0 }), change), key(2))
	}
	opinion := func(name, check string, code fault.Code, act trust.Act, change func(*claim)) {
		g.refuse(name, check, code, of(act, change), alone)
	}

	g.accept("ok-outcome", good)
	g.accept("ok-failure-without-answer", cosigned(g.realm, changed(honestOutcome(), func(e *claim) {
		e.OK, e.Result = false, wire.Digest{}
	}), key(2), key(11)))
	g.accept("ok-first-moment", good, at(now-identity.Skew))
	g.accept("ok-last-moment", good, at(now+hour+identity.Skew-1))
	g.accept("ok-rating", of(trust.Rating, func(e *claim) { e.Value = -1000 }), alone)
	g.accept("ok-violation", of(trust.Violation, func(e *claim) { e.Severity = 4 }), alone)
	g.accept("ok-alarm", of(trust.Alarm, func(e *claim) { e.Value = 1000 }), alone)
	g.accept("ok-endorsement", of(trust.Endorsement, func(e *claim) { e.Amount = 1 << 62 }), alone)
	g.accept("ok-pardon", of(trust.Pardon, func(e *claim) { e.Amount = trust.MaxPardon }), alone)

	g.refuse("not-yet", "not-yet", fault.NotYet, good, at(now-identity.Skew-1))
	g.refuse("expired", "expired", fault.Expired, good, at(now+hour+identity.Skew))
	g.refuse("by-the-author-alone", "evidence-both", fault.NoQuorum, cosigned(g.realm, honestOutcome(), key(2)))
	g.refuse("by-the-attester-alone", "evidence-both", fault.NoQuorum, cosigned(g.realm, honestOutcome(), key(11)))
	g.refuse("by-a-third-as-well", "evidence-nobody-else", fault.Denied, cosigned(g.realm, honestOutcome(), key(2), key(3), key(11)))
	g.refuse("by-the-author-and-another", "among", fault.NoQuorum, cosigned(g.realm, honestOutcome(), key(2), key(3)))
	g.refuse("other-realm", "signature", fault.BadSignature, cosigned(wire.Realm{1}, honestOutcome(), key(2), key(11)))

	outcome("version", "evidence-version", fault.Version, func(e *claim) { e.Version = 2 })
	outcome("about-a-person", "evidence-subject", fault.Malformed, func(e *claim) { e.Subject = id(identity.Operator, 1) })
	outcome("about-a-weak-key", "evidence-subject-key", fault.BadKey, func(e *claim) { e.Subject = weakID(identity.Agent) })
	outcome("by-a-node", "evidence-author", fault.Malformed, func(e *claim) { e.Author = id(identity.Node, 2) })
	outcome("attested-by-nobody", "evidence-author", fault.Malformed, func(e *claim) { e.Attester = identity.ID{} })
	outcome("attested-by-a-weak-key", "evidence-author-key", fault.BadKey, func(e *claim) { e.Attester = weakID(identity.Agent) })
	outcome("no-nonce", "evidence-nonce", fault.Malformed, func(e *claim) { e.Nonce = [16]byte{} })
	outcome("no-time", "evidence-issued", fault.Malformed, func(e *claim) { e.Issued, e.Expires = 0, hour })
	outcome("no-life", "evidence-expires", fault.Malformed, func(e *claim) { e.Expires = e.Issued })
	outcome("long-life", "evidence-longest", fault.Malformed, func(e *claim) { e.Expires = e.Issued + trust.MaxEvidenceLife + 1 })
	outcome("long-detail", "evidence-detail", fault.TooLarge, func(e *claim) { e.Detail = strings.Repeat("d", trust.MaxDetail+1) })
	outcome("action", "evidence-action", fault.Malformed, func(e *claim) { e.Action = "file.*" })
	outcome("no-request", "evidence-request", fault.Malformed, func(e *claim) { e.Request = wire.Digest{} })
	outcome("right-without-result", "evidence-result", fault.Malformed, func(e *claim) { e.Result = wire.Digest{} })
	outcome("outcome-with-a-value", "evidence-rest", fault.Malformed, func(e *claim) { e.Value = 1 })

	opinion("no-act", "evidence-act", fault.Malformed, 0, func(*claim) {})
	opinion("vote", "evidence-act", fault.Malformed, trust.Settled, func(*claim) {})
	opinion("rating-with-a-request", "evidence-rest", fault.Malformed, trust.Rating, func(e *claim) { e.Request = wire.Digest{5} })
	opinion("rating-above", "evidence-rating", fault.Malformed, trust.Rating, func(e *claim) { e.Value = 1001 })
	opinion("rating-below", "evidence-rating", fault.Malformed, trust.Rating, func(e *claim) { e.Value = -1001 })
	opinion("violation-without-severity", "evidence-severity", fault.Malformed, trust.Violation, func(*claim) {})
	opinion("violation-above", "evidence-severity", fault.Malformed, trust.Violation, func(e *claim) { e.Severity = 5 })
	opinion("alarm-of-nothing", "evidence-alarm", fault.Malformed, trust.Alarm, func(*claim) {})
	opinion("alarm-above", "evidence-alarm", fault.Malformed, trust.Alarm, func(e *claim) { e.Value = 1001 })
	opinion("endorsement-of-nothing", "evidence-endorsement", fault.Malformed, trust.Endorsement, func(*claim) {})
	opinion("pardon-of-nothing", "evidence-pardon", fault.Malformed, trust.Pardon, func(*claim) {})
	opinion("pardon-above", "evidence-pardon", fault.Malformed, trust.Pardon, func(e *claim) { e.Amount = trust.MaxPardon + 1 })
	return g
}
