package envelope

import (
	"fmt"
	"math"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The labels of an envelope's fields, in the order of their encoding.
const (
	labelVersion = iota
	labelFrom
	labelCredential
	labelTo
	labelSubject
	labelPurpose
	labelInReplyTo
	labelIssued
	labelExpires
	labelCounter
	labelContentType
	labelTrace
	labelEncryption
	labelEnc
	labelDigest
	labelBody
	labelKey
)

// AppendPayload appends the encoding of e: what [wire.Encode] returns.
func (e Envelope) AppendPayload(dst []byte) []byte {
	p := partOf(&e)
	dst = wire.AppendMapHead(dst, fields(&e, &p))
	dst = appendShared(dst, &e)
	dst = appendOwn(dst, &e, e.Counter, &p)
	return appendKey(append(dst, e.Body...), &e)
}

// fields returns how many pairs the encoding of an envelope has.
func fields(e *Envelope, p *part) int {
	n := 11
	for _, there := range []bool{
		!e.InReplyTo.IsZero(), p.kind != "", p.trace != "", len(e.Enc) > 0, !p.digest.IsZero(), !e.Key.IsZero(),
	} {
		if there {
			n++
		}
	}
	return n
}

// appendShared appends what envelopes of one frame have in common and what stands before the counter.
func appendShared(dst []byte, e *Envelope) []byte {
	dst = wire.AppendUint(append(dst, labelVersion), e.Version)
	dst = wire.AppendBytes(append(dst, labelFrom), e.From[:])
	dst = wire.AppendBytes(append(dst, labelCredential), e.Credential[:])
	dst = appendDestination(append(dst, labelTo), &e.To)
	dst = wire.AppendText(append(dst, labelSubject), e.Subject)
	dst = wire.AppendUint(append(dst, labelPurpose), uint64(e.Purpose))
	if !e.InReplyTo.IsZero() {
		dst = wire.AppendBytes(append(dst, labelInReplyTo), e.InReplyTo[:])
	}
	dst = wire.AppendInt(append(dst, labelIssued), e.Issued)
	return wire.AppendInt(append(dst, labelExpires), e.Expires)
}

func appendDestination(dst []byte, d *Destination) []byte {
	n := 1
	for _, there := range []bool{!d.Agent.IsZero(), !d.Instance.IsZero(), d.Topic != ""} {
		if there {
			n++
		}
	}
	dst = wire.AppendUint(append(wire.AppendMapHead(dst, n), 1), uint64(d.Place))
	if !d.Agent.IsZero() {
		dst = wire.AppendBytes(append(dst, 2), d.Agent[:])
	}
	if !d.Instance.IsZero() {
		dst = wire.AppendBytes(append(dst, 3), d.Instance[:])
	}
	if d.Topic != "" {
		dst = wire.AppendText(append(dst, 4), d.Topic)
	}
	return dst
}

// appendOwn appends the fields from the counter up to the body's length.
func appendOwn(dst []byte, e *Envelope, counter uint64, p *part) []byte {
	dst = wire.AppendUint(append(dst, labelCounter), counter)
	if p.kind != "" {
		dst = wire.AppendText(append(dst, labelContentType), p.kind)
	}
	if p.trace != "" {
		dst = wire.AppendText(append(dst, labelTrace), p.trace)
	}
	dst = wire.AppendUint(append(dst, labelEncryption), uint64(e.Encryption))
	if len(e.Enc) > 0 {
		dst = wire.AppendBytes(append(dst, labelEnc), e.Enc)
	}
	if !p.digest.IsZero() {
		dst = wire.AppendBytes(append(dst, labelDigest), p.digest[:])
	}
	return wire.AppendBytesHead(append(dst, labelBody), len(p.body))
}

// appendKey appends what stands after the body.
func appendKey(dst []byte, e *Envelope) []byte {
	if e.Key.IsZero() {
		return dst
	}
	return wire.AppendBytes(append(dst, labelKey), e.Key[:])
}

// AppendPayload appends the encoding of b: what [wire.Encode] returns.
func (b Batch) AppendPayload(dst []byte) []byte {
	dst = wire.AppendUint(append(wire.AppendMapHead(dst, 4), 0), b.Version)
	dst = wire.AppendBytes(append(dst, 1), b.Credential[:])
	dst = wire.AppendUint(append(dst, 2), b.Size)
	return wire.AppendBytes(append(dst, 3), b.Root[:])
}

// DecodePayload reads what AppendPayload has written and refuses all else, as [wire.Decode] does.
func (b *Batch) DecodePayload(payload []byte) error {
	*b = Batch{}
	r := wire.NewReader(payload)
	read := fieldReader{Reader: &r, left: r.Map(4)}
	b.Version = read.number(0, math.MaxUint64)
	read.label(1)
	r.Fixed(b.Credential[:])
	b.Size = read.number(2, math.MaxUint64)
	read.label(3)
	r.Fixed(b.Root[:])
	return read.end()
}

// DecodePayload reads what AppendPayload has written and refuses all else, as [wire.Decode] does. e aliases payload.
func (e *Envelope) DecodePayload(payload []byte) error {
	*e = Envelope{}
	r := wire.NewReader(payload)
	read := fieldReader{Reader: &r, left: r.Map(labelKey + 1)}
	read.shared(e)
	read.optionalText(labelContentType, &e.ContentType)
	read.optionalText(labelTrace, &e.Trace)
	e.Encryption = Encryption(read.number(labelEncryption, math.MaxUint8))
	if read.optional(labelEnc) {
		if e.Enc = r.Bytes(); len(e.Enc) == 0 {
			r.Refuse("optional field that is empty")
		}
	}
	read.optionalDigest(labelDigest, &e.Digest)
	read.label(labelBody)
	e.Body = r.Bytes()
	read.optionalDigest(labelKey, &e.Key)
	return read.end()
}

// decodePayload reads what stands under a leaf. Nothing but an envelope passes, so no inner node of the tree does.
func decodePayload(payload []byte) (Envelope, error) {
	var e Envelope
	if err := e.DecodePayload(payload); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w", err)
	}
	if err := e.Check(); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w", err)
	}
	return e, nil
}

