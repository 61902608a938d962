package spec_test

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// commandContext is a realm, and what its ledger has applied before the input.
type commandContext struct {
	Genesis hexBytes   `json:"genesis"`
	Policy  hexBytes   `json:"policy"`
	Entries []hexBytes `json:"entries"` // encoded, oldest first
}

// openingContext is who proposed.
type openingContext struct {
	Proposer identity.ID `json:"proposer"`
}

// ballotContext is the opening that is voted on, encoded.
type ballotContext struct {
	Opening hexBytes `json:"opening"`
}

// certificateContext is what the verifier demands besides the realm.
type certificateContext struct {
	Least uint64      `json:"least,omitempty"` // the newest roster number it has seen
	Use   *useContext `json:"use,omitempty"`   // what somebody is about to do
}

type useContext struct {
	Action   hexBytes    `json:"action"` // encoded
	Executor identity.ID `json:"executor"`
	Store    hexBytes    `json:"store"`
}

// consumptionContext is a certificate, and the receipt that is to show the input.
type consumptionContext struct {
	Certificate hexBytes `json:"certificate"`
	Receipt     hexBytes `json:"receipt"`
	Action      hexBytes `json:"action,omitempty"` // what is about to be done, encoded; the proposal's if absent
}

// policyContext is how many root operators the realm has that is to use the policy; 0: nobody asks.
type policyContext struct {
	Roots int `json:"roots,omitempty"`
}

func verifyPolicy(v vector, raw []byte) error {
	c, err := contextOf[policyContext](v)
	if err != nil {
		return err
	}
	p, err := policy.Parse(raw)
	if err != nil || c.Roots == 0 {
		return err
	}
	return p.CheckRoots(c.Roots)
}

func verifyCommand(v vector, raw []byte) error {
	c, err := contextOf[commandContext](v)
	if err != nil {
		return err
	}
	rules, err := policy.Parse(c.Policy)
	if err != nil {
		return err
	}
	l, err := ledger.New(v.Realm, c.Genesis, rules, nil)
	if err != nil {
		return err
	}
	for i, entry := range c.Entries {
		if _, err := ledger.ParseAnswer(l.Apply(uint64(i+1), entry)); err != nil {
			return err
		}
	}
	entry, err := wire.Encode(ledger.Entry{Command: raw})
	if err != nil {
		return err
	}
	answer, err := ledger.ParseAnswer(l.Apply(uint64(len(c.Entries)+1), entry))
	if err != nil {
		return err
	}
	return answer.Err()
}

func verifyProposal(v vector, raw []byte) error {
	key, err := keyOf(v)
	if err != nil {
		return err
	}
	c, err := wire.Parse[consensus.Proposal](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	_, err = c.Verify(v.Realm, key)
	return err
}

func verifyOpening(v vector, raw []byte) error {
	c, err := contextOf[openingContext](v)
	if err != nil {
		return err
	}
	var o consensus.Opening
	if err := wire.Decode(raw, &o); err != nil {
		return err
	}
	return consensus.CheckElectorate(o, c.Proposer)
}

func (v vector) opening() (consensus.Opening, error) {
	var o consensus.Opening
	c, err := contextOf[ballotContext](v)
	if err != nil {
		return o, err
	}
	err = wire.Decode(c.Opening, &o)
	return o, err
}

func verifyBallot(v vector, raw []byte) error {
	o, err := v.opening()
	if err != nil {
		return err
	}
	_, err = consensus.VerifyBallot(raw, v.Realm, o)
	return err
}

func verifyCommitment(v vector, raw []byte) error {
	o, err := v.opening()
	if err != nil {
		return err
	}
	_, err = consensus.VerifyCommitment(raw, v.Realm, o)
	return err
}

// verifyEquivocation reads two statements of the input, an array.
func verifyEquivocation(v vector, raw []byte) error {
	o, err := v.opening()
	if err != nil {
		return err
	}
	var two [2][]byte
	if err := wire.Decode(raw, &two); err != nil {
		return err
	}
	_, err = consensus.VerifyEquivocation(two[0], two[1], v.Realm, o)
	return err
}

// verifyTally counts the ballots of the input, an array. Approval is ok.
func verifyTally(v vector, raw []byte) error {
	o, err := v.opening()
	if err != nil {
		return err
	}
	var list [][]byte
	if err := wire.Decode(raw, &list); err != nil {
		return err
	}
	ballots := make([]wire.Verified[consensus.Ballot], len(list))
	for i, b := range list {
		if ballots[i], err = consensus.VerifyBallot(b, v.Realm, o); err != nil {
			return err
		}
	}
	state, err := consensus.Tally(o, consensus.Poll{Ballots: ballots}, o.RevealsUntil())
	switch {
	case err != nil:
		return err
	case state == consensus.Approved:
		return nil
	case state == consensus.Open:
		return ledger.ErrPending
	}
	return fmt.Errorf("%w: %s", fault.New(fault.Rejected, "tally"), state)
}

func verifyCertificate(v vector, raw []byte) error {
	c, err := contextOf[certificateContext](v)
	if err != nil {
		return err
	}
	verified, _, err := proof.VerifyCertificate(raw, proof.Trust{Realm: v.Realm, Roster: c.Least})
	if err != nil || c.Use == nil {
		return err
	}
	var a consensus.Action
	if err := wire.Decode(c.Use.Action, &a); err != nil {
		return err
	}
	return verified.Allows(a, c.Use.Executor, [16]byte(c.Use.Store), v.Now)
}

func verifyConsumption(v vector, raw []byte) error {
	c, err := contextOf[consumptionContext](v)
	if err != nil {
		return err
	}
	verified, _, err := proof.VerifyCertificate(c.Certificate, proof.Trust{Realm: v.Realm})
	if err != nil {
		return err
	}
	var consumption consensus.Consumption
	if err := wire.Decode(raw, &consumption); err != nil {
		return err
	}
	var receipt audit.Receipt
	if err := wire.Decode(c.Receipt, &receipt); err != nil {
		return err
	}
	action := verified.Proposal().Statement().Action
	if len(c.Action) > 0 {
		action = consensus.Action{}
		if err := wire.Decode(c.Action, &action); err != nil {
			return err
		}
	}
	return verified.VerifyConsumption(consumption, action, receipt)
}
