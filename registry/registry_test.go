package registry_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const now = int64(1_790_000_000_000) // Unix milliseconds

var (
	realm  = wire.Realm{1}
	key    = wire.NewKey([32]byte{1})
	author = identity.NewID(identity.Agent, key.Public())
)

func wantCode(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

func honest(t testing.TB) registry.Command {
	t.Helper()
	c, err := registry.New(author, registry.TypeEpoch, registry.RaiseEpoch{Principal: author, Epoch: 2}, [16]byte{9}, now)
	wantCode(t, err, "")
	return c
}

func TestNew(t *testing.T) {
	c := honest(t)
	if c.Author != author || c.Type != registry.TypeEpoch || c.Nonce != [16]byte{9} || c.Issued != now ||
		c.Expires != now+registry.MaxCommandLife || c.Expect != 0 || c.Version != registry.FormatVersion {
		t.Errorf("got %+v", c)
	}
	wantCode(t, c.Check(), "")
	if _, err := registry.New(author, registry.TypeEpoch, func() {}, [16]byte{}, now); err == nil {
		t.Error("a body that has no encoding")
	}
}

func TestCommandCheck(t *testing.T) {
	type c = registry.Command
	for _, row := range []struct {
		name   string
		change func(*c)
		want   fault.Code
	}{
		{"honest", func(*c) {}, ""},
		{"an older version", func(c *c) { c.Version = 0 }, fault.Version},
		{"a newer version", func(c *c) { c.Version = 2 }, fault.Version},
		{"no nonce", func(c *c) { c.Nonce = [16]byte{} }, ""}, // the author's own affair
		{"nobody", func(c *c) { c.Author = identity.ID{} }, fault.Malformed},
		{"weak author", func(c *c) { c.Author = identity.NewID(identity.Operator, wire.PublicKey{1}) }, fault.BadKey},
		{"no time", func(c *c) { c.Issued = 0 }, fault.Malformed},
		{"no life", func(c *c) { c.Expires = c.Issued }, fault.Malformed},
		{"too long a life", func(c *c) { c.Expires++ }, fault.Malformed},
		{"the longest expiry", func(c *c) { c.Expires = math.MaxInt64 }, fault.Malformed},
		{"no body", func(c *c) { c.Body = nil }, fault.Malformed},
		{"unknown type", func(c *c) { c.Type = "dance" }, ""}, // the ledger refuses it, and records that
	} {
		t.Run(row.name, func(t *testing.T) {
			command := honest(t)
			row.change(&command)
			wantCode(t, command.Check(), row.want)
			if _, err := wire.Cosign(realm, command, key); fault.CodeOf(err) != row.want {
				t.Errorf("signing gives %v", err)
			}
		})
	}
}

func TestBody(t *testing.T) {
	c := honest(t)
	body, err := registry.Body[registry.RaiseEpoch](c)
	if wantCode(t, err, ""); body != (registry.RaiseEpoch{Principal: author, Epoch: 2}) {
		t.Errorf("got %+v", body)
	}
	_, err = registry.Body[registry.Tick](c)
	wantCode(t, err, fault.Malformed)
	c.Body = append(c.Body, 0)
	_, err = registry.Body[registry.RaiseEpoch](c)
	wantCode(t, err, fault.Malformed)
}

func TestResult(t *testing.T) {
	want := registry.Change{Principal: author, Status: trust.Active, Level: 3, Epoch: 4, Key: key.Public()}
	encoded, err := wire.Encode(want)
	wantCode(t, err, "")
	got, err := registry.Result[registry.Change](registry.Answer{Index: 1, Result: encoded})
	if wantCode(t, err, ""); got != want {
		t.Errorf("got %+v", got)
	}
	_, err = registry.Result[consensus.Verdict](registry.Answer{Index: 1, Result: encoded})
	wantCode(t, err, fault.Malformed)
	refused := registry.Answer{Code: fault.Denied, Message: "no", Result: encoded}
	got, err = registry.Result[registry.Change](refused)
	if wantCode(t, err, fault.Denied); got != (registry.Change{}) || err.Error() != "no" {
		t.Errorf("got %+v, %v", got, err)
	}
	wantCode(t, refused.Err(), fault.Denied)
	wantCode(t, registry.Answer{}.Err(), "")
}

// Each body is written in one way, and read back as it was.
func TestBodiesRoundTrip(t *testing.T) {
	roundTrip(t, registry.Tick{Time: now})
	roundTrip(t, registry.Tick{Time: now, Feature: registry.Feature})
	roundTrip(t, registry.PutRoster{Roster: []byte{1}})
	roundTrip(t, registry.Seated{Number: 1, ID: wire.Digest{1}, Nodes: []identity.ID{author}, Joining: []identity.ID{author}})
	roundTrip(t, registry.Enrol{Enrolment: []byte{1}})
	roundTrip(t, registry.AddOperator{Operator: author, Name: "new"})
	roundTrip(t, registry.SetStatus{Principal: author, Status: trust.Revoked, Reason: "r"})
	roundTrip(t, registry.SetLevel{Principal: author, Level: 5, Reason: "r"})
	roundTrip(t, registry.Grant{Principal: author, Serves: []string{"a"}})
	roundTrip(t, registry.PutCard{Card: []byte{1}})
	roundTrip(t, registry.Succeed{Succession: []byte{1}})
	roundTrip(t, registry.RaiseEpoch{Principal: author, Epoch: 7})
	roundTrip(t, registry.Propose{Proposal: []byte{1}})
	roundTrip(t, registry.Cast{Ballot: []byte{1}})
	roundTrip(t, registry.Consume{Proposal: wire.Digest{1}, Store: [16]byte{2}})
	roundTrip(t, registry.Report{Proposal: wire.Digest{1}, Uncertain: true, Detail: "d"})
	roundTrip(t, registry.Remind{Command: []byte{1}})
	roundTrip(t, registry.Reminded{News: true, Change: registry.Change{Principal: author, Status: trust.Active}})
	roundTrip(t, registry.Answer{Index: 1, Command: wire.Digest{1}, Code: fault.Spent, Message: "m", Time: now})
}

func roundTrip[T any](t *testing.T, v T) {
	t.Helper()
	c, err := registry.New(author, "any", v, [16]byte{}, now)
	wantCode(t, err, "")
	got, err := registry.Body[T](c)
	wantCode(t, err, "")
	again, err := wire.Encode(got)
	if wantCode(t, err, ""); !bytes.Equal(again, c.Body) {
		t.Errorf("%T: read %x, written %x", v, c.Body, again)
	}
}

// FuzzCommand holds: a command that parses was written by us, and has one name.
func FuzzCommand(f *testing.F) {
	raw, err := wire.Cosign(realm, honest(f), key)
	wantCode(f, err, "")
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
		if err != nil {
			return
		}
		again, err := wire.AddCosignature[registry.Command](realm, raw)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x (%v)", raw, again, err)
		}
		if id, err := wire.IDOf(realm, c.Claim); err != nil || id != c.ID(realm) {
			t.Fatalf("%x: the claim encodes to other bytes than were read", raw)
		}
	})
}
