package checks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// form is what an action of one kind looks like.
type form struct {
	target *regexp.Regexp
	params map[string]*regexp.Regexp // each is needed, and there are no others
	lists  []string                  // of them, those that may have several values
}

var forms = map[string]form{
	"file.write": {
		target: regexp.MustCompile(`^(src|docs|config|test)(/[a-z0-9_-]+)*/[a-z0-9_-]+\.(go|md|yaml|json|txt)$`),
		params: map[string]*regexp.Regexp{
			"mode": regexp.MustCompile(`^0(600|640|644|755)$`), "content": regexp.MustCompile(`(?s)^.{1,1000}$`),
		},
	},
	"db.migrate": {
		target: regexp.MustCompile(`^(shop|billing|audit)$`),
		params: map[string]*regexp.Regexp{
			"sql": regexp.MustCompile(
				`^(ALTER TABLE \w+ ADD COLUMN \w+ \w+|CREATE (UNIQUE )?INDEX \w+ ON \w+ \([\w, ]+\)|CREATE TABLE \w+ \([\w, ]+\)|UPDATE \w+ SET \w+ = \S+ WHERE .+)$`),
			"rows": regexp.MustCompile(`^\d{1,9}$`), "backup": regexp.MustCompile(`^snapshot-\d{8}$`),
		},
	},
	"payments.transfer": {
		target: regexp.MustCompile(`^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$`),
		params: map[string]*regexp.Regexp{
			"payee": regexp.MustCompile(`^[a-z-]+$`), "currency": regexp.MustCompile(`^EUR$`), "invoice": regexp.MustCompile(`^INV-\d{5}$`),
			"lines": regexp.MustCompile(`^\d{1,9}$`), "memo": regexp.MustCompile(`^[\w ,.-]{1,80}$`),
		},
		lists: []string{"lines"},
	},
	"deploy.release": {
		target: regexp.MustCompile(`^(staging|production)/(web|api|worker)$`),
		params: map[string]*regexp.Regexp{
			"image": regexp.MustCompile(`^registry\.example\.org/[a-z]+@sha256:[0-9a-f]{64}$`), "replicas": regexp.MustCompile(`^\d{1,3}$`),
			"canary": regexp.MustCompile(`^\d{1,3}$`), "command": regexp.MustCompile(`^/app/[a-z]+( --[a-z]+=[a-z0-9.:-]+)*$`),
		},
	},
}

// shape holds an action to the form of its kind.
func shape(a sdk.Action) string {
	f, known := forms[a.Kind]
	if !known {
		return fmt.Sprintf("no form for %q", a.Kind)
	}
	if !f.target.MatchString(a.Target) || strings.Contains(a.Target, "..") {
		return fmt.Sprintf("target %.60q has another form", a.Target)
	}
	for _, p := range a.Params {
		wanted, known := f.params[p.Name]
		switch {
		case !known:
			return fmt.Sprintf("%.60q does not belong there", p.Name)
		case len(p.Values) != 1 && !slices.Contains(f.lists, p.Name) || len(p.Values) == 0:
			return fmt.Sprintf("%s has %d values", p.Name, len(p.Values))
		}
		for _, v := range p.Values {
			if !wanted.MatchString(v) {
				return fmt.Sprintf("%s %.60q has another form", p.Name, v)
			}
		}
	}
	if len(a.Params) != len(f.params) {
		return fmt.Sprintf("%d of %d parameters", len(a.Params), len(f.params))
	}
	return ""
}
