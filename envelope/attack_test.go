package envelope

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
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

// Whoever has no key can make a receiver allocate no more than a fixed amount, and more bytes than that only by sending
// them, whatever lengths it claims.
func TestClaimedLengthsCostNothing(t *testing.T) {
	w := join(t)
	k := w.kinds()[0]
	honest := w.sealFrame(k.d, 1).Raw()
	claims := map[string][]byte{
		"frame of 1,024 empty members": w.emptyMembers(k, MaxBatch),
		"members cut off":              honest[:len(honest)-20],
	}
	for _, first := range []byte{firstFrame, firstMember, 0x94, 0x98, 0x9b, 0xd2, 0xbb} {
		for _, second := range []byte{0x01, 0x02, 0x3b, 0x5b, 0x7b, 0x9b, 0xbb, 0xdb} {
			claims[string([]byte{first, second})] = append([]byte{first, second}, bytes.Repeat([]byte{0xff}, 64)...)
		}
	}
	for name, raw := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 8 {
			_, _ = Peek(raw, DefaultLimit)
			if _, err := Check(raw, k.in, &fakeAuthority{}, now); err == nil {
				t.Fatalf("%q is taken", name)
			}
		}
		runtime.ReadMemStats(&after)
		if each := int(after.TotalAlloc-before.TotalAlloc) / 8; each > 128<<10 {
			t.Errorf("%q, of %d bytes: %d bytes allocated", name, len(raw), each)
		}
	}
}

// emptyMembers is an honest frame of the least that members can be.
func (w *joined) emptyMembers(k kind, n int) []byte {
	f, err := SealFrame(w.from, k.d, make([]Member, n), nil)
	must(w.t, err)
	w.openAll(f.Raw(), k.in, w.fresh())
	return f.Raw()
}

// The members of a frame cut out, signed again in other batches, or alone: each is accepted once, whatever it came in first.
func TestOneEnvelopeInManyForms(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		frame := w.sealFrame(k.d, 6)
		all := w.envelopes(frame)
		second := all[3]
		forms := [][]byte{
			encoded(t, rawOf(w.headOf(w.from, all[:2]), all[:2])), // a frame of the first two
			w.sign(w.from, second),
			frame.Raw(),
			encoded(t, rawOf(w.headOf(w.from, all[1:]), all[1:])),
		}
		for _, m := range w.openAll(frame.Raw(), k.in, w.fresh()) {
			forms = append(forms, m.Raw())
		}
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 20 {
			rng.Shuffle(len(forms), func(i, j int) { forms[i], forms[j] = forms[j], forms[i] })
			windows, got := w.fresh(), map[wire.Digest]uint64{}
			for _, raw := range forms {
				opened, err := OpenAny(raw, k.in, w.authority, windows, now)
				must(t, err)
				for _, o := range opened {
					if o.Err == nil {
						got[o.Message.ID()] += o.Message.Envelope().Counter
					} else if !errors.Is(o.Err, ErrReplayed) {
						t.Fatalf("%s, seed %d: %v", k.name, seed, o.Err)
					}
				}
			}
			for i := range all {
				if got[frame.ID(i)] != all[i].Counter {
					t.Fatalf("%s, seed %d: member %d came %d times", k.name, seed, i, got[frame.ID(i)])
				}
			}
			if len(got) != len(all) {
				t.Fatalf("%s, seed %d: %d ids of %d envelopes", k.name, seed, len(got), len(all))
			}
		}
	}
}

// What the envelopes of a frame do not share cannot decide over rights: the authority, asked once, does not see it.
func TestRightsDependOnWhatAFrameShares(t *testing.T) {
	w := join(t)
	d := w.event()
	d.Protection = Under(w.topic)
	asked := &askedAuthority{fakeAuthority: w.authority}
	shared := d
	shared.Content, shared.ContentType, shared.Trace = nil, "", ""
	frame, err := SealFrame(w.from, shared, []Member{{Content: d.Content, ContentType: "text/plain"}, {ContentType: "x"}}, nil)
	must(t, err)
	bundle, err := SealBatch(w.from, []Draft{d}, nil)
	must(t, err)
	member, err := bundle.Member(0)
	must(t, err)
	for _, raw := range [][]byte{w.seal(d), member, frame.Raw()} {
		_, err := Check(raw, w.with(w.inboundEvent()), asked, now)
		must(t, err)
	}
	want := Envelope{Version: 1, From: w.alice.ID(), Credential: w.from.Credential().ID(), To: d.To, Subject: d.Subject,
		Purpose: d.Purpose, Issued: d.Issued, Expires: d.Expires, Counter: 1, Encryption: SenderKey, Key: w.topic.ID()}
	for i, e := range asked.about {
		if !bytes.Equal(encoded(t, unchecked(e)), encoded(t, unchecked(want))) || e.Body != nil {
			t.Errorf("form %d: asked about %+v", i, e)
		}
	}
	if len(asked.about) != 3 {
		t.Errorf("asked %d times", len(asked.about))
	}
}

// askedAuthority keeps what it was asked to authorise.
type askedAuthority struct {
	*fakeAuthority
	about []Envelope
}

func (a *askedAuthority) Authorise(s Sender, e Envelope) error {
	a.about = append(a.about, e)
	return a.fakeAuthority.Authorise(s, e)
}

