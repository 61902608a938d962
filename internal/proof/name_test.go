package proof_test

import (
	"bytes"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/proof"
)

// A name's hash is that of its bytes, whatever was hashed before, and whatever becomes of what it was hashed from.
func TestNamesAreHashedAlike(t *testing.T) {
	v := proof.NewVerifier()
	room := bytes.Repeat([]byte{1}, proof.NameRoom)
	long := append(bytes.Clone(room), 1)
	for i, n := range [][]byte{nil, room, room, room[:1], room[:2], room[1:], long, long, {}, {0}, {0, 0}} {
		for range 2 {
			if !proof.HashesAlike(v, n) {
				t.Errorf("name %d is hashed as another", i)
			}
		}
	}
	if !proof.HashesAlike(v, room) {
		t.Error("it is hashed as another")
	}
	for i := range room {
		if i%1000 != 0 && i != len(room)-1 {
			continue
		}
		room[i] ^= 0x80
		if !proof.HashesAlike(v, room) {
			t.Errorf("with byte %d changed it is hashed as before", i)
		}
	}
}
