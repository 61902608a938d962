package policyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// MaxFile bounds a policy file, in bytes.
const MaxFile = 256 << 10

// Refusal is why a file is not a policy. It wraps [policy.ErrInvalid].
type Refusal struct {
	File   string // as the caller named it
	Line   int    // from 1; 0 where the YAML parser's own words name the line
	Path   string // the field, such as "classes.R2.approvals"; empty for the file as a whole
	Reason string // for people
}

// Error returns "conclave.yaml:14: classes.R2.approvals: must be at least 1".
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString(r.File)
	if r.Line > 0 {
		fmt.Fprintf(&b, ":%d", r.Line)
	}
	if r.Path != "" {
		b.WriteString(": " + r.Path)
	}
	return b.String() + ": " + r.Reason
}

// Unwrap returns [policy.ErrInvalid].
func (r *Refusal) Unwrap() error { return policy.ErrInvalid }

// ErrNoFile is returned when the file does not exist or cannot be read.
var ErrNoFile = fault.New(fault.NotFound, "policyfile: cannot read the policy file")

// Load reads the policy file at path. Errors: [ErrNoFile], [*Refusal].
func Load(path string) (policy.Policy, error) {
	text, err := Read(path)
	if err != nil {
		return policy.Policy{}, err
	}
	return Parse(path, text)
}

// Read returns the text of a file at path, or as much of it that [Parse], [Lint] and [ParseCases] refuse it. Error:
// [ErrNoFile].
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoFile, err)
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoFile, err)
	}
	return text, nil
}

// Parse reads a policy file's text; name is the file's name in refusals. Error: [*Refusal].
func Parse(name string, text []byte) (policy.Policy, error) {
	root, err := document(text)
	if err != nil {
		return policy.Policy{}, &Refusal{File: name, Reason: err.Error()}
	}
	r := reader{lines: make(map[string]int)}
	p, err := r.policy(root)
	if err != nil {
		return policy.Policy{}, r.locate(name, err)
	}
	if err := p.Check(); err != nil {
		return policy.Policy{}, r.locate(name, err)
	}
	return p, nil
}

// document returns the root of the one YAML document in text.
func document(text []byte) (*yaml.Node, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("larger than %d bytes", MaxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("empty: a policy file names a preset at least")
	case err != nil:
		return nil, err
	case first.Kind != yaml.DocumentNode || len(first.Content) != 1:
		return nil, errors.New("not a YAML document")
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document, or text after the first")
	}
	return first.Content[0], nil
}
