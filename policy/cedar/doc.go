// Package cedar judges proposals by a set of Cedar policies: a [policy.Gate], and the only package that knows Cedar
// (https://docs.cedarpolicy.com).
//
//	gate, err := cedar.New("gate.cedar", text)
//	err = policy.Admit(gate, request, proposal.Class)
//
// A set only forbids. What it does not forbid is left to the realm's policy, so a permit would say nothing and is refused:
//
//	@id("no-drop")
//	forbid (principal, action == Action::"db.migrate", resource)
//	when { resource.text like "prod/*" && context.params has drop };
//
//	@id("large") @raise("R3")
//	forbid (principal, action in Action::"payments.*", resource)
//	when { context.amount > 100000 };
//
// A policy with @raise denies only what asks for a lower class than that. A policy sees
//
//	principal  Agent::"AB…" or Operator::"OB…", in Operator::"OB…" that answers for it: id, name, operator, level (0 to 5),
//	           score (per mille, in the action's class; absent if unknown)
//	action     Action::"db.migrate", in Action::"db.*" and Action::"*": kind
//	resource   Target::"prod/main": text
//	context    amount, class (0 to 3, by the realm's policy without its sums), emergency, permit, rollback, params (a record of sets of texts)
//
// It is closed: a text that does not parse is no gate, and a policy that cannot be evaluated, such as one that reads an
// attribute that is absent, denies. So does an amount that Cedar cannot hold.
package cedar
