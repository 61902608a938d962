package datadir

import "encoding/binary"

// Birth is what a copy of a file does not have in common with it: its number in the file system and when it was made
// there. The zero Birth says that the file system does not tell.
type Birth [24]byte

func birth(number, seconds, nanoseconds uint64) (b Birth) {
	binary.BigEndian.PutUint64(b[:8], number)
	binary.BigEndian.PutUint64(b[8:16], seconds)
	binary.BigEndian.PutUint64(b[16:], nanoseconds)
	return b
}
