package imports

// A storey is a height in the building. Imports go down or stay on a storey.
type storey int

const (
	ground storey = iota + 1
	domain
	machine
	composition
	door
)

// Words that a row may use in place of a package.
const (
	allGround   = "ground"   // every package of the ground storey
	allDomain   = "domain"   // every package of the domain storey
	allMachines = "machines" // every package of the machine storey
	anything    = "any"      // every package
)

// A row says where a package stands and which packages of ours it may import. A path that ends in /* stands for
// every package below it.
type row struct {
	path   string
	storey storey
	may    []string
}

var table = []row{
	{"internal/fault", ground, nil},
	{"internal/wire", ground, []string{"internal/fault"}},
	{"internal/replay", ground, []string{"internal/fault"}},
	{"internal/merkle", ground, []string{"internal/fault"}},
	{"internal/datadir", ground, []string{"internal/fault"}},
	{"internal/planted", ground, nil},
	{"identity", ground, []string{"internal/wire", "internal/fault"}},

	{"envelope", domain, []string{"identity", "internal/wire", "internal/replay", "internal/merkle", "internal/fault"}},
	{"trust", domain, []string{"identity", "internal/wire", "internal/fault"}},
	{"consensus", domain, []string{"identity", "internal/wire", "internal/fault"}},
	{"audit", domain, []string{"identity", "internal/wire", "internal/merkle", "internal/fault"}},
	{"discovery", domain, []string{"identity", "internal/wire", "internal/fault"}},
	{"registry", domain, []string{"identity", "internal/wire", "internal/fault", "trust", "consensus"}},
	{"policy", domain, []string{"identity", "internal/wire", "internal/fault", "trust", "consensus"}},
	{"bus", domain, []string{"identity", "internal/wire", "internal/fault", "envelope", "trust"}},
	{"internal/proof", domain, []string{allGround, allDomain}},

	{"identity/agefile", machine, []string{allGround}},
	{"internal/peertls", machine, []string{allGround}},
	{"internal/mesh", machine, []string{"identity", "internal/wire", "internal/fault", "internal/peertls"}},
	{"bus/internal/feed", machine, []string{"bus"}},
	{"bus/bustest", machine, []string{allGround, "bus", "trust"}},
	{"bus/broker", machine, []string{allGround, "bus", "bus/natsbus", "trust", "internal/peertls"}}, // ADR 3
	{"bus/natsbus", machine, []string{allGround, "bus", "trust", "internal/peertls", "bus/internal/feed"}},
	{"bus/membus", machine, []string{allGround, "bus", "trust", "bus/internal/feed"}},
	{"consensus/logtest", machine, []string{allGround, "consensus"}},
	{"consensus/raftlog", machine, []string{allGround, "consensus", "internal/peertls"}},
	{"consensus/memlog", machine, []string{allGround, "consensus"}},
	{"discovery/p2p", machine, []string{allGround, "discovery"}},
	{"audit/trailtest", machine, []string{allGround, "audit"}},
	{"audit/filetrail", machine, []string{allGround, "audit"}},
	{"policy/policyfile", machine, []string{allGround, "policy", "trust", "consensus"}},
	{"policy/cedar", machine, []string{"identity", "internal/fault", "consensus", "policy"}},
	{"internal/simulate", machine, []string{allGround, "trust"}},
	{"internal/simulate/scenariofile", machine, []string{allGround, "trust", "internal/simulate"}},
	{"internal/ledger", machine, []string{allGround, allDomain}},
	{"internal/ledger/ledgertest", machine, []string{allGround, allDomain, "internal/ledger"}},
	{"internal/spent", machine, []string{allGround}},
	{"internal/sealed", machine, []string{allGround}},
	{"internal/control", machine, []string{allGround, allDomain}},
	{"internal/metrics", machine, []string{allGround}},
	{"internal/contexts", machine, []string{"identity", "internal/datadir", "internal/fault"}},

	{"sdk/code", composition, []string{"internal/fault"}},
	{"sdk/ballot", composition, []string{allGround, "consensus"}},
	{"sdk/standing", composition, []string{allGround, "trust", "registry"}},
	{"sdk/admin", composition, []string{allGround, "registry", "policy", "trust"}},
	{"sdk/verify", composition, []string{"internal/proof"}},
	{"sdk", composition, []string{allGround, allDomain, "sdk/code", "sdk/ballot", "sdk/admin", "sdk/standing",
		"bus/natsbus", "internal/control", "identity/agefile", "internal/contexts", "internal/spent", "internal/sealed"}},
	{"sdk/middleware", composition, []string{"sdk", allGround, allDomain}},
	{"sdk/otel", composition, []string{"sdk", allGround, allDomain}},
	{"sdk/sdktest", composition, []string{"sdk", allGround, allDomain,
		"bus/membus", "bus/natsbus", "consensus/memlog", "internal/ledger", "internal/control", "internal/registrar"}},
	{"internal/registrar", composition, []string{allGround, allDomain, "internal/control", "internal/ledger"}},
	{"internal/node", composition, []string{allGround, allDomain, allMachines, "internal/registrar"}},

	{"cmd/conclave/internal/guardexec", door, []string{"internal/fault", "consensus"}},
	{"cmd/conclave/internal/demo", door, []string{anything}},
	{"cmd/conclave/internal/bench", door, []string{anything}},
	{"cmd/conclave/internal/chart", door, nil},
	{"cmd/conclave/internal/console", door, []string{anything}},
	{"cmd/conclave", door, []string{anything}},
	{"examples/staff", door, []string{"sdk", "identity", "trust", "registry", "policy"}},
	{"examples/approval", door, []string{"sdk", "sdk/code", "sdk/ballot", "sdk/verify", "consensus", "registry", "policy", "examples/staff"}},
	{"examples/ensemble", door, []string{"sdk", "sdk/code", "sdk/ballot", "sdk/admin", "consensus", "policy", "examples/staff", "examples/ensemble/checks"}},
	{"examples/ladder", door, []string{"sdk", "sdk/code", "sdk/standing", "identity", "trust", "policy", "examples/staff"}},
	{"examples/*", door, []string{"sdk", "sdk/code", "sdk/ballot", "sdk/verify", "sdk/middleware", "sdk/otel", "examples/*"}},
	{"integration", door, []string{anything}},
	{"integration/*", door, []string{anything}},
	{"internal/imports", door, nil}, // tests only
	{"spec", door, nil},             // prose and tests only
}

