package scenariofile_test

import (
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/simulate"
	"github.com/seed-3e86d5b2/conclave/internal/simulate/scenariofile"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// TestScenarios plays every scenario that the trust book must stand.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../../../trust/testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s, err := scenariofile.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := simulate.Run(s, trust.Defaults(), trust.Ladder())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Expectations) == 0 {
				t.Error("nothing is expected")
			}
			for _, f := range r.Expectations {
				if !f.Met {
					t.Errorf("seed %d: %s, but it is %s", r.Seed, f.Text, f.Have)
				}
			}
		})
	}
}
