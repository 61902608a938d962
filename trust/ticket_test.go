package trust_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const now = int64(1_790_000_000_000) // Unix milliseconds

var realm = wire.Realm{1}

func key(n byte) wire.Key { return wire.NewKey([32]byte{n}) }

func principal(role identity.Role, n byte) identity.ID { return identity.NewID(role, key(n).Public()) }

// nodes are the keys of five nodes, in the order of their IDs.
func nodes() []wire.Key {
	all := []wire.Key{key(20), key(21), key(22), key(23), key(24)}
	slices.SortFunc(all, func(a, b wire.Key) int {
		x, y := a.Public(), b.Public()
		return bytes.Compare(x[:], y[:])
	})
	return all
}

func authority() *identity.Authority {
	a := &identity.Authority{Realm: realm, Number: 7}
	for _, k := range nodes() {
		a.Nodes = append(a.Nodes, identity.NewID(identity.Node, k.Public()))
	}
	return a
}

func honest() trust.Ticket {
	return trust.Ticket{
		Version: 1, Principal: principal(identity.Agent, 1), Name: "reviewer", Operator: principal(identity.Operator, 10),
		Status: trust.Active, Level: identity.Journeyer, Key: key(2).Public(), Epoch: 3, Serves: []string{"review.*"},
		Policy: wire.Digest{5}, Roster: 7, Index: 100, Issued: now, Expires: now + trust.MaxTicketLife,
	}
}

