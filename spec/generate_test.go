package spec_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var update = flag.Bool("update", false, "write the vectors anew")

// generators make the vectors, each a folder. They are deterministic: signatures are, and what was sealed is kept.
var generators = []func() *group{
	sign1Vectors, cosignedVectors, keyVectors, genesisVectors, rosterVectors, joiningVectors, promotionVectors, joinTokenVectors,
	admissionVectors, tokenVectors, enrolmentVectors,
	credentialVectors, successionVectors, ticketVectors, envelopeVectors, batchVectors, frameVectors, encodingVectors,
	presenceVectors, cardVectors, headVectors, inclusionVectors,
	policyVectors, proposalVectors, openingVectors, ballotVectors, commitmentVectors, equivocationVectors, tallyVectors, commandVectors,
	certificateVectors, consumptionVectors, evidenceVectors,
}

// group is one folder of vectors of one statement.
type group struct {
	folder, statement string
	realm             wire.Realm
	context           any // unless a vector has its own
	all               []vector
}

// accept adds a vector that is to be accepted. The edits change what differs from the group.
func (g *group) accept(name string, input []byte, edits ...func(*vector)) {
	g.add(vector{Name: name, Expect: ok}, input, edits)
}

// refuse adds a vector that the check refuses with the code.
func (g *group) refuse(name, check string, code fault.Code, input []byte, edits ...func(*vector)) {
	g.add(vector{Name: name, Expect: string(code), Check: check}, input, edits)
}

func (g *group) add(v vector, input []byte, edits []func(*vector)) {
	v.folder, v.Statement, v.Realm, v.Now, v.Input = g.folder, g.statement, g.realm, now, input
	v.Context = asJSON(g.context)
	for _, edit := range edits {
		edit(&v)
	}
	g.all = append(g.all, v)
}

func at(time int64) func(*vector) { return func(v *vector) { v.Now = time } }

func knowing(context any) func(*vector) { return func(v *vector) { v.Context = asJSON(context) } }

func under(realm wire.Realm) func(*vector) { return func(v *vector) { v.Realm = realm } }

func zeros(n int) func(*vector) { return func(v *vector) { v.Zeros = n } }

// TestVectorsAreGenerated holds: the files are what the generators make. With -update it writes them.
func TestVectorsAreGenerated(t *testing.T) {
	want := map[string][]byte{}
	for _, generate := range generators {
		for _, v := range generate().all {
			path := filepath.Join("vectors", v.folder, v.Name+".json")
			if want[path] != nil {
				t.Fatalf("%s is generated twice", path)
			}
			want[path] = marshal(t, v)
			if *update {
				write(t, path, want[path])
			}
		}
	}
	if *update {
		sealing.save(t)
	}
	files, err := filepath.Glob(filepath.Join("vectors", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if want[path] == nil && *update {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if want[path] == nil {
			t.Errorf("%s is made by no generator", path)
		}
	}
	for path, content := range want {
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, content) {
			t.Errorf("%s is not what its generator makes: run go test ./spec -run Generated -update (%v)", path, err)
		}
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
