package checks

import (
	"fmt"
	"path"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Where actions may reach, as globs: of files, tables, payees and images. What is denied stays denied where it is allowed too.
var (
	allowed = map[string][]string{
		"file":  {"src/*", "src/*/*", "docs/*", "docs/*/*", "config/*.yaml", "config/*.json", "test/*", "test/*/*"},
		"table": {"orders", "items", "customers", "carts", "invoices", "events", "coupons"},
		"payee": {"supplier-*", "cloud-*", "office-*"},
		"image": {"registry.example.org/*"},
		"place": {"staging/*", "production/web", "production/api", "production/worker"},
	}
	denied = map[string][]string{
		"file":  {"*.pem", "*.key", "*.env", ".env*", "authorized_keys", "ci.yaml"}, // by their last element
		"table": {"ledger_*", "users", "audit_*"},
		"payee": {"*-holdings", "*-consulting"},
	}
)

// paths looks where an action reaches.
func paths(a sdk.Action) string {
	for _, at := range places(a) {
		kind, name := at[0], at[1]
		if kind == "file" {
			if path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "..") {
				return fmt.Sprintf("%.60q leaves its folder", name)
			}
			if matches(denied[kind], path.Base(name)) {
				return fmt.Sprintf("nobody writes %.60q", name)
			}
		}
		if matches(denied[kind], name) {
			return fmt.Sprintf("%s %.60q is denied", kind, name)
		}
		if !matches(allowed[kind], name) {
			return fmt.Sprintf("%s %.60q is not allowed", kind, name)
		}
	}
	return ""
}

// places returns everything that an action reaches, each with what it is.
func places(a sdk.Action) [][2]string {
	switch a.Kind {
	case "file.write":
		return [][2]string{{"file", a.Target}}
	case "payments.transfer":
		return [][2]string{{"payee", value(a, "payee")}}
	case "deploy.release":
		image, _, _ := strings.Cut(value(a, "image"), "@")
		return [][2]string{{"place", a.Target}, {"image", image}}
	case "db.migrate":
		var found [][2]string
		words := strings.FieldsFunc(value(a, "sql"), func(r rune) bool { return strings.ContainsRune(" ();,", r) })
		for i, w := range words[:max(0, len(words)-1)] {
			switch strings.ToUpper(w) {
			case "TABLE", "UPDATE", "FROM", "INTO", "ON":
				found = append(found, [2]string{"table", words[i+1]})
			}
		}
		return found
	}
	return [][2]string{{"kind", a.Kind}}
}

func matches(globs []string, name string) bool {
	for _, g := range globs {
		if ok, err := path.Match(g, name); ok && err == nil {
			return true
		}
	}
	return false
}
