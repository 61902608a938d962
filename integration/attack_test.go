package integration

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/discovery"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

const patience = 10 * time.Second // for what should happen at once

// rogue is a client with an enrolled key that obeys no rules.
type rogue struct {
	t       *testing.T
	profile sdk.Profile
	process *identity.Process
	conn    bus.Conn
	control *control.Client
	refused chan error
	counter uint64
}

func (w *world) rogue(name string) *rogue {
	w.t.Helper()
	r := &rogue{t: w.t, profile: w.profile(name), refused: make(chan error, 16)}
	now := time.Now().UnixMilli()
	var err error
	if r.process, err = identity.NewProcess(r.profile.Realm, r.profile.Signer, uint64(now/1000), now, 60_000); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shown := natsbus.Presentation{Connect: r.process.Connect(), Statement: r.process.Credential().Raw()}
	r.conn, err = natsbus.Dial(ctx, natsbus.Options{
		Addresses: r.profile.Addresses, Pins: r.profile.Pins, Refusals: 1,
		Present:  func() (natsbus.Presentation, error) { return shown, nil },
		Observer: bus.Observer{Refused: func(err error) { r.refused <- err }},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = r.conn.Close(context.Background()) })
	r.control, err = control.NewClient(r.conn, control.Party{
		Realm: r.profile.Realm, Node: r.profile.Pins[0], Principal: r.process.Principal(),
		Process: bus.TokenOf(r.process.Credential().ID()),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// seal makes an honest request to a process; its sealing key comes from the node.
func (r *rogue) seal(to identity.ID, process wire.Digest, said string) (subject string, raw []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var found control.Found
	if err := r.control.Ask(ctx, control.OpFind, control.Find{ID: to}, &found); err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(found.Processes, func(v control.Vouched) bool {
		c, err := wire.Parse[identity.Credential](v.Credential, wire.MaxStatement)
		return err == nil && c.ID(r.profile.Realm) == process
	})
	if i < 0 {
		r.t.Fatalf("%s is not there", to)
	}
	key := sealingKey(r.t, found.Processes[i].Presence)
	content, err := wire.Encode(struct {
		Capability string `cbor:"1,keyasint"`
		Body       []byte `cbor:"2,keyasint"`
	}{"text.upper", fmt.Appendf(nil, `{"text":%q}`, said)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.counter++
	now := time.Now().UnixMilli()
	subject = bus.In(r.profile.Realm).Request(to, bus.TokenOf(process), r.process.Principal())
	signed, err := envelope.Seal(r.process, envelope.Draft{
		To: envelope.ToProcess(to, process), Subject: subject, Purpose: envelope.Request, Issued: now,
		Expires: now + 30_000, Counter: r.counter, Content: content,
		Protection: envelope.SealedTo(key),
	}, rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	return subject, signed.Raw
}

func (r *rogue) publish(subject string, raw []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.conn.Publish(ctx, subject, raw); err != nil {
		r.t.Fatal(err)
	}
	if err := r.conn.Flush(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// next returns the agent's next line.
func (a *agent) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-a.lines:
		return line
	case <-time.After(patience):
		t.Fatalf("the agent handled nothing: %s", a.stderr)
		return ""
	}
}

func TestAttacksWithAnEnrolledKey(t *testing.T) {
	w := newWorld(t)
	w.solo()
	w.enrol("server", "L3", "text.*")
	w.enrol("other", "L3", "text.*")
	w.enrol("mallory", "L3")
	for _, name := range []string{"server", "other", "mallory"} {
		w.pointAt(name, w.node.address)
	}
	server, other := w.agent("server", "text.upper"), w.agent("other", "text.upper")
	serverID, otherID := w.profile("server").Signer.ID(), w.profile("other").Signer.ID()
	m := w.rogue("mallory")

	// Each attack is followed by an honest request: the next thing that the agent handles must be that one.
	var sent int
	honest := func() (string, []byte) {
		sent++
		return m.seal(serverID, server.process, fmt.Sprint("honest ", sent))
	}
	expect := func(attack string) {
		t.Helper()
		subject, raw := honest()
		m.publish(subject, raw)
		if got, want := server.next(t), fmt.Sprint("handled mallory honest ", sent); got != want {
			t.Fatalf("%s: the agent handled %q before %q", attack, got, want)
		}
	}
	expect("nothing")

	subject, raw := honest()
	m.publish(subject, raw)
	if got := server.next(t); got != fmt.Sprint("handled mallory honest ", sent) {
		t.Fatal(got)
	}
	m.publish(subject, raw)
	expect("the same envelope twice")

	subject, raw = honest()
	forged := slices.Clone(raw)
	forged[len(forged)-1] ^= 1
	m.publish(subject, forged)
	expect("a forged byte")

	_, raw = honest()
	m.publish(bus.In(m.profile.Realm).Request(otherID, bus.TokenOf(other.process), m.process.Principal()), raw)
	expect("an envelope sent to another agent")
	select {
	case line := <-other.lines:
		t.Fatalf("the other agent handled %q", line)
	default:
	}

	m.publish(bus.In(m.profile.Realm).Request(serverID, bus.TokenOf(server.process), otherID), raw)
	select {
	case err := <-m.refused:
		if fault.CodeOf(err) != fault.Denied {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("publishing as somebody else was not refused")
	}
	expect("an envelope on somebody else's subject")

	w.must("agent", "quarantine", "mallory", "--reason", "test", "--context", "operator")
	select {
	case <-m.conn.Done():
	case <-time.After(patience):
		t.Fatal("the quarantined client is still connected")
	}
	r := w.conclave("call", "server/text.upper", `{"text":"hello"}`, "--context", "mallory")
	if r.code == 0 {
		t.Fatalf("a quarantined agent was served: %s", r.stdout)
	}
	select {
	case line := <-server.lines:
		t.Fatalf("handled after the quarantine: %q", line)
	default:
	}
}

// TestStrangersAreNotLetIn tries what somebody can who has reached the port and has no key.
func TestStrangersAreNotLetIn(t *testing.T) {
	w := newWorld(t)
	w.solo()
	pin := w.profile("operator").Pins[0]
	stranger, err := wire.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	certified := func() (*tls.Certificate, error) { return peertls.Certificate(stranger) }
	honest, err := peertls.Client([]identity.ID{pin}, certified)
	if err != nil {
		t.Fatal(err)
	}
	bare := honest.Clone()
	bare.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	old := honest.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12

	connects := map[string]string{
		"no token":        `CONNECT {"verbose":true,"pedantic":false}`,
		"a random token":  `CONNECT {"verbose":true,"auth_token":"` + base64.RawURLEncoding.EncodeToString([]byte("stranger")) + `"}`,
		"a user name":     `CONNECT {"verbose":true,"user":"admin","pass":"admin"}`,
		"a giant token":   `CONNECT {"verbose":true,"auth_token":"` + strings.Repeat("A", 3073) + `"}`,
		"an empty object": `CONNECT {}`,
	}
	for name, line := range connects {
		if said := converse(t, w.node.address, honest, line); !strings.Contains(said, "Authorization Violation") {
			t.Errorf("%s: the node said %q", name, said)
		}
	}
	for name, config := range map[string]*tls.Config{"no certificate": bare, "TLS 1.2": old} {
		if said := converse(t, w.node.address, config, connects["no token"]); strings.Contains(said, "INFO") {
			t.Errorf("%s: the node said %q", name, said)
		}
	}
	if said := converse(t, w.node.address, nil, connects["no token"]); strings.Contains(said, "INFO") {
		t.Errorf("plain TCP: the node said %q", said)
	}
	wrong, _, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		t.Fatal(err)
	}
	mistaken, err := peertls.Client([]identity.ID{wrong.ID()}, certified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.Dial("tcp", w.node.address, mistaken); err == nil {
		t.Error("a client accepted a node that it had not pinned")
	}
	w.must("server", "status", "--context", "operator")
}

// converse opens a connection, sends one line and a PING, and returns all that the node says until it hangs up.
func converse(t *testing.T, address string, config *tls.Config, line string) string {
	t.Helper()
	raw, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn := raw
	if config != nil {
		secured := tls.Client(raw, config)
		if err := secured.Handshake(); err != nil {
			return err.Error()
		}
		conn = secured
	}
	_, _ = io.WriteString(conn, line+"\r\nPING\r\n") // the node may have hung up
	said, _ := io.ReadAll(conn)
	return string(said)
}

func sealingKey(t *testing.T, presence []byte) []byte {
	t.Helper()
	p, err := wire.Parse[discovery.Presence](presence, wire.MaxStatement)
	if err != nil {
		t.Fatal(err)
	}
	return p.Claim.Sealing
}