func wantCode(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

func cosign(t testing.TB, r wire.Realm, s wire.Statement, keys ...wire.Key) []byte {
	t.Helper()
	raw, err := wire.Cosign(r, s, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTicketCheck(t *testing.T) {
	type k = trust.Ticket
	for _, row := range []struct {
		name   string
		change func(*k)
		want   fault.Code
	}{
		{"honest", func(*k) {}, ""},
		{"version", func(k *k) { k.Version = 2 }, fault.Version},
		{"nobody", func(k *k) { k.Principal = identity.ID{} }, fault.Malformed},
		{"weak principal", func(k *k) { k.Principal = identity.NewID(identity.Agent, wire.PublicKey{1}) }, fault.BadKey},
		{"no name", func(k *k) { k.Name = "" }, fault.Malformed},
		{"agent without operator", func(k *k) { k.Operator = identity.ID{} }, fault.Malformed},
		{"agent as its own operator", func(k *k) { k.Operator = k.Principal }, fault.Malformed},
		{"agent of a weak operator", func(k *k) { k.Operator = identity.NewID(identity.Operator, wire.PublicKey{1}) }, fault.BadKey},
		{"operator of another", func(k *k) { k.Principal = principal(identity.Operator, 11) }, fault.Malformed},
		{"operator", func(k *k) { k.Principal = k.Operator }, ""},
		{"node of an operator", func(k *k) { k.Principal = principal(identity.Node, 20) }, fault.Malformed},
		{"node", func(k *k) { k.Principal, k.Operator = principal(identity.Node, 20), identity.ID{} }, ""},
		{"level", func(k *k) { k.Level = 6 }, fault.Malformed},
		{"capabilities", func(k *k) { k.Serves = []string{"b", "a"} }, fault.Malformed},
		{"serves nothing", func(k *k) { k.Serves = nil }, ""},
		{"weak key", func(k *k) { k.Key = wire.PublicKey{1} }, fault.BadKey},
		{"no status", func(k *k) { k.Status = 0 }, fault.Malformed},
		{"unknown status", func(k *k) { k.Status = 4 }, fault.Malformed},
		{"quarantined", func(k *k) { k.Status = trust.Quarantined }, ""},
		{"revoked", func(k *k) { k.Status = trust.Revoked }, ""},
		{"no policy", func(k *k) { k.Policy = wire.Digest{} }, fault.Malformed},
		{"no time", func(k *k) { k.Issued = 0 }, fault.Malformed},
		{"no life", func(k *k) { k.Expires = k.Issued }, fault.Malformed},
		{"too long a life", func(k *k) { k.Expires++ }, fault.Malformed},
		{"longest expiry", func(k *k) { k.Expires = math.MaxInt64 }, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			ticket := honest()
			row.change(&ticket)
			wantCode(t, ticket.Check(), row.want)
		})
	}
}

func TestVerifyTicket(t *testing.T) {
	n := nodes()
	changed := func(change func(*trust.Ticket)) trust.Ticket {
		ticket := honest()
		change(&ticket)
		return ticket
	}
	stranger := key(99)
	const end = now + trust.MaxTicketLife
	for _, row := range []struct {
		name string
		raw  []byte
		now  int64
		want fault.Code
	}{
		{"three of five", cosign(t, realm, honest(), n[:3]...), now, ""},
		{"all five", cosign(t, realm, honest(), n...), now, ""},
		{"other three", cosign(t, realm, honest(), n[2:]...), now, ""},
		{"two of five", cosign(t, realm, honest(), n[:2]...), now, fault.NoQuorum},
		{"two and a stranger", cosign(t, realm, honest(), n[0], n[1], stranger), now, fault.NoQuorum},
		{"nobody", cosign(t, realm, honest()), now, fault.NoQuorum},
		{"older roster", cosign(t, realm, changed(func(k *trust.Ticket) { k.Roster = 6 }), n...), now, fault.Superseded},
		{"later roster", cosign(t, realm, changed(func(k *trust.Ticket) { k.Roster = 8 }), n...), now, fault.Superseded},
		{"other realm", cosign(t, wire.Realm{2}, honest(), n...), now, fault.BadSignature},
		{"before the skew", cosign(t, realm, honest(), n...), now - identity.Skew - 1, fault.NotYet},
		{"first moment", cosign(t, realm, honest(), n...), now - identity.Skew, ""},
		{"last moment", cosign(t, realm, honest(), n...), end + identity.Skew - 1, ""},
		{"expired", cosign(t, realm, honest(), n...), end + identity.Skew, fault.Expired},
		{"a quarantined principal's", cosign(t, realm, changed(func(k *trust.Ticket) { k.Status = trust.Quarantined }), n...), now, ""},
		{"not a ticket", cosign(t, realm, identity.Enrolment{Version: 1, Token: []byte{1}, Agent: principal(identity.Agent, 1), Issued: now}),
			now, fault.WrongKind},
		{"nothing", nil, now, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := trust.VerifyTicket(row.raw, authority(), row.now)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
	_, err := trust.VerifyTicket(cosign(t, realm, honest(), n...), &identity.Authority{Realm: realm, Number: 7}, now)
	wantCode(t, err, fault.NoQuorum) // an authority of no nodes accepts nothing
}

func TestAllow(t *testing.T) {
	credential := func(n byte, epoch uint64) identity.Credential {
		return identity.Credential{Principal: principal(identity.Agent, n), Epoch: epoch}
	}
	for _, row := range []struct {
		name       string
		status     trust.Status
		credential identity.Credential
		want       fault.Code
	}{
		{"active, least epoch", trust.Active, credential(1, 3), ""},
		{"active, later epoch", trust.Active, credential(1, 4), ""},
		{"superseded epoch", trust.Active, credential(1, 2), fault.Superseded},
		{"another principal", trust.Active, credential(2, 3), fault.Denied},
		{"nobody", trust.Active, identity.Credential{Epoch: 3}, fault.Denied},
		{"quarantined", trust.Quarantined, credential(1, 3), fault.Quarantined},
		{"revoked", trust.Revoked, credential(1, 3), fault.Revoked},
		{"no status", 0, credential(1, 3), fault.Revoked},
		{"unknown status", 9, credential(1, 3), fault.Revoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			ticket := honest()
			ticket.Status = row.status
			wantCode(t, ticket.Allow(row.credential), row.want)
		})
	}
	wantCode(t, trust.Ticket{}.Allow(identity.Credential{}), fault.Revoked)
}

func TestStatusWords(t *testing.T) {
	for status, want := range map[trust.Status]string{
		trust.Active: "active", trust.Quarantined: "quarantined", trust.Revoked: "revoked", 0: "status(0)",
	} {
		if got := status.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRightsCheck(t *testing.T) {
	for _, row := range []struct {
		name   string
		rights trust.Rights
		want   fault.Code
	}{
		{"none", trust.Rights{}, ""},
		{"most", trust.Rights{Call: []string{"*"}, Serve: []string{"a.*"}, Publish: []string{"t"}, Subscribe: []string{"*"},
			Rate: 60_000_000, MaxPayload: 1 << 20, Propose: true, Weight: 1000}, ""},
		{"call", trust.Rights{Call: []string{"A"}}, fault.Malformed},
		{"serve", trust.Rights{Serve: []string{"b", "a"}}, fault.Malformed},
		{"publish", trust.Rights{Publish: []string{"a.>"}}, fault.Malformed},
		{"subscribe", trust.Rights{Subscribe: []string{"a", "a"}}, fault.Malformed},
		{"rate", trust.Rights{Rate: 60_000_001}, fault.Malformed},
		{"payload", trust.Rights{MaxPayload: 1<<20 + 1}, fault.Malformed},
		{"weight", trust.Rights{Weight: 1001}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) { wantCode(t, row.rights.Check(), row.want) })
	}
}

// FuzzTicket holds: a ticket that parses was written by us.
func FuzzTicket(f *testing.F) {
	f.Add(cosign(f, realm, honest(), nodes()[:3]...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.ParseCosigned[trust.Ticket](raw, wire.MaxStatement)
		if err != nil {
			return
		}
		again, err := wire.AddCosignature[trust.Ticket](realm, raw)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x (%v)", raw, again, err)
		}
		if id, err := wire.IDOf(realm, c.Claim); err != nil || id != c.ID(realm) {
			t.Fatalf("%x: the claim encodes to other bytes than were read", raw)
		}
	})
}
