package virtual

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/integration/check"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// client is one party that works for itself, one thing after the other.
type client struct {
	*realm
	name   string
	random *rand.Rand
	seen   map[string]uint64 // index of each principal's last change, as far as it knows

	decided int // openings that it has voted on
}

// crowd is everybody who works on a realm.
type crowd struct {
	realm   *realm
	end     chan struct{}
	working sync.WaitGroup
	count   uint64
}

// work has all clients begin.
func (r *realm) work() *crowd {
	c := &crowd{realm: r, end: make(chan struct{})}
	for i := range 3 {
		c.begin(fmt.Sprint("registrar-", i), 250*time.Millisecond, (*client).change)
	}
	for i := range 2 {
		c.begin(fmt.Sprint("reader-", i), 150*time.Millisecond, (*client).read)
	}
	for i, s := range r.suspects {
		c.begin(fmt.Sprint("warden-", i), time.Second, watching(s))
		c.begin(fmt.Sprint("suspect-", i), 60*time.Millisecond, speaking(s, i))
	}
	c.begin("decider", 500*time.Millisecond, (*client).decide)
	return c
}

// begin has one client do something again and again, with pauses of up to twice the time given.
func (c *crowd) begin(name string, pause time.Duration, do func(*client)) {
	c.count++
	one := &client{realm: c.realm, name: name, random: rand.New(rand.NewPCG(c.realm.seed, c.count)), seen: map[string]uint64{}}
	c.working.Go(func() {
		for {
			select {
			case <-c.end:
				return
			case <-time.After(time.Duration(one.random.Int64N(int64(2 * pause)))):
				do(one)
			}
		}
	})
}

// stop ends the work and waits for what is under way.
func (c *crowd) stop() {
	close(c.end)
	c.working.Wait()
}

// somewhere returns a node that is up, or nil if the one that was picked is not.
func (c *client) somewhere() *life { return c.nodes[c.random.IntN(nodes)].life() }

// How long a client waits for one answer, and how often it hands in a command that has none.
const (
	answerLimit = 3 * time.Second
	attempts    = 4
)

func (c *client) nonce() (n [16]byte) {
	binary.BigEndian.PutUint64(n[:8], c.random.Uint64())
	binary.BigEndian.PutUint64(n[8:], c.random.Uint64())
	return n
}

// handIn signs a command and hands it in at one node after another until one has answered for the ledger; now and then
// once more after that, as somebody does who has not heard the answer.
func (c *client) handIn(author identity.Signer, typ registry.Type, body any, expect uint64) (registry.Answer, check.Result) {
	command, err := registry.New(author.ID(), typ, body, c.nonce(), time.Now().UnixMilli())
	var raw []byte
	if err == nil {
		command.Expect = expect
		raw, err = author.Cosign(c.world.Realm, command)
	}
	if err != nil {
		c.t.Errorf("%s: %v", c.name, err)
		return registry.Answer{}, check.Refused
	}
	var answer registry.Answer
	result := check.Unknown
	for i := 0; i < attempts && result == check.Unknown; i++ {
		answer, result = c.submit(raw)
	}
	if result != check.Unknown && c.random.IntN(4) == 0 {
		_, _ = c.submit(raw)
	}
	return answer, result
}

func (c *client) submit(raw []byte) (registry.Answer, check.Result) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	l := c.somewhere()
	if l == nil {
		time.Sleep(50 * time.Millisecond)
		return registry.Answer{}, check.Unknown
	}
	answer, err := l.registrar.Submit(ctx, raw)
	switch {
	case err != nil:
		time.Sleep(50 * time.Millisecond)
		return registry.Answer{}, check.Unknown
	case answer.Code != "":
		return answer, check.Refused
	}
	return answer, check.OK
}

// write changes one principal and records that.
func (c *client) write(of identity.ID, typ registry.Type, body any, sets map[string]string, expect uint64) check.Result {
	e := check.Event{Op: check.Write, Agent: c.name, Start: c.recorder.Now(), Key: c.names[of], Fields: sets, Expect: expect}
	var answer registry.Answer
	answer, e.Result = c.handIn(c.world.Roots[0], typ, body, expect)
	if e.Code = string(answer.Code); e.Result == check.OK {
		e.Index = answer.Index
		c.seen[e.Key] = answer.Index
	}
	c.recorder.Add(e)
	return e.Result
}

