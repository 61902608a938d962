package spec_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// fields are the pairs of an encoded map, each label with its value, in their order.
type fields struct {
	count int // that the map's head tells
	pairs []field
}

type field struct{ label, value []byte }

// fieldsOf takes an encoded map apart.
func fieldsOf(encoded []byte) *fields {
	var values map[uint64]wire.Raw
	if err := wire.Decode(encoded, &values); err != nil {
		panic(err)
	}
	f := &fields{count: len(values)}
	for _, label := range slices.Sorted(maps.Keys(values)) {
		f.pairs = append(f.pairs, field{encode(label), values[label]})
	}
	return f
}

func (f *fields) at(label uint64) *field {
	for i := range f.pairs {
		if bytes.Equal(f.pairs[i].label, encode(label)) {
			return &f.pairs[i]
		}
	}
	panic(fmt.Sprintf("no label %d", label))
}

// set gives the label another value, in hexadecimal.
func (f *fields) set(label uint64, value string) { f.at(label).value = unhex(value) }

// relabel gives the pair another label, in hexadecimal.
func (f *fields) relabel(label uint64, other string) { f.at(label).label = unhex(other) }

// add puts a pair, in hexadecimal, before the label.
func (f *fields) add(before uint64, label, value string) {
	i := slices.IndexFunc(f.pairs, func(p field) bool { return bytes.Equal(p.label, encode(before)) })
	f.pairs = slices.Insert(f.pairs, i, field{unhex(label), unhex(value)})
	f.count++
}

func (f *fields) encode() []byte {
	out := []byte{0xa0 | byte(f.count)}
	for _, p := range f.pairs {
		out = append(append(out, p.label...), p.value...)
	}
	return out
}

// refielded is the encoding of v, a map, with its fields edited.
func refielded(v any, change func(*fields)) []byte {
	f := fieldsOf(encode(v))
	change(f)
	return f.encode()
}

// encodingVectors are encodings that are not the one of what they say, in each form that is read item by item. What
// they say is honest, and signed as it stands.
func encodingVectors() *group {
	w := newEnvelopeWorld()
	g := &group{folder: "encoding", statement: "envelope", realm: w.realm, context: w.context(w.onTopic)}
	g.accept("ok", w.signed(w.spare(nil)))
	w.envelopeItems(g)
	w.envelopeFields(g)
	w.signedItems(g)
	w.memberItems(g)
	w.frameItems(g)
	return g
}

// spare is alice's message on the plain topic with nothing that may be absent.
func (w envelopeWorld) spare(change func(*letter)) letter {
	return w.event(func(e *letter) {
		e.ContentType, e.Trace = "", ""
		if change != nil {
			change(e)
		}
	})
}

// signedPayload is a payload signed by alice's process as it stands.
func (w envelopeWorld) signedPayload(payload []byte) []byte {
	return signedBytes(key(alice+2), w.realm, wire.Envelope, payload)
}

func (w envelopeWorld) envelopeItems(g *group) {
	refuse := func(name, check string, change func(*fields)) {
		g.refuse(name, check, fault.Malformed, w.signedPayload(refielded(w.spare(nil), change)))
	}
	empty := func(name, check string, value string) {
		e := changed(w.spare(nil), func(e *letter) { e.Body = nil })
		g.refuse(name, check, fault.Malformed, w.signedPayload(refielded(e, func(f *fields) { f.set(15, value) })))
	}
	for name, number := range map[string]string{
		"number-in-1-byte": "1801", "number-in-2-bytes": "190001", "number-in-4-bytes": "1a00000001",
		"number-in-8-bytes": "1b0000000000000001",
	} {
		refuse(name, "item-shortest", func(f *fields) { f.set(9, number) })
	}
	refuse("label-in-1-byte", "item-shortest", func(f *fields) { f.relabel(9, "1809") })
	refuse("length-in-1-byte", "item-shortest", func(f *fields) { f.set(15, "5805 68656c6c6f") })
	refuse("length-in-2-bytes", "item-shortest", func(f *fields) {
		f.at(2).value = append(unhex("590020"), f.at(2).value[2:]...)
	})
	payload := encode(w.spare(nil))
	g.refuse("map-in-1-byte", "item-shortest", fault.Malformed,
		w.signedPayload(append([]byte{0xb8, payload[0] & 0x1f}, payload[1:]...)))
	g.refuse("array-for-map", "item-type", fault.Malformed,
		w.signedPayload(append([]byte{0x80 | payload[0]&0x1f}, payload[1:]...)))
	refuse("bytes-for-text", "item-type", func(f *fields) { f.at(4).value[0] ^= 0x60 ^ 0x40 })
	refuse("text-for-bytes", "item-type", func(f *fields) { f.at(15).value[0] ^= 0x60 ^ 0x40 })
	refuse("negative-for-unsigned", "item-type", func(f *fields) { f.at(5).value[0] |= 0x20 })
	empty("indefinite-bytes", "item-definite", "5fff")
	refuse("bytes-cut-short", "item-cut", func(f *fields) { f.at(15).value[0]++ })
	refuse("length-cut-short", "item-cut", func(f *fields) { f.set(15, "59 05") })
	refuse("bytes-longer-than-fit", "item-cut", func(f *fields) { f.set(15, "5bffffffffffffffff 68656c6c6f") })
	refuse("credential-of-33-bytes", "item-length", func(f *fields) {
		f.at(2).value = append(unhex("5821"), append(f.at(2).value[2:], 0)...)
	})
	refuse("purpose-above-255", "item-range", func(f *fields) { f.set(5, "190103") })
	refuse("encryption-above-255", "item-range", func(f *fields) { f.set(12, "190101") })
	refuse("place-above-255", "item-range", func(f *fields) {
		f.at(3).value = refielded(w.spare(nil).To, func(d *fields) { d.set(1, "190103") })
	})
	g.refuse("trailing-byte", "item-trailing", fault.Malformed, w.signedPayload(append(payload, 0)))
}

