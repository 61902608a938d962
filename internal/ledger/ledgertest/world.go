// Package ledgertest builds small realms for tests: keys from numbers, a ledger, and short words for what its members
// sign. The same calls build the same realm, byte for byte.
package ledgertest

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Start is the log time at which a world begins, in Unix milliseconds.
const Start = int64(1_790_000_000_000)

// Minute is one minute in milliseconds.
const Minute = int64(60_000)

// World is one realm with its ledger and everybody's keys. It is for one goroutine.
type World struct {
	Realm   wire.Realm
	Genesis []byte
	Policy  policy.Policy // the genesis names it
	Ledger  *ledger.Ledger
	Nodes   []identity.Signer // those that count, sorted by ID
	Joining []identity.Signer // those that join
	Roots   []identity.Signer // sorted by ID
	Now     int64             // log time, Unix milliseconds
	Feature uint64            // what the nodes tell to speak
	Entries [][]byte          // all that was applied

	tb     testing.TB
	seeds  uint32
	nonce  uint64
	sealed []Sealed // ballots that Cast has committed to and not revealed
}

// New begins a realm with the policy and so many roots and nodes, and tells it the time [Start].
func New(tb testing.TB, p policy.Policy, roots, nodes int) *World {
	tb.Helper()
	return NewAt(tb, p, roots, nodes, registry.Feature)
}

// NewAt does what [New] does, with nodes that speak an older feature level until Feature is raised.
func NewAt(tb testing.TB, p policy.Policy, roots, nodes int, feature uint64) *World {
	tb.Helper()
	w := &World{Policy: p, Now: Start, Feature: feature, tb: tb}
	for range roots {
		w.Roots = append(w.Roots, w.Signer(identity.Operator))
	}
	for range nodes {
		w.Nodes = append(w.Nodes, w.Signer(identity.Node))
	}
	byID := func(a, b identity.Signer) int { return a.ID().Compare(b.ID()) }
	slices.SortFunc(w.Roots, byID)
	slices.SortFunc(w.Nodes, byID)
	genesis := identity.Genesis{
		Version: 1, Created: Start, Roots: ids(w.Roots), Threshold: p.Loosen, Nodes: ids(w.Nodes), Policy: p.Digest(),
		Solo: p.Preset == policy.Solo, Nonce: [16]byte{1},
	}
	var err error
	w.Genesis, err = wire.Cosign(wire.Realm{}, genesis, Keys(w.Roots...)...)
	w.check(err)
	w.Realm, err = identity.RealmOf(w.Genesis)
	w.check(err)
	w.Ledger, err = ledger.New(w.Realm, w.Genesis, p, nil)
	w.check(err)
	w.Tick(0)
	return w
}

