package bus

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Limits of subjects.
const (
	MaxTopicWords = 12  // words of a topic: a subject has at most 16 tokens
	MaxSubject    = 512 // bytes of a subject
)

// ErrSubject is returned when a text is not a subject of the realm, or parts make none.
var ErrSubject = fault.New(fault.Malformed, "bus: not a subject of this realm")

// Token is one opaque word of a subject: a process, a realm or the id of an exchange, 16 bytes.
type Token [16]byte

// TokenOf returns the token that stands for a digest in subjects: its first 16 bytes.
func TokenOf(d wire.Digest) Token { return Token(d[:16]) }

// NewToken reads a fresh token from random.
func NewToken(random io.Reader) (Token, error) {
	var t Token
	if _, err := io.ReadFull(random, t[:]); err != nil {
		return Token{}, fmt.Errorf("bus: new token: %w", err)
	}
	return t, nil
}

// String returns 22 characters of base64url.
func (t Token) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

func parseToken(s string) (Token, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(Token{}) || Token(b).String() != s { // the decoder passes over line breaks
		return Token{}, false
	}
	return Token(b), true
}

// Kind says what a subject carries.
type Kind string

// The kinds, as they stand in subjects.
const (
	Request      Kind = "req" // an agent's request to one process of another
	Reply        Kind = "rep" // the answer
	Mail         Kind = "msg" // durable mail to an agent's inbox
	Topic        Kind = "top" // an agent's message to a topic
	Control      Kind = "ctl" // a process's request to a node
	ControlReply Kind = "ctr" // the node's answer
	Enrol        Kind = "enr" // a one-time key's request to a node
	Hint         Kind = "evt" // a node's word to everybody: look again
	Word         Kind = "nod" // a node's word to the other nodes
)

// field is one part of a subject after "c1.<realm>.<kind>".
type field byte

const (
	toAgent field = iota
	toNode
	toAny
	fromAgent
	fromNode
	fromAny
	process
	exchange
	topic // takes the rest
)

// layouts is the whole grammar. Every field is one token, a topic one or more.
var layouts = map[Kind][]field{
	Request:      {toAgent, process, fromAgent},
	Reply:        {toAgent, process, fromAgent, exchange},
	Mail:         {toAgent, fromAgent},
	Topic:        {fromAgent, topic},
	Control:      {toNode, fromAny, process, exchange},
	ControlReply: {toAny, process, exchange},
	Enrol:        {toNode, fromAgent, exchange},
	Hint:         {fromNode},
	Word:         {fromNode},
}

// Subject is a subject's parts. Those that its kind does not have are zero.
type Subject struct {
	Kind    Kind
	To      identity.ID // addressee
	From    identity.ID // sender; in an enrolment, the one-time key as an agent's ([OneTime])
	Process Token       // the addressee's process, or in a control request the sender's
	ID      Token       // of the exchange
	Topic   string      // words of a-z, 0-9, _ and - joined by dots
}

// Realm makes and reads the subjects of one realm. The zero value makes none that a broker accepts.
type Realm struct{ prefix string }

// In returns the subjects of the realm.
func In(realm wire.Realm) Realm {
	return Realm{prefix: "c1." + TokenOf(wire.Digest(realm)).String() + "."}
}

// Request returns the subject of requests by from to one process of to.
func (r Realm) Request(to identity.ID, process Token, from identity.ID) string {
	return r.join(Request, to.String(), process.String(), from.String())
}

// Reply returns the subject of from's answer to the exchange id of to's process.
func (r Realm) Reply(to identity.ID, process Token, from identity.ID, id Token) string {
	return r.join(Reply, to.String(), process.String(), from.String(), id.String())
}

// Mail returns the subject of durable mail by from to to.
func (r Realm) Mail(to, from identity.ID) string { return r.join(Mail, to.String(), from.String()) }

// Topic returns the subject of from's messages to a topic. Errors: [ErrSubject].
func (r Realm) Topic(from identity.ID, name string) (string, error) {
	if !validTopic(name) {
		return "", fmt.Errorf("%w: topic %.64q", ErrSubject, name)
	}
	return r.join(Topic, from.String(), name), nil
}

// Topics returns what a reader of a topic pattern subscribes to; patterns are those of [identity.MatchCapability].
// Errors: [ErrSubject].
func (r Realm) Topics(pattern string) (string, error) {
	rest, ok := topicPattern(pattern)
	if !ok {
		return "", fmt.Errorf("%w: topic pattern %.64q", ErrSubject, pattern)
	}
	return r.join(Topic, "*", rest), nil
}

// Control returns the subject of the exchange id that from's process begins with a node.
func (r Realm) Control(node, from identity.ID, process, id Token) string {
	return r.join(Control, node.String(), from.String(), process.String(), id.String())
}

// ControlReply returns the subject of a node's answer to the exchange id of to's process.
func (r Realm) ControlReply(to identity.ID, process, id Token) string {
	return r.join(ControlReply, to.String(), process.String(), id.String())
}

// Enrol returns the subject on which a one-time key enrols its agent. The answer comes on
// ControlReply(OneTime(key), OneTimeProcess(key), id).
func (r Realm) Enrol(node identity.ID, key wire.PublicKey, id Token) string {
	return r.join(Enrol, node.String(), OneTime(key).String(), id.String())
}

