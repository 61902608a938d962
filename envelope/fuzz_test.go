package envelope

import (
	"bytes"
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

func FuzzPayload(f *testing.F) {
	w := newWorld(f)
	for _, d := range []Draft{w.request(), w.event(), w.letter()} {
		f.Add(encoded(f, w.compose(d)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := decodePayload(payload)
		if err == nil && !bytes.Equal(encoded(t, e), payload) {
			t.Fatal("re-encoding differs")
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add(newWorld(f).bundle(2).head)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.Parse[Batch](raw, DefaultLimit)
		if err == nil && !bytes.Contains(raw, encoded(t, c.Claim)) {
			t.Fatal("re-encoding differs")
		}
	})
}

func FuzzFrame(f *testing.F) {
	w := newWorld(f)
	b := w.bundle(2)
	frame, err := b.Frame()
	must(f, err)
	member, err := b.Member(1)
	must(f, err)
	for _, raw := range [][]byte{frame, member, {firstFrame}, {firstMember}} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := parseFrame(raw, DefaultLimit); err == nil {
			again := encoded(t, frameForm{Form: formFrame, Head: p.headRaw, Payloads: p.payloads})
			if !bytes.Equal(again, raw) || len(p.envelopes) != len(p.payloads) || raw[0] != firstFrame {
				t.Fatal("frame: re-encoding differs")
			}
		}
		if p, err := parseMember(raw, DefaultLimit); err == nil {
			var m memberForm
			must(t, wire.Decode(raw, &m))
			if !bytes.Equal(encoded(t, m), raw) || !bytes.Equal(encoded(t, p.envelope), p.payload) || raw[0] != firstMember {
				t.Fatal("member: re-encoding differs")
			}
		}
	})
}
