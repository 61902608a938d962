package control_test

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var consumed = consensus.Consumption{First: true}

// standings is every way in which a decision can stand.
var standings = []struct {
	verdict  consensus.Verdict
	consumed consensus.Consumption
	report   registry.Report
	reported bool
	want     string
}{
	{verdict: consensus.Verdict{State: consensus.Open}, want: "open"},
	{verdict: consensus.Verdict{State: consensus.Rejected}, want: "rejected"},
	{verdict: consensus.Verdict{State: consensus.Expired}, want: "expired"},
	{verdict: consensus.Verdict{State: consensus.Approved}, want: "approved"},
	{consensus.Verdict{State: consensus.Approved}, consumed, registry.Report{}, false, "consumed"},
	{consensus.Verdict{State: consensus.Approved}, consumed, registry.Report{OK: true}, true, "executed"},
	{consensus.Verdict{State: consensus.Approved}, consumed, registry.Report{}, true, "failed"},
	{consensus.Verdict{State: consensus.Approved}, consumed, registry.Report{Uncertain: true}, true, "uncertain"},
}