// Hint returns the subject on which a node tells everybody to look again.
func (r Realm) Hint(node identity.ID) string { return r.join(Hint, node.String()) }

// Word returns the subject on which a node tells the other nodes what they should know. Nobody but nodes may use it.
func (r Realm) Word(node identity.ID) string { return r.join(Word, node.String()) }

// Requests returns what a process subscribes to for the requests made to it.
func (r Realm) Requests(self identity.ID, process Token) string {
	return r.join(Request, self.String(), process.String(), "*")
}

// Replies returns what a process subscribes to for the replies made to it.
func (r Realm) Replies(self identity.ID, process Token) string {
	return r.join(Reply, self.String(), process.String(), ">")
}

// ControlReplies returns what a process subscribes to for nodes' answers to it.
func (r Realm) ControlReplies(self identity.ID, process Token) string {
	return r.join(ControlReply, self.String(), process.String(), "*")
}

// Controls returns what a node subscribes to for requests made to it.
func (r Realm) Controls(node identity.ID) string { return r.join(Control, node.String(), ">") }

// Enrols returns what a node subscribes to for enrolments.
func (r Realm) Enrols(node identity.ID) string { return r.join(Enrol, node.String(), ">") }

// Hints returns what everybody may subscribe to for all nodes' hints.
func (r Realm) Hints() string { return r.join(Hint, "*") }

// Words returns what a node subscribes to for all nodes' words, its own too.
func (r Realm) Words() string { return r.join(Word, "*") }

// All returns the pattern of every subject of the realm, for its nodes.
func (r Realm) All() string { return r.prefix + ">" }

func (r Realm) join(kind Kind, tokens ...string) string {
	return r.prefix + string(kind) + "." + strings.Join(tokens, ".")
}

// OneTime returns the name that a one-time enrolment key has in subjects: an agent's, though it is none.
func OneTime(key wire.PublicKey) identity.ID { return identity.NewID(identity.Agent, key) }

// OneTimeProcess returns the process token of a one-time enrolment key.
func OneTimeProcess(key wire.PublicKey) Token { return TokenOf(wire.Hash(key[:])) }

// Parse reads a subject of the realm, strictly: no wildcard, no empty word, names of the right roles, one spelling.
// It does not check that a key in it may be enrolled. Errors: [ErrSubject].
func (r Realm) Parse(subject string) (Subject, error) {
	rest, ok := strings.CutPrefix(subject, r.prefix)
	if !ok || len(subject) > MaxSubject || r.prefix == "" {
		return Subject{}, ErrSubject
	}
	kind, rest, _ := strings.Cut(rest, ".")
	s := Subject{Kind: Kind(kind)}
	layout, ok := layouts[s.Kind]
	if !ok {
		return Subject{}, ErrSubject
	}
	for i, f := range layout {
		word, more, found := strings.Cut(rest, ".")
		if f == topic {
			word, more, found = rest, "", false
		}
		if found != (i < len(layout)-1) || !s.set(f, word) {
			return Subject{}, ErrSubject
		}
		rest = more
	}
	return s, nil
}

// set puts one word where it belongs and reports whether it may stand there.
func (s *Subject) set(f field, word string) (ok bool) {
	switch f {
	case toAgent:
		s.To, ok = parseName(word, identity.Agent)
	case toNode:
		s.To, ok = parseName(word, identity.Node)
	case toAny:
		s.To, ok = parseName(word, identity.Agent, identity.Node, identity.Operator)
	case fromAgent:
		s.From, ok = parseName(word, identity.Agent)
	case fromNode:
		s.From, ok = parseName(word, identity.Node)
	case fromAny:
		s.From, ok = parseName(word, identity.Agent, identity.Node, identity.Operator)
	case process:
		s.Process, ok = parseToken(word)
	case exchange:
		s.ID, ok = parseToken(word)
	case topic:
		s.Topic, ok = word, validTopic(word)
	}
	return ok
}

// parseName reads an nkey without the curve arithmetic of [identity.ParseID], which is too slow for every message:
// a subject only names a principal, and who was enrolled had a good key.
func parseName(word string, roles ...identity.Role) (identity.ID, bool) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(word)
	if err != nil || len(raw) != 1+len(wire.PublicKey{})+2 {
		return identity.ID{}, false
	}
	for _, role := range roles {
		if word[0] != byte(role) {
			continue
		}
		id := identity.NewID(role, wire.PublicKey(raw[1:33]))
		return id, id.String() == word // the checksum, and one spelling
	}
	return identity.ID{}, false
}

func validTopic(name string) bool {
	return identity.CheckCapability(name) == nil && strings.Count(name, ".") < MaxTopicWords
}

// topicPattern returns the subject pattern after "top.<from>." of a pattern of names.
func topicPattern(pattern string) (string, bool) {
	if pattern == "*" {
		return ">", true
	}
	if name, ok := strings.CutSuffix(pattern, ".*"); ok {
		return name + ".>", validTopic(name)
	}
	return pattern, validTopic(pattern)
}
