package bus

import (
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// ControlRate is how many messages a minute every active principal may send on top of its level's rate, so that an
// agent without rights can still renew its ticket.
const ControlRate = 600

// OperatorRate is how many messages a minute an operator may send: all of them are control requests, and scripts act for
// people.
const OperatorRate = 6000

// Permissions is which subjects a connection may use: lists of what is allowed, "*" for one word and a last ">" for
// one or more. What is on no list is refused; there are no denials. The zero value allows nothing.
//
// No pattern in Subscribe ends with "*": nats-server 2.15 lets a client that may subscribe to "a.*" subscribe to "a.>".
type Permissions struct {
	Publish   []string
	Subscribe []string
}

// Party is what permissions are computed from.
type Party struct {
	Realm     wire.Realm
	Node      identity.ID  // the node it is connected to
	Principal identity.ID  // who
	Process   wire.Digest  // id of its credential
	Status    trust.Status // now
	Rights    trust.Rights // of its level now; serves apart, the capabilities inside an envelope are for its receiver
}

// Permissions returns what the party may do on the bus: nothing unless it is active, control only for operators and
// nodes, and for agents what their rights say.
//
// A caller publishes requests; so does a reader of topics, because reading begins with a request to the publisher. Who
// serves or publishes hears requests and sends replies.
func (p Party) Permissions() Permissions {
	if p.Status != trust.Active || p.Node.Role() != identity.Node {
		return Permissions{}
	}
	switch p.Principal.Role() {
	case identity.Operator, identity.Node:
		return p.control()
	case identity.Agent:
		return p.control().and(p.agent())
	}
	return Permissions{}
}

func (p Party) control() Permissions {
	r, self, process := In(p.Realm), p.Principal.String(), TokenOf(p.Process)
	return Permissions{
		Publish:   []string{r.join(Control, p.Node.String(), self, process.String(), "*")},
		Subscribe: []string{r.join(ControlReply, self, process.String(), ">"), r.join(Hint, ">")},
	}
}

func (p Party) agent() Permissions {
	r, self, process := In(p.Realm), p.Principal, TokenOf(p.Process)
	var out Permissions
	if p.Rights.Rate == 0 { // no messages a minute
		return out
	}
	if len(p.Rights.Call)+len(p.Rights.Subscribe) > 0 {
		out.Publish = append(out.Publish, r.join(Request, "*", "*", self.String()))
		out.Subscribe = append(out.Subscribe, r.Replies(self, process))
	}
	if len(p.Rights.Serve)+len(p.Rights.Publish) > 0 {
		out.Publish = append(out.Publish, r.join(Reply, "*", "*", self.String(), "*"))
		out.Subscribe = append(out.Subscribe, r.join(Request, self.String(), process.String(), ">"))
	}
	for _, pattern := range p.Rights.Publish {
		if rest, ok := topicPattern(pattern); ok {
			out.Publish = append(out.Publish, r.join(Topic, self.String(), rest))
		}
	}
	for _, pattern := range p.Rights.Subscribe {
		if rest, ok := topicPattern(pattern); ok {
			out.Subscribe = append(out.Subscribe, r.join(Topic, "*", rest))
		}
	}
	return out
}

// OneTimePermissions returns what a one-time enrolment key may do at a node: ask to be enrolled, and hear the answer.
func OneTimePermissions(realm wire.Realm, node identity.ID, key wire.PublicKey) Permissions {
	if node.Role() != identity.Node {
		return Permissions{}
	}
	r := In(realm)
	return Permissions{
		Publish:   []string{r.join(Enrol, node.String(), OneTime(key).String(), "*")},
		Subscribe: []string{r.join(ControlReply, OneTime(key).String(), OneTimeProcess(key).String(), ">")},
	}
}

// NodePermissions returns what a node may do through its own broker: everything of its realm.
func NodePermissions(realm wire.Realm) Permissions {
	all := In(realm).All()
	return Permissions{Publish: []string{all}, Subscribe: []string{all}}
}

func (p Permissions) and(more Permissions) Permissions {
	return Permissions{
		Publish:   append(p.Publish, more.Publish...),
		Subscribe: append(p.Subscribe, more.Subscribe...),
	}
}

// IsZero reports whether p allows nothing.
func (p Permissions) IsZero() bool { return len(p.Publish)+len(p.Subscribe) == 0 }

// MayPublish reports whether p allows publishing on a subject, which has no wildcards.
func (p Permissions) MayPublish(subject string) bool {
	return ValidSubject(subject) && covered(p.Publish, subject)
}

// MaySubscribe reports whether p allows subscribing to a pattern: some allowed pattern covers all that it matches.
func (p Permissions) MaySubscribe(pattern string) bool {
	return ValidPattern(pattern) && covered(p.Subscribe, pattern)
}

// Within reports whether other allows all that p allows, so that going from p to other takes nothing away.
func (p Permissions) Within(other Permissions) bool {
	for _, s := range p.Publish {
		if !covered(other.Publish, s) {
			return false
		}
	}
	for _, s := range p.Subscribe {
		if !covered(other.Subscribe, s) {
			return false
		}
	}
	return true
}

func covered(allowed []string, pattern string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool { return Covers(a, pattern) })
}

// Covers reports whether the first pattern matches all subjects that the second one, a pattern or a subject, matches.
func Covers(pattern, other string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		o, oRest, oMore := strings.Cut(other, ".")
		switch {
		case p == ">" && !pMore:
			return true
		case o == ">", p != "*" && p != o, pMore != oMore:
			return false
		case !pMore:
			return true
		}
		pattern, other = pRest, oRest
	}
}

// ValidSubject reports whether s can be published on at all: 1 to [MaxSubject] bytes, words of printable ASCII that
// are not empty and hold no wildcard.
func ValidSubject(s string) bool {
	if len(s) == 0 || len(s) > MaxSubject {
		return false
	}
	word := false // has begun
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && !word, c <= ' ', c > '~', c == '*', c == '>':
			return false
		default:
			word = c != '.'
		}
	}
	return word
}

// ValidPattern reports whether s can be subscribed to: a subject in which words may be "*" and the last one ">".
func ValidPattern(s string) bool {
	if len(s) == 0 || len(s) > MaxSubject {
		return false
	}
	words := strings.Split(s, ".")
	for i, word := range words {
		if word == "" || (word == ">" && i < len(words)-1) {
			return false
		}
		if len(word) > 1 && strings.ContainsAny(word, "*>") {
			return false
		}
		if strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	return true
}
