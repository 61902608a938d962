package admin

import (
	"crypto/rand"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// evidenceLife is for how long a person's statement may be handed in: as long as the command that it is in.
const evidenceLife = registry.MaxCommandLife

// Endorse signs a command that gives this person's word for an agent: at most what is left of the person's allowance of the
// day counts. [Admin.Submit] hands it in; [Effect] says what it did.
func (ad Admin) Endorse(agent identity.ID, amount trust.Micro, detail string) ([]byte, error) {
	return ad.tell(trust.Evidence{Act: trust.Endorsement, Subject: agent, Amount: amount, Detail: detail})
}

// Accuse signs a command that tells of a broken rule, of severity 1 to 4: 2 costs the agent a level, 3 all but L1, and 4
// quarantines it and asks for as many operators as whatever loosens, by [Admin.Countersign]. [Admin.Submit] hands it in.
func (ad Admin) Accuse(agent identity.ID, severity uint64, detail string) ([]byte, error) {
	return ad.tell(trust.Evidence{Act: trust.Violation, Subject: agent, Severity: severity, Detail: detail})
}

// Pardon signs a command that takes back part of what violations weigh, for as many operators to [Admin.Countersign] as
// whatever loosens, and then to [Admin.Submit].
func (ad Admin) Pardon(agent identity.ID, amount trust.Micro, detail string) ([]byte, error) {
	return ad.tell(trust.Evidence{Act: trust.Pardon, Subject: agent, Amount: amount, Detail: detail})
}

// SignOff signs a command that promotes an agent to the level after its own, or renews the lease of the one that it has, for
// as many operators to [Admin.Countersign] as the ladder asks for, and then to [Admin.Submit]. The ledger refuses it while
// the agent lacks anything else: package standing shows what. To appoint whatever the evidence says is
// registry.TypeLevel.
func (ad Admin) SignOff(agent identity.ID, level identity.Level, reason string) ([]byte, error) {
	return ad.Prepare(registry.TypePromote, registry.SetLevel{Principal: agent, Level: level, Reason: reason}, 0)
}

// Effect is what a piece of evidence did, by the ledger's answer to the command that it was in.
func Effect(answer registry.Answer) (trust.Effect, error) {
	return registry.Result[trust.Effect](answer)
}

// tell signs a person's statement, and a command that hands it in.
func (ad Admin) tell(e trust.Evidence) ([]byte, error) {
	k, now := ad.known(), time.Now().UnixMilli()
	e.Version, e.Author, e.Issued, e.Expires = 1, k.Signer.ID(), now, now+evidenceLife
	_, _ = rand.Read(e.Nonce[:]) // never fails: crypto/rand ends the process instead
	raw, err := k.Signer.Cosign(k.Realm, e)
	if err != nil {
		return nil, err
	}
	return ad.Prepare(registry.TypeEvidence, registry.Evidence{Statement: raw}, 0)
}
