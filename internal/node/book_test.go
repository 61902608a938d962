package node

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func emptyBook(t *testing.T) *book {
	t.Helper()
	b, err := openBook(t.TempDir(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func place(id identity.ID, at string) record {
	return record{Node: id, Cluster: at, Stamp: time.Now().UnixMilli()}
}

func TestRecordsAreChecked(t *testing.T) {
	id, other := nodeID(t), nodeID(t)
	for name, c := range map[string]struct {
		spoil func(*record)
		code  fault.Code
	}{
		"honest":             {func(*record) {}, ""},
		"IPv6":               {func(r *record) { r.Cluster = "[::1]:7" }, ""},
		"not up yet":         {func(r *record) { r.Client, r.Routes, r.Server = "", "", "" }, ""},
		"no node":            {func(r *record) { r.Node = identity.ID{} }, fault.Malformed},
		"no address":         {func(r *record) { r.Cluster = "" }, fault.Malformed},
		"no port":            {func(r *record) { r.Routes = "host" }, fault.Malformed},
		"port 0":             {func(r *record) { r.Client = "host:0" }, fault.Malformed},
		"another's server":   {func(r *record) { r.Server = other.String() + ".0123456789abcdef" }, fault.Malformed},
		"a long server":      {func(r *record) { r.Server += strings.Repeat("0", maxServer) }, fault.Malformed},
		"a long version":     {func(r *record) { r.Version = strings.Repeat("v", maxVersion+1) }, fault.Malformed},
		"a version's escape": {func(r *record) { r.Version = "\x1b[2J" }, fault.Malformed},
		"a long host":        {func(r *record) { r.Client = strings.Repeat("h", maxHost+1) + ":1" }, fault.Malformed},
		"a user":             {func(r *record) { r.Client = "me@host:1" }, fault.Malformed},
	} {
		r := record{Node: id, Cluster: "a.example:1", Client: "127.0.0.1:2", Routes: "a.example:3", Version: "v1.0 (dirty)",
			Server: id.String() + ".0123456789abcdef"}
		c.spoil(&r)
		if err := r.check(); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v has code %q, want %q", name, err, fault.CodeOf(err), c.code)
		}
	}
}

// What others say of a node is tried in turn with what it says itself, and never instead of it.
func TestHearsayIsTriedBesideTheOwnWord(t *testing.T) {
	b, id, liar, friend := emptyBook(t), nodeID(t), nodeID(t), nodeID(t)
	if err := b.hear(place(id, "own:1"), progress{}); err != nil {
		t.Fatal(err)
	}
	late := place(id, "future:1")
	late.Stamp = math.MaxInt64
	if err := b.overhear(liar, []record{place(id, "lie:1"), late}); err != nil {
		t.Fatal(err)
	}
	if err := b.overhear(friend, []record{place(id, "moved:1")}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if at, ok := b.locate(id); !ok || at != "own:1" {
			t.Fatalf("a node that was heard is looked for at %q", at)
		}
	}
	b.known[id].heard = time.Time{} // as after a start
	seen := map[string]int{}
	for range 6 {
		at, _ := b.locate(id)
		seen[at]++
	}
	if seen["own:1"] != 2 || seen["moved:1"] != 2 || seen["lie:1"] != 2 {
		t.Errorf("looked for at %v", seen)
	}
	if b.of(id).Cluster != "own:1" {
		t.Error("hearsay went before the own word")
	}
}

func TestBookIsBounded(t *testing.T) {
	b, liar := emptyBook(t), nodeID(t)
	many := make([]record, maxRecords+1)
	if err := b.overhear(liar, many); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("too many records: %v", err)
	}
	for range maxRecords + 1 {
		if err := b.overhear(liar, []record{place(nodeID(t), "host:1")}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.records()); n != maxRecords {
		t.Errorf("%d records", n)
	}
	if _, err := wire.Encode(b.records()); err != nil {
		t.Error(err)
	}
}

// A node that says something new all the time is believed now and then.
func TestANodeThatMovesAllTheTime(t *testing.T) {
	changes := 0
	b, err := openBook(t.TempDir(), func() { changes++ })
	if err != nil {
		t.Fatal(err)
	}
	id := nodeID(t)
	begun := time.Now()
	for i := range 100 {
		if err := b.hear(place(id, fmt.Sprintf("host:%d", i+1)), progress{Size: uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if most := 1 + int(time.Since(begun)/settling); changes < 1 || changes > most {
		t.Errorf("%d changes, at most %d", changes, most)
	}
	if b.of(id).Size != 99 {
		t.Error("its progress was not taken")
	}
}
