// Package statements reads SQL as SQLite does, far enough to cut a file into statements and to find those that destroy
// something. It is the first of the two reviewers of the example migrate, and depends on nothing:
//
//	list, err := statements.Split(sql)
//	objections := statements.Review(list) // none: approve
//
// It judges by what it knows to be harmless: a statement that it does not know is objected to.
package statements

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	// ErrUnterminated is returned for a string, quoted name or comment that never ends.
	ErrUnterminated = errors.New("statements: a string, quoted name or comment does not end")
	// ErrText is returned for text that SQLite might read otherwise than its readers do: not UTF-8, or with a zero
	// byte or a byte order mark.
	ErrText = errors.New("statements: not plain UTF-8 text")
	// ErrEmpty is returned for a text without any statement.
	ErrEmpty = errors.New("statements: no statement")
)

// Split cuts SQL into its statements. Each has its semicolon, and the blanks and comments around it, so that all of
// them joined are exactly the text. Triggers, whose bodies hold semicolons, stay whole. Errors: ErrUnterminated,
// ErrText, ErrEmpty.
func Split(sql string) ([]string, error) {
	if !utf8.ValidString(sql) || strings.ContainsAny(sql, "\x00\ufeff") {
		return nil, ErrText
	}
	var list []string
	at, begin, state := 0, 0, start
	for at < len(sql) {
		t, n, err := scan(sql[at:])
		if err != nil {
			return nil, err
		}
		at += n
		empty := state == start
		state = state.next(t)
		if state == start && !empty {
			list, begin = append(list, sql[begin:at]), at
		}
	}
	rest := sql[begin:]
	switch {
	case state != start:
		list = append(list, rest)
	case len(list) == 0:
		return nil, ErrEmpty
	default:
		list[len(list)-1] += rest
	}
	return list, nil
}

// A state is where in a statement the splitter is: the machine of sqlite3_complete (SQLite, complete.c).
type state uint8

const (
	start     state = iota // before a statement
	normal                 // in one that ends at the next semicolon
	explain                // after EXPLAIN
	create                 // after CREATE, CREATE TEMP
	trigger                // in CREATE TRIGGER
	commandOf              // in it, after a semicolon
	endOf                  // in it, after a semicolon and END
)

func (s state) next(t token) state {
	if t.kind == blank {
		return s
	}
	if t.kind == semicolon {
		if s == trigger || s == commandOf {
			return commandOf
		}
		return start
	}
	switch s {
	case start:
		switch {
		case t.is("EXPLAIN"):
			return explain
		case t.is("CREATE"):
			return create
		}
		return normal
	case explain:
		switch {
		case t.is("CREATE"):
			return create
		case t.is("EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"):
			return normal
		}
		return explain
	case create:
		if t.is("TEMP", "TEMPORARY") {
			return create
		}
		if t.is("TRIGGER") {
			return trigger
		}
		return normal
	case commandOf:
		if t.is("END") {
			return endOf
		}
		return trigger
	case trigger, endOf:
		return trigger
	}
	return normal
}
