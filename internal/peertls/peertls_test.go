package peertls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func testKey(n byte) wire.Key { return wire.NewKey([32]byte{n}) }

func nodeID(n byte) identity.ID { return identity.NewID(identity.Node, testKey(n).Public()) }

func present(t *testing.T, key wire.Key) func() (*tls.Certificate, error) {
	t.Helper()
	c, err := Certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, error) { return c, nil }
}

type outcome struct {
	state tls.ConnectionState
	err   error
}

// shake runs both ends of one handshake over a pipe and a byte in each direction, so that the client learns of a
// refusal that TLS 1.3 sends after the client's own last flight.
func shake(t *testing.T, client, server *tls.Config) (c, s outcome) {
	t.Helper()
	near, far := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	done := make(chan outcome)
	go func() {
		conn := tls.Server(far, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		done <- outcome{conn.ConnectionState(), err}
		far.Close()
	}()
	conn := tls.Client(near, client)
	err := conn.Handshake()
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	c = outcome{conn.ConnectionState(), err}
	near.Close()
	return c, <-done
}

func honest(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	server, err := Server(testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	client, err = Client([]identity.ID{nodeID(9), nodeID(1)}, present(t, testKey(2)))
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestHonestPeersLearnEachOthersKeys(t *testing.T) {
	client, server := honest(t)
	for range 2 { // twice: nothing is resumed
		c, s := shake(t, client, server)
		if c.err != nil || s.err != nil {
			t.Fatalf("client %v, server %v", c.err, s.err)
		}
		if key, err := Peer(s.state); err != nil || key != testKey(2).Public() {
			t.Errorf("server sees %x, %v", key, err)
		}
		if key, err := Peer(c.state); err != nil || key != testKey(1).Public() {
			t.Errorf("client sees %x, %v", key, err)
		}
		if c.state.DidResume || c.state.Version != tls.VersionTLS13 {
			t.Errorf("resumed %v, version %x", c.state.DidResume, c.state.Version)
		}
	}
}

func ecdsaCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestServerRefusesClients(t *testing.T) {
	two, _ := present(t, testKey(2))()
	double := tls.Certificate{Certificate: [][]byte{two.Certificate[0], two.Certificate[0]}, PrivateKey: two.PrivateKey}
	stolen := tls.Certificate{Certificate: two.Certificate, PrivateKey: testKey(3).Handshake()}
	other := ecdsaCertificate(t)
	show := func(c tls.Certificate) func(*tls.Config) {
		return func(config *tls.Config) {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
		}
	}
	for name, spoil := range map[string]func(*tls.Config){
		"no certificate":        show(tls.Certificate{}),
		"two certificates":      show(double),
		"not Ed25519":           show(other),
		"another's certificate": show(stolen),
		"TLS 1.2":               func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := honest(t)
			spoil(client)
			if _, s := shake(t, client, server); s.err == nil {
				t.Error("the server accepted it")
			}
		})
	}
}

func TestClientRefusesServers(t *testing.T) {
	one, _ := present(t, testKey(1))()
	for name, spoil := range map[string]func(*tls.Config){
		"wrong key": func(c *tls.Config) {
			other, _ := present(t, testKey(4))()
			c.Certificates = []tls.Certificate{*other}
		},
		"two certificates": func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{
				Certificate: [][]byte{one.Certificate[0], one.Certificate[0]}, PrivateKey: one.PrivateKey,
			}}
		},
		"not Ed25519": func(c *tls.Config) { c.Certificates = []tls.Certificate{ecdsaCertificate(t)} },
		"TLS 1.2":     func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := honest(t)
			spoil(server)
			if c, _ := shake(t, client, server); c.err == nil {
				t.Error("the client accepted it")
			}
		})
	}
}

func TestWrongPinIsCoded(t *testing.T) {
	_, server := honest(t)
	client, err := Client([]identity.ID{nodeID(9)}, present(t, testKey(2)))
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := shake(t, client, server); !errors.Is(c.err, ErrPin) {
		t.Errorf("got %v, want %v", c.err, ErrPin)
	}
}

