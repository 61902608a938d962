package guardexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// privateStore keeps copies as files in a temporary directory of mode 0700: for systems without sealed memfds.
type privateStore struct {
	dir      string
	maxBytes int64
	files    []*os.File
}

func openPrivateStore(maxBytes int64) (store, error) {
	dir, err := os.MkdirTemp("", "conclave-guard-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("guard: private copies: %w", err)
	}
	return &privateStore{dir: dir, maxBytes: maxBytes}, nil
}

func (s *privateStore) add(path string) (artifact, error) {
	source, info, err := openSource(path, s.maxBytes)
	if err != nil {
		return artifact{}, err
	}
	defer func() { _ = source.Close() }() // read only: nothing to lose
	// A directory for each copy keeps the file's own name, which multi-call programs and Windows need.
	sub := filepath.Join(s.dir, strconv.Itoa(len(s.files)+1))
	if err := os.Mkdir(sub, 0o700); err != nil {
		return artifact{}, fmt.Errorf("guard: copy: %w", err)
	}
	name := filepath.Join(sub, filepath.Base(path))
	target, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return artifact{}, fmt.Errorf("guard: copy: %w", err)
	}
	err = copyLimited(target, source, s.maxBytes)
	// Written, made read only and closed before anybody executes it: an open writer would mean "text file busy".
	if err := errors.Join(err, target.Chmod(copyMode(info)), target.Close()); err != nil {
		return artifact{}, err
	}
	content, err := os.Open(name)
	if err != nil {
		return artifact{}, fmt.Errorf("guard: copy: %w", err)
	}
	s.files = append(s.files, content)
	file, err := describe(path, content)
	return artifact{File: file, content: content, path: name}, err
}

func (s *privateStore) sealed() bool { return false }

func (s *privateStore) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