// change is a registrar's work: one change of a member, sometimes only if nobody else has changed it meanwhile.
func (c *client) change() {
	of := c.members[c.random.IntN(len(c.members))].ID()
	expect := uint64(0)
	if c.random.IntN(2) == 0 {
		expect = c.seen[c.names[of]]
	}
	switch c.random.IntN(4) {
	case 0:
		level := []identity.Level{identity.Apprentice, identity.Journeyer}[c.random.IntN(2)]
		c.write(of, registry.TypeLevel, registry.SetLevel{Principal: of, Level: level}, map[string]string{fieldLevel: level.String()}, expect)
	case 1:
		c.raise(of)
	default:
		status := []trust.Status{trust.Active, trust.Quarantined}[c.random.IntN(2)]
		c.setStatus(of, status, expect)
	}
}

func (c *client) setStatus(of identity.ID, s trust.Status, expect uint64) check.Result {
	body := registry.SetStatus{Principal: of, Status: s}
	return c.write(of, registry.TypeStatus, body, map[string]string{check.FieldStatus: s.String()}, expect)
}

// raise ends the credentials that the principal has now. It expects no index: an epoch that has gone by is refused as a
// conflict too, and the history could not tell the two apart.
func (c *client) raise(of identity.ID) {
	l := c.somewhere()
	if l == nil {
		return
	}
	m, err := l.ledger.Member(of)
	if err != nil {
		return // a node that has just come back
	}
	epoch := m.Epoch + 1
	c.write(of, registry.TypeEpoch, registry.RaiseEpoch{Principal: of, Epoch: epoch}, map[string]string{fieldEpoch: fmt.Sprint(epoch)}, 0)
}

// read looks at one member: after a barrier, or without one at what may be old.
func (c *client) read() {
	l := c.somewhere()
	if l == nil {
		return
	}
	of := c.members[c.random.IntN(len(c.members))].ID()
	e := check.Event{Op: check.Look, Agent: c.name, Node: l.name, Start: c.recorder.Now(), Key: c.names[of], Stale: c.random.IntN(3) == 0}
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	if !e.Stale && !c.wrongReads {
		if err := l.log.Barrier(ctx); err != nil {
			e.Result = check.Unknown
			c.recorder.Add(e)
			return
		}
	}
	m, err := l.ledger.Member(of)
	switch {
	case err == nil:
		e.Result, e.Index, e.Fields = check.OK, m.Changed, fields(m)
		c.seen[e.Key] = m.Changed
	case e.Stale:
		return // a node that has just come back knows nobody yet
	default:
		e.Result = check.OK // and it is recorded that there is nobody
	}
	c.recorder.Add(e)
}

// How long a warden keeps a suspect quarantined, and free. The first is longer than a lease.
const (
	quarantined = 6 * time.Second
	free        = 2 * time.Second
)

// watching returns a warden's work.
func watching(suspect identity.Signer) func(*client) {
	next, until := trust.Quarantined, time.Now().Add(free)
	return func(c *client) {
		if time.Now().Before(until) || c.setStatus(suspect.ID(), next, 0) != check.OK {
			return
		}
		if next == trust.Quarantined {
			next, until = trust.Active, time.Now().Add(quarantined)
		} else {
			next, until = trust.Quarantined, time.Now().Add(free)
		}
	}
}

// speaking returns a suspect's work: it says something wherever it is let in, at one node as long as that lasts.
func speaking(suspect identity.Signer, home int) func(*client) {
	var at *link
	var process *identity.Process
	said := 0
	return func(c *client) {
		if process == nil {
			var err error
			process, err = identity.NewProcess(c.world.Realm, suspect, 1, time.Now().UnixMilli(), 12*time.Hour.Milliseconds())
			if err != nil {
				c.t.Error(err)
				return
			}
		}
		if at == nil {
			l := c.nodes[home].life()
			if l == nil {
				return
			}
			var err error
			if at, err = l.door.admit(process); err != nil {
				at, home = nil, c.random.IntN(nodes)
				return
			}
		}
		said++
		if err := at.Publish(context.Background(), c.subject(suspect.ID()), fmt.Appendf(nil, "%s %d", c.names[suspect.ID()], said)); err != nil {
			at = nil
		}
	}
}

func (c *client) subject(of identity.ID) string {
	subject, err := bus.In(c.world.Realm).Topic(of, topic)
	if err != nil {
		c.t.Error(err) // the name is a constant
	}
	return subject
}

// parted returns who said it and which of all messages it is.
func parted(text string) (from, id string) {
	from, _, _ = strings.Cut(text, " ")
	return from, text
}

// digestOf names a decision in the history.
func digestOf(id wire.Digest) string { return id.String() }
