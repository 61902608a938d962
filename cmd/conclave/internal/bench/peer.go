package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// plainName is what the peer is called.
const plainName = "plain NATS over TLS"

var errPlainStart = fault.New(fault.Internal, "bench: the plain nats-server does not start")

// connectPlain is the peer: a nats-server that knows TLS 1.3 and nothing of who its clients are.
type plain struct {
	server      *server.Server
	certificate []byte // DER
}

// startPlain starts a server on a free port of this machine.
func startPlain() (*plain, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	certificate, err := selfSigned(public, private)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, TLS: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: private}},
		},
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPlainStart, err)
	}
	p := &plain{server: s, certificate: certificate}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		p.close()
		return nil, errPlainStart
	}
	return p, nil
}

// selfSigned returns a certificate of the key for this machine's own address.
func selfSigned(public ed25519.PublicKey, private ed25519.PrivateKey) ([]byte, error) {
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, t, t, public, private)
}

func (p *plain) address() string { return p.server.Addr().String() }

func (p *plain) close() {
	p.server.Shutdown()
	p.server.WaitForShutdown()
}

// dialPlain connects a client of nats.go with its defaults to a server that has the certificate.
func dialPlain(address string, certificate []byte) (*nats.Conn, error) {
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	nc, err := nats.Connect("tls://"+address, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}))
	if err != nil {
		return nil, fmt.Errorf("bench: connect to %s: %w", plainName, err)
	}
	return nc, nil
}

// hangUp closes a client, which may be nil, and returns when it is closed.
func hangUp(nc *nats.Conn) error {
	if nc == nil {
		return nil
	}
	closed := nc.StatusChanged(nats.CLOSED)
	nc.Close()
	<-closed
	return nil
}

// flushing returns what waits until the server has taken all that a client sent.
func flushing(b *bout, nc *nats.Conn) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, b.patience) // nats.go demands a deadline
		defer cancel()
		return nc.FlushWithContext(ctx)
	}
}

// connectPlain starts the peer and connects n clients to it, until the bout's end.
func connectPlain(ctx context.Context, b *bout, n int) ([]*nats.Conn, error) {
	b.say("starting "+plainName, 0, 0)
	p, err := startPlain()
	if err != nil {
		return nil, err
	}
	b.later(func() error { p.close(); return nil })
	conns := make([]*nats.Conn, n)
	b.later(func() error {
		return crowd(context.Background(), n, atOnce, func(_ context.Context, i int) error { return hangUp(conns[i]) })
	})
	return conns, crowd(ctx, n, atOnce, func(_ context.Context, i int) (err error) {
		conns[i], err = dialPlain(p.address(), p.certificate)
		return err
	})
}
