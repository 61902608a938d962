package proof_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/proof"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// jury is a realm of three people and three nodes in which R2 needs 15 approvals.
func jury(t *testing.T, enrol identity.Level) realm {
	t.Helper()
	return founded(t, func(p *policy.Policy) {
		p.Enrol = enrol
		p.Classes = slices.Clone(p.Classes)
		p.Classes[consensus.R2].Approvals, p.Classes[consensus.R3].Approvals = 15, 15
	})
}

func (r realm) jurors(enrol func(i int) identity.Signer, more int, first ...identity.Signer) []identity.Signer {
	for i := range more {
		first = append(first, enrol(i))
	}
	return first
}

// TestSizeOfACertificate bounds the files of certificates of 15 ballots in realms of three nodes, which is 16 KiB, and their
// encodings, and says what takes the room: what vouches for the voters, most of it the same bytes again and again.
func TestSizeOfACertificate(t *testing.T) {
	for _, row := range []struct {
		name        string
		enrol       identity.Level
		people      bool
		most, small int // bytes, of the encoding and of the file
	}{
		{"agents raised to their level", identity.Observer, false, 29_000, 16 << 10},
		{"agents enrolled at their level", identity.Journeyer, false, 21_000, 16 << 10},
		{"people", identity.Observer, true, 18_000, 16 << 10},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := jury(t, row.enrol)
			agent := func(i int) identity.Signer {
				return r.Agent([]identity.Signer{r.b, r.c}[i%2], fmt.Sprintf("voter-%d", i), identity.Journeyer)
			}
			person := func(i int) identity.Signer { return r.Operator(fmt.Sprintf("person-%d", i), r.a, r.b) }
			voters := func() []identity.Signer {
				if row.people {
					return r.jurors(person, 13, r.b, r.c)
				}
				return r.jurors(agent, 14, r.auditor)
			}()
			c := r.Certificate(r.unanimous(voters).Proposal)
			honest(t, r.World, c)
			raw := encode(t, c)
			read, _, err := proof.ParseCertificate(raw, proof.Trust{Realm: r.Realm})
			wantErr(t, err, "")
			file := read.File()
			_, _, err = proof.VerifyCertificate(file, proof.Trust{Realm: r.Realm})
			wantErr(t, err, "")
			t.Logf("%d bytes, %d as a file: %s", len(raw), len(file), parts(t, c))
			if len(c.Ballots) != 15 || len(raw) > row.most || len(file) > row.small {
				t.Errorf("%d ballots in %d bytes, %d as a file", len(c.Ballots), len(raw), len(file))
			}
		})
	}
}

// parts says how many bytes each kind of part takes.
func parts(t *testing.T, c consensus.Certificate) string {
	t.Helper()
	sum := func(parts ...[]byte) (n int) {
		for _, p := range parts {
			n += len(p)
		}
		return n
	}
	return fmt.Sprintf("enrolments %d (%d), levels %d (%d), operators %d (%d), ballots %d, opening %d (%d voters), genesis %d, "+
		"policy %d, head %d, inclusions %d, proposal %d", sum(c.Enrolments...), len(c.Enrolments), sum(c.Levels...), len(c.Levels),
		sum(c.Operators...), len(c.Operators), sum(c.Ballots...), len(encode(t, c.Opening)), len(c.Opening.Voters), len(c.Genesis),
		len(c.Policy), len(c.Head), len(c.Opened)+len(c.Decided), len(c.Proposal))
}
