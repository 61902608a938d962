package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apply returns the content that the files named would have, by their path from the module's root.
func (m mutation) apply() (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, loaded := files[e.file]
		if !loaded {
			content, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d places like %q", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}