func TestPinnedServer(t *testing.T) {
	client, _ := honest(t)
	for _, row := range []struct {
		pin  byte
		want error
	}{{2, nil}, {3, ErrPin}} {
		server, err := PinnedServer(testKey(1), []identity.ID{nodeID(row.pin)})
		if err != nil {
			t.Fatal(err)
		}
		if _, s := shake(t, client, server); !errors.Is(s.err, row.want) {
			t.Errorf("pin %d: got %v, want %v", row.pin, s.err, row.want)
		}
	}
}

func TestPinsAreNodes(t *testing.T) {
	agent := identity.NewID(identity.Agent, testKey(1).Public())
	weak := identity.NewID(identity.Node, wire.PublicKey{1})
	for name, row := range map[string]struct {
		pins []identity.ID
		want error
	}{
		"none":     {nil, ErrNoPins},
		"an agent": {[]identity.ID{agent}, identity.ErrBadID},
		"weak":     {[]identity.ID{weak}, wire.ErrBadKey},
	} {
		if _, err := Client(row.pins, nil); !errors.Is(err, row.want) {
			t.Errorf("client, %s: got %v, want %v", name, err, row.want)
		}
		if _, err := PinnedServer(testKey(1), row.pins); !errors.Is(err, row.want) {
			t.Errorf("server, %s: got %v, want %v", name, err, row.want)
		}
	}
	if _, err := Server(wire.Key{}); !errors.Is(err, wire.ErrBadKey) {
		t.Errorf("zero key: %v", err)
	}
}

func TestPeerRefusesResumption(t *testing.T) {
	client, server := honest(t)
	c, _ := shake(t, client, server)
	c.state.DidResume = true
	if _, err := Peer(c.state); !errors.Is(err, ErrPeer) {
		t.Errorf("got %v, want %v", err, ErrPeer)
	}
}

func TestProtocols(t *testing.T) {
	for _, row := range []struct {
		name           string
		client, server []string
		want           string // the protocol agreed on; empty: refused
	}{
		{"the one", []string{"a/1"}, []string{"a/1"}, "a/1"},
		{"one of two", []string{"b/1"}, []string{"a/1", "b/1"}, "b/1"},
		{"another", []string{"a/2"}, []string{"a/1"}, ""},
		{"almost", []string{"a/1 "}, []string{"a/1"}, ""},
		{"none offered", nil, []string{"a/1"}, ""},
		{"none spoken", []string{"a/1"}, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, server := honest(t)
			plainClient, plainServer := client.Clone(), server.Clone()
			if row.client != nil {
				client = WithProtocols(client, row.client...)
			}
			if row.server != nil {
				server = WithProtocols(server, row.server...)
			}
			c, s := shake(t, client, server)
			if row.want == "" {
				if c.err == nil || s.err == nil {
					t.Errorf("client %v, server %v", c.err, s.err)
				}
			} else if c.err != nil || s.err != nil || s.state.NegotiatedProtocol != row.want {
				t.Errorf("client %v, server %v, protocol %q", c.err, s.err, s.state.NegotiatedProtocol)
			}
			if c, s := shake(t, plainClient, plainServer); c.err != nil || s.err != nil { // the configurations copied
				t.Errorf("without protocols: client %v, server %v", c.err, s.err)
			}
		})
	}
}

func TestASilentPeerIsOfNoProtocol(t *testing.T) {
	client, server := honest(t)
	if _, s := shake(t, client, WithProtocols(server, "a/1")); !errors.Is(s.err, ErrProtocol) {
		t.Errorf("server: got %v, want %v", s.err, ErrProtocol)
	}
	if c, _ := shake(t, WithProtocols(client, "a/1"), server); !errors.Is(c.err, ErrProtocol) {
		t.Errorf("client: got %v, want %v", c.err, ErrProtocol)
	}
}

func TestProtocolsDoNotWaiveTheKey(t *testing.T) {
	client, err := Client([]identity.ID{nodeID(9)}, present(t, testKey(2)))
	if err != nil {
		t.Fatal(err)
	}
	_, server := honest(t)
	if c, _ := shake(t, WithProtocols(client, "a/1"), WithProtocols(server, "a/1")); !errors.Is(c.err, ErrPin) {
		t.Errorf("got %v, want %v", c.err, ErrPin)
	}
}
