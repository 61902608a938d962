package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus/raftlog"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// RecoveryFile is the roster in a data directory that makes its node the realm's only one, once the roots have signed
// it and the node starts.
const RecoveryFile = "recovery.cbor"

// Remains is what a data directory holds of a realm that has lost most of its nodes.
type Remains struct {
	Node      identity.ID
	Log       raftlog.Report
	Authority *identity.Authority // by the newest roster in the directory
}

// Inspect says what a data directory holds and changes nothing. No node may run on it. Errors: not initialised, in use,
// those of the log.
func Inspect(dir string) (Remains, error) {
	d, c, err := idle(dir)
	if err != nil {
		return Remains{}, err
	}
	defer d.Close()
	k, err := openChain(dir, c)
	if err != nil {
		return Remains{}, err
	}
	report, err := raftlog.Inspect(filepath.Join(dir, "raft"), c.signer.ID().String())
	return Remains{Node: c.signer.ID(), Log: report, Authority: k.authority()}, err
}

// idle opens a data directory that no node runs on.
func idle(dir string) (*datadir.Dir, contents, error) {
	if _, err := readGenesis(dir); err != nil {
		return nil, contents{}, err // before anything is made there
	}
	d, err := datadir.Open(dir)
	if err != nil {
		return nil, contents{}, err
	}
	c, err := load(dir)
	if err != nil {
		return nil, contents{}, errors.Join(err, d.Close())
	}
	return d, c, nil
}

var errNotNeeded = fault.New(fault.Conflict, "node: it is the realm's only node: nothing is to be recovered").
	WithHint("run it: conclave server run --data DIR")

// Recover makes the node of a data directory the only one of its realm, for a realm that has lost most of its nodes for
// good: its log's only voter at once, and the roster's only node at its next start, when the node puts the roster through
// the log that sign has signed by roots and that is kept in [RecoveryFile]. What only the lost nodes had is lost, and
// none of them may run again with the directory it had. It may be made again. Errors: as of [Inspect], a conflict where
// the node is alone anyway, sign's.
func Recover(dir string, sign func(wire.Realm, identity.Roster) ([]byte, error), logger *slog.Logger) error {
	d, c, err := idle(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	book, err := ledger.New(c.realm, c.genesis, c.policy, nil)
	if err != nil {
		return registrar.Unsigned(err)
	}
	self := c.signer.ID()
	if k, err := openChain(dir, c); err != nil {
		return err
	} else if slices.Equal(k.authority().Members(), []identity.ID{self}) {
		return errNotNeeded
	}
	if _, err := raftlog.Recover(filepath.Join(dir, "raft"), self.String(), book, logger); err != nil {
		return err
	}
	a := book.Authority() // by all that the log holds
	raw, err := sign(c.realm, identity.Roster{
		Version: 1, Number: a.Number + 1, Previous: a.Latest(), Issued: min(time.Now().UnixMilli(), book.Now()), Roots: a.Roots,
		Threshold: a.Threshold, Nodes: []identity.ID{self}, Recovery: true,
	})
	if err != nil {
		return err
	}
	return datadir.WritePrivate(filepath.Join(dir, RecoveryFile), raw)
}

// finishRecovery puts the roster through the log that [Recover] has left, and takes its file away.
func (n *Node) finishRecovery(ctx context.Context) error {
	path := filepath.Join(n.config.Dir, RecoveryFile)
	raw, err := datadir.ReadPrivate(path, wire.MaxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := n.registrar.Recover(ctx, raw); err != nil {
		if errors.Is(err, wire.ErrTooFew) {
			err = wire.ErrTooFew.WithHint("more roots sign it: conclave cluster sign " + path)
		}
		return fmt.Errorf("%s: %w", RecoveryFile, err)
	}
	if n.cluster != nil {
		steward{n.cluster}.follow()
	} else if err := writeChain(filepath.Join(n.config.Dir, chainFile), n.registrar.Rosters()); err != nil {
		return err
	}
	n.config.Logger.Warn("this node is the realm's only one now", "roster", n.registrar.Authority().Number)
	return os.Remove(path)
}
