// Package spec holds no code: it is the written form of everything conclave signs (the *.md files and conclave.cddl),
// the vectors that another implementation can run, and the tests that hold prose, vectors and code together.
package spec
