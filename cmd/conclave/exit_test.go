package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
)

// codes returns every code that the fault package declares.
func codes(t *testing.T) []fault.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/fault/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []fault.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Code" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fault.Code(text))
		return true
	})
	if len(all) < 30 {
		t.Fatalf("found only %d codes", len(all))
	}
	return all
}

func TestEveryCodeHasAnExitStatusAndANextCommand(t *testing.T) {
	all := codes(t)
	for _, code := range all {
		f, ok := failures[code]
		if !ok || f.status < exitLocal || f.status > exitVerification || f.hint == "" {
			t.Errorf("%s: %+v", code, f)
		}
	}
	if len(all) != len(failures) {
		t.Errorf("%d codes, %d rows", len(all), len(failures))
	}
}

func TestExitStatusesAreThoseOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|.*\\| ([0-9]) \\|( yes)? \\|$").FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(failures) {
		t.Errorf("the document has %d rows, the table %d", len(rows), len(failures))
	}
	for _, row := range rows {
		code := fault.Code(row[1])
		if got := failures[code].status; strconv.Itoa(got) != row[2] {
			t.Errorf("%s: exits with %d, the document says %s", code, got, row[2])
		}
		if code.Retryable() != (row[3] != "") {
			t.Errorf("%s: retryable %v, the document says otherwise", code, code.Retryable())
		}
	}
}

func TestReport(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		guard bool
		want  int
		code  fault.Code
	}{
		{"coded", fault.New(fault.Denied, "no"), false, exitDenied, fault.Denied},
		{"wrapped", fmt.Errorf("call: %w", sdk.ErrNoResponder), false, exitNobody, fault.NoResponder},
		{"no bus", sdk.ErrNoBus, false, exitNotFound, fault.NotFound},
		{"rejected", sdk.ErrRejected, false, exitRejected, fault.Rejected},
		{"pending", errors.Join(sdk.ErrPending, context.DeadlineExceeded), false, exitPending, fault.Pending},
		{"usage", usage("bad %d", 1), false, exitUsage, fault.Usage},
		{"typed badly", asUsage(fault.New(fault.Malformed, "bad")), false, exitUsage, fault.Usage},
		{"verification", unverified{fault.New(fault.NoQuorum, "too few")}, false, exitVerification, fault.NoQuorum},
		{"guard's own", sdk.ErrRejected, true, exitGuard, fault.Rejected},
		{"the command's", exitStatus(42), true, 42, ""},
		{"the command's, joined", errors.Join(exitStatus(3), io.EOF), true, 3, ""},
		{"without a code", io.ErrUnexpectedEOF, false, exitLocal, fault.Internal},
		{"a newer node's code", fault.New("of_the_future", "?"), false, exitLocal, fault.Internal},
		{"no file", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, false, exitNotFound, fault.NotFound},
		{"locked", fmt.Errorf("open: %w", datadir.ErrInUse), false, exitLocal, fault.InUse},
		{"open to others", datadir.ErrLooseMode, false, exitLocal, fault.LooseMode},
		{"full", datadir.ErrNoSpace, false, exitLocal, fault.DiskFull},
		{"time over", context.DeadlineExceeded, false, exitNetwork, fault.Unreachable},
		{"own key file broken", agefile.ErrMalformed, false, exitUsage, fault.InvalidInput},
	} {
		var errs strings.Builder
		p := program1(strings.NewReader(""), io.Discard, &errs)
		p.flags.json = true
		if got := p.report(row.err, row.guard); got != row.want {
			t.Errorf("%s: exit %d, want %d", row.name, got, row.want)
		}
		if row.code == "" {
			if errs.Len() != 0 {
				t.Errorf("%s: reported %q", row.name, errs.String())
			}
			continue
		}
		r := decode[map[string]refusal](t, errs.String())["error"]
		if r.Code != row.code || r.Hint == "" || r.Message == "" || r.Retryable != row.code.Retryable() {
			t.Errorf("%s: %+v", row.name, r)
		}
	}
}

func TestReportForPeople(t *testing.T) {
	var errs strings.Builder
	p := program1(strings.NewReader(""), io.Discard, &errs)
	err := errors.Join(fault.New(fault.HandlerFailed, "its \x1b[2Jtext\u202e"), fault.New(fault.Usage, "a second\nline"))
	if got := p.report(err, false); got != exitLocal {
		t.Errorf("exit %d", got)
	}
	want := `conclave: its \x1b[2Jtext\u202e; a second; line (handler_failed)` + "\n"
	if got, _, _ := strings.Cut(errs.String(), "  "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
