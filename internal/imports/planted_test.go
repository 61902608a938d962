package imports

import (
	"fmt"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Each planted fault must be found, and its honest twin must pass: otherwise the graph test proves nothing.
func TestPlantedFaults(t *testing.T) {
	tests := []struct {
		name    string
		planted source
		want    string // part of the one fault; "" for none
	}{
		{"honest domain package", source{"trust", []string{"identity", "internal/wire"}, []string{"errors"}}, ""},
		{"two domains that must not meet", source{"trust", []string{"consensus"}, nil}, "trust imports consensus: its row does not allow"},
		{"the same, the other way", source{"consensus", []string{"trust"}, nil}, "its row does not allow"},
		{"ground imports domain", source{"identity", []string{"envelope"}, nil}, "arrow upwards"},
		{"machine imports composition", source{"bus/natsbus", []string{"sdk"}, nil}, "arrow upwards"},
		{"node may not import the SDK", source{"internal/node", []string{"sdk"}, nil}, "its row does not allow"},
		{"honest node", source{"internal/node", []string{"bus/broker", "trust", "internal/wire"}, nil}, ""},
		{"door may import all", source{"cmd/conclave", []string{"sdk", "internal/node"}, nil}, ""},
		{"example may not reach inside", source{"examples/hello", []string{"internal/node"}, nil}, "its row does not allow"},
		{"honest example", source{"examples/hello", []string{"sdk"}, nil}, ""},
		{"new package", source{"telepathy", nil, nil}, `telepathy: not in the table; add {"telepathy", STOREY`},
		{"import of a new package", source{"sdk", []string{"telepathy"}, nil}, "telepathy, which is not in the table"},
		{"honest technology", source{"bus/broker", nil, []string{"github.com/nats-io/nats-server/v2/server"}}, ""},
		{"second importer", source{"internal/node", nil, []string{"github.com/nats-io/nats-server/v2/server"}}, "only [bus/broker cmd/conclave/internal/bench] may"},
		{"second importer of a module's root", source{"envelope", nil, []string{"github.com/fxamacker/cbor/v2"}}, "only [internal/wire] may"},
		{"unknown technology", source{"internal/node", nil, []string{"example.com/new/thing"}}, "has no row in importers"},
		{"name that only begins alike", source{"bus/broker", nil, []string{"github.com/nats-io/nats-server/v2x"}}, "has no row in importers"},
		{"clock in a pure package", source{"trust", nil, []string{"time"}}, "trust is pure and imports time"},
		{"network below net", source{"policy", nil, []string{"net/http"}}, "policy is pure and imports net/http"},
		{"chance in a pure package", source{"consensus", nil, []string{"math/rand/v2"}}, "is pure and imports"},
		{"keys need chance", source{"identity", nil, []string{"crypto/rand"}}, ""},
		{"but no clock", source{"identity", nil, []string{"time"}}, "identity is pure"},
		{"context is no clock", source{"consensus", nil, []string{"context"}}, ""},
		{"clock in a machine", source{"bus/natsbus", nil, []string{"time", "net"}}, ""},
	}
	for _, tt := range tests {
		got := check(table, []source{tt.planted})
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlantedSettledArrow(t *testing.T) {
	var standing []source
	for _, a := range owed {
		s := source{path: a.from, ours: []string{a.to}}
		if strings.Contains(a.to, ".") {
			s = source{path: a.from, others: []string{a.to}}
		}
		standing = append(standing, s)
	}
	if got := append(check(table, standing), settled(standing)...); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := settled(nil); len(got) != len(owed) {
		t.Errorf("%q, want %d faults", got, len(owed))
	}
}

func TestPlantedFloors(t *testing.T) {
	tower := func(n int) []source {
		var packages []source
		for i := range n {
			s := source{path: fmt.Sprintf("integration/f%d", i)}
			if i > 0 {
				s.ours = []string{fmt.Sprintf("integration/f%d", i-1)}
			}
			packages = append(packages, s)
		}
		return packages
	}
	if got := check(table, tower(maxFloors)); len(got) != 0 {
		t.Errorf("%d floors: %q", maxFloors, got)
	}
	if got := check(table, tower(maxFloors+1)); len(got) != 1 || !strings.Contains(got[0], "9 floors") {
		t.Errorf("%d floors: %q", maxFloors+1, got)
	}
}

func TestPlantedPurity(t *testing.T) {
	tests := []struct {
		body string
		want string
	}{
		{"var x int64 = 3", ""},
		{"func f() { defer f() }", ""},
		{"var x float64", "float64"},
		{"func f(a int) int { return int(float32(a)) }", "float32"},
		{"const x = 1.5", "literal 1.5"},
		{"const x = 1e3", "literal 1e3"},
		{"const x = 2i", "literal 2i"},
		{"func f() { go f() }", "go statement"},
	}
	for _, tt := range tests {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "planted.go", "package p\n"+tt.body, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := checkPureFile(fset, file)
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestPlantedServer(t *testing.T) {
	honest := []string{"fmt", "github.com/nats-io/nats.go", modulePath + "/sdk"}
	if got := linkedServers(honest); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := linkedServers(append(honest, "github.com/hashicorp/raft")); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