// An arrow is one import that the table does not allow and that stands all the same.
type arrow struct {
	from, to string // to is a package of ours or the import path of another's
	reason   string
}

// owed lists the arrows that still need an ADR and a place in the table, or have to go. One that has gone must leave
// this list.
var owed = []arrow{}

// importers says which packages may import a third-party module. A module without a row may not be imported at all.
var importers = []struct {
	module string
	by     []string
}{
	{"filippo.io/age", []string{"identity/agefile"}},
	{"filippo.io/edwards25519", []string{"internal/wire"}},
	{"github.com/anishathalye/porcupine", []string{"integration/check"}},
	{"github.com/cedar-policy/cedar-go", []string{"policy/cedar"}},
	{"github.com/fxamacker/cbor/v2", []string{"internal/wire"}},
	{"github.com/google/jsonschema-go", []string{"sdk"}},
	{"github.com/guptarohit/asciigraph", []string{"cmd/conclave/internal/chart"}},
	{"github.com/hashicorp/go-hclog", []string{"consensus/raftlog"}},
	{"github.com/hashicorp/raft", []string{"consensus/raftlog"}},
	{"github.com/libp2p/go-libp2p", []string{"discovery/p2p"}},
	{"github.com/multiformats/go-multiaddr", []string{"discovery/p2p"}},
	{"github.com/nats-io/jwt/v2", []string{"bus/broker"}},
	{"github.com/nats-io/nats-server/v2", []string{"bus/broker", "cmd/conclave/internal/bench"}}, // bench runs the peer
	{"github.com/nats-io/nats.go", []string{"bus/natsbus", "cmd/conclave/internal/bench"}},
	{"github.com/nats-io/nkeys", []string{"identity"}},
	{"github.com/prometheus/client_golang", []string{"internal/metrics"}},
	{"github.com/spf13/cobra", []string{"cmd/conclave"}},
	{"github.com/spf13/pflag", []string{"cmd/conclave"}},
	{"go.etcd.io/bbolt", []string{"consensus/raftlog"}},
	{"go.opentelemetry.io/otel", []string{"sdk/otel"}},
	{"go.yaml.in/yaml/v3", []string{"policy/policyfile", "internal/contexts", "internal/node", "internal/simulate/scenariofile"}},
	{"golang.org/x/mod", []string{"internal/merkle"}},
	{"golang.org/x/sys", []string{"cmd/conclave/internal/guardexec", "internal/datadir"}},
	{"golang.org/x/term", []string{"cmd/conclave"}},
	{"modernc.org/sqlite", []string{"examples/migrate"}},
}

// beside lists the folders of other modules in this repository. They import nothing of ours.
var beside = []string{"bench/peers"}

// pure lists the packages in which nothing depends on a clock, the network, the disk, goroutines, floats or chance,
// with what each may import nevertheless.
var pure = map[string][]string{
	"internal/wire":   {"crypto/rand"}, // constructors of keys
	"internal/replay": nil,
	"internal/merkle": nil,
	"identity":        {"crypto/rand", "log/slog"}, // constructors of keys; secrets that log as nothing
	"envelope":        {"crypto/rand"},             // what a nil io.Reader stands for
	"trust":           nil,
	"consensus":       nil,
	"audit":           nil,
	"discovery":       nil,
	"registry":        nil,
	"policy":          nil,
	"bus":             nil,
	"internal/proof":  nil,
	"internal/ledger": nil,

	"internal/simulate": nil,
}

// impure are the packages of the standard library that pure packages do not import; a trailing /* takes in those below.
var impure = []string{
	"time", "net", "net/*", "os", "os/*", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/*",
}

// servers are the modules that a program which uses the SDK must not link.
var servers = []string{
	"github.com/nats-io/nats-server/v2", "github.com/hashicorp/raft", "github.com/libp2p/go-libp2p", "go.etcd.io/bbolt",
	"github.com/transparency-dev/tessera", "github.com/cedar-policy/cedar-go",
}

const (
	maxFloors  = 8
	modulePath = "github.com/seed-3e86d5b2/conclave"
)
