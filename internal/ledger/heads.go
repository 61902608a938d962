package ledger

import (
	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// maxHeads is how many sizes a ledger can name the head of: enough for nodes that cosign what another applied some
// moments before or after.
const maxHeads = 4096

// mark is what a head says of one size besides the root.
type mark struct {
	time   int64
	roster uint64
	chain  wire.Digest
}

// mark notes what the head of the present size says. The newest leaf is just in the tree, its effects in the state: a
// command that changes the roster stands under the new one.
func (s *state) mark() {
	size := s.tree.Size()
	s.headTime = s.now
	s.marks[size] = mark{time: s.now, roster: s.authority.Number, chain: s.chain}
	delete(s.marks, size-maxHeads)
}

// headAt returns the head of a size whose mark is known.
func (s *state) headAt(size uint64) (audit.Head, bool) {
	m, ok := s.marks[size]
	if !ok {
		return audit.Head{}, false
	}
	root, err := s.tree.RootAt(size)
	if err != nil {
		return audit.Head{}, false
	}
	return audit.Head{
		Version: 1, Roster: m.roster, Size: size, Root: wire.Digest(root), Time: m.time, State: m.chain,
	}, true
}

// Head returns what a head over all commands so far says: log time and roster as the newest leaf left them, so each
// size has one head, whatever time passes after it. Its roster is always the one in force. Nodes sign it, once a size.
// Before the first leaf its size is 0, and there is nothing to sign.
func (l *Ledger) Head() audit.Head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	if h, ok := s.headAt(s.tree.Size()); ok {
		return h
	}
	return audit.Head{Version: 1, Roster: s.authority.Number, Root: wire.Digest(s.tree.Root())}
}

// HeadAt returns the head of an earlier size, as [Ledger.Head] returned it then, if it is among the newest 4096 that
// were applied since the start or the last restore, or the newest of that restore. Its roster is the one that was in
// force when its newest leaf was applied; the nodes of a later roster sign no head of an earlier one.
func (l *Ledger) HeadAt(size uint64) (audit.Head, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.headAt(size)
}
