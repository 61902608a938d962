package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// A node that tells another level, status, name or operator than the nodes have signed is not believed: neither shown, nor
// taken for what is signed off.
func TestTheNodeTellsAnotherLevel(t *testing.T) {
	signed := sdk.Peer{Name: "writer", Level: identity.Apprentice, Status: "active"}
	honest := standing.View{Name: "writer", Level: identity.Apprentice, Status: trust.Active, Score: 700}
	if err := agrees(honest, signed); err != nil {
		t.Fatalf("honest: %v", err)
	}
	for name, lie := range map[string]func(v *standing.View){
		"another level":    func(v *standing.View) { v.Level = identity.Steward },
		"another status":   func(v *standing.View) { v.Status = trust.Quarantined },
		"another name":     func(v *standing.View) { v.Name = "reader" },
		"another agent":    func(v *standing.View) { v.ID[0] ^= 1 },
		"another operator": func(v *standing.View) { v.Operator[0] ^= 1 },
	} {
		v := honest
		lie(&v)
		if err := agrees(v, signed); codeOf(err) != fault.BadSignature || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// odd is a standing as a node would make it up to get something onto the terminal, or to end the program.
func odd() standing.View {
	const escape = "\x1b]0;owned\a\x1b[2J\n\u202e"
	v := standing.View{
		Name: escape, OperatorName: escape, Reason: escape, Status: 200, Level: 250, Cap: 251, Class: 255, Score: math.MaxUint64,
		At: math.MinInt64, Until: math.MaxInt64, Blocked: math.MaxInt64, Throttle: math.MaxUint64, Suspicion: math.MaxUint64,
	}
	for i := range v.Scores {
		v.Scores[i] = trust.Score{Class: 200, Value: math.MaxUint64, Good: math.MinInt64, Bad: math.MaxInt64}
	}
	v.Next = []trust.Condition{
		{Name: escape, Unit: escape, Have: math.MinInt64, Need: math.MaxInt64}, {Name: escape, Unit: "ms", Have: math.MinInt64, Need: math.MaxInt64},
	}
	v.Account.Climb.Why, v.Account.Climb.LowSince, v.Account.Climb.Since = 99, math.MaxInt64, math.MinInt64
	v.Account.Traces = []trust.Trace{{At: math.MaxInt64, Act: 99, Class: 255, Cap: 99, Nominal: math.MinInt64, Weight: math.MinInt64}}
	v.Account.Turns = []trust.Turn{{At: math.MaxInt64, From: 255, To: 255, Why: 99}, {At: math.MinInt64}}
	v.Account.Samples = []trust.Sample{{Day: math.MaxUint32, Score: math.MaxUint16, Level: 255}, {}}
	return v
}

// Whatever a node makes up, people see plain lines of it, and machines a document.
func TestTheNodeMakesUpAStanding(t *testing.T) {
	v := odd()
	ladder, params := trust.Ladder(), trust.Defaults()
	for name, level := range map[string]identity.Level{"its own": v.Level, "L0": 0, "L3": 3, "L5": 5} {
		v.Level = level
		d := explained(v, names{}, ladder[:], params)
		h := historyOf(v)
		var b strings.Builder
		d.write(&b)
		h.write(&b, v)
		writeRanks(&b, []standing.Rank{{Name: v.Name, OperatorName: v.OperatorName, Status: 200, Level: 250, Class: 255, Until: math.MaxInt64}})
		for _, line := range append(d.section(v).Rows, strings.Split(b.String(), "\n")) {
			for _, text := range line {
				if i := strings.IndexFunc(text, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }); i >= 0 {
					t.Fatalf("%s: a control character: %q", name, text)
				}
			}
		}
		if text := d.section(v).Text; strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%s: %q", name, text)
		}
		if b.Len() > 64<<10 {
			t.Errorf("%s: %d bytes", name, b.Len())
		}
	}
}

// What --json tells has words where people read words, and nothing twice.
func TestStandingsAsDocuments(t *testing.T) {
	v := standing.View{Name: "writer", Status: trust.Active, Level: 2}
	v.Account.Turns = []trust.Turn{{To: 2, Why: trust.Appointed}}
	raw, err := json.Marshal(explained(v, names{}, nil, trust.Params{}))
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if d["status"] != "active" || d["level"] != 2.0 || d["level_name"] != "Apprentice" || len(d["turns"].([]any)) != 1 {
		t.Errorf("%s", raw)
	}
	if _, there := d["account"]; there {
		t.Errorf("the account is told twice: %s", raw)
	}
	if raw, err = json.Marshal(rankDoc{Rank: standing.Rank{Name: "writer", Status: trust.Revoked}, Status: "revoked"}); err != nil ||
		strings.Count(string(raw), `"status":"revoked"`) != 1 {
		t.Errorf("%s %v", raw, err)
	}
	if err := (session{}).told(trust.Effect{Class: trust.Classes}); codeOf(err) != fault.Malformed {
		t.Errorf("an effect in no class: %v", err)
	}
}
