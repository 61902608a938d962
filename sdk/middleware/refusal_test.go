package middleware_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
)

func TestMinLevel(t *testing.T) {
	for _, c := range []struct {
		name        string
		least, from sdk.Level
		code        code.Code
	}{
		{"at the level", identity.Apprentice, identity.Apprentice, ""},
		{"above it", identity.Apprentice, identity.Steward, ""},
		{"below it", identity.Apprentice, identity.Observer, code.Denied},
		{"no level at all", identity.Apprentice, 0, code.Denied},
		{"nothing set denies a steward", 0, identity.Steward, code.Denied},
		{"nothing set denies nobody's level too", 0, 0, code.Denied},
		{"above all levels", identity.Steward + 1, identity.Steward, code.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h counted
			_, err := middleware.MinLevel(c.least)(h.handle)(t.Context(), delivery(t, agent(t, c.from), "a"))
			wantCode(t, err, c.code)
			if c.code != "" && c.least != 0 && (!errors.Is(err, middleware.ErrLevel) || fault.HintOf(err) == "" ||
				!strings.Contains(err.Error(), "conclave trust explain agent")) {
				t.Errorf("%v does not say what to do", err)
			}
			h.want(t, map[bool]int{true: 1, false: 0}[c.code == ""])
		})
	}
}

func TestValidate(t *testing.T) {
	var h counted
	wrapped := middleware.Validate(func(content []byte) error {
		if len(content) > 3 {
			return errors.New("more than three bytes")
		}
		return nil
	})(h.handle)
	if got := mustHandle(t, wrapped, delivery(t, agent(t, 3), "abc")); got != "ABC" {
		t.Fatal(got)
	}
	_, err := wrapped(t.Context(), delivery(t, agent(t, 3), "abcd"))
	wantCode(t, err, code.InvalidInput)
	if !errors.Is(err, middleware.ErrInput) || !strings.Contains(err.Error(), "more than three bytes") {
		t.Errorf("%v", err)
	}
	h.want(t, 1)
	_, err = middleware.Validate(nil)(h.handle)(t.Context(), delivery(t, agent(t, 3), "abc"))
	wantCode(t, err, code.Denied)
	h.want(t, 1)
}

// A check's own code does not leave as if the handler had said it.
func TestValidateKeepsItsOwnCode(t *testing.T) {
	check := func([]byte) error { return sdk.Errorf(code.Unreachable, "schema store is away") }
	_, err := middleware.Validate(check)((&counted{}).handle)(t.Context(), delivery(t, agent(t, 3), "a"))
	wantCode(t, err, code.InvalidInput)
}

func TestLog(t *testing.T) {
	const secret = "card number 4111"
	from := agent(t, identity.Journeyer)
	for _, c := range []struct {
		name    string
		handler sdk.HandlerFunc
		want    []string
	}{
		{"handled", func(context.Context, *sdk.Delivery) ([]byte, error) { return []byte("four"), nil },
			[]string{`"level":"INFO"`, `"code":""`, `"in":16`, `"out":4`, `"capability":"text.upper"`, `"took":`}},
		{"refused", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			return nil, sdk.Errorf(code.InvalidInput, "cannot use %s", d.Content)
		}, []string{`"level":"WARN"`, `"code":"invalid_input"`, `"out":0`}},
		{"panicked", func(_ context.Context, d *sdk.Delivery) ([]byte, error) { panic(string(d.Content)) },
			[]string{`"level":"WARN"`, `"code":"handler_failed"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out buffer
			d := delivery(t, from, secret)
			func() {
				defer func() { _ = recover() }()
				_, _ = middleware.Log(out.logger())(c.handler)(t.Context(), d)
			}()
			for _, want := range append(c.want, d.ID().String(), from.ID.String()) {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %s in %s", want, out.String())
				}
			}
			if strings.Contains(out.String(), "4111") {
				t.Errorf("content was logged: %s", out.String())
			}
		})
	}
	var h counted
	mustHandle(t, middleware.Log(nil)(h.handle), delivery(t, from, "no logger"))
}

func TestLogNamesTheTopic(t *testing.T) {
	var out buffer
	d := delivery(t, agent(t, 3), "a")
	d.Capability, d.Topic = "", "news.today"
	mustHandle(t, middleware.Log(out.logger())((&counted{}).handle), d)
	if !strings.Contains(out.String(), `"topic":"news.today"`) {
		t.Error(out.String())
	}
}

func TestRecover(t *testing.T) {
	var out buffer
	var h counted
	if got := mustHandle(t, middleware.Recover(out.logger())(h.handle), delivery(t, agent(t, 3), "abc")); got != "ABC" {
		t.Fatal(got)
	}
	_, err := middleware.Recover(nil)(func(context.Context, *sdk.Delivery) ([]byte, error) { return nil, errPlain })(
		t.Context(), delivery(t, agent(t, 3), "a"))
	if !errors.Is(err, errPlain) {
		t.Fatalf("an error became %v", err)
	}
	for _, value := range []any{"card 4111", errors.New("card 4111"), 4111, []byte("4111"), nil} {
		answer, err := middleware.Recover(out.logger())(func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			panic(value)
		})(t.Context(), delivery(t, agent(t, 3), "4111"))
		wantCode(t, err, "handler_failed")
		if answer != nil || !errors.Is(err, middleware.ErrPanicked) {
			t.Errorf("%q %v", answer, err)
		}
	}
	if got := out.String(); strings.Contains(got, "4111") || !strings.Contains(got, "refusal_test.go") ||
		!strings.Contains(got, `"panic":"*errors.errorString"`) {
		t.Error(got)
	}
}

// What is configured wrongly denies everything.
func TestParametersThatMeanNothingDeny(t *testing.T) {
	for name, mw := range map[string]sdk.Middleware{
		"no time":       middleware.Timeout(0),
		"negative time": middleware.Timeout(-1),
		"no rate":       middleware.RateLimit(middleware.Rate{}),
		"no burst":      middleware.RateLimit(middleware.Rate{Every: 1}),
		"no interval":   middleware.RateLimit(middleware.Rate{Burst: 1}),
		"no level":      middleware.MinLevel(0),
		"no check":      middleware.Validate(nil),
	} {
		var h counted
		_, err := mw(h.handle)(t.Context(), delivery(t, agent(t, identity.Steward), "a"))
		if sdk.CodeOf(err) != code.Denied {
			t.Errorf("%s: %v", name, err)
		}
		h.want(t, 0)
	}
}
