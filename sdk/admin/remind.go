package admin

import (
	"cmp"
	"context"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// Reminder is what became of one tightening that the registry was reminded of.
type Reminder struct {
	ID         wire.Digest         // of the command
	Type       registry.Type       // status, level or epoch
	Tightening registry.Tightening // what it says
	News       bool                // it took effect; else, without an error, the registry knew it or what came after it
	Change     registry.Change     // the principal as it stands now, where that was answered
	Err        error               // the refusal, with its code
}

// Remembered returns the tightenings that this operator keeps: what it handed in itself and what nodes have shown it, 64
// at most, as signed commands for [Admin.Remind].
func (ad Admin) Remembered() ([][]byte, error) { return ad.registry.Remembered() }

// Remind shows the registry tightenings that it may have lost, because its nodes were restored from an older backup:
// signed commands, each once, in the order in which they were issued. A later release is not undone. What stands in a
// Reminder is a refusal of that one; the error returned is that of asking, and what was not handed in then is left out.
func (ad Admin) Remind(ctx context.Context, commands [][]byte) ([]Reminder, error) {
	known := ad.known()
	var all []remindable
	for _, raw := range commands {
		c, t, err := registry.ParseTightening(raw)
		if err != nil {
			return nil, err
		}
		one := remindable{raw: raw, issued: c.Claim.Issued, Reminder: Reminder{ID: c.ID(known.Realm), Type: c.Claim.Type, Tightening: t}}
		if !slices.ContainsFunc(all, func(r remindable) bool { return r.ID == one.ID }) {
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b remindable) int { return cmp.Compare(a.issued, b.issued) })
	var done []Reminder
	for _, one := range all {
		r, err := ad.remind(ctx, one)
		if err != nil {
			return done, err
		}
		done = append(done, r)
	}
	return done, nil
}

type remindable struct {
	Reminder
	raw    []byte
	issued int64
}

// remind hands in one. Its error is one after which it is not known what the registry says.
func (ad Admin) remind(ctx context.Context, one remindable) (Reminder, error) {
	r := one.Reminder
	command, err := ad.Prepare(registry.TypeRemind, registry.Remind{Command: one.raw}, 0)
	if err != nil {
		return r, err
	}
	answer, err := ad.Submit(ctx, command)
	switch code := fault.CodeOf(err); {
	case code == fault.Superseded:
		return r, nil
	case code.Retryable() || code == fault.Internal || ctx.Err() != nil:
		return r, err
	case err != nil:
		r.Err = err
		return r, nil
	}
	said, err := registry.Result[registry.Reminded](answer)
	r.News, r.Change = said.News, said.Change
	return r, err
}
