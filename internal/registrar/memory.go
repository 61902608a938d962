package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var errTooManyHeld = fault.New(fault.TooLarge, fmt.Sprintf("registrar: a question names at most %d tightenings", control.MaxTightenings))

// onTightenings says which tightenings are in force that the asker does not hold, and which it holds that are not.
func (r desk) onTightenings(_ context.Context, _ control.Caller, body wire.Raw) (any, error) {
	in, err := control.Decode[control.Tightenings](body)
	if err != nil {
		return nil, err
	}
	if len(in.Have) > control.MaxTightenings {
		return nil, errTooManyHeld
	}
	set := r.ledger.Tightenings()
	out := control.InForce{Digest: set.Digest}
	if in.Digest == set.Digest {
		return out, nil
	}
	in.Have = slices.Clone(in.Have)
	size := 0
	for _, one := range slices.Backward(set.All) {
		if i := slices.Index(in.Have, one.ID); i >= 0 {
			in.Have = slices.Delete(in.Have, i, i+1)
			continue
		}
		if len(out.Commands) < control.MaxTightenings && size+len(one.Command) <= maxAnswer {
			size += len(one.Command)
			out.Commands = append(out.Commands, one.Command)
		}
	}
	slices.Reverse(out.Commands)
	out.Lacks = in.Have
	return out, nil
}

// memory keeps the tightenings in force beside the log, and reminds the ledger of those that it has lost: the log may
// have been restored from an older backup and the file not.
type memory struct {
	*Registrar
	lost  [][]byte    // of the file as it was found, those that the ledger has not heard of yet, oldest first
	saved []byte      // what stands in the file
	told  wire.Digest // of the set when it was saved last
}

// remindPause is how long a node waits after it could not remind the ledger, or keep what is in force.
const remindPause = time.Second

// follow keeps the file as the ledger is, until ctx ends.
func (m *memory) follow(ctx context.Context) {
	if err := m.load(); err != nil {
		m.warn("the file of tightenings is not used", err)
	}
	for {
		grown := m.grown.wait()
		err := m.once(ctx)
		if err != nil && ctx.Err() == nil {
			m.warn("tightenings not reminded or not kept; trying again", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(remindPause):
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-grown:
		}
	}
}

func (m *memory) warn(what string, err error) {
	m.config.Logger.Warn(what, "code", string(fault.CodeOf(err)), "error", err)
}

// load reads what was in force when the file was written.
func (m *memory) load() error {
	raw, err := m.config.Kept.Load()
	if err != nil || raw == nil {
		return err
	}
	kept, err := registry.ParseKept(raw)
	if err != nil {
		return err
	}
	m.saved, m.lost = raw, kept.Commands
	return nil
}

// once reminds the ledger of what it has lost, as soon as this node may act on it, and then keeps what is in force. A
// node that has not caught up does neither: what it lacks, the others may have.
func (m *memory) once(ctx context.Context) error {
	if m.mayServe() != nil || !m.counts() {
		return nil
	}
	if err := m.remind(ctx); err != nil {
		return err
	}
	return m.save()
}

func (m *memory) remind(ctx context.Context) error {
	for len(m.lost) > 0 && m.ledger.Feature() >= registry.RemindFeature {
		if err := m.hand(ctx, m.lost[0]); err != nil {
			return err
		}
		m.lost = m.lost[1:]
	}
	return nil
}

// hand puts one reminder through the log. It returns only errors after which it may be tried again.
func (m *memory) hand(ctx context.Context, tightening []byte) error {
	command, err := m.command(registry.TypeRemind, registry.Remind{Command: tightening}, m.nowMilli())
	if err != nil {
		return err
	}
	answer, err := m.Submit(ctx, command)
	if err == nil {
		err = answer.Err()
	}
	switch {
	case errors.Is(err, ledger.ErrNoNews):
		return nil
	case fault.CodeOf(err).Retryable() || ctx.Err() != nil:
		return err
	case err != nil:
		m.warn("a tightening that was in force is refused now", err)
		return nil
	}
	if r, err := registry.Result[registry.Reminded](answer); err == nil && r.News {
		m.config.Logger.Warn("the registry had lost a tightening, and knows it again", "principal", r.Change.Principal.String(),
			"status", r.Change.Status.String(), "level", r.Change.Level.String())
	}
	return nil
}

// save keeps what is in force now, if that has changed.
func (m *memory) save() error {
	set := m.ledger.Tightenings()
	if set.Digest == m.told {
		return nil
	}
	kept := registry.Kept{Commands: m.lost} // only while the realm speaks no reminders yet
	for _, one := range set.All {
		kept.Commands = append(kept.Commands, one.Command)
	}
	raw, err := kept.Encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, m.saved) {
		if err := m.config.Kept.Save(raw); err != nil {
			return fmt.Errorf("registrar: keep tightenings: %w", err)
		}
	}
	m.saved, m.told = raw, set.Digest
	return nil
}
