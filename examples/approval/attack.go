package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// errNotRefused is returned when an attack succeeds, or fails for another reason than it should.
var errNotRefused = errors.New("approval: an attack was not refused as it should be")

// misaddressed is the code of what is for somebody or something else.
const misaddressed code.Code = "misaddressed"

// refused says that an attack was refused, by the code that it should be.
func (p *program) refused(attack string, err error, want ...code.Code) error {
	if err == nil || !slices.Contains(want, sdk.CodeOf(err)) {
		return fmt.Errorf("%w: %s: %v", errNotRefused, attack, err)
	}
	p.say("attack", "%s: REFUSED %s", attack, sdk.CodeOf(err))
	return nil
}

// ownVote has the coder approve its own command.
func (p *program) ownVote(ctx context.Context) error {
	v, err := p.coder.Ballots().View(ctx, p.decision.ID().String())
	if err != nil {
		return err
	}
	_, err = p.coder.Ballots().Vote(ctx, v, ballot.Approve("it is fine"))
	return p.refused("the coder approves its own command", err, code.Denied)
}

// forgedCertificate changes one bit, and then has one ballot counted twice instead of another.
func (p *program) forgedCertificate(_ context.Context, c *sdk.Certificate) error {
	root := verify.TrustRoot{Realm: p.coder.Self().Realm}
	flipped := bytes.Clone(c.Raw())
	flipped[len(flipped)/2] ^= 1
	_, report, err := verify.Parse(flipped, root)
	if err == nil {
		return fmt.Errorf("%w: a bit changed: %d checks held", errNotRefused, len(report.Checks))
	}
	p.say("attack", "one bit of the certificate changed: REFUSED %s", sdk.CodeOf(err))
	parts, err := consensus.ParseCertificate(c.Raw())
	if err != nil {
		return err
	}
	parts.Ballots[1] = parts.Ballots[0]
	twice, err := parts.Encode()
	if err != nil {
		return err
	}
	if _, _, err = verify.Parse(twice, root); err == nil {
		return fmt.Errorf("%w: a ballot counted twice", errNotRefused)
	}
	p.say("attack", "one ballot in it twice, another left out: REFUSED %s", sdk.CodeOf(err))
	return nil
}

// otherCommand wants to run something else under the certificate.
func (p *program) otherCommand(ctx context.Context, _ *sdk.Certificate) error {
	other := p.command
	other.argv = append(slices.Clone(p.command.argv), "--and-more")
	ran := false
	err := p.coder.Execute(ctx, p.decision, other.action(), func(context.Context) error {
		ran = true
		return nil
	})
	if ran {
		return fmt.Errorf("%w: another command ran", errNotRefused)
	}
	return p.refused("another command under this certificate", err, misaddressed)
}

// replayedBallots hands in the ballots of the certificate again: by the coder, and by a reviewer that has signed one.
func (p *program) replayedBallots(ctx context.Context, c *sdk.Certificate) error {
	for _, raw := range c.Verified().Certificate().Ballots {
		b, err := consensus.VerifyBallot(raw, p.coder.Self().Realm, c.Verified().Opening())
		if err != nil {
			return err
		}
		for _, reviewer := range p.team.Voters {
			if reviewer.ID() != b.Statement().Voter {
				continue
			}
			if err := p.refused("a reviewer's ballot, replayed by the coder", cast(ctx, p.coder, raw), code.Denied); err != nil {
				return err
			}
			return p.refused("the same, replayed by who signed it", cast(ctx, reviewer, raw), code.Spent)
		}
	}
	return fmt.Errorf("%w: no reviewer's ballot is in the certificate", errNotRefused)
}

// cast hands in a ballot that was signed before.
func cast(ctx context.Context, by *sdk.Agent, raw []byte) error {
	order, err := by.Admin().Prepare(registry.TypeVote, registry.Cast{Ballot: raw}, 0)
	if err == nil {
		_, err = by.Admin().Submit(ctx, order)
	}
	return err
}

// secondUse wants to run the command once more under the same certificate.
func (p *program) secondUse(ctx context.Context) error {
	ran := false
	err := p.coder.Execute(ctx, p.decision, p.command.action(), func(context.Context) error {
		ran = true
		return nil
	})
	if ran {
		return fmt.Errorf("%w: it ran twice", errNotRefused)
	}
	return p.refused("the same certificate a second time", err, code.Spent)
}
