package registrar

import (
	"fmt"
	"slices"
	"sync"

	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// maxProcesses bounds the live credentials of one principal (DESIGN §5).
const maxProcesses = 8

// ErrProcesses is returned when a principal has too many live processes.
var ErrProcesses = fault.New(fault.WindowFull, "registrar: this principal has too many live processes").
	WithHint("end one, or wait until its credential expires")

// process is one live credential of a principal, with its newest presence.
type process struct {
	credential wire.Verified[identity.Credential]
	presence   wire.Verified[discovery.Presence]
	homes      []identity.ID // the nodes that say it is connected to them; none: its connection has ended
}

// presences is who is there: the credentials that connected and what their processes announced. It holds at most
// [maxProcesses] a principal and is never written down. It is safe for concurrent use.
type presences struct {
	mu   sync.Mutex
	live map[identity.ID][]*process
}

func newPresences() *presences { return &presences{live: map[identity.ID][]*process{}} }

// connect remembers a verified credential of a process that came to the node home.
func (p *presences) connect(c wire.Verified[identity.Credential], home identity.ID, now int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.Statement().Principal
	list := slices.DeleteFunc(p.live[id], func(q *process) bool {
		return q.credential.Statement().Expires+identity.Skew <= now
	})
	if i := slices.IndexFunc(list, func(q *process) bool { return q.credential.ID() == c.ID() }); i >= 0 {
		list[i].settle(home)
	} else {
		if len(list) >= maxProcesses {
			list = dropOne(list, now)
		}
		if len(list) >= maxProcesses {
			return fmt.Errorf("%w: %d", ErrProcesses, len(list))
		}
		list = append(list, &process{credential: c, homes: []identity.ID{home}})
	}
	p.live[id] = list
	return nil
}

// dropOne makes room: it forgets a process whose connection has ended, or else one that no longer announces itself.
func dropOne(list []*process, now int64) []*process {
	i := slices.IndexFunc(list, func(q *process) bool { return len(q.homes) == 0 })
	if i < 0 {
		i = slices.IndexFunc(list, func(q *process) bool {
			return q.presence.IsZero() || q.presence.Statement().Expires+identity.Skew <= now
		})
	}
	if i < 0 {
		return list
	}
	return slices.Delete(list, i, i+1)
}

// announce takes a presence of a process that connected before, if it is newer than the last. home is the node that
// the process gave it to.
func (p *presences) announce(realm wire.Realm, from identity.ID, raw []byte, home identity.ID, now int64) error {
	claimed, err := wire.Parse[discovery.Presence](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.find(from, claimed.Claim.Credential)
	if q == nil {
		return fmt.Errorf("%w: process of %s", errUnknownProcess, from)
	}
	v, err := discovery.VerifyPresence(raw, realm, q.credential, now)
	if err != nil {
		return err
	}
	if !q.presence.IsZero() && v.ID() == q.presence.ID() {
		return nil // it came twice: whichever answer arrives first is right
	}
	if !q.presence.IsZero() && v.Statement().Sequence <= q.presence.Statement().Sequence {
		return fmt.Errorf("%w: presence %d", identity.ErrRollback, v.Statement().Sequence)
	}
	q.presence = v
	q.settle(home)
	return nil
}

var errUnknownProcess = fault.New(fault.Unknown, "registrar: unknown process")

func (p *presences) find(id identity.ID, credential wire.Digest) *process {
	for _, q := range p.live[id] {
		if q.credential.ID() == credential {
			return q
		}
	}
	return nil
}

// process returns what was kept of one process.
func (p *presences) process(id identity.ID, credential wire.Digest) (process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.find(id, credential); q != nil {
		return *q, nil
	}
	return process{}, errUnknownProcess
}

// at returns the processes connected to a node, in no particular order.
func (p *presences) at(home identity.ID) []process {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []process
	for _, list := range p.live {
		for _, q := range list {
			if slices.Contains(q.homes, home) {
				found = append(found, *q)
			}
		}
	}
	return found
}

// search returns the processes that are there now and match: in no particular order, but the first of every principal
// before the second of any, so that nobody stands in everybody's way.
func (p *presences) search(f control.Find, now int64) []process {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []process
	rank := map[wire.Digest]int{}
	for id, list := range p.live {
		if !f.ID.IsZero() && f.ID != id {
			continue
		}
		nth := 0
		for _, q := range list {
			if !q.presence.IsZero() && matches(q.presence.Statement(), f, now) {
				found = append(found, *q)
				rank[q.credential.ID()] = nth
				nth++
			}
		}
	}
	slices.SortStableFunc(found, func(a, b process) int { return rank[a.credential.ID()] - rank[b.credential.ID()] })
	return found
}

func matches(p discovery.Presence, f control.Find, now int64) bool {
	if identity.CheckTime(p.Issued, p.Expires, now) != nil {
		return false
	}
	if f.Capability != "" && !slices.Contains(p.Serves, f.Capability) {
		return false
	}
	if f.Topic == "" {
		return true
	}
	return slices.ContainsFunc(p.Topics, func(topic string) bool {
		return identity.MatchCapability([]string{f.Topic}, topic)
	})
}

// settle notes that a node says that the process is connected to it.
func (q *process) settle(home identity.ID) {
	if !slices.Contains(q.homes, home) {
		q.homes = append(slices.Clone(q.homes), home) // others may read the list
	}
}

// leave takes back what the node home has said of a process: its connection there has ended. Once no node says that the
// process is there, its presence is dropped, until it announces itself again. Where a process goes from one node to
// another both may say so for a while; no node can send away what is connected to another.
func (p *presences) leave(id identity.ID, credential wire.Digest, home identity.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.find(id, credential)
	if q == nil || !slices.Contains(q.homes, home) {
		return
	}
	q.homes = slices.DeleteFunc(slices.Clone(q.homes), func(o identity.ID) bool { return o == home })
	if len(q.homes) == 0 {
		q.presence = wire.Verified[discovery.Presence]{}
	}
}

// forget drops everything of a principal that may no longer be there.
func (p *presences) forget(id identity.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, id)
}
