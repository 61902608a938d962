package policyfile_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/policy/policyfile"
	"github.com/seed-3e86d5b2/conclave/trust"
)

const page = "../../docs/policy.md"

// blocks returns what the page shows in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, part := range strings.Split(string(text), "\n```") {
		if block, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			out = append(out, block+"\n")
		}
	}
	return out
}

// What the page shows is read, and its policies have the faults that it does not show: none.
func TestPageIsRead(t *testing.T) {
	policies, tables := 0, 0
	for _, block := range blocks(t, "yaml") {
		if strings.HasPrefix(block, "cases:") {
			cases(t, block)
			tables++
			continue
		}
		if _, found := policyfile.Lint(page, []byte(block), 0); len(found) > 0 {
			t.Errorf("%+v in\n%s", found, block)
		}
		policies++
	}
	if policies < 2 || tables < 1 {
		t.Errorf("%d policies and %d tables", policies, tables)
	}
}

// The page's cases hold by the first policy that it shows.
func TestPageHolds(t *testing.T) {
	all := blocks(t, "yaml")
	rules := parse(t, all[0])
	for _, block := range all {
		if !strings.HasPrefix(block, "cases:") {
			continue
		}
		for _, c := range cases(t, block) {
			if why := c.Try(rules, nil).Differs(c.Want); why != "" {
				t.Errorf("%s: %s", c.Name, why)
			}
		}
	}
}

// The page names every field, with the default that holds.
func TestPageNamesEveryField(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := policyfile.Marshal(preset(t, policy.Standard))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(whole)) {
		key, _, ok := strings.Cut(strings.TrimLeft(line, " -"), ":")
		if !ok || strings.HasPrefix(line, "#") || key == "L0" || key == "L1" || strings.HasPrefix(key, "L") || strings.HasPrefix(key, "R") {
			continue
		}
		if !strings.Contains(string(text), key) {
			t.Errorf("the page does not name %s", key)
		}
	}
	d := trust.Defaults()
	for field, row := range map[string]string{
		"slow": "45d", "prior": "8", "severities": "0.5, 2, 8, 32", "vote": "0.2", "suspect_per_mille": "300",
	} {
		if !strings.Contains(string(text), field+"`") || !strings.Contains(string(text), "| "+row+" |") {
			t.Errorf("%s is not %s", field, row)
		}
	}
	if !reflect.DeepEqual(d.Severities, [4]trust.Micro{500_000, 2_000_000, 8_000_000, 32_000_000}) || d.HalfLife.Slow != 45*day {
		t.Errorf("the defaults are others: %+v", d)
	}
}
