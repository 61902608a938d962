package envelope

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// item is a CBOR item, perhaps one that nobody should write.
type item struct {
	major    byte
	argument uint64
	size     int // of the argument in bytes; -1: the shortest
	bytes    []byte
	items    []item // of an array or map
}

// itemOf reads the honest item that data begins with and returns what is left.
func itemOf(data []byte) (item, []byte) {
	i := item{major: data[0] >> 5, argument: uint64(data[0] & 31), size: -1}
	data = data[1:]
	if short := i.argument; short >= 24 {
		i.argument = 0
		for range 1 << (short - 24) {
			i.argument, data = i.argument<<8|uint64(data[0]), data[1:]
		}
	}
	n := i.argument
	switch i.major {
	case 2, 3:
		i.bytes, data = data[:n], data[n:]
	case 5:
		n *= 2
		fallthrough
	case 4:
		i.items = make([]item, n)
		for j := range i.items {
			i.items[j], data = itemOf(data)
		}
	case 6:
		i.items = make([]item, 1)
		i.items[0], data = itemOf(data)
	}
	return i, data
}

func (i *item) append(dst []byte) []byte {
	head := wire.AppendUint(nil, i.argument)
	if i.size >= 0 {
		head = []byte{24 + byte(i.size)}
		for at := 1<<i.size - 1; at >= 0; at-- {
			head = append(head, byte(i.argument>>(8*at)))
		}
	}
	head[0] |= i.major << 5
	dst = append(append(dst, head...), i.bytes...)
	for j := range i.items {
		dst = i.items[j].append(dst)
	}
	return dst
}

// all returns i and everything in it.
func (i *item) all() []*item {
	list := []*item{i}
	for j := range i.items {
		list = append(list, i.items[j].all()...)
	}
	return list
}

func (i *item) clone() item {
	c := *i
	c.bytes, c.items = bytes.Clone(i.bytes), slices.Clone(i.items)
	for j := range c.items {
		c.items[j] = c.items[j].clone()
	}
	return c
}

var extremes = []uint64{0, 1, 23, 24, 255, 256, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// damage changes one thing in an item, as somebody would who knows the format.
func damage(rng *rand.Rand, whole item, others []item) item {
	c := whole.clone()
	nodes := c.all()
	node := nodes[rng.IntN(len(nodes))]
	switch rng.IntN(10) {
	case 0:
		node.size = rng.IntN(4) // a longer form, or one too short
	case 1:
		node.argument = extremes[rng.IntN(len(extremes))] // a length that is not true, or a number at an edge
	case 2:
		node.argument += uint64(rng.IntN(3)) - 1
	case 3:
		node.major = byte(rng.IntN(8))
	case 4:
		node.bytes, node.argument = nil, 0
	case 5:
		node.bytes = append(node.bytes, byte(rng.Uint32()))
		node.argument = uint64(len(node.bytes))
	default:
		shuffle(rng, node, others)
	}
	return c
}

// shuffle repeats, drops, exchanges or replaces items of an array or pairs of a map, and keeps its length true.
func shuffle(rng *rand.Rand, node *item, others []item) {
	width := 1
	if node.major == 5 {
		width = 2
	}
	if len(node.items) < width {
		return
	}
	at, to := rng.IntN(len(node.items)/width)*width, rng.IntN(len(node.items)/width)*width
	switch rng.IntN(4) {
	case 0:
		node.items = slices.Insert(node.items, to, slices.Clone(node.items[at:at+width])...)
	case 1:
		node.items = slices.Delete(node.items, at, at+width)
	case 2:
		for j := range width {
			node.items[at+j], node.items[to+j] = node.items[to+j], node.items[at+j]
		}
	case 3:
		other := others[rng.IntN(len(others))].clone()
		nodes := other.all()
		node.items[at+width-1] = *nodes[rng.IntN(len(nodes))]
	}
	node.argument = uint64(len(node.items) / width)
}

// corpus are honest encodings: payloads, frames, a member and an envelope of its own signature.
func (w *joined) corpus() (payloads, frames, members, singles [][]byte) {
	for _, d := range []Draft{w.request(), w.event(), w.letter()} {
		payloads, singles = append(payloads, encoded(w.t, unchecked(w.compose(d)))), append(singles, w.seal(d))
	}
	for _, k := range w.kinds() {
		f := w.sealFrame(k.d, 5)
		frames = append(frames, f.Raw(), w.sealFrame(k.d, 1).Raw())
		for _, e := range w.envelopes(f) {
			payloads = append(payloads, encoded(w.t, unchecked(e)))
		}
		for _, m := range w.openAll(f.Raw(), k.in, w.fresh()) {
			members = append(members, m.Raw())
		}
	}
	return payloads, frames, members, singles
}

// What the parsers of the fast path take is what the general codec takes, of encodings that are wrong in structure.
func TestParsersAgreeOnDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := join(t)
	payloads, frames, members, singles := w.corpus()
	for name, c := range map[string]struct {
		honest [][]byte
		agree  func(t *testing.T, raw []byte) (taken bool)
	}{
		"payload": {payloads, func(t *testing.T, raw []byte) bool {
			sameCodec(t, raw)
			return wire.Decode(raw, new(unchecked)) == nil
		}},
		"frame":  {frames, agreeOn(func(raw []byte) error { _, err := parseFrame(raw, DefaultLimit); return err }, generalFrame)},
		"member": {members, agreeOn(func(raw []byte) error { _, err := parseMember(raw, DefaultLimit); return err }, generalMember)},
		"single": {singles, agreeOn(func(raw []byte) error { _, err := parseSingle(raw, DefaultLimit); return err }, generalSingle)},
	} {
		rng := rand.New(rand.NewPCG(seed, 0))
		var whole []item
		for _, raw := range c.honest {
			i, rest := itemOf(raw)
			if len(rest) > 0 || !bytes.Equal(i.append(nil), raw) || !c.agree(t, raw) {
				t.Fatalf("%s: the honest one is refused", name)
			}
			whole = append(whole, i)
		}
		taken := 0
		for range 5_000 {
			damaged := damage(rng, whole[rng.IntN(len(whole))], whole)
			if c.agree(t, damaged.append(nil)) {
				taken++
			}
		}
		if taken == 0 || taken > 4_000 {
			t.Errorf("%s: %d of 5,000 are taken: this tests little", name, taken)
		}
	}
}

