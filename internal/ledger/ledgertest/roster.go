package ledgertest

import (
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Roster returns the roster that would follow now and changes nothing, unsigned.
func (w *World) Roster() identity.Roster {
	a := w.Ledger.Authority()
	return identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: w.Now, Roots: slices.Clone(a.Roots),
		Threshold: a.Threshold, Nodes: slices.Clone(a.Nodes), Joining: slices.Clone(a.Joining),
	}
}

// JoinToken returns a token for one node as the roots would make it now, and its one-time key. They have not signed it.
func (w *World) JoinToken() (identity.JoinToken, wire.Key) {
	once := w.Key()
	return identity.JoinToken{
		Version: 1, OneTime: once.Public(), Issued: w.Now, Expires: w.Now + 60*Minute,
		Addresses: []string{"localhost:4225"}, Pins: ids(w.Nodes), Roster: w.Ledger.Authority().Number,
	}, once
}

// Admission returns the node's admission by a token that all roots sign.
func (w *World) Admission(node identity.Signer, t identity.JoinToken, once wire.Key) []byte {
	w.tb.Helper()
	admission := identity.Admission{Version: 1, Token: w.Sign(t, w.Roots...), Node: node.ID(), Issued: w.Now}
	raw, err := wire.Cosign(w.Realm, admission, node.Key(), once)
	w.check(err)
	return raw
}

// Newcomer returns a fresh node and the roster that admits it, unsigned.
func (w *World) Newcomer() (identity.Signer, identity.Roster) {
	w.tb.Helper()
	node, roster := w.Signer(identity.Node), w.Roster()
	token, once := w.JoinToken()
	roster.Admission = w.Admission(node, token, once)
	roster.Joining = sorted(append(roster.Joining, node.ID()))
	return node, roster
}

// PutRoster has the first node hand in a roster that the signers have signed.
func (w *World) PutRoster(r identity.Roster, signers ...identity.Signer) registry.Answer {
	w.tb.Helper()
	return w.Do(w.Nodes[0], registry.TypeRoster, registry.PutRoster{Roster: w.Sign(r, signers...)})
}

func (w *World) mustSeat(r identity.Roster, signers ...identity.Signer) {
	w.tb.Helper()
	if answer := w.PutRoster(r, signers...); answer.Code != "" {
		w.tb.Fatalf("roster %d refused: %s: %s", r.Number, answer.Code, answer.Message)
	}
}

// Admit adds a fresh node to those that join.
func (w *World) Admit() identity.Signer {
	w.tb.Helper()
	node, roster := w.Newcomer()
	w.mustSeat(roster, w.Nodes...)
	w.Joining = append(w.Joining, node)
	return node
}

// Promotion returns the roster that lets all nodes that join count, unsigned.
func (w *World) Promotion() identity.Roster {
	roster := w.Roster()
	roster.Nodes, roster.Joining = sorted(append(roster.Nodes, roster.Joining...)), nil
	return roster
}

// Promote lets all nodes that join count.
func (w *World) Promote() {
	w.tb.Helper()
	w.mustSeat(w.Promotion(), w.Nodes...)
	w.Nodes = append(w.Nodes, w.Joining...)
	w.Joining = nil
	slices.SortFunc(w.Nodes, func(a, b identity.Signer) int { return a.ID().Compare(b.ID()) })
}

// Grow admits so many fresh nodes and lets them count.
func (w *World) Grow(nodes int) {
	w.tb.Helper()
	for range nodes {
		w.Admit()
	}
	w.Promote()
}

// Remove takes a node out of the roster, with the signatures of all roots.
func (w *World) Remove(node identity.Signer) {
	w.tb.Helper()
	gone := func(s identity.Signer) bool { return s.ID() == node.ID() }
	roster := w.Roster()
	roster.Nodes = slices.DeleteFunc(roster.Nodes, func(id identity.ID) bool { return id == node.ID() })
	w.mustSeat(roster, append(slices.Clone(w.Nodes), w.Roots...)...)
	w.Nodes = slices.DeleteFunc(slices.Clone(w.Nodes), gone)
}

func sorted(list []identity.ID) []identity.ID {
	slices.SortFunc(list, identity.ID.Compare)
	return list
}
