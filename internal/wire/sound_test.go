package wire

import "testing"

func TestSoundKeysAreRemembered(t *testing.T) {
	a := NewKey([32]byte{1}).Public()
	b := a
	b[31] ^= 0x40 // the same place in the table, another key, and most likely none
	if knownSound(b) || CheckKey(a) != nil || !knownSound(a) {
		t.Fatal("a sound key is not remembered once it has passed")
	}
	if knownSound(b) {
		t.Error("another key passes by it")
	}
	for _, weak := range []PublicKey{{}, {1}, {0: 0xec, 31: 0x7f}} {
		if CheckKey(weak) == nil || knownSound(weak) {
			t.Errorf("%x passes", weak)
		}
	}
	c := a
	c[2] ^= 1
	for ; CheckKey(c) != nil; c[3]++ { // until it is one
		if c[3] == 255 {
			t.Fatal("no other key found with the same place")
		}
	}
	if knownSound(a) || CheckKey(a) != nil {
		t.Error("a newer key did not take the place, or the older one does not pass any more")
	}
}
