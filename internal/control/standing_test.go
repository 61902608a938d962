package control_test

import (
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/registry"
)

var (
	approved = consensus.Verdict{State: consensus.Approved}
	permit   = &consensus.Permit{Uses: 2}
)

func reported(r registry.Report) control.Use { return control.Use{Report: r, Reported: true} }

// standings is every way in which a decision can stand.
var standings = []struct {
	verdict consensus.Verdict
	used    uint64
	last    control.Use
	want    string
}{
	{verdict: consensus.Verdict{State: consensus.Open}, want: "open"},
	{verdict: consensus.Verdict{State: consensus.Rejected}, want: "rejected"},
	{verdict: consensus.Verdict{State: consensus.Expired}, want: "expired"},
	{verdict: consensus.Verdict{State: consensus.Cancelled}, want: "cancelled"},
	{verdict: consensus.Verdict{State: consensus.Superseded}, want: "superseded"},
	{verdict: approved, want: "approved"},
	{approved, 1, control.Use{}, "consumed"},
	{approved, 1, reported(registry.Report{OK: true}), "executed"},
	{approved, 1, reported(registry.Report{}), "failed"},
	{approved, 1, reported(registry.Report{Uncertain: true}), "uncertain"},
}

// permits is where a permit for two uses can stand besides: what came of its uses, they say themselves.
var permits = []struct {
	verdict consensus.Verdict
	used    uint64
	last    control.Use
	want    string
}{
	{approved, 0, control.Use{}, "approved"},
	{approved, 1, reported(registry.Report{OK: true}), "approved"},
	{approved, 2, reported(registry.Report{}), "consumed"},
	{consensus.Verdict{State: consensus.Cancelled}, 1, reported(registry.Report{OK: true}), "cancelled"},
}
