package identity_test

import (
	"math"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func honestCredential() identity.Credential {
	return identity.Credential{
		Version: 1, Principal: signer(identity.Agent, 1).ID(), Epoch: 3, Connect: key(2).Public(),
		Signing: key(3).Public(), Sealing: wire.Digest{4}, Issued: now, Expires: now + hour,
	}
}

func TestCredentialCheck(t *testing.T) {
	type c = identity.Credential
	mixed := wire.PublicKey{1}
	runChecks(t, honestCredential(), []checkRow[c]{
		{"version", func(c *c) { c.Version = 0 }, fault.Version},
		{"no principal", func(c *c) { c.Principal = identity.ID{} }, fault.Malformed},
		{"weak principal", func(c *c) { c.Principal = weakID(identity.Agent) }, fault.BadKey},
		{"weak connect key", func(c *c) { c.Connect = mixed }, fault.BadKey},
		{"weak signing key", func(c *c) { c.Signing = mixed }, fault.BadKey},
		{"one key for both", func(c *c) { c.Signing = c.Connect }, fault.Malformed},
		{"no sealing key", func(c *c) { c.Sealing = wire.Digest{} }, fault.Malformed},
		{"no time", func(c *c) { c.Issued = 0 }, fault.Malformed},
		{"expires when issued", func(c *c) { c.Expires = c.Issued }, fault.Malformed},
		{"expires before", func(c *c) { c.Expires = math.MinInt64 }, fault.Malformed},
		{"longest life", func(c *c) { c.Expires = c.Issued + identity.MaxCredentialLife }, ""},
		{"too long a life", func(c *c) { c.Expires = c.Issued + identity.MaxCredentialLife + 1 }, fault.Malformed},
		{"longest expiry", func(c *c) { c.Expires = math.MaxInt64 }, fault.Malformed},
		{"a node's", func(c *c) { c.Principal = signer(identity.Node, 1).ID() }, ""},
	})
}

func TestCheckTime(t *testing.T) {
	const issued, expires = now, now + hour
	for _, row := range []struct {
		name string
		now  int64
		want fault.Code
	}{
		{"before the skew", issued - identity.Skew - 1, fault.NotYet},
		{"first moment", issued - identity.Skew, ""},
		{"when issued", issued, ""},
		{"at expiry", expires, ""},
		{"last moment", expires + identity.Skew - 1, ""},
		{"after the skew", expires + identity.Skew, fault.Expired},
	} {
		wantCode(t, identity.CheckTime(issued, expires, row.now), row.want)
	}
}

func TestVerifyCredential(t *testing.T) {
	realm, honest := wire.Realm{1}, honestCredential()
	raw := must(signer(identity.Agent, 1).Sign(realm, honest))(t)
	for _, row := range []struct {
		name  string
		raw   []byte
		realm wire.Realm
		key   wire.PublicKey
		now   int64
		want  fault.Code
	}{
		{"honest", raw, realm, key(1).Public(), now, ""},
		{"by a successor's key", must(wire.Sign(key(9), realm, honest))(t), realm, key(9).Public(), now, ""},
		{"by the superseded key", raw, realm, key(9).Public(), now, fault.BadSignature},
		{"other realm", raw, otherRealm, key(1).Public(), now, fault.BadSignature},
		{"expired", raw, realm, key(1).Public(), now + hour + identity.Skew, fault.Expired},
		{"not yet", raw, realm, key(1).Public(), now - identity.Skew - 1, fault.NotYet},
		{"not a credential", must(signer(identity.Node, 1).Cosign(realm, honestRoster()))(t), realm, key(1).Public(), now, fault.Malformed},
		{"too large", make([]byte, wire.MaxStatement+1), realm, key(1).Public(), now, fault.TooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := identity.VerifyCredential(row.raw, row.realm, row.key, row.now)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
}
