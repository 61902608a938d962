package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
)

func TestSampleIsMadeOnceAndCanBeMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	run := func() error {
		p := program{out: io.Discard}
		if err := p.parse([]string{"--sample", path}, io.Discard); err != nil {
			t.Fatal(err)
		}
		return p.run(context.Background())
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if _, err := migration.Read(path, filepath.Join("testdata", "accepted.sql")); err != nil {
		t.Fatalf("the sample cannot be migrated: %v", err)
	}
	if err := run(); !errors.Is(err, errThere) {
		t.Fatalf("a second sample at the same path: %v", err)
	}
}
