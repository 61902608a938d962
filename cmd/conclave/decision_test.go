package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
)

// TestNothingUntrustedIsPrintedRaw puts what moves a cursor wherever a node or a member chooses a text.
func TestNothingUntrustedIsPrintedRaw(t *testing.T) {
	bad := "\x1b[2J\u202e\n"
	voters := []ballot.Voter{{ID: agent, Family: bad, Voted: true}, {ID: alice.ID()}, {ID: alice.ID(), Void: true}, {ID: agent, Silenced: true}}
	v := ballot.View{
		Action: sdk.NewAction(bad, bad, map[string][]string{bad: {bad}}), Class: "R3", State: bad, Rule: "1 approval",
		Proposer: ballot.Proposer{ID: agent, Name: bad}, Executor: alice.ID(), Reason: bad, Detail: bad, Cancelled: bad,
		Permit:  &consensus.Permit{Uses: 2, Open: []consensus.Param{{Name: bad, Values: []string{bad}}}, Targets: []string{bad}},
		Ballots: []ballot.Cast{{Voter: agent, Vote: bad, Reason: bad}}, Voters: voters,
		Uses:    []ballot.Use{{Number: 1, State: bad, Detail: bad, At: time.UnixMilli(1)}},
		Settled: &ballot.Settlement{Detail: bad, By: alice.ID()}, Emergency: true, Secret: true, Sum: 3, Used: 1, Confidence: 900,
		From: time.UnixMilli(1), Until: time.UnixMilli(2), NotBefore: time.UnixMilli(1), Beneficiaries: []sdk.ID{agent},
	}
	v.Action.Rollback, v.Action.Amount = bad, 3
	var out strings.Builder
	writeWaiting(&out, v, time.UnixMilli(3))
	decisionTable(&out, []summaryDoc{{Summary: ballot.Summary{Kind: bad, Target: bad, Class: "R3" + bad, Proposer: bad, State: bad, Review: true, Permit: true}}})
	for _, want := range []string{"EMERGENCY", "gains from it", "settled", "void: O", "silenced: U", ", permit", "use 1: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") || strings.Contains(out.String(), "[2J\n") {
		t.Errorf("raw: %q", out.String())
	}
	if n := strings.Count(out.String(), `\x1b[2J\u202e\n`); n < 20 {
		t.Errorf("only %d of the texts were shown", n)
	}
}

func TestManyVoters(t *testing.T) {
	for n, more := range map[int]string{mostVoters: "", mostVoters + 1: "may vote: 1 more\n", 100: "may vote: 84 more\n"} {
		v := ballot.View{State: "open", Voters: make([]ballot.Voter, n)}
		for i := range v.Voters {
			v.Voters[i] = ballot.Voter{ID: agent, Level: identity.Journeyer, Weight: uint64(i)}
		}
		var out strings.Builder
		writeVoters(&out, v)
		if lines := strings.Count(out.String(), "may vote: U"); lines != mostVoters || !strings.HasSuffix(out.String(), more) {
			t.Errorf("%d voters: %d lines\n%s", n, lines, &out)
		}
	}
}

func TestVotesSoFar(t *testing.T) {
	v := ballot.View{State: "open\x1b", Voters: []ballot.Voter{{Voted: true}, {Committed: true, Voted: true}, {Committed: true}, {}}}
	if got, want := votesSoFar(v), `open\x1b, 2 of 4 have voted, 1 more have committed`; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestWhen(t *testing.T) {
	before := time.Now()
	if got, err := when("--until", "2h"); err != nil || got.Before(before.Add(2*time.Hour)) || got.After(time.Now().Add(2*time.Hour)) {
		t.Errorf("2h: %s %v", got, err)
	}
	if got, err := when("--until", "2026-01-02T15:04:05Z"); err != nil || got.Unix() != 1767366245 {
		t.Errorf("a moment: %d %v", got.Unix(), err)
	}
	if got, err := when("--until", ""); err != nil || !got.IsZero() {
		t.Errorf("none: %s %v", got, err)
	}
	for _, bad := range []string{"-1h", "0s", "soon", "2026-01-02", "15:04"} {
		if _, err := when("--until", bad); codeOf(err) != "usage" || !strings.Contains(fmt.Sprint(err), "--until") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPermitAsTyped(t *testing.T) {
	p, err := proposeFlags{uses: 3, until: "1h", open: []string{"host=web-*", "host=db", "x=*"}, targets: []string{"t*"}}.permit()
	if err != nil || p.Uses != 3 || strings.Join(p.Open["host"], " ") != "web-* db" || len(p.Open["x"]) != 1 || p.Targets[0] != "t*" {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := (proposeFlags{until: "1h"}).permit(); p != nil || err != nil {
		t.Errorf("none: %+v %v", p, err)
	}
	for name, f := range map[string]proposeFlags{
		"open without uses": {open: []string{"a=b"}}, "targets without uses": {targets: []string{"a"}},
		"no pattern": {uses: 1, until: "1h", open: []string{"a"}}, "no end": {uses: 1, until: "never"},
	} {
		if _, err := f.permit(); codeOf(err) != "usage" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
