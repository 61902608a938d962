package registrar

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/planted"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// tickEvery is how far log time may lag behind the node's clock before a command takes a tick along, in milliseconds.
const tickEvery = 10

// tickTogether is the same where several nodes tell the time: each of them tells it anyway, to keep its lease.
const tickTogether = 100

// Submit puts one signed command through the log and returns the ledger's answer, which may be a refusal. Errors:
// what the ledger would refuse without looking further, [ErrClock], the log's. After consensus.ErrUncertain, submit
// the same command again: it takes effect once.
func (r *Registrar) Submit(ctx context.Context, command []byte) (registry.Answer, error) {
	answer, err := intake{r}.submit(ctx, command)
	if err != nil {
		r.config.Meter.Commanded(fault.CodeOf(err), false)
	} else {
		r.config.Meter.Commanded(answer.Code, true)
	}
	intake{r}.recordCommand(command, answer, err)
	return answer, err
}

// intake puts commands through the log, and notes in the trail what became of them.
type intake struct{ *Registrar }

func (r intake) submit(ctx context.Context, command []byte) (registry.Answer, error) {
	if err := r.Err(); err != nil {
		return registry.Answer{}, fmt.Errorf("the node has stopped: %w", err)
	}
	if err := r.ledger.Admissible(command); err != nil {
		return registry.Answer{}, err
	}
	if err := r.early(command); err != nil {
		return registry.Answer{}, err
	}
	if err := r.gated(command); err != nil {
		return registry.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, submitTime)
	defer cancel()
	for {
		entry, err := r.entry(command)
		if err != nil {
			return registry.Answer{}, err
		}
		if planted.Fault(planted.AnswersEarly) {
			return registry.Answer{Index: r.ledger.Size() + 1}, nil
		}
		result, _, err := r.log.Append(ctx, entry)
		if planted.Fault(planted.Resubmits) {
			_, _, _ = r.log.Append(ctx, entry)
		}
		if err == nil {
			return ledger.ParseAnswer(result)
		}
		if !r.again(ctx, err) {
			return registry.Answer{}, logError(err)
		}
	}
}

// early refuses a ballot that is revealed too early, by what is applied here and this node's clock: voters try, and the log
// need not know.
func (r intake) early(command []byte) error {
	c, err := wire.ParseCosigned[registry.Command](command, wire.MaxStatement)
	if err != nil || c.Claim.Type != registry.TypeVote {
		return nil // the ledger says what is wrong
	}
	body, err := registry.Body[registry.Cast](c.Claim)
	if err != nil || len(body.Salt) == 0 {
		return nil
	}
	ballot, err := wire.Parse[consensus.Ballot](body.Ballot, wire.MaxStatement)
	if err != nil {
		return nil
	}
	d, err := r.ledger.Decision(ballot.Claim.Proposal)
	if err != nil || d.Verdict.State != consensus.Open {
		return nil
	}
	in := func(raw []byte) bool { return bytes.Equal(raw, body.Ballot) }
	if slices.ContainsFunc(d.Ballots, in) || r.ledger.Revealing(d.ID, r.nowMilli()) {
		return nil
	}
	return consensus.ErrEarly
}

// submitTime bounds how long a node tries to put one command through the log while leaders come and go.
const submitTime = 10 * time.Second

// again waits a little and reports whether an append that failed with err may be made again. It may, whatever became of
// it: the ledger answers the same command twice alike and executes it once.
func (r intake) again(ctx context.Context, err error) bool {
	lost := errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrUncertain)
	if !lost || errors.Is(err, consensus.ErrClosed) || r.alone() || r.Err() != nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(20*time.Millisecond + rand.N(30*time.Millisecond)):
		return true
	}
}

// entry adds a tick to the command if log time has fallen behind.
func (r intake) entry(command []byte) ([]byte, error) {
	now, err := r.clock.now()
	if err != nil {
		return nil, err
	}
	every := int64(tickEvery)
	if !r.alone() {
		every = tickTogether
	}
	var tick []byte
	if told, _ := r.ledger.Told(r.ID()); now-told >= every && r.counts() {
		if tick, err = r.tick(now); err != nil {
			return nil, err
		}
	}
	return wire.Encode(entryOf(tick, command))
}

// entryOf returns the log entry of a tick, a command, or both.
func entryOf(tick, command []byte) ledger.Entry {
	e := ledger.Entry{Command: command}
	if tick != nil {
		e.Ticks = [][]byte{tick}
	}
	return e
}

// tick signs a command that tells the time.
func (r *Registrar) tick(now int64) ([]byte, error) {
	return r.command(registry.TypeTick, registry.Tick{Time: now, Feature: registry.Feature}, now)
}

// command signs a command of this node's own.
func (r *Registrar) command(typ registry.Type, body any, now int64) ([]byte, error) {
	var nonce [16]byte
	if _, err := crand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("registrar: nonce: %w", err)
	}
	c, err := registry.New(r.ID(), typ, body, nonce, now)
	if err != nil {
		return nil, err
	}
	return r.config.Signer.Cosign(r.Realm(), c)
}

var errLogUncertain = fault.New(fault.Uncertain, "registrar: it is not known whether the command took effect")

// logError gives errors of the log that have no code the one that promises least.
func logError(err error) error {
	if fault.CodeOf(err) != fault.Internal {
		return err
	}
	return fmt.Errorf("%w: %w", errLogUncertain, err)
}

// doors says where in the trail a command's entry belongs.
var doors = map[registry.Type]audit.Door{
	registry.TypeEnrol:   audit.Enrolling,
	registry.TypeStatus:  audit.Quarantining,
	registry.TypeRemind:  audit.Quarantining,
	registry.TypePropose: audit.Proposing,
	registry.TypeVote:    audit.Voting,
	registry.TypeCommit:  audit.Voting,
	registry.TypeConsume: audit.Consuming,
}

func (r intake) recordCommand(command []byte, answer registry.Answer, err error) {
	e := audit.Entry{Door: audit.Commanding, Object: answer.Command, Code: string(answer.Code)}
	if err != nil {
		e.Code, e.Detail = string(fault.CodeOf(err)), err.Error()
	}
	if c, parseErr := wire.ParseCosigned[registry.Command](command, wire.MaxStatement); parseErr == nil {
		e.Subject, e.Object = c.Claim.Author.String(), c.ID(r.Realm())
		if door, ok := doors[c.Claim.Type]; ok {
			e.Door = door
		}
		if e.Detail == "" {
			e.Detail = string(c.Claim.Type)
		}
	}
	r.Record(e)
	if answer.Code == "" && err == nil && e.Door == audit.Voting {
		r.recordVerdict(answer)
	}
}

// recordVerdict notes that a ballot decided.
func (r intake) recordVerdict(answer registry.Answer) {
	v, err := registry.Result[consensus.Verdict](answer)
	if err != nil || v.State == consensus.Open {
		return
	}
	r.Record(audit.Entry{Door: audit.Certifying, Object: v.Proposal, Detail: v.State.String()})
}