func (w envelopeWorld) envelopeFields(g *group) {
	refuse := func(name, check string, change func(*fields)) {
		g.refuse(name, check, fault.Malformed, w.signedPayload(refielded(w.spare(nil), change)))
	}
	to := func(name, check string, change func(*fields)) {
		refuse(name, check, func(f *fields) { f.at(3).value = refielded(w.spare(nil).To, change) })
	}
	zeros32 := "5820" + zeroBytes30 + "0000"
	refuse("labels-unsorted", "item-labels", func(f *fields) { // both values are 1
		*f.at(9), *f.at(12) = *f.at(12), *f.at(9)
	})
	refuse("label-twice", "item-labels", func(f *fields) { f.relabel(9, "08") })
	refuse("label-unknown", "item-labels", func(f *fields) { f.relabel(9, "0b") })
	refuse("label-of-17", "item-labels", func(f *fields) { f.relabel(9, "11") })
	refuse("label-after-the-last", "item-beyond", func(f *fields) {
		f.count++
		f.pairs = append(f.pairs, field{unhex("11"), unhex("00")})
	})
	refuse("last-label-twice", "item-beyond", func(f *fields) {
		f.count++
		f.pairs = append(f.pairs, *f.at(15))
	})
	refuse("more-pairs-told", "item-pairs", func(f *fields) { f.count++ })
	refuse("in-reply-to-zero", "absent-digest", func(f *fields) { f.add(7, "06", zeros32) })
	refuse("digest-zero", "absent-digest", func(f *fields) { f.add(15, "0e", zeros32) })
	refuse("key-zero", "absent-digest", func(f *fields) {
		f.count++
		f.pairs = append(f.pairs, field{unhex("10"), unhex(zeros32)})
	})
	refuse("content-type-empty", "absent-text", func(f *fields) { f.add(12, "0a", "60") })
	refuse("trace-empty", "absent-text", func(f *fields) { f.add(12, "0b", "60") })
	refuse("enc-empty", "absent-enc", func(f *fields) { f.add(15, "0d", "40") })
	to("agent-zero", "absent-agent", func(d *fields) { d.add(4, "02", "5821"+zeroBytes30+"000000") })
	to("instance-zero", "absent-digest", func(d *fields) { d.add(4, "03", zeros32) })
	to("more-pairs-of-destination-told", "destination-pairs", func(d *fields) { d.count++ })
	request := w.request(nil)
	g.refuse("topic-empty", "absent-text", fault.Malformed, w.signedPayload(refielded(request, func(f *fields) {
		f.at(3).value = refielded(request.To, func(d *fields) {
			d.count++
			d.pairs = append(d.pairs, field{unhex("04"), unhex("60")})
		})
	})), knowing(w.context()))
}

// signedItems are payloads of batches, signed as they stand, under an honest member.
func (w envelopeWorld) signedItems(g *group) {
	two := w.bundled(run(2, w.said)...)
	refuse := func(name, check string, change func(*fields)) {
		head := signedBytes(key(alice+2), w.realm, wire.Batch, refielded(two.head, change))
		g.refuse(name, check, fault.Malformed, member(head, 1, two.path(1), two.payloads[1]))
	}
	refuse("batch-size-in-1-byte", "item-shortest", func(f *fields) { f.set(2, "1802") })
	refuse("batch-credential-of-33-bytes", "item-length", func(f *fields) {
		f.at(1).value = append(unhex("5821"), append(f.at(1).value[2:], 0)...)
	})
	refuse("batch-label-unknown", "item-labels", func(f *fields) { f.relabel(3, "04") })
	refuse("batch-label-twice", "item-labels", func(f *fields) { f.relabel(3, "02") })
	refuse("batch-trailing-byte", "item-trailing", func(f *fields) { f.at(3).value = append(f.at(3).value, 0) })
	refuse("batch-fewer-pairs-told", "item-pairs", func(f *fields) { f.count-- })
}

