package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	errDenied  = fault.New(fault.Denied, "denied")
	errExpired = fault.New(fault.Expired, "expired")
)

func TestCodeOf(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, ""},
		{"without a code", io.EOF, fault.Internal},
		{"sentinel", errDenied, fault.Denied},
		{"wrapped", fmt.Errorf("call: %w", errDenied), fault.Denied},
		{"first of two", fmt.Errorf("%w: %w", errDenied, errExpired), fault.Denied},
		{"behind one without a code", fmt.Errorf("%w: %w", io.EOF, errExpired), fault.Expired},
		{"joined", errors.Join(io.EOF, errExpired), fault.Expired},
		{"with a hint", errDenied.WithHint("ask"), fault.Denied},
	} {
		if got := fault.CodeOf(row.err); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestHintOf(t *testing.T) {
	hinted := errDenied.WithHint("ask an operator")
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"without a code", io.EOF, ""},
		{"without a hint", errDenied, ""},
		{"hint", hinted, "ask an operator"},
		{"wrapped", fmt.Errorf("call: %w", hinted), "ask an operator"},
		{"second of two", fmt.Errorf("%w: %w", errExpired, hinted), "ask an operator"},
		{"cause's hint", &fault.Error{Code: fault.Internal, Err: hinted}, "ask an operator"},
		{"outermost of two", hinted.WithHint("wait"), "wait"},
		{"joined without", errors.Join(io.EOF, errDenied), ""},
	} {
		if got := fault.HintOf(row.err); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestAHintKeepsTheSentinel(t *testing.T) {
	err := fmt.Errorf("call: %w", errDenied.WithHint("ask"))
	if !errors.Is(err, errDenied) || errors.Is(err, errExpired) {
		t.Error("errors.Is does not find the sentinel alone")
	}
	if errDenied.Hint != "" {
		t.Error("the sentinel was changed")
	}
	if err.Error() != "call: denied" {
		t.Errorf("message %q", err)
	}
}

func TestRetryable(t *testing.T) {
	for code, want := range map[fault.Code]bool{
		fault.Unreachable: true, fault.NoResponder: true, fault.Pending: true, fault.Uncertain: true, fault.Rate: true,
		fault.WindowFull: true, fault.Conflict: true,
		fault.Denied: false, fault.Expired: false, fault.Replayed: false, fault.BadSignature: false, fault.Internal: false,
		fault.Spent: false, "": false,
	} {
		if got := code.Retryable(); got != want {
			t.Errorf("%q: got %v", code, got)
		}
	}
}