func agreeOn(own, general func(raw []byte) error) func(t *testing.T, raw []byte) bool {
	return func(t *testing.T, raw []byte) bool {
		t.Helper()
		ownErr, generalErr := own(raw), general(raw)
		if (ownErr == nil) != (generalErr == nil) {
			t.Fatalf("general: %v; own: %v; of %x", generalErr, ownErr, raw)
		}
		return ownErr == nil
	}
}

var errGeneral = errors.New("test: refused by rule")

func generalHead(raw []byte, credential wire.Digest) (Batch, error) {
	var b uncheckedBatch
	if err := generalSign1(raw, wire.Batch, &b); err != nil {
		return Batch{}, err
	}
	if b.Credential != credential {
		return Batch{}, errGeneral
	}
	return Batch(b), Batch(b).Check()
}

// generalSign1 reads the payload of a COSE_Sign1 by reflection.
func generalSign1(raw []byte, kind wire.Kind, payload any) error {
	var s struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected map[uint64]uint64
		Payload     []byte
		Signature   wire.Signature
	}
	var header struct {
		Algorithm int64  `cbor:"1,keyasint"`
		Typ       string `cbor:"16,keyasint"`
	}
	if len(raw) == 0 || raw[0] != firstSingle {
		return errGeneral
	}
	if err := errors.Join(wire.Decode(raw[1:], &s), wire.Decode(s.Protected, &header)); err != nil {
		return err
	}
	if header.Algorithm != -19 || header.Typ != kind.Typ() || len(s.Unprotected) > 0 {
		return errGeneral
	}
	return wire.Decode(s.Payload, payload)
}

func generalSingle(raw []byte) error {
	var e unchecked
	if err := generalSign1(raw, wire.Envelope, &e); err != nil {
		return err
	}
	return Envelope(e).Check()
}

func generalMember(raw []byte) error {
	var m memberForm
	var e unchecked
	if err := wire.Decode(raw, &m); err != nil {
		return err
	}
	if err := errors.Join(wire.Decode(m.Payload, &e), Envelope(e).Check()); err != nil {
		return err
	}
	if m.Form != formMember || len(m.Path) > maxPath {
		return errGeneral
	}
	_, err := generalHead(m.Head, e.Credential)
	return err
}

func generalFrame(raw []byte) error {
	var f struct {
		_       struct{} `cbor:",toarray"`
		Form    uint64
		Head    []byte
		Common  rawCommon
		Members []wire.Raw
	}
	if err := wire.Decode(raw, &f); err != nil {
		return err
	}
	c := f.Common
	head, err := generalHead(f.Head, c.Credential)
	if err != nil {
		return err
	}
	n := uint64(len(f.Members))
	if f.Form != formFrame || n != head.Size || c.Counter > math.MaxUint64-(n-1) || c.Encryption == Sealed {
		return errGeneral
	}
	for _, m := range f.Members {
		e, err := generalPart(m, c.Encryption == Plain)
		if err != nil {
			return err
		}
		e.Version, e.From, e.Credential, e.To, e.Subject, e.Purpose = c.Version, c.From, c.Credential, c.To, c.Subject, c.Purpose
		e.InReplyTo, e.Issued, e.Expires, e.Counter = c.InReplyTo, c.Issued, c.Expires, c.Counter
		e.Encryption, e.Key = c.Encryption, c.Key
		if err := e.Check(); err != nil {
			return err
		}
	}
	return nil
}

// generalPart reads a member as any of the forms that its frame allows.
func generalPart(m wire.Raw, plain bool) (Envelope, error) {
	var body []byte
	var short shortKeyed
	var longP longPlain
	var longK longKeyed
	switch {
	case plain && wire.Decode(m, &body) == nil:
		return Envelope{Body: body}, nil
	case plain && wire.Decode(m, &longP) == nil && longP.Kind+longP.Trace != "":
		return Envelope{ContentType: longP.Kind, Trace: longP.Trace, Body: longP.Body}, nil
	case !plain && wire.Decode(m, &short) == nil:
		return Envelope{Digest: short.Digest, Body: short.Body}, nil
	case !plain && wire.Decode(m, &longK) == nil && longK.Kind+longK.Trace != "":
		return Envelope{ContentType: longK.Kind, Trace: longK.Trace, Digest: longK.Digest, Body: longK.Body}, nil
	}
	return Envelope{}, errGeneral
}
