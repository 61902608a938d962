package guardexec

import (
	"crypto/sha256"
	"slices"
)

// A Description says exactly what a prepared command is. Equal commands have equal descriptions: the lists are in a
// fixed order and nothing in them depends on time or on descriptor numbers.
type Description struct {
	Argv        []string // as given, {bind:N} not replaced
	Dir         string   // absolute, without links
	Env         []string // "NAME=VALUE", sorted by name, each name once; not nil
	Executable  File     // the command; a script if Interpreter is set
	Interpreter *File    // nil unless Executable is a script
	Bound       []File   // in the order of the request: {bind:1} is Bound[0]
	Sealed      bool     // true: nobody can change the copies; false: private files that the same user could change
}

// A File is one copied file.
type File struct {
	Path   string            // absolute path it was copied from
	Digest [sha256.Size]byte // SHA-256 of the copy
	Size   int64             // length of the copy in bytes
}

func (d Description) clone() Description {
	d.Argv, d.Env, d.Bound = slices.Clone(d.Argv), slices.Clone(d.Env), slices.Clone(d.Bound)
	if d.Interpreter != nil {
		interpreter := *d.Interpreter
		d.Interpreter = &interpreter
	}
	return d
}
