package wire

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// The CBOR major types that statements are made of (RFC 8949 §3.1).
const (
	majorUint     = 0 << 5
	majorNegative = 1 << 5
	majorBytes    = 2 << 5
	majorText     = 3 << 5
	majorArray    = 4 << 5
	majorMap      = 5 << 5
)

// AppendUint appends the deterministic encoding of an unsigned number.
func AppendUint(dst []byte, n uint64) []byte { return appendHead(dst, majorUint, n) }

// AppendInt appends the deterministic encoding of a signed number.
func AppendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorNegative, uint64(-1-n))
	}
	return appendHead(dst, majorUint, uint64(n))
}

// AppendBytes appends the deterministic encoding of a byte string.
func AppendBytes(dst, b []byte) []byte { return append(AppendBytesHead(dst, len(b)), b...) }

// AppendBytesHead appends what stands before the n bytes of a byte string.
func AppendBytesHead(dst []byte, n int) []byte { return appendHead(dst, majorBytes, uint64(n)) }

// AppendText appends the deterministic encoding of a text, which must be UTF-8.
func AppendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

// AppendArrayHead appends what stands before the n elements of an array.
func AppendArrayHead(dst []byte, n int) []byte { return appendHead(dst, majorArray, uint64(n)) }

// AppendMapHead appends what stands before the n pairs of a map. Their labels must follow in ascending order, first
// the unsigned ones.
func AppendMapHead(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return append(dst, major|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return append(dst, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Reader reads deterministic CBOR item by item, where [Decode] by reflection would cost too much. It refuses what Decode
// refuses in an item: longer forms, indefinite lengths, text that is not UTF-8. What it returns aliases the input. After
// the first refusal everything it returns is zero; ask [Reader.Err] or [Reader.End] before acting on any of it.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a reader of data.
func NewReader(data []byte) Reader { return Reader{rest: data} }

// Err returns the first refusal: nil, or an error with the code malformed.
func (r *Reader) Err() error { return r.err }

// End returns what Err returns, and refuses what was not read.
func (r *Reader) End() error {
	if r.err == nil && len(r.rest) > 0 {
		r.Refuse("trailing bytes")
	}
	return r.err
}

// Len returns how many bytes were not read yet.
func (r *Reader) Len() int { return len(r.rest) }

// Rest returns the bytes that were not read yet, and reads none of them.
func (r *Reader) Rest() []byte { return r.rest }

// Refuse makes the reader refuse, for a reason that its caller sees.
func (r *Reader) Refuse(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, reason)
	}
	r.rest = nil
}

// Next returns the first byte of the next item without reading it, 0 at the end: its major type times 32 plus its
// length, if that is below 24.
func (r *Reader) Next() byte {
	if len(r.rest) == 0 {
		return 0
	}
	return r.rest[0]
}

// Uint reads an unsigned number of at most limit.
func (r *Reader) Uint(limit uint64) uint64 {
	n := r.head(majorUint)
	if n > limit {
		r.Refuse("number out of range")
		return 0
	}
	return n
}

// Int reads a signed number.
func (r *Reader) Int() int64 {
	major := byte(majorUint)
	if r.Next()&0xe0 == majorNegative {
		major = majorNegative
	}
	n := r.head(major)
	if n > math.MaxInt64 {
		r.Refuse("number out of range")
		return 0
	}
	if major == majorNegative && r.err == nil {
		return -1 - int64(n)
	}
	return int64(n)
}

// Bytes reads a byte string. It returns nil only after a refusal.
func (r *Reader) Bytes() []byte { return r.take(r.head(majorBytes)) }

// Fixed reads a byte string of exactly the length of dst into it.
func (r *Reader) Fixed(dst []byte) {
	b := r.Bytes()
	if len(b) != len(dst) {
		r.Refuse("byte string of another length")
		return
	}
	copy(dst, b)
}

// Text reads a text and returns its bytes.
func (r *Reader) Text() []byte {
	b := r.take(r.head(majorText))
	for _, c := range b {
		if c >= utf8.RuneSelf {
			if !utf8.Valid(b) {
				r.Refuse("text is not UTF-8")
				return nil
			}
			break
		}
	}
	return b
}

// Bool reads a truth.
func (r *Reader) Bool() bool {
	const no, yes = 0xf4, 0xf5
	b := r.Next()
	if b != no && b != yes {
		r.Refuse("item missing or of another type")
		return false
	}
	r.rest = r.rest[1:]
	return b == yes
}

// Array reads what stands before an array's elements and returns their number, at most limit.
func (r *Reader) Array(limit int) int { return r.length(majorArray, limit) }

// Map reads what stands before a map's pairs and returns their number, at most limit.
func (r *Reader) Map(limit int) int { return r.length(majorMap, limit) }

func (r *Reader) length(major byte, limit int) int {
	n := r.head(major)
	if n > uint64(limit) {
		r.Refuse("too many elements")
		return 0
	}
	return int(n)
}

func (r *Reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.rest)) {
		r.Refuse("cut short")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// head reads the first bytes of an item of the major type and returns its argument.
func (r *Reader) head(major byte) uint64 {
	if len(r.rest) == 0 || r.rest[0]&0xe0 != major {
		r.Refuse("item missing or of another type")
		return 0
	}
	short := r.rest[0] & 0x1f
	if short < 24 {
		r.rest = r.rest[1:]
		return uint64(short)
	}
	if short > 27 || len(r.rest) < 1+1<<(short-24) {
		r.Refuse("length missing or indefinite")
		return 0
	}
	size := 1 << (short - 24)
	var n uint64
	for _, b := range r.rest[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	if n < 24 || (size > 1 && n>>(size*4) == 0) {
		r.Refuse("longer form than needed")
		return 0
	}
	r.rest = r.rest[1+size:]
	return n
}
