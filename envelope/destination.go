package envelope

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Place says what kind of destination an envelope goes to. The zero value is none.
type Place uint8

// The places.
const (
	AtProcess Place = 1 // one running process, live
	AtInbox   Place = 2 // an agent's one durable inbox
	AtTopic   Place = 3 // whoever reads the topic
)

// Destination is where an envelope goes. Exactly the fields that its place needs are set. It is comparable. Make it
// with [ToProcess], [ToInbox] or [ToTopic].
type Destination struct {
	Place    Place       `cbor:"1,keyasint"`
	Agent    identity.ID `cbor:"2,keyasint,omitzero"` // process, inbox
	Instance wire.Digest `cbor:"3,keyasint,omitzero"` // process: its credential's id; inbox: its id
	Topic    string      `cbor:"4,keyasint,omitzero"` // topic; see [identity.CheckCapability]
}

// ToProcess names the agent's process that has the credential.
func ToProcess(agent identity.ID, credential wire.Digest) Destination {
	return Destination{Place: AtProcess, Agent: agent, Instance: credential}
}

// ToInbox names the agent's inbox.
func ToInbox(agent identity.ID, inbox wire.Digest) Destination {
	return Destination{Place: AtInbox, Agent: agent, Instance: inbox}
}

// ToTopic names a topic.
func ToTopic(name string) Destination { return Destination{Place: AtTopic, Topic: name} }

// Direct reports whether one agent is meant, so that the envelope must be encrypted.
func (d Destination) Direct() bool { return d.Place == AtProcess || d.Place == AtInbox }

// Check refuses unknown places and fields that are missing or do not belong to the place. It does not ask whether the
// agent's key may be enrolled: receivers compare it with their own.
func (d Destination) Check() error {
	switch d.Place {
	case AtProcess, AtInbox:
		if d.Agent.Role() != identity.Agent || d.Instance.IsZero() || d.Topic != "" {
			return fmt.Errorf("%w: destination needs an agent, an instance and no topic", wire.ErrMalformed)
		}
		return nil
	case AtTopic:
		if !d.Agent.IsZero() || !d.Instance.IsZero() {
			return fmt.Errorf("%w: a topic has no agent or instance", wire.ErrMalformed)
		}
		return identity.CheckCapability(d.Topic)
	}
	return fmt.Errorf("%w: place %d", wire.ErrMalformed, d.Place)
}