// memberItems are forms of an honest member.
func (w envelopeWorld) memberItems(g *group) {
	two := w.bundled(run(2, w.said)...)
	whole := two.member(1)
	head, index, path, payload := encode(two.signed()), []byte{1}, encode(two.path(1)), encode(two.payloads[1])
	refuse := func(name, check string, form, head, index, path, payload []byte) {
		g.refuse(name, check, fault.Malformed, slices.Concat([]byte{0x85}, form, head, index, path, payload))
	}
	form := []byte{2}
	refuse("member-form-in-1-byte", "item-shortest", unhex("1802"), head, index, path, payload)
	refuse("member-index-in-1-byte", "item-shortest", form, head, unhex("1801"), path, payload)
	refuse("member-index-negative", "item-type", form, head, unhex("21"), path, payload)
	refuse("member-path-in-1-byte", "item-shortest", form, head, index, append(unhex("9801"), path[1:]...), payload)
	refuse("member-hash-of-33-bytes", "item-length", form, head, index,
		append(unhex("815821"), append(bytes.Clone(path[3:]), 0)...), payload)
	refuse("member-payload-cut-short", "item-cut", form, head, index, path, payload[:len(payload)-1])
	inside := w.bundled(run(2, w.said)...)
	inside.payloads[1] = append(inside.payloads[1], 0)
	inside.leaves = leavesOf(w.realm, inside.payloads)
	inside.head.Root = merkle.Root(inside.leaves)
	g.refuse("member-payload-trailing-byte", "item-trailing", fault.Malformed, inside.member(1))
	g.refuse("member-trailing-byte", "item-trailing", fault.Malformed, append(whole, 0))
}

// frameItems are forms of an honest frame, whose leaves are what the items say.
func (w envelopeWorld) frameItems(g *group) {
	two := w.bundled(run(2, w.said)...)
	shared := commonOf(two.letters[0])
	whole := two.frame()
	parts := []byte{0x82}
	for _, e := range two.letters {
		parts = append(parts, encode(partOf(e))...)
	}
	put := func(name, check string, common, parts []byte) {
		g.refuse(name, check, fault.Malformed, slices.Concat(unhex("8401"), encode(two.signed()), common, parts))
	}
	with := func(name, check string, change func(*fields)) { put(name, check, refielded(shared, change), parts) }
	with("frame-counter-in-1-byte", "item-shortest", func(f *fields) { f.set(9, "1801") })
	with("frame-encryption-above-255", "item-range", func(f *fields) { f.set(12, "190101") })
	with("frame-labels-unsorted", "item-labels", func(f *fields) { *f.at(9), *f.at(12) = *f.at(12), *f.at(9) })
	with("frame-more-pairs-told", "frame-pairs", func(f *fields) { f.count++ })
	with("frame-key-zero", "absent-digest", func(f *fields) {
		f.count++
		f.pairs = append(f.pairs, field{unhex("10"), unhex("5820" + zeroBytes30 + "0000")})
	})
	with("frame-in-reply-to-zero", "absent-digest", func(f *fields) { f.add(7, "06", "5820"+zeroBytes30+"0000") })
	honest := encode(shared)
	put("frame-members-in-1-byte", "item-shortest", honest, append(unhex("9802"), parts[1:]...))
	put("frame-member-length-in-1-byte", "item-shortest", honest,
		append(unhex("82 5809"), parts[2:]...))
	put("frame-member-cut-short", "item-cut", honest, parts[:len(parts)-1])
	g.refuse("frame-trailing-byte", "item-trailing", fault.Malformed, append(whole, 0))

	report := w.bundled(run(1, w.report)...)
	e := report.letters[0]
	onClosed := knowing(w.context(w.onClosed))
	g.refuse("frame-digest-of-33-bytes", "item-length", fault.Malformed, slices.Concat(unhex("8401"), encode(report.signed()),
		encode(commonOf(e)), unhex("8182 5821"), e.Digest[:], unhex("00"), encode(e.Body)), onClosed)
	typed := w.bundled(w.said(nil))
	p := encode(partOf(typed.letters[0]))
	g.refuse("frame-content-type-as-bytes", "item-type", fault.Malformed, slices.Concat(unhex("8401"), encode(typed.signed()),
		encode(commonOf(typed.letters[0])), unhex("81"), p[:1], []byte{p[1] ^ 0x60 ^ 0x40}, p[2:]))
	none := w.bundled(changed(w.spare(nil), func(e *letter) { e.Body = nil }))
	g.refuse("frame-member-indefinite", "item-definite", fault.Malformed,
		slices.Concat(unhex("8401"), encode(none.signed()), encode(commonOf(none.letters[0])), unhex("81 5fff")))
}