// Preset returns the preset of that name.
func Preset(tb testing.TB, name string) policy.Policy {
	tb.Helper()
	p, err := policy.Preset(name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func ids(signers []identity.Signer) []identity.ID {
	list := make([]identity.ID, len(signers))
	for i, s := range signers {
		list[i] = s.ID()
	}
	return list
}

// Keys returns the private keys of signers.
func Keys(signers ...identity.Signer) []wire.Key {
	keys := make([]wire.Key, len(signers))
	for i, s := range signers {
		keys[i] = s.Key()
	}
	return keys
}

func (w *World) check(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// Key returns the next fresh key.
func (w *World) Key() wire.Key {
	w.seeds++
	seed := [32]byte{0xaa}
	binary.BigEndian.PutUint32(seed[4:], w.seeds)
	return wire.NewKey(seed)
}

// Signer returns a fresh principal that nobody knows yet.
func (w *World) Signer(role identity.Role) identity.Signer {
	key := w.Key()
	return identity.NewSigner(identity.NewID(role, key.Public()), key)
}

// Command returns a command as its author would make it now; nobody has signed it.
func (w *World) Command(author identity.ID, typ registry.Type, body any) registry.Command {
	w.tb.Helper()
	w.nonce++
	var nonce [16]byte
	binary.BigEndian.PutUint64(nonce[:], w.nonce)
	c, err := registry.New(author, typ, body, nonce, w.Now)
	w.check(err)
	return c
}

// Sign returns the cosigned form of a statement.
func (w *World) Sign(s wire.Statement, signers ...identity.Signer) []byte {
	w.tb.Helper()
	raw, err := wire.Cosign(w.Realm, s, Keys(signers...)...)
	w.check(err)
	return raw
}

// SignAlone returns the form with one signature.
func (w *World) SignAlone(s wire.Statement, by wire.Key) []byte {
	w.tb.Helper()
	raw, err := wire.Sign(by, w.Realm, s)
	w.check(err)
	return raw
}

// Apply applies one signed command.
func (w *World) Apply(command []byte) registry.Answer {
	w.tb.Helper()
	return w.Entry(ledger.Entry{Command: command})
}

// Entry applies one entry.
func (w *World) Entry(e ledger.Entry) registry.Answer {
	w.tb.Helper()
	raw, err := wire.Encode(e)
	w.check(err)
	w.Entries = append(w.Entries, raw)
	answer, err := ledger.ParseAnswer(w.Ledger.Apply(uint64(len(w.Entries)), slices.Clone(raw)))
	w.check(err)
	return answer
}

// Do signs a command by its author and further signers and applies it.
func (w *World) Do(author identity.Signer, typ registry.Type, body any, further ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.Apply(w.Sign(w.Command(author.ID(), typ, body), append(further, author)...))
}

// Must does what [World.Do] does and fails the test if the command is refused.
func (w *World) Must(author identity.Signer, typ registry.Type, body any, further ...identity.Signer) registry.Answer {
	w.tb.Helper()
	answer := w.Do(author, typ, body, further...)
	if answer.Code != "" {
		w.tb.Fatalf("%s refused: %s: %s", typ, answer.Code, answer.Message)
	}
	return answer
}

// Tick moves log time forward by so many milliseconds: all nodes tell it in one entry. Where most of them have told a
// later time, log time is that, and so is Now.
func (w *World) Tick(ms int64) registry.Answer {
	w.tb.Helper()
	w.Now += ms
	var e ledger.Entry
	for _, node := range w.Nodes {
		e.Ticks = append(e.Ticks, w.Told(node, w.Now))
	}
	answer := w.Entry(e)
	if w.Ledger.Now() < w.Now { // a node has told a later time, when others that are gone held log time back
		e.Ticks = nil
		for _, node := range w.Nodes {
			told, _ := w.Ledger.Told(node.ID())
			e.Ticks = append(e.Ticks, w.Told(node, max(told+1, w.Now)))
		}
		answer = w.Entry(e)
	}
	if w.Ledger.Now() < w.Now {
		w.tb.Fatalf("time stands at %d: %s: %s", w.Ledger.Now(), answer.Code, answer.Message)
	}
	w.Now = w.Ledger.Now()
	return answer
}

// Told returns a node's tick, of the world's feature level.
func (w *World) Told(node identity.Signer, time int64) []byte {
	w.tb.Helper()
	return w.Sign(w.Command(node.ID(), registry.TypeTick, registry.Tick{Time: time, Feature: w.Feature}), node)
}

// Leaf adds a leaf to the tree and changes nothing else: that of an entry without a command.
func (w *World) Leaf() { w.Entry(ledger.Entry{}) }

// Token returns an invitation by the operator as it would make it now.
func (w *World) Token(operator identity.ID, name string, level identity.Level) identity.Token {
	return identity.Token{
		Version: 1, Operator: operator, Name: name, Level: level, Issued: w.Now, Expires: w.Now + 60*Minute,
		Addresses: []string{"localhost:4222"}, Pins: ids(w.Nodes), Serves: []string{"review.*"},
	}
}

// Invite signs a token with a fresh one-time key, and returns that key.
func (w *World) Invite(operator identity.Signer, t identity.Token) (token []byte, once wire.Key) {
	w.tb.Helper()
	once = w.Key()
	t.OneTime = once.Public()
	return w.SignAlone(t, operator.Key()), once
}

// Enrolment returns an enrolment signed by the agent and the one-time key.
func (w *World) Enrolment(agent identity.Signer, token []byte, once wire.Key) []byte {
	w.tb.Helper()
	raw, err := wire.Cosign(w.Realm, identity.Enrolment{Version: 1, Token: token, Agent: agent.ID(), Issued: w.Now},
		agent.Key(), once)
	w.check(err)
	return raw
}

// Agent enrols an agent of the operator and raises it to the level with all roots' signatures.
func (w *World) Agent(operator identity.Signer, name string, level identity.Level) identity.Signer {
	w.tb.Helper()
	agent := w.Signer(identity.Agent)
	first := min(level, w.Ledger.Policy().Enrol)
	token, once := w.Invite(operator, w.Token(operator.ID(), name, first))
	w.Must(agent, registry.TypeEnrol, registry.Enrol{Enrolment: w.Enrolment(agent, token, once)})
	if first < level {
		w.Must(w.Roots[0], registry.TypeLevel, registry.SetLevel{Principal: agent.ID(), Level: level}, w.Roots[1:]...)
	}
	return agent
}

// Operator adds an operator with the signatures of the sponsors.
func (w *World) Operator(name string, sponsors ...identity.Signer) identity.Signer {
	w.tb.Helper()
	o := w.Signer(identity.Operator)
	w.Must(sponsors[0], registry.TypeOperator, registry.AddOperator{Operator: o.ID(), Name: name}, sponsors[1:]...)
	return o
}

// Succession returns the succession from the signer's key to next, signed by both.
func (w *World) Succession(s identity.Signer, next wire.Key) []byte {
	w.tb.Helper()
	m, err := w.Ledger.Member(s.ID())
	w.check(err)
	raw, err := wire.Cosign(w.Realm, identity.Succession{
		Version: 1, Principal: s.ID(), Number: uint64(len(m.Successions) + 1), Previous: m.Succession, Old: s.Public(),
		New: next.Public(), Issued: w.Now,
	}, s.Key(), next)
	w.check(err)
	return raw
}

// Rotate gives a member a new key.
func (w *World) Rotate(s identity.Signer) identity.Signer {
	w.tb.Helper()
	next := w.Key()
	w.Must(s, registry.TypeSucceed, registry.Succeed{Succession: w.Succession(s, next)})
	return identity.NewSigner(s.ID(), next)
}

// Head returns the head over all commands so far, signed by all nodes, and its size.
func (w *World) Head() (head []byte, size uint64) {
	w.tb.Helper()
	h := w.Ledger.Head()
	return w.Sign(h, w.Nodes...), h.Size
}

// Certificate returns the certificate of an approved decision under a head of now.
func (w *World) Certificate(id wire.Digest) consensus.Certificate {
	w.tb.Helper()
	head, size := w.Head()
	c, err := w.Ledger.Certificate(id, head, size)
	w.check(err)
	return c
}
