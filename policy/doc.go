// Package policy says what each autonomy level may do, what class an action has, and what a decision of each class
// needs. A [Policy] is a value: its digest stands in the realm's genesis, every node and every guard holds the same
// bytes, and only the quorum that it names itself may replace it.
//
//	p, err := policy.Preset("standard")
//	class, err := p.Classify(action, consensus.R0) // an action of no known kind is R3
//	rule := p.Rule(class)
//
// What is absent is denied: an unknown level has no rights, an unknown class has R3's rule, an unknown kind of action
// is R3, a topic that is not named plain is encrypted, a node whose lease has ended serves nobody, and there is no emergency
// but for the kinds that are listed.
// Refused by [Policy.Check]: rules that nobody need meet or that nobody can meet, a rule for R3 that agents alone could
// meet, own votes outside a solo realm, a higher class with a weaker rule than a lower one (a proposer may raise the
// class), sums that do not raise the class, an emergency that reaches the realm's own rules, a level that decides R3
// alone, and L0 with any right.
//
// A kind's class is what its pattern says; sums ([Step]) and what an action says of itself ([When]) may raise it, or deny the
// action, and never lower it. Trust's parameters and ladder are part of the policy: [Policy.Params], [Policy.Ladder]. Refused
// are those that trust refuses, a rung that no person signs off, and in a solo realm one that one person cannot.
// A [Gate] is a node's own further judgement of proposals, which may only deny or ask for a higher class: see [Admit] and
// policy/cedar.
//
// The package is pure: no clock, socket, goroutine, float or randomness. Files are policy/policyfile's business.
package policy
