package envelope

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// joined is a world whose receiver has joined alice's topic and shares a session with her process.
type joined struct {
	*world
	keys   keyring
	topic  *Key // of alice's topic
	direct *Key // the session's, as alice has it
}

type keyring map[wire.Digest]*Key

func (k keyring) Key(id wire.Digest) *Key { return k[id] }

func join(t testing.TB) *joined {
	w := &joined{world: newWorld(t), keys: keyring{}}
	w.windows.Windows = w.fresh()
	var err error
	w.topic, err = NewSenderKey(rand.Reader)
	must(t, err)
	opener := w.request()
	signed, err := Seal(w.from, opener, rand.Reader)
	must(t, err)
	m, err := Open(signed.Raw, w.inbound(), w.authority, NewLiveWindows(1), now)
	must(t, err)
	w.direct = signed.Session
	w.keys[w.topic.ID()], w.keys[m.Session().ID()] = w.topic, m.Session()
	return w
}

// fresh are windows that have seen nothing and joined the topic.
func (w *joined) fresh() *LiveWindows {
	live := NewLiveWindows(16)
	must(w.t, live.Join(w.from.Principal(), Stream{w.from.Credential().ID(), ToTopic(topic)}, 1, start+life+identity.Skew, now))
	return live
}

// A kind is one of the three ways in which a frame may be protected.
type kind struct {
	name string
	d    Draft
	in   Inbound
}

func (w *joined) kinds() []kind {
	plain, keyed, session := w.event(), w.event(), w.request()
	keyed.Protection, session.Protection = Under(w.topic), Under(w.direct)
	all := []kind{{"plain", plain, w.inboundEvent()}, {"sender key", keyed, w.inboundEvent()}, {"session", session, w.inbound()}}
	for i := range all {
		all[i].in.Keys = w.keys
		all[i].d.Content, all[i].d.ContentType, all[i].d.Trace = nil, "", ""
	}
	return all
}

// members are n, of which some have a content type, some a trace, and each a content of another length.
func members(n int) []Member {
	all := make([]Member, n)
	for i := range all {
		all[i].Content = fmt.Appendf(nil, "hello %d %s", i, bytes.Repeat([]byte("!"), i%7))
		if i%3 == 1 {
			all[i].ContentType = "text/plain"
		}
		if i%4 == 3 {
			all[i].Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		}
	}
	return all
}

func (w *joined) sealFrame(d Draft, n int) *Frame {
	d.Limit = 1 << 20
	f, err := SealFrame(w.from, d, members(n), rand.Reader)
	must(w.t, err)
	return f
}

func (w *joined) openAll(raw []byte, in Inbound, windows Windows) []*Message {
	w.t.Helper()
	in.Limit = 1 << 20
	all, err := OpenAny(raw, in, w.authority, windows, now)
	must(w.t, err)
	messages := make([]*Message, len(all))
	for i, o := range all {
		must(w.t, o.Err)
		messages[i] = o.Message
	}
	return messages
}

// A frame's members are the envelopes that they would be alone: same content, same id, same proof.
func TestFrame(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		for _, n := range []int{1, 2, 3, 7, MaxBatch} {
			d := k.d
			d.Counter = 21
			f := w.sealFrame(d, n)
			got := w.openAll(f.Raw(), k.in, w.fresh())
			if len(got) != n || f.Len() != n {
				t.Fatalf("%s: %d messages of %d", k.name, len(got), n)
			}
			for i := 0; i < n; i += 1 + n/50 {
				want, m := members(n)[i], got[i]
				e := m.Envelope()
				if !bytes.Equal(m.Content(), want.Content) || e.ContentType != want.ContentType || e.Trace != want.Trace ||
					e.Counter != uint64(21+i) || m.ID() != f.ID(i) || m.Process() != w.from.Credential().ID() {
					t.Fatalf("%s, %d of %d: %+v", k.name, i, n, e)
				}
				if id, err := wire.IDOf(w.realm, unchecked(e)); err != nil || id != m.ID() {
					t.Fatalf("%s, %d of %d: another id than alone", k.name, i, n)
				}
				alone, err := OpenMember(m.Raw(), k.in, w.authority, w.fresh(), now)
				must(t, err)
				if !bytes.Equal(alone.Content(), want.Content) || alone.ID() != m.ID() {
					t.Fatalf("%s, %d of %d: another message alone", k.name, i, n)
				}
			}
		}
	}
}

