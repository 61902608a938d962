// Package scenariofile reads scenarios for package simulate from YAML. It is strict: a key that it does not know, or that a
// population of the kind does not use, is refused with its line, and so are anchors, aliases and tags. The schema stands in
// spec/scenario.md.
package scenariofile