// fieldReader reads a map whose labels ascend.
type fieldReader struct {
	*wire.Reader
	left int // pairs that were not read yet
}

// shared reads the fields up to the counter.
func (r *fieldReader) shared(e *Envelope) {
	e.Version = r.number(labelVersion, math.MaxUint64)
	r.label(labelFrom)
	r.Fixed(e.From[:])
	r.label(labelCredential)
	r.Fixed(e.Credential[:])
	r.label(labelTo)
	r.destination(&e.To)
	r.label(labelSubject)
	e.Subject = string(r.Text())
	e.Purpose = Purpose(r.number(labelPurpose, math.MaxUint8))
	r.optionalDigest(labelInReplyTo, &e.InReplyTo)
	r.label(labelIssued)
	e.Issued = r.Int()
	r.label(labelExpires)
	e.Expires = r.Int()
	e.Counter = r.number(labelCounter, math.MaxUint64)
}

func (r *fieldReader) destination(d *Destination) {
	read := fieldReader{Reader: r.Reader, left: r.Map(4)}
	d.Place = Place(read.number(1, math.MaxUint8))
	if read.optional(2) {
		if r.Fixed(d.Agent[:]); d.Agent.IsZero() {
			r.Refuse("optional field that is zero")
		}
	}
	read.optionalDigest(3, &d.Instance)
	read.optionalText(4, &d.Topic)
	if read.left != 0 {
		r.Refuse("destination of another length")
	}
}

func (r *fieldReader) end() error {
	if r.left != 0 {
		r.Refuse("unknown, missing or repeated label")
	}
	return r.End()
}

// label reads the label of a field that must be there.
func (r *fieldReader) label(want byte) {
	if r.Uint(labelKey) != uint64(want) {
		r.Refuse("unknown, missing or repeated label")
	}
	r.left--
}

// optional reads the label of a field if it is there.
func (r *fieldReader) optional(want byte) bool {
	if r.left == 0 || r.Next() != want {
		return false
	}
	r.label(want)
	return true
}

func (r *fieldReader) number(label byte, limit uint64) uint64 {
	r.label(label)
	return r.Uint(limit)
}

func (r *fieldReader) optionalText(label byte, s *string) {
	if !r.optional(label) {
		return
	}
	if *s = string(r.Text()); *s == "" {
		r.Refuse("optional field that is empty")
	}
}

func (r *fieldReader) optionalDigest(label byte, d *wire.Digest) {
	if !r.optional(label) {
		return
	}
	if r.Fixed(d[:]); d.IsZero() {
		r.Refuse("optional field that is zero")
	}
}
