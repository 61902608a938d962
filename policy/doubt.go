package policy

import (
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Doubts returns what a policy that passes Check says in vain, or hardly means: by path and reason as faults are, in the
// order of a policy file. They refuse nothing. With roots, how many root operators the realm has, or 0, it also says what so
// few people cannot do by themselves.
func (p Policy) Doubts(roots int) []*Fault {
	var d doubts
	for i := range p.Levels {
		d.level(p, i)
	}
	for _, k := range p.Kinds {
		d.kind(p, k)
	}
	d.classes(p)
	d.topics(p)
	if p.Emergency != nil {
		d.emergency(p)
	}
	for i, r := range p.Ladder() {
		d.rung(r, "ladder."+identity.Level(i+1).String(), roots)
	}
	return d
}

type doubts []*Fault

func (d *doubts) add(path, format string, args ...any) {
	*d = append(*d, refuse(path, format, args...).(*Fault))
}

func (d *doubts) level(p Policy, i int) {
	path, l := "levels."+identity.Level(i).String(), p.Levels[i]
	r := l.Rights
	if i == 0 {
		return
	}
	if !r.Propose && len(r.Call)+len(r.Serve)+len(r.Publish)+len(r.Subscribe) == 0 && r.Weight == 0 {
		d.add(path, "may do nothing")
	}
	if l.Alone > 0 && !r.Propose {
		d.add(path+".alone", "is in vain: the level may not propose")
	}
	for _, pattern := range r.Call {
		if !anyLevel(p, pattern, func(r trust.Rights) []string { return r.Serve }) {
			d.add(path+".call", "%q is in vain: no level may serve it", pattern)
		}
	}
	if i == 1 {
		return
	}
	below := p.Levels[i-1]
	if l.Alone < below.Alone {
		d.add(path+".alone", "is less than that of the level below")
	}
	if r.Weight < below.Rights.Weight {
		d.add(path+".weight", "is less than that of the level below")
	}
	if below.Rights.Propose && !r.Propose {
		d.add(path+".propose", "is false where the level below may propose")
	}
}

// anyLevel reports whether a name that the pattern matches is also in one of the levels' lists.
func anyLevel(p Policy, pattern string, list func(trust.Rights) []string) bool {
	return slices.ContainsFunc(p.Levels, func(l Level) bool { return overlaps(list(l.Rights), pattern) })
}

func overlaps(list []string, pattern string) bool {
	return slices.ContainsFunc(list, func(other string) bool { return narrower(pattern, other) != "" })
}

func (d *doubts) kind(p Policy, k Kind) {
	path := "kinds." + k.Pattern
	if wider, ok := shadow(p, k); ok {
		d.add(path, "is in vain: %s says the same", wider)
	}
	if k.Pattern == "*" && !k.Deny && len(k.When) == 0 && len(k.Steps) == 0 {
		d.add(path, "is in vain: an action of no known kind is R3")
	}
	if reaches(k.Pattern) && k.Pattern != "*" && !k.Deny && p.Rule(k.Class).People == 0 {
		d.add(path, "is about the realm's own rules or members, and %s needs no person", k.Class)
	}
	for i, w := range k.When {
		for j, other := range k.When {
			if i != j && other.stronger(w) {
				d.add(fmt.Sprintf("%s/when[%d]", path, i), "is in vain: entry %d asks for the same and does more", j+1)
				break
			}
		}
		if w.Target == "*" && w.Param == "" && w.Above == 0 {
			d.add(fmt.Sprintf("%s/when[%d]", path, i), "applies to every action, or with not to none: give the kind that class")
		}
	}
}

// shadow returns the pattern that would hold for all of the kind's names if it were not there, and says the same.
func shadow(p Policy, k Kind) (pattern string, ok bool) {
	var wider Kind
	for _, other := range p.Kinds {
		if other.Pattern != k.Pattern && covers(other.Pattern, k.Pattern) && len(other.Pattern) > len(wider.Pattern) {
			wider = other
		}
	}
	plain := len(k.Steps)+len(wider.Steps)+len(k.When)+len(wider.When) == 0 // sums are by pattern: leave those alone
	return wider.Pattern, wider.Pattern != "" && plain && wider.Class == k.Class && wider.Deny == k.Deny
}

// stronger reports whether the condition applies wherever the other does, and does at least as much.
func (w When) stronger(other When) bool {
	same := w
	same.Class, same.Deny = other.Class, other.Deny
	return same == other && (w.Deny || !other.Deny && w.Class > other.Class)
}

func (d *doubts) classes(p Policy) {
	weighty := slices.ContainsFunc(p.Levels, func(l Level) bool { return l.Rights.Weight > 0 })
	for i, r := range p.Classes {
		path := "classes." + consensus.Class(i).String()
		if !weighty && (r.Families > 0 || r.Confidence > 0) {
			d.add(path, "is about agents' votes, and no level has a weight")
		}
		if r.Commit > 0 && !weighty {
			d.add(path+".commit", "is in vain: no level has a weight, and people do not commit")
		}
	}
}

func (d *doubts) topics(p Policy) {
	for _, pattern := range p.Plain {
		if !anyLevel(p, pattern, func(r trust.Rights) []string { return r.Publish }) {
			d.add("plain", "%q is in vain: no level may publish it", pattern)
		}
	}
}

func (d *doubts) emergency(p Policy) {
	for _, pattern := range p.Emergency.Kinds {
		if k, known := p.kind(pattern); known && k.Deny {
			d.add("emergency.kinds", "%q is in vain: %s is denied whoever approves", pattern, k.Pattern)
		}
	}
}

func (d *doubts) rung(r trust.Rung, path string, roots int) {
	if roots <= 0 {
		return
	}
	if r.Foreign >= uint64(roots) {
		d.add(path+".foreign", "needs %d operators beside the agent's own: with %d roots, others must be added", r.Foreign, roots)
	} else if r.People > uint64(roots) {
		d.add(path+".people", "needs %d operators: with %d roots, others must be added", r.People, roots)
	}
	if r.Operators >= uint64(roots) {
		d.add(path+".operators", "needs outcomes by %d operators beside the agent's own: with %d roots, others must be added",
			r.Operators, roots)
	}
}
