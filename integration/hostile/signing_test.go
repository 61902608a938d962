//go:build hostile

package hostile

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/mesh"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// cosignRequest and cosignAnswer are how nodes ask each other for signatures.
type cosignRequest struct {
	Kind      wire.Kind `cbor:"1,keyasint"`
	Statement []byte    `cbor:"2,keyasint"`
}

type cosignAnswer struct {
	Signed  []byte `cbor:"1,keyasint,omitempty"`
	Instead []byte `cbor:"2,keyasint,omitempty"`
}

// cosigned asks an honest node to sign a statement that the hostile one has signed.
func (m *mallory) cosigned(n *node.Node, s wire.Statement) (cosignAnswer, error) {
	m.t.Helper()
	raw, err := wire.Cosign(m.realm.id, s, m.Key())
	if err != nil {
		m.t.Fatal(err)
	}
	return m.cosignedAs(n, cosignRequest{Kind: s.Kind(), Statement: raw})
}

func (m *mallory) cosignedAs(n *node.Node, q cosignRequest) (a cosignAnswer, err error) {
	m.t.Helper()
	raw, err := m.call(n, "cosign", q)
	if err != nil {
		return a, err
	}
	return a, wire.Decode(raw, &a)
}

// ticketOn returns the honest ticket on a principal, as a node hands it out.
func (r *realm) ticketOn(n *node.Node, name string) (trust.Ticket, []byte) {
	r.t.Helper()
	var p control.Principal
	r.ask(n, control.OpWho, control.Who{Name: name}, &p)
	c, err := wire.ParseCosigned[trust.Ticket](p.Ticket, wire.MaxStatement)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Claim, p.Ticket
}

// headOf returns the newest head that a node hands out.
func (r *realm) headOf(n *node.Node) (audit.Head, []byte) {
	r.t.Helper()
	l := r.learn(n)
	c, err := wire.ParseCosigned[audit.Head](l.Head, wire.MaxStatement)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Claim, l.Head
}

// Honest nodes sign beneath no ticket that says something else than they know.
func TestForgedTicketsAreNotSigned(t *testing.T) {
	r := grown(t)
	p := r.profile("alice", r.nodes[0])
	m := r.replace(r.follower())
	n := r.nodes[0]
	honest, _ := r.ticketOn(n, "alice")
	honest.Issued = time.Now().UnixMilli()
	honest.Expires = honest.Issued + trust.MaxTicketLife
	other := newSigner(t, identity.Agent)
	for name, spoil := range map[string]func(*trust.Ticket){
		"honest":          func(*trust.Ticket) {},
		"another key":     func(k *trust.Ticket) { k.Key = other.Public() },
		"another level":   func(k *trust.Ticket) { k.Level = identity.Level(int(k.Level) + 1) },
		"another status":  func(k *trust.Ticket) { k.Status = trust.Revoked },
		"another name":    func(k *trust.Ticket) { k.Name = "bob" },
		"a stranger":      func(k *trust.Ticket) { k.Principal, k.Key = other.ID(), other.Public() },
		"an older epoch":  func(k *trust.Ticket) { k.Epoch++ },
		"more serves":     func(k *trust.Ticket) { k.Serves = []string{"admin"} },
		"another card":    func(k *trust.Ticket) { k.Card = wire.Digest{1} },
		"another policy":  func(k *trust.Ticket) { k.Policy = wire.Digest{1} },
		"the old roster":  func(k *trust.Ticket) { k.Roster-- },
		"the next roster": func(k *trust.Ticket) { k.Roster++ },
		"an hour ago":     func(k *trust.Ticket) { k.Issued -= 3600_000; k.Expires -= 3600_000 },
		"in an hour":      func(k *trust.Ticket) { k.Issued += 3600_000; k.Expires += 3600_000 },
		"of later":        func(k *trust.Ticket) { k.Index = 1 << 50 },
	} {
		k := honest
		k.Serves = slices.Clone(honest.Serves)
		spoil(&k)
		a, err := m.cosigned(n, k)
		if name == "honest" {
			if err != nil || len(a.Signed) == 0 {
				t.Fatalf("the honest ticket is not signed: %v", err)
			}
			if _, err := trust.VerifyTicket(a.Signed, r.authority(), time.Now().UnixMilli()); err != nil {
				t.Fatalf("the honest ticket: %v", err)
			}
			continue
		}
		if err == nil || len(a.Signed) > 0 {
			t.Errorf("%s: was signed", name)
		}
	}
	_ = p
}

