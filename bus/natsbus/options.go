// Package natsbus is the bus over NATS: connections that agents and operators open to a node over pinned TLS ([Dial]),
// and the node's own to the broker in its process ([InProcess]).
//
// The TLS handshake comes first and proves the process's connect key; the credential goes as CONNECT token. Only pinned
// nodes are spoken to, servers that a node advertises are ignored, and nothing is kept while there is no connection.
//
// A connection that breaks comes back by itself. The other addresses are tried first, at once; when all have been tried,
// that is a sweep, and before the next one it waits.
package natsbus

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxToken is the longest CONNECT token, in characters: the whole CONNECT is bounded by the server.
const MaxToken = 3072

// InvitedPrefix begins the CONNECT token of a one-time key; an operator's signed invitation follows, in base64url. No
// credential's base64url holds its dot.
const InvitedPrefix = "invited."

// ErrToken is returned when a credential or invitation is too long to connect with.
var ErrToken = fault.New(fault.TooLarge, "natsbus: credential or invitation too long to connect with")

// Presentation is what a process shows to a node: the key of its TLS certificate and the statement that names it.
type Presentation struct {
	Connect    wire.Key // a credential's connect key, or a token's one-time key
	Statement  []byte   // the signed credential, or the operator's signed token
	Invitation bool     // Statement is an operator's token, and Connect its one-time key
}

// Token returns the CONNECT token: base64url of the statement. Errors: [ErrToken].
func (p Presentation) Token() (string, error) {
	token := base64.RawURLEncoding.EncodeToString(p.Statement)
	if p.Invitation {
		token = InvitedPrefix + token
	}
	if len(token) > MaxToken {
		return "", fmt.Errorf("%w: %d characters, at most %d", ErrToken, len(token), MaxToken)
	}
	return token, nil
}

// Options of a connection. Zero values of the limits mean their defaults.
type Options struct {
	Addresses []string      // of nodes, host:port, at least one; tried in an order drawn at random
	Ordered   bool          // the addresses are tried in the order given
	Pins      []identity.ID // their keys, at least one; any of them will do
	// Present is asked before every attempt to connect, so that a renewed credential is used as soon as there is one.
	// It must not block and may be called from any goroutine.
	Present  func() (Presentation, error)
	Name     string       // shown in the broker's own listings, may be empty
	Observer bus.Observer // see there

	DialTimeout  time.Duration // of one attempt at one address; 5 s
	WriteTimeout time.Duration // a write that the network does not take for this long breaks the connection; 5 s
	MinDelay     time.Duration // reconnecting waits for a random time between 0 and a bound that begins here; 250 ms
	MaxDelay     time.Duration // and doubles up to here; 30 s
	Refusals     int           // sweeps in a row in which every address refused, after which it ends for good; 5
	Queue        int           // messages that a subscription holds beside the one being handled; 8,192
	QueueBytes   int           // bytes of their data, which a larger message never fits; 32 MiB
}

func (o Options) withDefaults() Options {
	setDefault(&o.DialTimeout, 5*time.Second)
	setDefault(&o.WriteTimeout, 5*time.Second)
	setDefault(&o.MinDelay, 250*time.Millisecond)
	setDefault(&o.MaxDelay, 30*time.Second)
	setDefault(&o.Refusals, 5)
	setDefault(&o.Queue, 8192)
	setDefault(&o.QueueBytes, 32<<20)
	return o
}

func setDefault[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// delay returns how long to wait before sweep n, from 1, over all addresses: full jitter, so that a fleet that lost
// its node at one moment does not come back at one.
func (o Options) delay(n int) time.Duration {
	bound := o.MinDelay << min(max(n-1, 0), 20)
	if bound > o.MaxDelay || bound <= 0 {
		bound = o.MaxDelay
	}
	return rand.N(bound) + 1
}

// order returns the addresses known and new ones, each once; drawn at random, so that clients spread over the nodes, unless
// they are to be tried as given.
func (o Options) order(known, more []string) []string {
	all := slices.Clone(known)
	for _, address := range more {
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	if !o.Ordered {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// presenter keeps the TLS certificate and the token of one attempt together, though NATS asks for them one after the
// other: a credential renewed in between must not be paired with the old key.
type presenter struct {
	present func() (Presentation, error)
	token   atomic.Pointer[string]
}

func (p *presenter) certificate() (*tls.Certificate, error) {
	shown, err := p.present()
	if err != nil {
		return nil, fmt.Errorf("natsbus: no credential: %w", err)
	}
	token, err := shown.Token()
	if err != nil {
		return nil, err
	}
	certificate, err := peertls.Certificate(shown.Connect)
	if err != nil {
		return nil, err
	}
	p.token.Store(&token)
	return certificate, nil
}

// connectToken returns the token of the attempt whose certificate was asked for last.
func (p *presenter) connectToken() string {
	if token := p.token.Load(); token != nil {
		return *token
	}
	return ""
}
