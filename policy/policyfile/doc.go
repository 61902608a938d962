// Package policyfile reads and writes a [policy.Policy] as a YAML file that a person edits, and is the only package of
// the policy that knows YAML.
//
//	p, err := policyfile.Load("conclave.yaml")
//	text, err := policyfile.Marshal(p) // complete, with comments
//
// A file names a preset and then only what differs from it:
//
//	preset: standard
//	loosen: 3
//	classes:
//	  R2: {approvals: 3}
//
// Every field that is not named keeps the preset's value; a list that is named replaces the preset's list, kinds too.
// An action of no kind that is listed is R3, so leaving a kind out never loosens.
//
// [Lint] names all that is wrong with a file, where Parse stops at the first, and what is doubtful. [ParseCases] reads a
// table of what a policy must make of actions, and [Case.Try] tries a row of it.
//
// Reading is strict: unknown and doubled keys, values of another type, aliases, tags, merge keys and a second document
// are refused, and so is every policy that [policy.Policy.Check] refuses. Each refusal is a [*Refusal] with the line.
package policyfile
