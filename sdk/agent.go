package sdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/internal/spent"
)

// Agent is one principal's connection to a realm: usually an agent's, or an operator's, which can control but neither
// send nor receive messages. It is safe for concurrent use. Its goroutines end with Close.
type Agent struct {
	crew     *crew          // its goroutines
	link     *link          // to the nodes
	circle   *acquaintances // whom it deals with
	service  *service       // what it offers
	reading  *reading       // what it subscribed to
	pool     *pool          // where it checks what it receives
	docket   *docket        // what it has decided, and decides on
	executor *executor      // what it does once decided
	calling  calling        // what goes around its calls
	streams  streams        // those that it serves
	shelf    shelf          // what others may fetch
	levels   levels         // its own
}

const (
	maxPeers     = 16384            // principals whose tickets are remembered
	maxStreams   = 65536            // senders' counters and topics' keys that are remembered
	maxRoots     = 1024             // heads of batches whose signatures were checked
	maxHandlers  = 256              // requests and messages handled at a time
	callTime     = 30 * time.Second // for calls whose context has no deadline
	liveTime     = 60 * 1000        // ms: life of an envelope
	presenceTime = 12 * 1000        // ms: life of a presence
	announceTime = 4 * time.Second  // between presences
	askTime      = 10 * time.Second // for a node's answer in the background
	withdrawTime = time.Second      // for saying that a process serves nothing any more
)

// Connect connects to a realm, verifies it from its id, and returns the agent. Where to, and as whom, comes from the
// options, $CONCLAVE_CONTEXT, or the selected context, in this order. Errors: [ErrNoBus], those of the context and key
// file, unreachable, denied, what does not verify.
func Connect(ctx context.Context, opts ...Option) (*Agent, error) {
	var o options
	if err := o.fill(opts); err != nil {
		return nil, err
	}
	as, err := o.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if len(as.Pins) == 0 || len(as.Addresses) == 0 {
		return nil, fmt.Errorf("%w: no addresses or pins", ErrNoBus)
	}
	a := assemble(o, as)
	err = a.link.begin(ctx)
	if err == nil {
		a.crew.keep(func() { keepPresent(a) })
		a.crew.keep(a.link.renewLoop)
		a.crew.keep(a.link.learning.loop)
		a.docket.sealing.resume()
		a.crew.keep(a.link.reminding.loop)
		a.link.reminding.soon()
		err = a.executor.settle(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	}
	return a, nil
}

// assemble makes an agent's parts, which know of one another what they need. It connects nowhere.
func assemble(o options, as known) *Agent {
	a := &Agent{crew: newCrew()}
	a.link = &link{options: o, known: as, realm: as.Realm, crew: a.crew, news: newBell()}
	a.link.nodes.Store(&nodes{addresses: as.Addresses, pins: as.Pins})
	a.link.learning.link, a.link.learning.turn = a.link, newLane()
	a.circle = newAcquaintances(a.link)
	a.link.reminding = newReminding(a.link, a.circle)
	a.pool = &pool{crew: a.crew}
	a.service = newService(a.link)
	a.service.reserved = map[string]HandlerFunc{blobCapability: a.streams.serving(a.shelf.serve)}
	a.reading = &reading{link: a.link}
	a.levels.crew, a.levels.why = a.crew, bench{lent{a.link}, a}.why
	a.docket = &docket{
		link: a.link, sealing: &sealing{link: a.link, pursued: map[Digest]*pursuit{}}, known: proof.NewVerifier(),
	}
	a.executor = &executor{link: a.link, docket: a.docket, executing: map[spent.Use]bool{}}
	a.link.dial = func(ctx context.Context) (*session, error) { return openSession(ctx, a) }
	a.link.moved = a.reading.resubscribe
	return a
}

// ID returns the principal.
func (a *Agent) ID() ID { return a.link.id() }

// Self returns as whom and where the agent is connected at this moment: a process ends with its credential.
func (a *Agent) Self() Self {
	return Self{
		ID: a.link.id(), Process: a.link.current().process.Credential().ID(),
		Realm: a.link.realm, Context: a.link.known.context,
	}
}

// Self is an agent's place in its realm.
type Self struct {
	ID      ID
	Process Digest // the id of the credential in use
	Realm   Realm
	Context string // the name of the context in use, or ""
}

// Run serves until ctx ends or the connection is refused for good, then closes the agent and says why it ended; nil
// where ctx did.
func (a *Agent) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case <-a.link.current().conn.Done():
		err = a.link.current().conn.Err()
	case <-a.crew.ctx.Done():
	}
	return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
}

// Close stops taking requests, waits for handlers that run until ctx ends, cancels the contexts of those that still do,
// lets out what was published, until ctx ends, and disconnects. It must not be called from a handler. Calling it again
// does nothing.
func (a *Agent) Close(ctx context.Context) error {
	if !a.crew.shut() {
		return nil
	}
	sessions := a.link.end()
	for _, s := range sessions {
		s.presence.withdraw(ctx)
	}
	a.crew.finish(ctx)
	var err error
	for _, s := range sessions {
		err = errors.Join(err, s.close(ctx))
	}
	a.crew.wait()
	return errors.Join(err, a.executor.close(), a.docket.sealing.close())
}

// Who returns what the realm says now of a principal, by name or nkey, verified. An agent may ask for itself, by the
// text of its [Agent.ID].
func (a *Agent) Who(ctx context.Context, nameOrKey string) (Peer, error) {
	w, err := whoOf(nameOrKey)
	if err != nil {
		return Peer{}, err
	}
	return a.circle.who(ctx, w)
}

// Peer is a principal as the realm's nodes vouch for it.
type Peer struct {
	ID       ID     `json:"id"`
	Name     string `json:"name"`
	Operator ID     `json:"operator"` // who answers for it
	Level    Level  `json:"level"`
	Status   string `json:"status"` // active, quarantined or revoked; what a handler gets is always active
}
