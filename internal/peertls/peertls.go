// Package peertls makes TLS configurations without a certificate authority: TLS 1.3 only, each end proves one Ed25519
// key, and the other end compares that key with the one it expects.
//
// A certificate here is only a wrapper around a key: one, self-signed, of no date that matters. A client pins its
// server to a set of nodes ([Client]). A server demands a certificate of every client ([Server]) and leaves it to its
// caller whose key it may be: [Peer] tells which key the other end proved. Sessions are never resumed, so every
// connection proves its key anew.
package peertls

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	// ErrPeer is returned when the other end did not prove exactly one Ed25519 key over TLS 1.3.
	ErrPeer = fault.New(fault.BadKey, "peertls: the peer must prove one Ed25519 key over TLS 1.3")
	// ErrPin is returned when the other end proved a key that is not among those expected.
	ErrPin = fault.New(fault.Denied, "peertls: the peer's key is not one of those expected")
	// ErrProtocol is returned when the two ends did not agree on a protocol of [WithProtocols].
	ErrProtocol = fault.New(fault.Version, "peertls: the peer speaks none of the protocols expected")
	// ErrNoPins is returned when a client configuration is asked for without a pin: empty never means any.
	ErrNoPins = fault.New(fault.Usage, "peertls: no pins")
)

// Certificate returns the self-signed certificate that presents key. Its dates are wide open, because nobody looks.
func Certificate(key wire.Key) (*tls.Certificate, error) {
	if key.IsZero() {
		return nil, fmt.Errorf("peertls: certificate: %w", wire.ErrBadKey)
	}
	public := key.Public()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "conclave"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5: no well-defined end
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(nil, template, template, ed25519.PublicKey(public[:]), key.Handshake())
	if err != nil {
		return nil, fmt.Errorf("peertls: certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key.Handshake()}, nil
}

// Client returns the configuration of a client that talks to the pinned nodes only and presents what certificate
// returns, which is asked anew for every handshake and must not block. Errors: [ErrNoPins], and what is wrong with a
// pin. The result may be shared and cloned; it must not be changed.
func Client(pins []identity.ID, certificate func() (*tls.Certificate, error)) (*tls.Config, error) {
	allowed, err := nodeKeys(pins)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		InsecureSkipVerify:     true, // no CA: VerifyConnection compares the key itself
		SessionTicketsDisabled: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate()
		},
		VerifyConnection: func(state tls.ConnectionState) error { return checkPin(state, allowed) },
	}, nil
}

// Server returns the configuration of a server that presents key and demands of every client one Ed25519 key, any
// key: the caller decides by [Peer] whose it is and what it may.
func Server(key wire.Key) (*tls.Config, error) {
	own, err := Certificate(key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*own},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := Peer(state)
			return err
		},
	}, nil
}

// PinnedServer returns the configuration of a server that talks to the pinned nodes only.
func PinnedServer(key wire.Key, pins []identity.ID) (*tls.Config, error) {
	allowed, err := nodeKeys(pins)
	if err != nil {
		return nil, err
	}
	config, err := Server(key)
	if err != nil {
		return nil, err
	}
	config.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state, allowed) }
	return config, nil
}

// WithProtocols returns a copy of config, one that this package made, that demands one of the protocols by ALPN
// (RFC 7301): a peer that offers none, or only others, is refused with [ErrProtocol] or by an alert. The connection's
// NegotiatedProtocol says which it is.
func WithProtocols(config *tls.Config, protocols ...string) *tls.Config {
	config = config.Clone()
	config.NextProtos = slices.Clone(protocols)
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		if !slices.Contains(protocols, state.NegotiatedProtocol) {
			return ErrProtocol
		}
		return nil
	}
	return config
}

// Peer returns the key that the other end proved. Errors: [ErrPeer] if it is not exactly one Ed25519 key over TLS
// 1.3, [wire.ErrBadKey] if the key is weak.
func Peer(state tls.ConnectionState) (wire.PublicKey, error) {
	if state.Version != tls.VersionTLS13 || state.DidResume || len(state.PeerCertificates) != 1 {
		return wire.PublicKey{}, ErrPeer
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != len(wire.PublicKey{}) {
		return wire.PublicKey{}, ErrPeer
	}
	public := wire.PublicKey(key)
	return public, wire.CheckKey(public)
}

func checkPin(state tls.ConnectionState, allowed []wire.PublicKey) error {
	key, err := Peer(state)
	if err != nil {
		return err
	}
	if !slices.Contains(allowed, key) {
		return ErrPin
	}
	return nil
}

func nodeKeys(pins []identity.ID) ([]wire.PublicKey, error) {
	if len(pins) == 0 {
		return nil, ErrNoPins
	}
	for _, pin := range pins {
		if pin.Role() != identity.Node {
			return nil, fmt.Errorf("%w: a pin names a node, not %s", identity.ErrBadID, pin)
		}
		if err := pin.Check(); err != nil {
			return nil, err
		}
	}
	return identity.Keys(pins), nil
}
