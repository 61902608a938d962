package registrar

import (
	"context"
	"errors"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// word is what a node tells the others of one process that is connected to it. The receiver verifies credential and
// presence; only where the process is rests on the node. That it has gone is told by [opGone].
type word struct {
	Credential []byte      `cbor:"1,keyasint,omitempty"`
	Presence   []byte      `cbor:"2,keyasint,omitempty"`
	Principal  identity.ID `cbor:"3,keyasint"`
	Process    wire.Digest `cbor:"4,keyasint"`
}

// words is an answer to opPresent.
type words struct {
	Words []word `cbor:"1,keyasint,omitempty"`
}

// maxWords bounds one answer, in bytes of its words.
const maxWords = 768 << 10

// wordOf returns what there is to tell of a process.
func wordOf(q process) word {
	w := word{
		Credential: q.credential.Raw(), Principal: q.credential.Statement().Principal, Process: q.credential.ID(),
	}
	if !q.presence.IsZero() {
		w.Presence = q.presence.Raw()
	}
	return w
}

// whereabouts is what the nodes tell each other of the processes that are connected to them.
type whereabouts struct{ *Registrar }

// tell sends a word to the other nodes, if there are any. It is lost if the bus is: presences come again.
func (r whereabouts) tell(w word) {
	if r.conn == nil || r.config.Peers == nil || r.alone() {
		return
	}
	b, err := wire.Encode(w)
	if err != nil {
		return // bytes and names: cannot happen
	}
	if err := r.conn.Publish(context.Background(), bus.In(r.Realm()).Word(r.ID()), b); err != nil {
		r.config.Logger.Debug("presence not told", "error", err)
	}
}

// hear takes another node's word.
func (r whereabouts) hear(subject string, data []byte) {
	s, err := bus.In(r.Realm()).Parse(subject)
	if err != nil || s.From == r.ID() {
		return
	}
	var w word
	if err := wire.Decode(data, &w); err != nil {
		return
	}
	if err := r.take(s.From, w); err != nil {
		r.config.Logger.Debug("word not taken", "node", s.From.String(), "error", err)
	}
}

// take verifies what another node says of a process and remembers it.
func (r whereabouts) take(from identity.ID, w word) error {
	claimed, err := wire.Parse[identity.Credential](w.Credential, wire.MaxStatement)
	if err != nil {
		return err
	}
	m, err := r.ledger.Member(claimed.Claim.Principal)
	if err != nil {
		return err
	}
	if err := m.Status.Check(); err != nil {
		return err
	}
	v, err := identity.VerifyCredential(w.Credential, r.Realm(), m.Key, r.nowMilli())
	if err != nil {
		return err
	}
	if v.Statement().Epoch < m.Epoch {
		return trust.ErrSuperseded
	}
	if err := r.presences.connect(v, from, r.nowMilli()); err != nil {
		return err
	}
	if len(w.Presence) == 0 {
		return nil
	}
	err = r.presences.announce(r.Realm(), m.ID, w.Presence, from, r.nowMilli())
	if errors.Is(err, identity.ErrRollback) {
		return nil // heard before
	}
	return err
}

// onPeerSender tells a peer of one process that is known here.
func (r whereabouts) onPeerSender(_ context.Context, _ identity.ID, body []byte) ([]byte, error) {
	var in control.Process
	if err := wire.Decode(body, &in); err != nil {
		return nil, err
	}
	q, err := r.presences.process(in.Principal, in.Credential)
	if err != nil {
		return nil, err
	}
	return wire.Encode(wordOf(q))
}

// onPresent tells a peer of the processes connected here, as many as fit one answer.
func (r whereabouts) onPresent(context.Context, identity.ID, []byte) ([]byte, error) {
	var out words
	size := 0
	for _, q := range r.presences.at(r.ID()) {
		w := wordOf(q)
		if size += len(w.Credential) + len(w.Presence) + 128; size > maxWords {
			break
		}
		out.Words = append(out.Words, w)
	}
	return wire.Encode(out)
}

// askSender asks the other nodes about a process that is not known here, all at once, and takes the first answer that
// verifies.
func (r whereabouts) askSender(ctx context.Context, p control.Process) error {
	others, _ := r.panel.others(r.ledger.Authority())
	if r.config.Peers == nil || len(others) == 0 {
		return errUnknownProcess
	}
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	body, err := wire.Encode(p)
	if err != nil {
		return err
	}
	answers := make(chan error, len(others))
	for _, id := range others {
		go func() { answers <- r.askSenderOf(ctx, id, body) }() // ends with ctx; nobody blocks on the channel
	}
	err = errUnknownProcess
	for range others {
		if answer := <-answers; answer == nil {
			return nil
		}
	}
	return err
}

func (r whereabouts) askSenderOf(ctx context.Context, id identity.ID, body []byte) error {
	raw, err := r.config.Peers.Call(ctx, id, opSender, body)
	if err != nil {
		return err
	}
	var w word
	if err := wire.Decode(raw, &w); err != nil {
		return err
	}
	return r.take(id, w)
}

// gather asks the other nodes who is connected to them: a node that has just come learns it at once.
func (r whereabouts) gather(ctx context.Context) {
	others, _ := r.panel.others(r.ledger.Authority())
	for _, id := range others {
		limited, cancel := context.WithTimeout(ctx, signTime)
		raw, err := r.config.Peers.Call(limited, id, opPresent, nil)
		cancel()
		if err != nil {
			continue // it tells them again as they come
		}
		var all words
		if err := wire.Decode(raw, &all); err != nil {
			continue
		}
		for _, w := range all.Words {
			_ = r.take(id, w) // one that does not verify is not taken
		}
	}
}