// A session may be forgotten after a request under it was handled. If somebody then replays the request, its sender must
// not be told that it was not handled: it would send it once more.
func TestSpendTellsReplaysApart(t *testing.T) {
	w := join(t)
	k := w.kinds()[2]
	first, again := w.sealFrame(k.d, 2), k.d
	again.Counter = 3
	unknown := func(f *Frame) *UnknownKey {
		forgetful := k.in
		forgetful.Keys = keyring{}
		_, err := Check(f.Raw(), forgetful, w.authority, now)
		var u *UnknownKey
		if !errors.As(err, &u) {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name    string
		handled int // members of the frame that were accepted before
		want    error
	}{{"not handled", 0, nil}, {"handled", 2, ErrReplayed}, {"one of two handled", 1, ErrReplayed}} {
		windows := w.fresh()
		if c.handled > 0 {
			one := w.sealFrame(k.d, c.handled)
			w.openAll(one.Raw(), k.in, windows)
		}
		if err := unknown(first).Spend(windows, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		all, err := OpenAny(first.Raw(), k.in, w.authority, windows, now) // the key is found after all
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, ErrReplayed) {
				t.Errorf("%s: member %d after it was disowned: %v", c.name, i, o.Err)
			}
		}
		w.openAll(w.sealFrame(again, 2).Raw(), k.in, windows)
	}
	if err := unknown(first).Spend(nil, now); !errors.Is(err, errNoGuard) {
		t.Errorf("without windows: %v", err)
	}
}

// Counters at the very end: what is accepted there is accepted once, and nothing wraps around.
func TestLastCounters(t *testing.T) {
	w := join(t)
	k := w.kinds()[1]
	k.d.Counter = math.MaxUint64 - 9
	f := w.sealFrame(k.d, 10)
	windows := NewLiveWindows(4)
	must(t, windows.Join(Stream{w.from.Credential().ID(), ToTopic(topic)}, k.d.Counter, start+life, now))
	w.openAll(f.Raw(), k.in, windows)
	low := w.kinds()[1]
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{{"again", f.Raw(), ErrReplayed}, {"from 1", w.sealFrame(low.d, 10).Raw(), errOutside}} {
		all, err := OpenAny(c.raw, k.in, w.authority, windows, now)
		must(t, err)
		for i, o := range all {
			if !errors.Is(o.Err, c.want) {
				t.Errorf("%s, member %d: %v", c.name, i, o.Err)
			}
		}
	}
	must(t, windows.Join(Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life, now)) // lowers nothing
	if all, err := OpenAny(w.sealFrame(low.d, 1).Raw(), k.in, w.authority, windows, now); err != nil || all[0].Err == nil {
		t.Errorf("after joining from 1 again: %v, %v", all, err)
	}
}

// Times at the ends of their range are refused, and not by an overflow that lets them pass.
func TestExtremeTimes(t *testing.T) {
	w := newWorld(t)
	for _, issued := range []int64{math.MinInt64, -1, 0, math.MaxInt64 - 5_000, math.MaxInt64 - 1, math.MaxInt64} {
		for _, expires := range []int64{issued + 5_000, math.MaxInt64, math.MinInt64, now + 1} {
			e := w.compose(w.event())
			e.Issued, e.Expires = issued, expires
			m, err := w.open(w.sign(w.from, e), w.inboundEvent())
			if m != nil || !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, identity.ErrNotYet) && !errors.Is(err, identity.ErrExpired) {
				t.Errorf("from %d to %d: %v", issued, expires, err)
			}
		}
	}
	must(t, w.windows.Windows.(*LiveWindows).Join(Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life, now))
	_, err := w.open(w.seal(w.event()), w.inboundEvent())
	must(t, err)
}

// A head that was remembered vouches for its own bytes, realm and key only, and never for who may send now.
func TestRootsDoNotVouchForSenders(t *testing.T) {
	w := join(t)
	k := w.kinds()[0]
	k.in.Roots = NewRoots(8)
	frame := w.sealFrame(k.d, 3)
	w.openAll(frame.Raw(), k.in, w.fresh())
	all := w.envelopes(frame)
	forged := rawOf(w.headOf(w.mallory, all), all) // another signature over the same batch
	if _, err := Check(encoded(t, forged), k.in, w.authority, now); !errors.Is(err, wire.ErrBadSignature) {
		t.Errorf("another signature: %v", err)
	}
	flipped := bytes.Clone(frame.Raw())
	flipped[bytes.Index(flipped, all[2].Body)] ^= 1
	if _, err := Check(flipped, k.in, w.authority, now); !errors.Is(err, errBatch) {
		t.Errorf("another body under a known head: %v", err)
	}
	if _, err := Check(frame.Raw(), k.in, w.authority, start+life+identity.Skew); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("credential ended: %v", err)
	}
	w.authority.refusal = errSilenced
	if _, err := Check(frame.Raw(), k.in, w.authority, now); !errors.Is(err, errSilenced) {
		t.Errorf("quarantined meanwhile: %v", err)
	}
	w.authority.refusal = nil
	w.openAll(frame.Raw(), k.in, w.fresh())
}

// A node of the tree, or another statement, is no leaf, wherever it stands.
func TestNodesAreNoLeaves(t *testing.T) {
	w := join(t)
	f := w.sealFrame(w.kinds()[0].d, 4)
	messages := w.openAll(f.Raw(), w.kinds()[0].in, w.fresh())
	var m memberForm
	must(t, m.decode(messages[0].Raw()))
	leaf, _ := leafAndID(w.realm, m.Payload)
	node := m
	node.Payload = append(append([]byte{}, leaf[:]...), m.Path[0][:]...)
	node.Path = m.Path[1:]
	b := m
	b.Payload = encoded(t, uncheckedBatch{Version: 1, Credential: wire.Digest{1}, Size: 1, Root: merkle.Hash{1}})
	for name, form := range map[string]memberForm{"inner node": node, "batch": b} {
		if _, _, err := Attest(form.encode(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, id, err := Attest(m.encode(), DefaultLimit, w.realm, w.from.Credential().Statement().Signing)
	if must(t, err); id != f.ID(0) {
		t.Error("the honest member has another id")
	}
}
