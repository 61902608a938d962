package sdk

import (
	"strings"
	"sync"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// spelling remembers the subjects on which a session writes to processes: to spell them takes longer than anything
// else in a message's way but cryptography. It is safe for concurrent use.
type spelling struct {
	realm bus.Realm
	from  identity.ID

	mu    sync.RWMutex
	known map[wire.Digest]subjects // by credential
}

// subjects of one process.
type subjects struct {
	request string
	reply   string // up to the exchange
}

// of returns the subjects of a principal's process.
func (p *spelling) of(to identity.ID, process wire.Digest) subjects {
	p.mu.RLock()
	s, ok := p.known[process]
	p.mu.RUnlock()
	if ok {
		return s
	}
	token, none := bus.TokenOf(process), bus.Token{}
	s = subjects{
		request: p.realm.Request(to, token, p.from),
		reply:   strings.TrimSuffix(p.realm.Reply(to, token, p.from, none), none.String()),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxSessions { // they can all be spelled again
		p.known = map[wire.Digest]subjects{}
	}
	p.known[process] = s
	return s
}
