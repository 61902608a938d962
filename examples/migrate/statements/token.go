package statements

import "strings"

// kind is what a token is.
type kind uint8

const (
	blank     kind = iota + 1 // white space or a comment
	word                      // an unquoted name, keyword or number
	quoted                    // a string, or a quoted name
	semicolon                 // the end of a statement, or of a command of a trigger
	other                     // any other character
)

// token is one token and its text; words are in upper case.
type token struct {
	kind kind
	text string
}

func (t token) is(words ...string) bool {
	if t.kind != word {
		return false
	}
	for _, w := range words {
		if t.text == w {
			return true
		}
	}
	return false
}

// scan returns the first token of s, which is not empty, and its length in bytes. It follows sqlite3GetToken
// (tokenize.c) as far as the borders of tokens matter; what SQLite would close by itself at the end of the text is
// refused.
func scan(s string) (token, int, error) {
	switch c := s[0]; {
	case isSpace(c):
		return token{kind: blank}, 1, nil
	case strings.HasPrefix(s, "--"):
		if end := strings.IndexByte(s, '\n'); end >= 0 {
			return token{kind: blank}, end + 1, nil
		}
		return token{kind: blank}, len(s), nil
	case strings.HasPrefix(s, "/*"):
		end := strings.Index(s[2:], "*/")
		if end < 0 {
			return token{}, 0, ErrUnterminated
		}
		return token{kind: blank}, 2 + end + 2, nil
	case c == '\'' || c == '"' || c == '`':
		return scanQuoted(s, c)
	case c == '[':
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return token{}, 0, ErrUnterminated
		}
		return token{quoted, s[:end+1]}, end + 1, nil
	case c == ';':
		return token{semicolon, ";"}, 1, nil
	case isWord(c):
		n := 1
		for n < len(s) && isWord(s[n]) {
			n++
		}
		return token{word, strings.ToUpper(s[:n])}, n, nil
	default:
		return token{other, s[:1]}, 1, nil
	}
}

// scanQuoted reads up to the closing quote; a doubled quote stands for itself.
func scanQuoted(s string, quote byte) (token, int, error) {
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			i++
			continue
		}
		return token{quoted, s[:i+1]}, i + 1, nil
	}
	return token{}, 0, ErrUnterminated
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// tokens returns the tokens of a statement, blanks left out.
func tokens(s string) ([]token, error) {
	var list []token
	for len(s) > 0 {
		t, n, err := scan(s)
		if err != nil {
			return nil, err
		}
		if t.kind != blank {
			list = append(list, t)
		}
		s = s[n:]
	}
	return list, nil
}
