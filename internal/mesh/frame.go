package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// MaxBody is how long the body of a call or of its answer may be, in bytes.
const MaxBody = maxFrame - 4<<10

// Limits of frames, in bytes.
const (
	maxFrame   = 1 << 20
	maxOpening = 1 << 10  // of the dialler's first frame
	maxWelcome = 4 << 10  // of the listener's
	maxJoin    = 64 << 10 // of a request to join
	maxOp      = 64       // of an operation's name
	maxText    = 1 << 10  // of a message or hint
)

// opening is what the dialler says first.
type opening struct {
	Realm wire.Realm `cbor:"1,keyasint"`
}

// welcome is the listener's answer to an opening.
type welcome struct {
	Realm   wire.Realm `cbor:"1,keyasint"` // of zeros in a refusal
	Refusal refusal    `cbor:"2,keyasint"`
}

// request is a frame of the calling side.
type request struct {
	ID   uint64 `cbor:"1,keyasint,omitempty"` // unique on its connection
	Op   string `cbor:"2,keyasint,omitempty"` // empty: gives up the call ID, or if that is 0, asks for a sign of life
	Left uint64 `cbor:"3,keyasint,omitempty"` // milliseconds until the caller gives up; 0: it does not say
	Body []byte `cbor:"4,keyasint,omitempty"`
}

// reply is a frame of the answering side.
type reply struct {
	ID      uint64  `cbor:"1,keyasint,omitempty"` // the request's
	Refusal refusal `cbor:"2,keyasint"`
	Body    []byte  `cbor:"3,keyasint,omitempty"`
}

// refusal is an error as it crosses the wire. The zero value is none.
type refusal struct {
	Code    fault.Code `cbor:"1,keyasint,omitempty"`
	Message string     `cbor:"2,keyasint,omitempty"`
	Hint    string     `cbor:"3,keyasint,omitempty"`
}

// refuse makes the refusal that err reads as at the other end.
func refuse(err error) refusal {
	if err == nil {
		return refusal{}
	}
	code := fault.CodeOf(err)
	if code == fault.Internal && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		code = fault.Uncertain // the handler was stopped half-way
	}
	return refusal{Code: code, Message: text(err.Error()), Hint: text(fault.HintOf(err))}
}

// Err returns the refusal as an error, or nil.
func (r refusal) Err() error {
	if r.Code == "" {
		return nil
	}
	return &fault.Error{Code: r.Code, Message: r.Message, Hint: r.Hint}
}

// text makes s fit a refusal.
func text(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}

// pack returns the frame of a message: its length in 4 bytes, big-endian, and its one encoding.
func pack(message any, limit int) ([]byte, error) {
	b, err := wire.Encode(message)
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%w: %d bytes in a frame of %d", ErrTooLarge, len(b), limit)
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...), nil
}

// readFrame returns the next frame's content. Errors: io.EOF at the end between frames, io.ErrUnexpectedEOF inside one,
// [ErrFrame] for an empty frame, [ErrTooLarge] before anything of the content is read.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 {
		return nil, ErrFrame
	}
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("%w: a frame of %d bytes, at most %d", ErrTooLarge, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// unpack reads a message of the one encoding. Errors: [ErrFrame].
func unpack(frame []byte, message any) error {
	if err := wire.Decode(frame, message); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

// parseRequest reads a frame of the calling side. Errors: [ErrFrame].
func parseRequest(frame []byte) (request, error) {
	var r request
	if err := unpack(frame, &r); err != nil {
		return request{}, err
	}
	switch {
	case len(r.Op) > maxOp, r.Op != "" && r.ID == 0, r.Op == "" && (len(r.Body) > 0 || r.Left > 0):
		return request{}, fmt.Errorf("%w: neither a call, nor its end, nor a question for life", ErrFrame)
	}
	return r, nil
}

// parseReply reads a frame of the answering side. Errors: [ErrFrame].
func parseReply(frame []byte) (reply, error) {
	var r reply
	if err := unpack(frame, &r); err != nil {
		return reply{}, err
	}
	refused := r.Refusal != refusal{}
	switch {
	case refused && r.Refusal.Code == "", refused && len(r.Body) > 0, r.ID == 0 && (refused || len(r.Body) > 0):
		return reply{}, fmt.Errorf("%w: neither an answer, nor a refusal, nor a sign of life", ErrFrame)
	}
	return r, nil
}

func receiveOne(r io.Reader, limit int, message any) error {
	frame, err := readFrame(r, limit)
	if err != nil {
		return err
	}
	return unpack(frame, message)
}

func sendOne(w io.Writer, message any, limit int) error {
	frame, err := pack(message, limit)
	if err != nil {
		return err
	}
	_, err = w.Write(frame)
	return err
}
