package main

import (
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"plain text, ünïcödé, 漢字", "plain text, ünïcödé, 漢字"},
		{"", ""},
		{"\x1b[31mred", `\x1b[31mred`},
		{"two\nlines\r\t", `two\nlines\r\t`},
		{"pay \u202eEUR 001", `pay \u202eEUR 001`},
		{"\u2066isolate\u2069", `\u2066isolate\u2069`},
		{"zero\u200bwidth\ufeff", `zero\u200bwidth\ufeff`},
		{"\u2028separator", `\u2028separator`},
		{"a\u00a0b", `a\u00a0b`},
		{"\xff\xfe", `\xff\xfe`},
		{`\x1b`, `\\x1b`},
		{"\u009b31m", `\u009b31m`},
		{"\x7f", `\x7f`},
	} {
		if got := visible(row.in); got != row.want {
			t.Errorf("%q: got %q, want %q", row.in, got, row.want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[0m", "\u202e", "\xff", `\`, `0\'`, `\"`, "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if strings.ContainsFunc(got, func(r rune) bool { return !strconv.IsPrint(r) }) || !utf8.ValidString(got) {
			t.Errorf("%q shows as %q", s, got)
		}
		// Nothing is lost: two texts never look the same.
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(got, `"`, `\"`) + `"`)
		if err != nil || back != s {
			t.Errorf("%q shows as %q, which reads %q: %v", s, got, back, err)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{`"a"`, `{"a":"` + "\u202e" + `"}`, `["` + "\U000e0001\x7f" + `"]`, "1 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var before, after any
		if json.Unmarshal([]byte(s), &before) != nil {
			return
		}
		got := printable([]byte(s))
		if err := json.Unmarshal(got, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q: %v", s, got, err)
		}
		if strings.ContainsFunc(string(got), func(r rune) bool { return r > ' ' && !strconv.IsPrint(r) }) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestEmit(t *testing.T) {
	doc := map[string]string{"reason": "\u202ex\x1b\U000e0001"}
	for _, row := range []struct {
		json bool
		want string
	}{
		{true, `{"reason":"\u202ex\u001b\udb40\udc01"}` + "\n"},
		{false, "text\n"},
	} {
		var out strings.Builder
		p := program1(nil, &out, io.Discard)
		p.flags.json = row.json
		if err := p.emit(doc, textLine("text")); err != nil || out.String() != row.want {
			t.Errorf("got %q, want %q: %v", out.String(), row.want, err)
		}
	}
}

func TestJSONOrText(t *testing.T) {
	for in, want := range map[string]string{`{"a":1}`: `{"a":1}`, "text": `"text"`, "": `""`, "\xff": `"\ufffd"`} {
		if got := string(jsonOrText([]byte(in))); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestStrong(t *testing.T) {
	for _, row := range []struct {
		name     string
		terminal bool
		flag     bool
		env      map[string]string
		want     bool
	}{
		{"terminal", true, false, nil, true},
		{"pipe", false, false, nil, false},
		{"flag", true, true, nil, false},
		{"NO_COLOR", true, false, map[string]string{"NO_COLOR": "1"}, false},
		{"dumb terminal", true, false, map[string]string{"TERM": "dumb"}, false},
	} {
		p := newProgram(nil, io.Discard, io.Discard, func(k string) string { return row.env[k] }, func(any) bool { return row.terminal })
		p.flags.noColor = row.flag
		if got := p.strong("x") != "x"; got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestConfirm(t *testing.T) {
	for _, row := range []struct {
		name     string
		terminal bool
		noInput  bool
		typed    string
		asked    bool
		ok       bool
	}{
		{"yes", true, false, "yes\n", true, true},
		{"y", true, false, "Y\nrest", true, true},
		{"no", true, false, "n\n", true, false},
		{"nothing", true, false, "\n", true, false},
		{"end of input", true, false, "", true, false},
		{"no terminal", false, false, "n\n", false, true},
		{"no input", true, true, "n\n", false, true},
	} {
		var errs strings.Builder
		p := newProgram(strings.NewReader(row.typed), io.Discard, &errs, func(string) string { return "" }, func(any) bool { return row.terminal })
		p.flags.noInput = row.noInput
		if err := p.confirm("sure?"); (err == nil) != row.ok || (errs.Len() > 0) != row.asked {
			t.Errorf("%s: %v, asked %q", row.name, err, errs.String())
		}
	}
}

func TestInput(t *testing.T) {
	p := program1(strings.NewReader(`{"a":1}`), io.Discard, io.Discard)
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"t"}, "null"}, {[]string{"t", `[1]`}, "[1]"}, {[]string{"t", "-"}, `{"a":1}`},
	} {
		if got, err := p.jsonInput(row.args, 1); err != nil || string(got) != row.want {
			t.Errorf("%q: %q %v", row.args, got, err)
		}
	}
	if _, err := p.jsonInput([]string{"t", "{"}, 1); codeOf(err) != "usage" {
		t.Errorf("half an object: %v", err)
	}
	long := program1(strings.NewReader(strings.Repeat("1", maxInput+1)), io.Discard, io.Discard)
	if _, err := long.jsonInput([]string{"t", "-"}, 1); codeOf(err) != "too_large" {
		t.Errorf("too long: %v", err)
	}
}
