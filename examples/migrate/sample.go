package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/migration"
)

// sampleSQL is the database to try with.
const sampleSQL = `CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL);
INSERT INTO orders (item) VALUES ('book'), ('lamp'), ('chair');`

var errThere = errors.New("there is a file already; it is not replaced")

// makeSample makes a small database at a path where there is nothing.
func makeSample(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("sample %s: %w", path, errThere)
	}
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	db, err := sql.Open("sqlite", migration.Source(path, "rwc"))
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	_, err = db.Exec(sampleSQL)
	return errors.Join(err, db.Close())
}
