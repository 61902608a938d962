package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// visible returns text that somebody else chose so that it cannot move the cursor, reverse the reading order, hide, or
// pass for two lines: whatever does not print is escaped as in a Go string, and so is the backslash.
func visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\\':
			b.WriteString(`\\`)
		case strconv.IsPrint(r):
			b.WriteString(s[:n])
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// quoted is visible, in quotes.
func quoted(s string) string { return strconv.Quote(s) }

// printable escapes in a JSON text what does not print, which can only stand in its strings.
func printable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case r < utf8.RuneSelf && r != 0x7f, r >= utf8.RuneSelf && strconv.IsPrint(r):
			out = append(out, b[:n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}

// emit writes a command's result: the document with --json, otherwise what text writes.
func (p *program) emit(doc any, text func(w io.Writer)) error {
	if !p.flags.json {
		text(p.stdout)
		return nil
	}
	return p.line(doc)
}

// line writes one JSON document as one line.
func (p *program) line(doc any) error {
	b, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	_, err = p.stdout.Write(append(printable(b), '\n'))
	return err
}

// table writes rows in columns under a heading. Its cells must be visible.
func table(w io.Writer, heading []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heading, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // to a terminal or pipe: who reads it sees that it ends
}

// pairs writes "name  value" lines, leaving out empty values.
func pairs(w io.Writer, rows [][2]string) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
		}
	}
	_ = t.Flush() // as in table
}

// strong sets a text off on a terminal that shows colours; the words alone say everything.
func (p *program) strong(s string) string {
	if p.flags.noColor || p.env("NO_COLOR") != "" || p.env("TERM") == "dumb" || !p.terminal(p.stdout) {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// stamp returns Unix milliseconds as RFC 3339, "" for none.
func stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// list joins texts visibly; none is a dash.
func list(texts []string) string {
	if len(texts) == 0 {
		return "-"
	}
	shown := make([]string, len(texts))
	for i, s := range texts {
		shown[i] = visible(s)
	}
	return strings.Join(shown, " ")
}

// maxInput bounds what is read from stdin or a file, in bytes.
const maxInput = 1 << 20

// input returns the one argument that may be "-" for stdin.
func (p *program) input(arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	b, err := io.ReadAll(io.LimitReader(p.stdin, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	if len(b) > maxInput {
		return nil, fault.New(fault.TooLarge, "stdin is longer than 1 MiB")
	}
	return b, nil
}

// jsonInput returns the JSON value of args[at], or of stdin for "-", or null if there is none.
func (p *program) jsonInput(args []string, at int) ([]byte, error) {
	if len(args) <= at {
		return []byte("null"), nil
	}
	b, err := p.input(args[at])
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) {
		return nil, usage("not one JSON value: %.64q", b)
	}
	return b, nil
}

// jsonOrText shows content that an agent sent: JSON as it is, anything else as a JSON string.
func jsonOrText(content []byte) json.RawMessage {
	if json.Valid(content) {
		return content
	}
	b, err := json.Marshal(string(content))
	if err != nil {
		return json.RawMessage("null") // a string always encodes
	}
	return b
}

// textLine writes one line, for emit.
func textLine(s string) func(io.Writer) { return func(w io.Writer) { fmt.Fprintln(w, s) } }