// Honest nodes sign no head but their own, no roster that may not follow, and nothing of another kind; and one that is
// shown a false head keeps it as evidence.
func TestForgedHeadsAndRostersAreNotSigned(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	n := r.nodes[0]
	honest, raw := r.headOf(n)
	if a, err := m.cosigned(n, honest); err != nil || len(a.Signed) == 0 {
		t.Fatalf("the honest head is not signed: %v", err)
	}
	for name, spoil := range map[string]func(*audit.Head){
		"another root":  func(h *audit.Head) { h.Root = wire.Digest{1} },
		"another state": func(h *audit.Head) { h.State = wire.Digest{1} },
		"another time":  func(h *audit.Head) { h.Time++ },
		"the future":    func(h *audit.Head) { h.Size += 1 << 40 },
		"a roster back": func(h *audit.Head) { h.Roster-- },
	} {
		h := honest
		spoil(&h)
		if a, err := m.cosigned(n, h); err == nil && len(a.Signed) > 0 {
			t.Errorf("%s: was signed", name)
		}
	}
	until(t, "the false head is kept as evidence", func() bool {
		kept, err := os.ReadFile(filepath.Join(r.dirs[n.ID()], "evidence.cbor"))
		var shown map[string][]byte
		return err == nil && wire.Decode(kept, &shown) == nil && len(shown[m.ID().String()]) > 0
	})
	a := r.authority()
	removal := identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: time.Now().UnixMilli(), Roots: a.Roots,
		Threshold: a.Threshold, Nodes: []identity.ID{m.ID()},
	}
	recovery, newRoots, backwards := removal, removal, removal
	recovery.Recovery = true
	newRoots.Nodes, newRoots.Roots = a.Nodes, []identity.ID{newSigner(t, identity.Operator).ID()}
	backwards.Number, backwards.Nodes = a.Number, a.Nodes
	for name, s := range map[string]wire.Statement{
		"a removal of the others": removal, "a recovery": recovery, "other roots": newRoots, "an old number": backwards,
		"a token": identity.JoinToken{Version: 1, Issued: 1, Expires: 2, Addresses: []string{"h:1"}, Pins: []identity.ID{m.ID()}, OneTime: m.Public()},
	} {
		if a, err := m.cosigned(n, s); err == nil && len(a.Signed) > 0 {
			t.Errorf("%s: was signed", name)
		}
	}
	for name, q := range map[string]cosignRequest{
		"junk":                   {Kind: wire.Head, Statement: []byte("junk")},
		"another kind":           {Kind: wire.Ticket, Statement: raw},
		"a command":              {Kind: wire.Command, Statement: r.command(m.Signer, "x")},
		"not signed by who asks": {Kind: wire.Head, Statement: must(wire.Cosign(r.id, honest, newSigner(t, identity.Node).Key()))},
		"of another realm":       {Kind: wire.Head, Statement: must(wire.Cosign(wire.Realm{1}, honest, m.Key()))},
	} {
		if a, err := m.cosignedAs(n, q); err == nil && len(a.Signed) > 0 {
			t.Errorf("%s: was signed", name)
		}
	}
	r.settled()
	r.tick("after")
}

