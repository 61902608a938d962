package policyfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Marshal returns a complete policy file with comments; [Parse] reads exactly p from it. Error: a [*policy.Fault] if p
// does not pass Check.
func Marshal(p policy.Policy) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, head, p.Preset, p.Enrol, p.Loosen)
	b.WriteString(aboutLevels)
	for i, l := range p.Levels {
		writeLevel(&b, identity.Level(i), l)
	}
	b.WriteString(aboutKinds)
	if len(p.Kinds) == 0 {
		b.WriteString("kinds: []\n")
	} else {
		b.WriteString("kinds:\n")
	}
	for _, k := range p.Kinds {
		verdict := "class: " + k.Class.String()
		if k.Deny {
			verdict = "deny: true"
		}
		fmt.Fprintf(&b, "  - match: %q\n    %s\n", k.Pattern, verdict)
		writeSteps(&b, k)
		writeWhen(&b, k)
	}
	b.WriteString(aboutClasses)
	for i, r := range p.Classes {
		writeRule(&b, consensus.Class(i), r)
	}
	fmt.Fprintf(&b, plainTopics, list(p.Plain))
	writeEmergency(&b, p.Emergency)
	fmt.Fprintf(&b, leases, span(p.Lease.Millis()), leaseEnd(p.Lease))
	writeTrust(&b, p.Params())
	writeLadder(&b, p.Ladder())
	return []byte(b.String()), nil
}

const head = `# The realm's policy. Its digest stands in the genesis: every node and every guard holds exactly this policy, and
# only the quorum that it names can replace it. What is not allowed here is denied.

# solo: one person governs, and may approve what own agents propose.
# standard: what loosens needs several people; votes of the proposer's own operator never count.
# strict: standard, and R2 and R3 hold out against lying voters and voters that are too alike.
# A field that this file does not name has the preset's value.
preset: %s

# The highest level that one operator's token gives a new agent, L3 at most. More needs the quorum.
enrol_level: %s

# How many distinct operators must sign what loosens: more rights, a higher level, an end of quarantine.
loosen: %d
`

const aboutLevels = `
# What an agent of each level may do. Patterns: a name (db.read), a name and all below it (db.*), or "*".
#   call, serve         capabilities it may call; capabilities it may serve, if its token grants them too
#   publish, subscribe  topics it may write; topics it may read
#   propose, weight     may open decisions; the weight of its vote, 0 for none
#   alone               the highest class of action it decides by itself: none, R0, R1 or R2, never R3
levels:
`

const aboutKinds = `
# The class of each kind of action; the most specific match counts, an action that nothing matches is R3.
#   R0  read, report
#   R1  reversible, in its own scope
#   R2  hard to reverse, or in others' scope
#   R3  irreversible, external, money, safety, or the realm's own rules
# "deny: true" in place of a class: nobody may do it, whoever approves.
# "window" and "steps" raise the class by a sum: of the amounts of all such actions on the same target that the
# proposer's operator and its agents have done, or may still do, in the window, at most 720h. An amount is at least 1.
#     window: 24h
#     steps: [{above: 1000, class: R2}, {above: 100000, class: R3}]
# "when" raises the class of one action, or denies it, by what it says: its target, a value of one of its parameters,
# its own amount; several in one entry must all hold, or with "not: true" not all. "*" in a text is any text. Texts are
# compared as they stand: rather say what is allowed, with not, than list what is forbidden.
#     when:
#       - {target: "prod/*", class: R3}
#       - {param: drop, value: "*", deny: true}
#       - {target: "/srv/*", not: true, class: R2}
`

const aboutClasses = `
# What a decision of each class needs where the proposer's level does not decide alone. A class needs at least what the
# class below it needs.
#   approvals        voters that must approve
#   people           of them, operators: a person each. Any person's rejection is a veto
#   operators        distinct operators that answer for the approvers
#   share_per_mille  of the whole electorate's weight that must approve; silence counts against
#   own              the proposer's own operator may approve (solo only)
#   deadline         from the proposal until silence rejects, at most 168h
#   window           from the approval in which the action may be begun, at most 24h
#   commit           how long agents commit to hidden ballots, and as long again to reveal them; 0s: open ballots
#   confidence_per_mille    how sure the voters are together, as far as that has proved true: 0, or at least 800
#   faults                  lying voters to tolerate: of n voters (n + faults)/2 + 1 approve, and n is over 3 x faults
#   families                distinct model families among the agents that approve
#   operator_cap_per_mille  what one operator's voters count of the electorate's weight at most; 0: no cap
#   family_cap_per_mille    what the agents of one model family count of it at most; 0: no cap
#   stewards                rejections by L5 agents of so many operators are a veto; 0: never
classes:
`

