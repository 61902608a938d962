package filetrail

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	magic       = "cntrail1" // eight bytes, the last one the format's version
	headerSize  = 8 + 8 + 32 + 4 + 4
	recordSize  = 4 + 4 + 4 // before the body
	maxBody     = 4 << 10
	maxSubject  = 1 << 10 // bytes kept of a subject
	maxDetail   = 256     // bytes kept of a detail
	maxDoorCode = 64      // bytes kept of a door or a code
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ErrCorrupt is what every [*Corruption] wraps.
var ErrCorrupt = fault.New(fault.Malformed, "filetrail: the trail was changed")

// Corruption is where a trail is not as it was written.
type Corruption struct {
	Segment string // file name
	Offset  int64  // of the header or record at fault, bytes from the segment's beginning
	Reason  string // for people
}

// Error returns segment, offset and reason.
func (c *Corruption) Error() string {
	return fmt.Sprintf("filetrail: %s at byte %d: %s", c.Segment, c.Offset, c.Reason)
}

// Unwrap returns [ErrCorrupt].
func (c *Corruption) Unwrap() error { return ErrCorrupt }

func encodeHeader(p *peaks) []byte {
	root := p.root()
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, p.size)
	b = append(b, root[:]...)
	b = binary.BigEndian.AppendUint32(b, 0) // reserved
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// encodeRecord returns the record of an entry, texts cut to their limits and to valid UTF-8, and its leaf hash.
func encodeRecord(e audit.Entry) ([]byte, merkle.Hash, error) {
	e.Door = audit.Door(cut(string(e.Door), maxDoorCode))
	e.Code = cut(e.Code, maxDoorCode)
	e.Subject = cut(e.Subject, maxSubject)
	e.Detail = cut(e.Detail, maxDetail)
	body, err := wire.Encode(e)
	if err != nil {
		return nil, merkle.Hash{}, err
	}
	b := make([]byte, 0, recordSize+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	b = binary.BigEndian.AppendUint32(b, checksum(body))
	return append(b, body...), merkle.LeafHash(body), nil
}

// cut returns at most limit bytes of s, whole letters only. What is not UTF-8 could not be read back.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// scan reads one segment that follows the entries in p, adds its entries to p and gives each to fn. It returns how many
// bytes are whole; what follows them is a torn tail, which only the last segment may have. Errors: [*Corruption], and
// what fn returns.
func scan(name string, data []byte, last bool, p *peaks, fn func(audit.Entry) error) (whole int64, err error) {
	corrupt := func(offset int, reason string) error {
		return &Corruption{Segment: name, Offset: int64(offset), Reason: reason}
	}
	if len(data) < headerSize || zeros(data) {
		if !last {
			return 0, corrupt(0, "no header")
		}
		return 0, nil
	}
	if !slices.Equal(data[:headerSize], encodeHeader(p)) {
		return 0, corrupt(0, "the header does not follow from the entries before")
	}
	offset := headerSize
	for offset < len(data) {
		body, reason := readRecord(data[offset:])
		if reason != "" {
			return 0, corrupt(offset, reason)
		}
		if body == nil { // torn
			if !last {
				return 0, corrupt(offset, "the segment ends inside a record")
			}
			return int64(offset), nil
		}
		var e audit.Entry
		if err := wire.Decode(body, &e); err != nil {
			return 0, corrupt(offset, "not an entry")
		}
		p.add(merkle.LeafHash(body))
		if err := fn(e); err != nil {
			return 0, err
		}
		offset += recordSize + len(body)
	}
	return int64(offset), nil
}

// readRecord returns the body of the first record, nil if its end is missing, or why it cannot have been written so. A
// length is believed only if its own checksum holds, or a changed length would pass for a torn tail.
func readRecord(data []byte) (body []byte, reason string) {
	if len(data) < recordSize || zeros(data) { // some file systems leave zeros where a write was lost
		return nil, ""
	}
	length := binary.BigEndian.Uint32(data)
	if binary.BigEndian.Uint32(data[4:]) != checksum(data[:4]) || length == 0 || length > maxBody {
		return nil, "length"
	}
	if len(data) < recordSize+int(length) {
		return nil, ""
	}
	body = data[recordSize : recordSize+int(length)]
	if binary.BigEndian.Uint32(data[8:]) != checksum(body) {
		return nil, "checksum"
	}
	return body, ""
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
