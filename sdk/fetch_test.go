package sdk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
)

// Who serves a content cannot keep its reader for ever with chunks of nothing, nor give it more than was announced.
func TestChunksThatAreNone(t *testing.T) {
	var b bytes.Buffer
	c := checked{w: &b, left: 3, hash: sha256.New()}
	if err := c.write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []string{"", "abc"} {
		if err := c.write([]byte(chunk)); !errors.Is(err, ErrDigest) {
			t.Errorf("%q: %v", chunk, err)
		}
	}
	if err := c.write([]byte("c")); err != nil || b.String() != "abc" {
		t.Errorf("%q: %v", b.String(), err)
	}
}
