package lab_test

import (
	"maps"
	"testing"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// listing is what nft 1.0.6 prints of one table with a rule of ours and another one.
const listing = `{"nftables": [
{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
{"table": {"family": "ip", "name": "lab", "handle": 1}},
{"counter": {"family": "ip", "name": "c1", "table": "lab", "handle": 2, "packets": 7, "bytes": 420}},
{"chain": {"family": "ip", "table": "lab", "name": "out", "handle": 1, "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
{"rule": {"family": "ip", "table": "lab", "chain": "out", "handle": 4, "expr": [
  {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"set": ["10.77.1.2", "10.77.1.3"]}}},
  {"match": {"op": "<", "left": {"numgen": {"mode": "random", "mod": 100, "offset": 0}}, "right": 5}},
  {"counter": "c1"}, {"drop": null}]}},
{"rule": {"family": "ip", "table": "lab", "chain": "wires", "handle": 6, "expr": [
  {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 7000}},
  {"dnat": {"addr": "10.77.1.9"}}]}}]}`

func TestRulesAreRead(t *testing.T) {
	counters, chains, err := lab.Objects([]byte(listing))
	if err != nil || !maps.Equal(counters, map[string]uint64{"c1": 7}) || !maps.Equal(chains, map[int]string{4: "out"}) {
		t.Errorf("counters %v, rules %v: %v", counters, chains, err)
	}
	if _, _, err := lab.Objects([]byte(listing[:100])); err == nil {
		t.Error("half a listing was read")
	}
}