// Whatever a peer answers when it is asked for its signature, the two others get theirs, valid and in time.
func TestFalseSignatures(t *testing.T) {
	r := grown(t)
	r.profile("alice", r.nodes[0])
	m := r.replace(r.follower())
	n := r.nodes[0]
	_, oldHead := r.headOf(n)
	other := newSigner(t, identity.Node)
	encode := func(a cosignAnswer) ([]byte, error) { return wire.Encode(a) }
	again := func(body []byte) cosignRequest {
		var q cosignRequest
		_ = wire.Decode(body, &q) // honest nodes ask in order
		return q
	}
	answers := map[string]mesh.Handler{
		"a refusal": nil,
		"junk":      func(context.Context, identity.ID, []byte) ([]byte, error) { return []byte("junk"), nil },
		"nothing":   func(context.Context, identity.ID, []byte) ([]byte, error) { return encode(cosignAnswer{}) },
		"no new signature": func(_ context.Context, _ identity.ID, body []byte) ([]byte, error) {
			return encode(cosignAnswer{Signed: again(body).Statement})
		},
		"an old head": func(context.Context, identity.ID, []byte) ([]byte, error) {
			return encode(cosignAnswer{Signed: oldHead})
		},
		"instead an old head": func(context.Context, identity.ID, []byte) ([]byte, error) {
			return encode(cosignAnswer{Instead: oldHead})
		},
		"instead junk": func(context.Context, identity.ID, []byte) ([]byte, error) {
			return encode(cosignAnswer{Instead: []byte("junk")})
		},
		"a stranger's signature": func(_ context.Context, _ identity.ID, body []byte) ([]byte, error) {
			q := again(body)
			var raw []byte
			var err error
			if q.Kind == wire.Ticket {
				raw, err = wire.AddCosignature[trust.Ticket](r.id, q.Statement, other.Key())
			} else {
				raw, err = wire.AddCosignature[audit.Head](r.id, q.Statement, other.Key())
			}
			if err != nil {
				return nil, err
			}
			return encode(cosignAnswer{Signed: raw})
		},
		"a changed ticket": func(_ context.Context, _ identity.ID, body []byte) ([]byte, error) {
			q := again(body)
			if c, err := wire.ParseCosigned[trust.Ticket](q.Statement, wire.MaxStatement); err == nil {
				c.Claim.Level++
				raw, err := wire.Cosign(r.id, c.Claim, m.Key())
				if err != nil {
					return nil, err
				}
				return encode(cosignAnswer{Signed: raw})
			}
			return encode(cosignAnswer{})
		},
		"silence": func(ctx context.Context, _ identity.ID, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	i := 0
	for name, answer := range answers {
		m.answers("cosign", answer)
		_ = m.greetAll(m.honest()) // so that they ask
		i++
		r.tick(fmt.Sprintf("s%d", i)) // new heads are needed
		level := fmt.Sprintf("agent-%d", i)
		r.profile(level, r.nodes[i%len(r.nodes)]) // and new tickets
		for _, n := range r.nodes {
			if _, raw := r.headOf(n); !r.verifies(raw) {
				t.Errorf("%s: a head that does not verify", name)
			}
			if _, raw := r.ticketOn(n, level); !r.verifiesTicket(raw) {
				t.Errorf("%s: a ticket that does not verify", name)
			}
		}
	}
	r.settled()
	for _, n := range r.nodes {
		if err := n.Err(); err != nil {
			t.Errorf("an honest node stopped: %v", err)
		}
	}
}

func (r *realm) verifies(head []byte) bool {
	_, err := audit.VerifyHead(head, r.authority())
	return err == nil
}

func (r *realm) verifiesTicket(raw []byte) bool {
	_, err := trust.VerifyTicket(raw, r.authority(), time.Now().UnixMilli())
	return err == nil
}

// A node that shows each of the two others another head is found out, and both go on.
func TestTwoHeadsOfOneSize(t *testing.T) {
	r := grown(t)
	m := r.replace(r.follower())
	honest, _ := r.headOf(r.nodes[0])
	for i, n := range r.nodes {
		h := honest
		h.Root = wire.Digest(sha256.Sum256([]byte{byte(i)}))
		a, err := m.cosigned(n, h)
		if err != nil || len(a.Signed) > 0 || len(a.Instead) == 0 {
			t.Errorf("node %d: %v", i, err)
		}
		m.answers("cosign", func(context.Context, identity.ID, []byte) ([]byte, error) {
			raw, err := m.Cosign(r.id, h)
			if err != nil {
				return nil, err
			}
			return wire.Encode(cosignAnswer{Instead: raw})
		})
		r.tick(fmt.Sprint("h", i))
	}
	for _, n := range r.nodes {
		kept, err := os.ReadFile(filepath.Join(r.dirs[n.ID()], "evidence.cbor"))
		var shown map[string][]byte
		if err != nil || wire.Decode(kept, &shown) != nil || len(shown) < 2 {
			t.Errorf("node %s kept no evidence: %v", n.ID(), err)
		}
		if n.Err() != nil {
			t.Errorf("an honest node stopped: %v", n.Err())
		}
	}
}
