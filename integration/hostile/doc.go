// Package hostile attacks a realm of three nodes from within: one of them is replaced by a node of the tests' own, which
// has its key and its data directory, speaks every protocol that nodes speak, and lies. Each test shows the honest twin
// of an attack accepted first. There is nothing but tests here.
package hostile
