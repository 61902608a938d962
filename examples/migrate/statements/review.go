package statements

import (
	"fmt"
	"slices"
	"strings"
)

// Objection says what is wrong with one statement.
type Objection struct {
	Number int    // of the statement, from 1
	Text   string // of the statement, shortened to one line
	Why    string
}

// String returns the objection in one line.
func (o Objection) String() string {
	return fmt.Sprintf("statement %d %s: %q", o.Number, o.Why, o.Text)
}

// Review returns what speaks against running the statements, each of one call of [Split]: whatever drops something,
// deletes or updates without saying which rows, replaces rows, reaches outside the database file, or is not known to
// do none of this.
func Review(list []string) []Objection {
	var found []Objection
	for i, s := range list {
		why := "cannot be read"
		if t, err := tokens(s); err == nil {
			why = judge(t)
		}
		if why != "" {
			found = append(found, Objection{Number: i + 1, Text: shorten(s), Why: why})
		}
	}
	return found
}

// Contained reports whether a statement can run in a transaction and touches nothing but the one database: no
// transaction control, ATTACH, DETACH, VACUUM, or PRAGMA but the few that are known to be harmless. What it destroys
// in the database is not the question here.
func Contained(s string) bool {
	t, err := tokens(s)
	if err != nil || len(t) == 0 {
		return false
	}
	if t[0].is("PRAGMA") {
		return pragma(t) == ""
	}
	return t[0].is("CREATE", "ALTER", "DROP", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "SELECT", "VALUES",
		"REINDEX", "ANALYZE")
}

// judge returns why one statement is objected to, or "".
func judge(t []token) string {
	if len(t) == 0 {
		return "is empty"
	}
	switch first := t[0]; {
	case first.is("SELECT", "VALUES", "REINDEX", "ANALYZE"):
		return ""
	case first.is("CREATE"):
		return created(t)
	case first.is("INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"):
		return changed(t)
	case first.is("ALTER"):
		if atTop(t, "DROP") >= 0 {
			return "drops a part of a table"
		}
		return ""
	case first.is("DROP"):
		return "drops something for ever"
	case first.is("PRAGMA"):
		return pragma(t)
	case first.is("ATTACH", "DETACH"):
		return "reaches for another database"
	case first.is("VACUUM"):
		return "rewrites or copies the whole database"
	case first.is("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"):
		return "would end or nest the one transaction"
	}
	return "is of a kind that this reviewer does not know"
}

// created judges CREATE …: the commands of a trigger's body are judged like statements.
func created(t []token) string {
	i := 1
	for i < len(t) && t[i].is("TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL") {
		i++
	}
	switch {
	case i < len(t) && t[i].is("TABLE", "INDEX", "VIEW"):
		return ""
	case i == len(t) || !t[i].is("TRIGGER"):
		return "creates something that this reviewer does not know"
	}
	begin := slices.IndexFunc(t, func(t token) bool { return t.is("BEGIN") })
	if begin < 0 {
		return "is a trigger without a body"
	}
	for body := t[begin+1:]; len(body) > 0; {
		end := slices.IndexFunc(body, func(t token) bool { return t.kind == semicolon })
		if end < 0 || body[0].is("END") {
			break
		}
		if why := judge(body[:end]); why != "" {
			return "makes a trigger that " + why
		}
		body = body[end+1:]
	}
	return ""
}

// changed judges what changes rows, also behind common table expressions.
func changed(t []token) string {
	verb := atTop(t, "INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "VALUES")
	if verb < 0 {
		return "is of a kind that this reviewer does not know"
	}
	switch t = t[verb:]; {
	case t[0].is("REPLACE"), len(t) > 2 && t[1].is("OR") && t[2].is("REPLACE"):
		return "deletes the rows that it replaces"
	case t[0].is("DELETE") && !selective(t):
		return "deletes every row"
	case t[0].is("UPDATE") && !selective(t):
		return "overwrites every row"
	}
	return ""
}

// selective reports whether a statement has a WHERE of its own that names something: one of constants chooses no rows.
func selective(t []token) bool {
	where := atTop(t, "WHERE")
	if where < 0 {
		return false
	}
	condition := t[where+1:]
	if end := atTop(condition, "RETURNING", "ORDER", "LIMIT"); end >= 0 {
		condition = condition[:end]
	}
	for _, t := range condition {
		constant := t.is("TRUE", "FALSE", "NULL", "NOT", "AND", "OR", "IS", "IN", "LIKE", "BETWEEN") ||
			t.kind == word && t.text[0] >= '0' && t.text[0] <= '9'
		name := t.kind == word && !constant || t.kind == quoted && t.text[0] != '\''
		if name {
			return true
		}
	}
	return false
}

// atTop returns the place of the first of the words outside all parentheses, or -1.
func atTop(t []token, words ...string) int {
	depth := 0
	for i, t := range t {
		switch {
		case t.kind == other && t.text == "(":
			depth++
		case t.kind == other && t.text == ")":
			depth--
		case depth == 0 && t.is(words...):
			return i
		}
	}
	return -1
}

// pragma judges PRAGMA …: only these are known to change nothing but a number, or nothing.
func pragma(t []token) string {
	i := 1
	if len(t) > 3 && t[2].text == "." {
		i = 3
	}
	if i < len(t) && t[i].is("USER_VERSION", "APPLICATION_ID", "DEFER_FOREIGN_KEYS", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK") {
		return ""
	}
	return "changes how SQLite treats the file"
}

const shown = 80 // characters of a statement in an objection

func shorten(s string) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > shown {
		return string(r[:shown]) + "…"
	}
	return string(r)
}
