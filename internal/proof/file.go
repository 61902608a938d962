package proof

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// Errors of a certificate's file, before anything in it is read.
var (
	ErrFile = fault.New(fault.Malformed, "proof: a packed certificate that is not one whole gzip member").
		WithHint("fetch the certificate again, or carry the file over unchanged: nothing may be cut off, appended or converted")
	ErrFileSize = fault.New(fault.TooLarge, "proof: a certificate of more than 1,048,576 bytes").
			WithHint("it is no certificate: ask whoever handed it over for the decision's own, or export that anew")
)

// A gzip member's first bytes (RFC 1952 §2.3.1): its mark, the only method, and which optional fields follow. No encoding of
// a certificate begins like that: its first byte is that of a map.
const (
	gzipMark   = "\x1f\x8b"
	gzipHeader = 10 // bytes, if no optional fields follow
	gzipFlags  = 3  // their place
)

// Pack returns a certificate's file: its encoding in one gzip member (RFC 1952), which takes a third to two thirds of the room,
// or the encoding itself where that would be shorter. It is no part of what is signed or hashed.
func Pack(raw []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant: cannot happen
	}
	_, _ = w.Write(raw) // a buffer takes everything
	_ = w.Close()
	if packed.Len() >= len(raw) {
		return raw
	}
	return packed.Bytes()
}

// Unpack returns a certificate's encoding from its file, which is the encoding itself or what [Pack] makes of it, and proves
// nothing. It makes at most [consensus.MaxCertificate] bytes of whatever it is given. Errors: [ErrFile] for anything but one
// whole member without optional fields and with nothing behind it, [ErrFileSize].
func Unpack(file []byte) ([]byte, error) {
	if len(file) > consensus.MaxCertificate {
		return nil, ErrFileSize
	}
	if !bytes.HasPrefix(file, []byte(gzipMark)) {
		return file, nil
	}
	if len(file) < gzipHeader || file[gzipFlags] != 0 {
		return nil, fmt.Errorf("%w: its head", ErrFile)
	}
	rest := bytes.NewReader(file) // gzip takes from it, byte by byte, no more than the member
	member, err := gzip.NewReader(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	member.Multistream(false)
	raw, err := io.ReadAll(io.LimitReader(member, consensus.MaxCertificate+1))
	if len(raw) > consensus.MaxCertificate {
		return nil, ErrFileSize
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if rest.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind it", ErrFile, rest.Len())
	}
	return raw, nil
}
