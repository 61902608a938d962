package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
)

// flood is a hostile client of one node: it speaks just enough of the protocol to publish, never reads what the node
// sends, and comes back at once when it is cut.
type flood struct {
	at     string
	config *tls.Config
	hello  []byte
	burst  []byte // what it sends at each turn of the clock
}

// How often a flood sends, and how long it waits before it comes back.
const (
	floodTurn  = time.Millisecond
	floodAgain = 20 * time.Millisecond
)

// newFlood returns a client of the node that sends a publication so many times a second.
func newFlood(at door, p *identity.Process, publication []byte, perSecond int) (*flood, error) {
	shown, err := shows(p)()
	if err != nil {
		return nil, err
	}
	certificate, err := peertls.Certificate(shown.Connect)
	if err != nil {
		return nil, err
	}
	config, err := peertls.Client([]identity.ID{at.pin}, func() (*tls.Certificate, error) { return certificate, nil })
	if err != nil {
		return nil, err
	}
	hello, err := connectLine(shown)
	if err != nil {
		return nil, err
	}
	f := &flood{at: at.address, config: config, hello: hello}
	for range max(1, perSecond*int(floodTurn)/int(time.Second)) {
		f.burst = append(f.burst, publication...)
	}
	return f, nil
}

// connectLine is what a client of NATS says first.
func connectLine(shown natsbus.Presentation) ([]byte, error) {
	token, err := shown.Token()
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(map[string]any{
		"verbose": false, "pedantic": false, "tls_required": true, "auth_token": token, "lang": "go", "version": "1",
		"protocol": 1, "headers": true, "echo": false,
	})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return fmt.Appendf(nil, "CONNECT %s\r\n", options), nil
}

// run floods until ctx ends. That the node cuts it, or does not let it in, is what is measured: the next connection is
// made as if nothing had happened.
func (f *flood) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.once(ctx)
		_ = pause(ctx, floodAgain) // its end is seen above
	}
}

// once floods over one connection until that breaks.
func (f *flood) once(ctx context.Context) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: f.config}
	conn, err := dialer.DialContext(ctx, "tcp", f.at)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // whoever writes sees the error
	defer func() { _ = conn.Close() }()                         // nothing was to be read
	if _, err := conn.Write(f.hello); err != nil {
		return
	}
	turn := time.NewTicker(floodTurn)
	defer turn.Stop()
	for {
		if _, err := conn.Write(f.burst); err != nil {
			return
		}
		<-turn.C
	}
}
