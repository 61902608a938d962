// Package migration is what the example migrate does once it may: one SQL file, run on one SQLite file, in one
// transaction, or not at all. [Read] takes both as they are; [Request.Apply] runs exactly the statements that were read,
// and only on the database that was read:
//
//	request, err := migration.Read("app.db", "change.sql")
//	result, err := request.Apply(ctx)
//
// It uses the database/sql driver "sqlite", which the program has to link.
package migration

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/examples/migrate/statements"
)

// Kind is the action's kind. The policy's presets call it R3.
const Kind = "db.migrate"

// MaxSQL bounds an SQL file, in bytes: it travels whole in the proposal, so that voters see all of it.
const MaxSQL = 24 << 10

// The names of the action's parameters.
const (
	paramDatabase   = "database_sha256"
	paramKey        = "key"
	paramSQL        = "sql_sha256"
	paramStatements = "statements"
)

var (
	// ErrTooLong is returned for an SQL file of more than MaxSQL bytes.
	ErrTooLong = errors.New("migration: the SQL file is too long")
	// ErrNotContained is returned for a statement that cannot run in the one transaction or reaches outside the file.
	ErrNotContained = errors.New("migration: a statement does not stay within one transaction on one database")
	// ErrAction is returned for an action that no migration proposes.
	ErrAction = errors.New("migration: not the action of a migration")
)

// Request is exactly what shall be done. It holds the statements themselves: what changes in the SQL file later has no
// effect.
type Request struct {
	Key            string   // tells this request from the same one at another time; may be empty
	Database       string   // absolute path of the database file
	DatabaseSHA256 string   // of the file as it was read, 64 hexadecimal digits
	SQLSHA256      string   // of the SQL file, which is the statements joined
	Statements     []string // see statements.Split
}

// Read reads an SQL file, and the state of a database. Errors: those of the files, of statements.Split, ErrTooLong,
// ErrNotContained, ErrInUse.
func Read(database, sqlFile string) (Request, error) {
	path, err := filepath.Abs(database)
	if err != nil {
		return Request{}, fmt.Errorf("migration: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return Request{}, fmt.Errorf("migration: %w", err)
	}
	sql, err := readSQL(sqlFile)
	if err != nil {
		return Request{}, err
	}
	r := Request{Database: path, SQLSHA256: digestOf(sql)}
	if r.Statements, err = statements.Split(sql); err != nil {
		return Request{}, fmt.Errorf("%s: %w", sqlFile, err)
	}
	for _, s := range r.Statements {
		if !statements.Contained(s) {
			return Request{}, fmt.Errorf("%w: %.80q", ErrNotContained, s)
		}
	}
	r.DatabaseSHA256, err = Digest(path)
	return r, err
}

func readSQL(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("migration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxSQL+1))
	if err != nil {
		return "", fmt.Errorf("migration: %w", err)
	}
	if len(text) > MaxSQL {
		return "", fmt.Errorf("%w: over %d bytes", ErrTooLong, MaxSQL)
	}
	return string(text), nil
}

// Params returns the parameters of the action; its target is the path of the database.
func (r Request) Params() map[string][]string {
	p := map[string][]string{
		paramDatabase: {r.DatabaseSHA256}, paramSQL: {r.SQLSHA256}, paramStatements: r.Statements,
	}
	if r.Key != "" {
		p[paramKey] = []string{r.Key}
	}
	return p
}

// Parse reads the request out of an action: its kind, its target and the values of its parameters. The statements must
// be what their digest says, and each must be one. Error: ErrAction.
func Parse(kind, target string, values func(name string) []string) (Request, error) {
	r := Request{
		Key: first(values(paramKey)), Database: target, DatabaseSHA256: first(values(paramDatabase)),
		SQLSHA256: first(values(paramSQL)), Statements: values(paramStatements),
	}
	sql := strings.Join(r.Statements, "")
	switch again, err := statements.Split(sql); {
	case kind != Kind || !filepath.IsAbs(target):
		return Request{}, fmt.Errorf("%w: kind or target", ErrAction)
	case err != nil:
		return Request{}, fmt.Errorf("%w: %w", ErrAction, err)
	case !slices.Equal(again, r.Statements):
		return Request{}, fmt.Errorf("%w: the statements are cut otherwise", ErrAction)
	case digestOf(sql) != r.SQLSHA256:
		return Request{}, fmt.Errorf("%w: the statements are not what their digest says", ErrAction)
	}
	return r, nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