const plainTopics = `
# Topics whose messages are signed but not encrypted, as patterns: every node reads them, and so does every agent whose
# level may subscribe. Messages of all other topics are encrypted to their readers.
plain: %s
`

const aboutEmergency = `
# Break-glass: so many people of distinct operators decide at once on these kinds, whatever their class needs, and
# everybody is told. While one is left without review for longer, there are no others. "emergency: none": nobody may.
`

func writeSteps(b *strings.Builder, k policy.Kind) {
	if len(k.Steps) == 0 {
		return
	}
	steps := make([]string, len(k.Steps))
	for i, s := range k.Steps {
		steps[i] = fmt.Sprintf("{above: %d, class: %s}", s.Above, s.Class)
	}
	fmt.Fprintf(b, "    window: %s\n    steps: [%s]\n", span(k.Window), strings.Join(steps, ", "))
}

func writeEmergency(b *strings.Builder, e *policy.Emergency) {
	b.WriteString(aboutEmergency)
	if e == nil {
		b.WriteString("emergency: " + none + "\n")
		return
	}
	fmt.Fprintf(b, "emergency:\n  kinds: %s\n  people: %d\n  deadline: %s\n  window: %s\n  review: %s\n",
		list(e.Kinds), e.People, span(e.Deadline), span(e.Window), span(e.Review))
}

const leases = `
# For how long a node of several acts on its copy of the registry without a sign that a majority had it (1s to 60s; a
# quarantine reaches agents at a node that is cut off when that has passed), and what it does then:
#   stop      disconnects everybody
#   restrict  admits nobody, and lets those that are connected go on with what is R0 by the list of kinds, nothing else
lease:
  length: %s
  end: %s
`

func writeLevel(b *strings.Builder, level identity.Level, l policy.Level) {
	fmt.Fprintf(b, "  %s: # %s", level, level.Word())
	if level == identity.Quarantined {
		b.WriteString(", has no rights")
	}
	r := l.Rights
	fmt.Fprintf(b, "\n    call: %s\n    serve: %s\n    publish: %s\n    subscribe: %s\n",
		list(r.Call), list(r.Serve), list(r.Publish), list(r.Subscribe))
	writeLimits(b, r)
	alone := none
	if l.Alone > 0 {
		alone = consensus.Class(l.Alone - 1).String()
	}
	fmt.Fprintf(b, "    alone: %s\n", alone)
}

func writeLimits(b *strings.Builder, r trust.Rights) {
	fmt.Fprintf(b, "    rate_per_minute: %d\n    max_payload_bytes: %d\n    propose: %t\n    weight: %d\n",
		r.Rate, r.MaxPayload, r.Propose, r.Weight)
}

func leaseEnd(l policy.Lease) string {
	if l.Restrict {
		return endsRestricted
	}
	return endsStopped
}

func writeRule(b *strings.Builder, c consensus.Class, r consensus.Rule) {
	fmt.Fprintf(b, "  %s:\n    approvals: %d\n    people: %d\n    operators: %d\n    share_per_mille: %d\n    own: %t\n",
		c, r.Approvals, r.People, r.Operators, r.Share, r.Own)
	fmt.Fprintf(b, "    deadline: %s\n    window: %s\n    commit: %s\n", span(r.Deadline), span(r.Window), span(r.Commit))
	fmt.Fprintf(b, "    confidence_per_mille: %d\n    faults: %d\n    families: %d\n", r.Confidence, r.Faults, r.Families)
	fmt.Fprintf(b, "    operator_cap_per_mille: %d\n    family_cap_per_mille: %d\n", r.OperatorCap, r.FamilyCap)
	fmt.Fprintf(b, "    stewards: %d\n", r.Stewards)
}

func list(patterns []string) string {
	quoted := make([]string, len(patterns))
	for i, p := range patterns {
		quoted[i] = strconv.Quote(p)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// span writes milliseconds in the largest unit that holds them whole: 4h, 15m, 30s, 1500ms; none as 0s.
func span(ms int64) string {
	if ms == 0 {
		return "0s"
	}
	d := time.Duration(ms) * time.Millisecond
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(ms, 10) + "ms"
}