// Every member that is cut out of a frame proves by itself who said it.
func TestFrameMembersProveThemselves(t *testing.T) {
	w := join(t)
	key := w.from.Credential().Statement().Signing
	for _, k := range w.kinds() {
		f := w.sealFrame(k.d, 9)
		for i, m := range w.openAll(f.Raw(), k.in, w.fresh()) {
			e, id, err := Attest(m.Raw(), DefaultLimit, w.realm, key)
			if err != nil || id != f.ID(i) || e.Counter != uint64(1+i) || e.From != w.alice.ID() {
				t.Errorf("%s, member %d: %v", k.name, i, err)
			}
			if k.name != "plain" && wire.Hash(append(bytes.Clone(m.Salt()), m.Content()...)) != e.Digest {
				t.Errorf("%s, member %d: salt and content do not give the signed digest", k.name, i)
			}
			other := w.mallory.Credential().Statement().Signing
			if _, _, err := Attest(m.Raw(), DefaultLimit, w.realm, other); !errors.Is(err, wire.ErrBadSignature) {
				t.Errorf("%s, member %d, another key: %v", k.name, i, err)
			}
		}
	}
}

// rawFrame is a frame as anybody may write it.
type rawFrame struct {
	_       struct{} `cbor:",toarray"`
	Form    uint64
	Head    []byte
	Common  rawCommon
	Members []any
}

type rawCommon struct {
	Version    uint64      `cbor:"0,keyasint"`
	From       identity.ID `cbor:"1,keyasint"`
	Credential wire.Digest `cbor:"2,keyasint"`
	To         Destination `cbor:"3,keyasint"`
	Subject    string      `cbor:"4,keyasint"`
	Purpose    Purpose     `cbor:"5,keyasint"`
	InReplyTo  wire.Digest `cbor:"6,keyasint,omitzero"`
	Issued     int64       `cbor:"7,keyasint"`
	Expires    int64       `cbor:"8,keyasint"`
	Counter    uint64      `cbor:"9,keyasint"`
	Encryption Encryption  `cbor:"12,keyasint"`
	Key        wire.Digest `cbor:"16,keyasint,omitzero"`
}

// The four forms of a frame's members, encoded by reflection.
type (
	shortKeyed struct {
		_      struct{} `cbor:",toarray"`
		Digest wire.Digest
		Body   []byte
	}
	longPlain struct {
		_           struct{} `cbor:",toarray"`
		Kind, Trace string
		Body        []byte
	}
	longKeyed struct {
		_           struct{} `cbor:",toarray"`
		Kind, Trace string
		Digest      wire.Digest
		Body        []byte
	}
)

func memberOf(e Envelope) any {
	long := e.ContentType != "" || e.Trace != ""
	switch {
	case e.Encryption == Plain && !long:
		return e.Body
	case e.Encryption == Plain:
		return longPlain{Kind: e.ContentType, Trace: e.Trace, Body: e.Body}
	case !long:
		return shortKeyed{Digest: e.Digest, Body: e.Body}
	}
	return longKeyed{Kind: e.ContentType, Trace: e.Trace, Digest: e.Digest, Body: e.Body}
}

func commonOf(e Envelope) rawCommon {
	return rawCommon{e.Version, e.From, e.Credential, e.To, e.Subject, e.Purpose, e.InReplyTo, e.Issued, e.Expires,
		e.Counter, e.Encryption, e.Key}
}

// envelopes returns what the frame says, member by member.
func (w *joined) envelopes(f *Frame) []Envelope {
	read, err := parseFrame(f.Raw(), len(f.Raw()))
	must(w.t, err)
	all := make([]Envelope, read.len())
	for i := range all {
		all[i] = envelopeAt(read, i)
	}
	return all
}

// headOf signs, as p, the root over envelopes, encoded by reflection.
func (w *world) headOf(p *identity.Process, all []Envelope) []byte {
	return w.head(p, Batch{Version: 1, Credential: all[0].Credential, Size: uint64(len(all)), Root: merkle.Root(w.leaves(all))})
}

func (w *world) leaves(all []Envelope) []merkle.Hash {
	leaves := make([]merkle.Hash, len(all))
	for i, e := range all {
		leaves[i] = merkle.LeafHash(wire.SigStructure(wire.Envelope, w.realm, encoded(w.t, unchecked(e))))
	}
	return leaves
}

func rawOf(head []byte, all []Envelope) rawFrame {
	f := rawFrame{Form: formFrame, Head: head, Common: commonOf(all[0])}
	for _, e := range all {
		f.Members = append(f.Members, memberOf(e))
	}
	return f
}

// The bytes of a frame are what the general codec writes.
func TestFrameIsTheDocumentedBytes(t *testing.T) {
	w := join(t)
	for _, k := range w.kinds() {
		for _, n := range []int{1, 5, 24, 300} {
			f := w.sealFrame(k.d, n)
			all := w.envelopes(f)
			read, err := parseFrame(f.Raw(), len(f.Raw()))
			must(t, err)
			if again := encoded(t, rawOf(read.headRaw, all)); !bytes.Equal(again, f.Raw()) {
				t.Fatalf("%s, %d members: got %x, want %x", k.name, n, f.Raw(), again)
			}
			must(t, read.verify(w.realm, w.from.Credential().Statement().Signing, nil))
			for i, leaf := range w.leaves(all) {
				if leaf != read.leaves[i] {
					t.Fatalf("%s: leaf %d is not that of the envelope alone", k.name, i)
				}
			}
		}
	}
}
