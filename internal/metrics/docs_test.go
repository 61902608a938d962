package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// TestOperationsNamesEveryMetric holds that the page for people and the scrape name the same metrics.
func TestOperationsNamesEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	f := start(t)
	f.set(func() { f.sample = full() })
	f.meter.Asked("find", fault.Denied, 0)
	f.meter.Refused(fault.Denied)
	f.meter.Cut(fault.Denied)
	f.meter.Commanded("", true)
	f.meter.Commanded(fault.Denied, false)
	f.meter.Appended(fault.Denied, 0)
	_, body := f.get(t, "/metrics")
	served := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (conclave_\w+)`).FindAllStringSubmatch(body, -1) {
		served[m[1]] = true
		if !strings.Contains(string(page), "`"+m[1]+"`") && !strings.Contains(string(page), "`"+m[1]+"{") {
			t.Errorf("%s is served and not explained", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`conclave_\w+`).FindAllString(string(page), -1) {
		if !served[strings.TrimSuffix(m, "_bucket")] {
			t.Errorf("%s is explained and not served", m)
		}
	}
}
