package envelope

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What parses has one encoding: the one that was read.

func FuzzEnvelope(f *testing.F) {
	w := newWorld(f)
	for _, raw := range [][]byte{w.seal(w.request()), w.seal(w.event()), w.seal(w.letter()), {firstSingle}} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.Parse[Envelope](raw, DefaultLimit)
		if err != nil {
			return
		}
		payload := encoded(t, c.Claim)
		if !bytes.Contains(raw, payload) {
			t.Fatal("re-encoding differs")
		}
		if _, err := decodePayload(payload); err != nil {
			t.Fatal(err)
		}
	})
}

// The hand-written codec takes what the general one takes, as the same value, and writes the same bytes.
func FuzzCodec(f *testing.F) {
	w := join(f)
	for _, d := range []Draft{w.request(), w.event(), w.letter()} {
		f.Add(encoded(f, unchecked(w.compose(d))))
	}
	for _, k := range w.kinds() {
		for _, e := range w.envelopes(w.sealFrame(k.d, 4)) {
			f.Add(encoded(f, unchecked(e)))
		}
	}
	odd := Envelope{Issued: -1, Expires: -1 << 63, Purpose: 255, Counter: 1<<64 - 1, To: Destination{Place: 24}}
	f.Add(encoded(f, unchecked(odd)))
	f.Add(encoded(f, unchecked{}))
	f.Fuzz(sameCodec)
}

func sameCodec(t *testing.T, payload []byte) {
	var general unchecked
	var own Envelope
	generalErr, ownErr := wire.Decode(payload, &general), own.DecodePayload(payload)
	if (generalErr == nil) != (ownErr == nil) {
		t.Fatalf("general codec: %v; own: %v", generalErr, ownErr)
	}
	if ownErr != nil {
		if !errors.Is(ownErr, wire.ErrMalformed) {
			t.Fatal(ownErr)
		}
		return
	}
	if !reflect.DeepEqual(Envelope(general), own) {
		t.Fatalf("general codec: %+v; own: %+v", general, own)
	}
	if !bytes.Equal(own.AppendPayload(nil), payload) {
		t.Fatal("re-encoding differs")
	}
}

// uncheckedBatch has the fields of a Batch and no codec of its own.
type uncheckedBatch Batch

func FuzzBatch(f *testing.F) {
	f.Add(encoded(f, uncheckedBatch{Version: 1, Credential: wire.Digest{1}, Size: 24, Root: [32]byte{2}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var general uncheckedBatch
		var own Batch
		generalErr, ownErr := wire.Decode(payload, &general), own.DecodePayload(payload)
		if (generalErr == nil) != (ownErr == nil) || (ownErr == nil && Batch(general) != own) {
			t.Fatalf("general codec: %+v, %v; own: %+v, %v", general, generalErr, own, ownErr)
		}
		if ownErr == nil && !bytes.Equal(own.AppendPayload(nil), payload) {
			t.Fatal("re-encoding differs")
		}
	})
}

func FuzzFrame(f *testing.F) {
	w := join(f)
	for _, k := range w.kinds() {
		f.Add(w.sealFrame(k.d, 1).Raw())
		f.Add(w.sealFrame(k.d, 5).Raw())
	}
	f.Add([]byte{firstFrame})
	f.Fuzz(func(t *testing.T, raw []byte) {
		peeked, peekErr := Peek(raw, DefaultLimit)
		p, err := parseFrame(raw, DefaultLimit)
		if err != nil {
			return
		}
		all := make([]Envelope, p.len())
		for i := range all {
			all[i] = envelopeAt(p, i)
			if err := all[i].Check(); err != nil {
				t.Fatalf("member %d: %v", i, err)
			}
		}
		if !bytes.Equal(encoded(t, rawOf(p.headRaw, all)), raw) || raw[0] != firstFrame {
			t.Fatal("re-encoding differs")
		}
		if peekErr != nil || peeked.From != all[0].From || peeked.Counter != all[0].Counter {
			t.Fatalf("Peek says something else: %v", peekErr)
		}
	})
}

func FuzzMember(f *testing.F) {
	one, err := newWorld(f).bundle(2).Member(1)
	must(f, err)
	f.Add(one)
	f.Add([]byte{firstMember})
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := parseMember(raw, DefaultLimit)
		if err != nil {
			return
		}
		p := parsed.(*member)
		if !bytes.Equal(encoded(t, p.form), raw) || !bytes.Equal(encoded(t, unchecked(p.claim)), p.form.Payload) ||
			raw[0] != firstMember {
			t.Fatal("re-encoding differs")
		}
	})
}
