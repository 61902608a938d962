package consensus_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// scenario is a file of testdata/tally, which its README explains.
type scenario struct {
	Rule       scenarioRule    `yaml:"rule"`
	Proposer   string          `yaml:"proposer"` // "planner of ann", or "ann": a person
	Voters     []scenarioVoter `yaml:"voters"`
	Electorate string          `yaml:"electorate"` // can, cannot or malformed: what CheckElectorate says
	Events     []scenarioEvent `yaml:"events"`
}

type scenarioRule struct {
	Approvals   uint64        `yaml:"approvals"`
	People      uint64        `yaml:"people"`
	Operators   uint64        `yaml:"operators"`
	Share       uint64        `yaml:"share"`
	Own         bool          `yaml:"own"`
	Families    uint64        `yaml:"families"`
	OperatorCap uint64        `yaml:"operator_cap"`
	FamilyCap   uint64        `yaml:"family_cap"`
	Faults      uint64        `yaml:"faults"`
	Confidence  uint64        `yaml:"confidence"`
	Stewards    uint64        `yaml:"stewards"`
	Commit      time.Duration `yaml:"commit"`
}

type scenarioVoter struct {
	Who         string  `yaml:"who"`
	Weight      *uint64 `yaml:"weight"`      // 1
	Level       *uint64 `yaml:"level"`       // 3; of a person 0
	Calibration *uint64 `yaml:"calibration"` // 700; of a person 1000
	Family      string  `yaml:"family"`
	Silenced    bool    `yaml:"silenced"`
}

type scenarioEvent struct {
	At   time.Duration `yaml:"at"` // since the decision opened
	Who  string        `yaml:"who"`
	Does string        `yaml:"does"` // approve, reject, abstain, recuse, commit or void; nothing: time goes by
	Sure *uint64       `yaml:"sure"` // 1000

	Refused    string  `yaml:"refused"` // why the ballot counts nowhere
	State      string  `yaml:"state"`
	Confidence *uint64 `yaml:"confidence"`
	Revealing  *bool   `yaml:"revealing"`
}

func TestTallyScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/tally/*.yaml")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := readScenario(text)
			if err != nil {
				t.Fatal(err)
			}
			stage(t, s).play(s)
		})
	}
}

// readScenario refuses fields that it does not know, and files that leave out what they assert.
func readScenario(text []byte) (scenario, error) {
	var s scenario
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return s, err
	}
	if s.Electorate == "" || !bytes.HasPrefix(text, []byte("# ")) {
		return s, errors.New("a scenario says what it is about, and whether the electorate can meet the rule")
	}
	for i, e := range s.Events {
		if e.State == "" || e.Confidence == nil || (e.Revealing == nil) != (s.Rule.Commit == 0) || (e.Who == "") != (e.Does == "") {
			return s, fmt.Errorf("event %d says not where the decision stands afterwards, or not who does what", i)
		}
		if i > 0 && e.At < s.Events[i-1].At {
			return s, fmt.Errorf("event %d is earlier than the one before", i)
		}
	}
	return s, nil
}

func TestScenariosRefuseWhatTheyDoNotKnow(t *testing.T) {
	const honest = "# One.\nrule: {approvals: 1}\nproposer: planner of ann\nvoters: [{who: bob}]\nelectorate: can\n" +
		"events:\n  - {at: 2s, who: bob, does: approve, state: approved, confidence: 1000}\n"
	if _, err := readScenario([]byte(honest)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"an unknown field of the rule": {"approvals", "aprovals"},
		"an unknown field of a voter":  {"{who: bob}", "{who: bob, heavy: 3}"},
		"an unknown field of an event": {"at: 2s,", "at: 2s, by: bob,"},
		"an unknown field":             {"electorate: can", "electorate: can\nquorum: 2"},
		"no state":                     {"state: approved, ", ""},
		"no confidence":                {", confidence: 1000", ""},
		"somebody who does nothing":    {"does: approve, ", ""},
		"a deed of nobody":             {"who: bob, does", "does"},
		"no electorate":                {"electorate: can\n", ""},
		"no words":                     {"# One.\n", ""},
		"a number that is none":        {"approvals: 1", "approvals: one"},
		"a key twice":                  {"electorate: can", "electorate: can\nelectorate: can"},
	} {
		text := strings.Replace(honest, change[0], change[1], 1)
		if s, err := readScenario([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, s)
		}
	}
}

// theatre plays one scenario with signed ballots.
type theatre struct {
	*testing.T
	o        consensus.Opening
	proposer identity.ID
	signers  map[string]identity.Signer
	poll     consensus.Poll
}

func stage(t *testing.T, s scenario) *theatre {
	r := s.Rule
	p := &theatre{T: t, o: opening(t), signers: make(map[string]identity.Signer)}
	p.o.Rule = consensus.Rule{
		Approvals: r.Approvals, People: r.People, Operators: r.Operators, Share: r.Share, Own: r.Own, Families: r.Families,
		OperatorCap: r.OperatorCap, FamilyCap: r.FamilyCap, Faults: r.Faults, Confidence: r.Confidence, Stewards: r.Stewards,
		Commit: r.Commit.Milliseconds(), Deadline: 4 * 3_600_000, Window: 60_000,
	}
	proposer, operator := principal(s.Proposer)
	p.proposer, p.o.Operator, p.o.Voters = proposer.ID(), operator, nil
	p.o.Deadline = p.o.Opened + p.o.Rule.Deadline
	p.signers["mallory"] = person("mallory") // is in no electorate
	for _, v := range s.Voters {
		who, operator := principal(v.Who)
		seat := voter(who, operator, 1)
		seat.Family, seat.Silenced = v.Family, v.Silenced
		for to, from := range map[*uint64]*uint64{&seat.Weight: v.Weight, &seat.Level: v.Level, &seat.Calibration: v.Calibration} {
			if from != nil {
				*to = *from
			}
		}
		name, _, _ := strings.Cut(v.Who, " ")
		p.signers[name] = who
		p.o.Voters = append(p.o.Voters, seat)
	}
	sorted(p.o.Voters...)
	return p
}

// principal reads "scout of carol", an agent and its operator, or "bob", a person.
func principal(words string) (identity.Signer, identity.ID) {
	name, operator, ofAnother := strings.Cut(words, " of ")
	if !ofAnother {
		return person(name), person(name).ID()
	}
	return agent(name), person(operator).ID()
}

func (p *theatre) play(s scenario) {
	if got := p.electorate(); got != s.Electorate {
		p.Errorf("the electorate %s, not %s", got, s.Electorate)
	}
	for i, e := range s.Events {
		at := fmt.Sprintf("event %d, %s %s %s", i, e.At, e.Who, e.Does)
		if got := p.do(e); got != e.Refused {
			p.Errorf("%s: refused as %q, want %q", at, got, e.Refused)
		}
		time := p.o.Opened + e.At.Milliseconds()
		state, err := consensus.Tally(p.o, p.poll, time)
		if err != nil || state.String() != e.State {
			p.Errorf("%s: it is %s, %v; want %s", at, state, err, e.State)
		}
		if got := p.confidence(); got != *e.Confidence {
			p.Errorf("%s: confidence %d, want %d", at, got, *e.Confidence)
		}
		if e.Revealing == nil {
			continue
		}
		if got, err := consensus.Revealing(p.o, p.poll, time); err != nil || got != *e.Revealing {
			p.Errorf("%s: ballots may be revealed: %t, %v", at, got, err)
		}
	}
}

// do takes what somebody does into the poll, or says why not.
func (p *theatre) do(e scenarioEvent) (refused string) {
	who, known := p.signers[e.Who]
	vote, votes := map[string]consensus.Vote{
		"approve": consensus.Approve, "reject": consensus.Reject, "abstain": consensus.Abstain, "recuse": consensus.Recuse,
	}[e.Does]
	switch {
	case e.Does == "":
		return ""
	case !known:
		p.Fatalf("nobody is called %s", e.Who)
	case e.Does == "commit":
		p.poll.Committed = append(p.poll.Committed, who.ID())
		return ""
	case e.Does == "void":
		p.poll.Void = append(p.poll.Void, who.ID())
		return ""
	case !votes:
		p.Fatalf("nobody can %s", e.Does)
	}
	b := ballot(p.o, who.ID(), vote)
	b.Confidence = 1000
	if e.Sure != nil {
		b.Confidence = *e.Sure
	}
	v, err := consensus.VerifyBallot(sign(p, who, b), realm, p.o)
	if errors.Is(err, consensus.ErrNotVoter) {
		return "not-voter"
	}
	if err != nil {
		p.Fatal(err)
	}
	more := p.poll
	more.Ballots = append(more.Ballots[:len(more.Ballots):len(more.Ballots)], v)
	if _, err := consensus.Tally(p.o, more, p.o.Opened); errors.Is(err, consensus.ErrVoted) {
		return "voted"
	}
	p.poll = more
	return ""
}

// confidence is that of the ballots that are not void; 0 of a rule that is none.
func (p *theatre) confidence() uint64 {
	var counted []wire.Verified[consensus.Ballot]
	for _, b := range p.poll.Ballots {
		void := false
		for _, id := range p.poll.Void {
			void = void || id == b.Statement().Voter
		}
		if !void {
			counted = append(counted, b)
		}
	}
	got, err := consensus.Confidence(p.o, counted)
	if err != nil && !errors.Is(err, consensus.ErrBadRule) {
		p.Fatal(err)
	}
	return got
}

func (p *theatre) electorate() string {
	switch err := consensus.CheckElectorate(p.o, p.proposer); {
	case err == nil:
		return "can"
	case errors.Is(err, consensus.ErrUnreachable):
		return "cannot"
	case errors.Is(err, wire.ErrMalformed):
		return "malformed"
	default:
		p.Fatal(err)
		return ""
	}
}
