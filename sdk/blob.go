package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"sync"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Bounds of contents that are passed by reference.
const (
	blobCapability = "conclave.blob" // every agent has it; no card shows it
	maxOffers      = 1024            // of one agent at a time
	chunkSize      = 64 << 10        // bytes of content in one item
)

var (
	// ErrDigest is returned when what was fetched is not what the reference names, in size or in digest.
	ErrDigest = fault.New(fault.BadSignature, "sdk: the content is not what the reference names")
	// ErrRef is returned for a text that is not a reference.
	ErrRef = fault.New(fault.Malformed, "sdk: not a reference to a content")
	// ErrOffers is returned when an agent offers 1,024 contents already.
	ErrOffers    = fault.New(fault.Rate, "sdk: too many contents are offered")
	errNoOffer   = fault.New(fault.Denied, "sdk: no such content is offered to you")
	errWithdrawn = fault.New(fault.NotFound, "sdk: the content was withdrawn")
)

// Token is what, beside its digest, one must know to fetch a content. Whoever has it may fetch.
type Token [16]byte

// Ref names a content that an agent's process offers: who has it, what it is, and the token to get it by. As text, and
// in JSON, it is one line of about 190 characters, which fits any message; it is a secret like the content itself.
type Ref struct {
	Agent   ID
	Process Digest // the offer ends with it
	Digest  Digest // SHA-256 of the content
	Size    int64  // bytes
	Token   Token
}

// refContent is a reference in deterministic CBOR.
type refContent struct {
	Agent   identity.ID `cbor:"1,keyasint"`
	Process wire.Digest `cbor:"2,keyasint"`
	Digest  wire.Digest `cbor:"3,keyasint"`
	Size    int64       `cbor:"4,keyasint"`
	Token   Token       `cbor:"5,keyasint"`
}

// fetchContent asks for an offered content.
type fetchContent struct {
	Digest wire.Digest `cbor:"1,keyasint"`
	Token  [16]byte    `cbor:"2,keyasint"`
}

const refPrefix = "conclave-blob:"

// MarshalText implements [encoding.TextMarshaler].
func (r Ref) MarshalText() ([]byte, error) {
	raw, err := wire.Encode(refContent(r))
	if err != nil {
		return nil, err
	}
	return []byte(refPrefix + base64.RawURLEncoding.EncodeToString(raw)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes what MarshalText makes and nothing else. Errors:
// [ErrRef].
func (r *Ref) UnmarshalText(text []byte) error {
	encoded, ok := bytes.CutPrefix(text, []byte(refPrefix))
	if !ok || len(text) > 512 {
		return ErrRef
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(encoded))
	if err != nil {
		return ErrRef
	}
	var c refContent
	if err := wire.Decode(raw, &c); err != nil {
		return errors.Join(ErrRef, err)
	}
	again, err := Ref(c).MarshalText()
	if err != nil || !bytes.Equal(again, text) || c.Agent.Role() != identity.Agent || c.Size < 0 {
		return ErrRef
	}
	*r = Ref(c)
	return nil
}

// String returns who has what, without the token.
func (r Ref) String() string { return fmt.Sprintf("%s (%d bytes, of %s)", r.Digest, r.Size, r.Agent) }

// shelf is the contents that an agent offers. It is safe for concurrent use.
type shelf struct {
	mu   sync.Mutex
	open map[Token]*offer
}

// offer is one content. Reading and withdrawing exclude each other.
type offer struct {
	ref    Ref
	forget func() bool // ends the watch on the offer's ctx

	mu      sync.RWMutex
	content io.ReaderAt // nil once withdrawn
}

// Offer makes size bytes of content fetchable by everybody who has the reference that it returns, at any level that may
// call "conclave.blob". It reads the content once, for its digest, and then whenever somebody fetches it, by several at
// a time; it must not change. The offer ends with ctx, [Agent.Withdraw], the agent, and the process's credential, after
// a day at most. Errors: [ErrOffers], [ErrDigest] if the content is shorter or longer than size, its own, ctx's.
func (a *Agent) Offer(ctx context.Context, content io.ReaderAt, size int64) (Ref, error) {
	s := a.link.current()
	if err := s.presence.once(ctx); err != nil {
		return Ref{}, err
	}
	digest, err := digestOf(ctx, content, size)
	if err != nil {
		return Ref{}, err
	}
	ref := Ref{Agent: a.ID(), Process: s.process.Credential().ID(), Digest: digest, Size: size}
	if _, err := rand.Read(ref.Token[:]); err != nil {
		return Ref{}, fmt.Errorf("sdk: offer: %w", err)
	}
	o := &offer{ref: ref, content: content}
	o.forget = context.AfterFunc(ctx, func() { a.Withdraw(ref) })
	if err := a.shelf.add(o); err != nil {
		o.forget()
		return Ref{}, err
	}
	if err := ctx.Err(); err != nil { // the watch may have come too early
		a.Withdraw(ref)
		return Ref{}, err
	}
	return ref, nil
}

// Withdraw ends an offer. When it returns nobody reads the content any more, and those who were fetching it get an
// error. Withdrawing what is not offered does nothing.
func (a *Agent) Withdraw(ref Ref) { a.shelf.remove(ref.Token) }

// Fetch writes the content that ref names to w and verifies it: nil says that exactly that content was written. After
// an error w has got a part of it, or something else; nothing of that was verified. No more than ref.Size bytes are
// ever written. Errors: denied for a wrong token or a content that is not offered, not found for one that was
// withdrawn meanwhile, [ErrDigest], those of [StreamBytes], and w's.
func (a *Agent) Fetch(ctx context.Context, ref Ref, w io.Writer) error {
	check := checked{w: w, left: ref.Size, hash: sha256.New()}
	for chunk, err := range remoteChunks(ctx, a, ref) {
		if err == nil {
			err = check.write(chunk)
		}
		if err != nil {
			return fmt.Errorf("sdk: fetch: %w", err)
		}
	}
	if check.left != 0 || Digest(check.hash.Sum(nil)) != ref.Digest {
		return ErrDigest
	}
	return nil
}

// FetchBytes returns the content that ref names, verified, if it is not longer than most bytes. Errors: too_large, and
// those of [Agent.Fetch].
func FetchBytes(ctx context.Context, a *Agent, ref Ref, most int64) ([]byte, error) {
	if ref.Size > most {
		return nil, Errorf(fault.TooLarge, "sdk: fetch: %d bytes, at most %d", ref.Size, most)
	}
	var b bytes.Buffer
	if err := a.Fetch(ctx, ref, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// remoteChunks streams a content from the process that offers it.
func remoteChunks(ctx context.Context, a *Agent, ref Ref) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := a.link.current()
		body, err := wire.Encode(fetchContent{Digest: ref.Digest, Token: ref.Token})
		if err == nil {
			err = mayCall(s, blobCapability)
		}
		if err == nil {
			err = a.circle.confirm(ctx, ref.Agent, ref.Process)
		}
		var key []byte
		if err == nil {
			key, err = a.circle.sealingKey(ctx, ref.Agent, ref.Process)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		r := remote{agent: ref.Agent, process: ref.Process, sealing: key}
		request := requestContent{Capability: blobCapability, Body: body, Window: windowOf(nil)}
		if refused := r.read(ctx, s, request, yield); refused != nil {
			yield(nil, refused)
		}
	}
}

// confirm finds out that a process is the agent's: a reference is anybody's word.
func (q *acquaintances) confirm(ctx context.Context, agent ID, process Digest) error {
	_, err := q.peers.Sender(agent, process, q.link.now())
	if err == nil || !unknownSender(err) {
		return err
	}
	if err := q.meet(ctx, agent, process); err != nil {
		return err
	}
	_, err = q.peers.Sender(agent, process, q.link.now())
	return err
}

// checked writes as much as was announced and hashes it.
type checked struct {
	w    io.Writer
	left int64
	hash hash.Hash
}

func (c *checked) write(chunk []byte) error {
	if len(chunk) == 0 || int64(len(chunk)) > c.left { // an endless row of nothing would never be too much
		return ErrDigest
	}
	c.left -= int64(len(chunk))
	c.hash.Write(chunk)
	_, err := c.w.Write(chunk)
	return err
}

// digestOf reads a content through, and finds out that it has so many bytes and no more.
func digestOf(ctx context.Context, content io.ReaderAt, size int64) (Digest, error) {
	if content == nil || size < 0 {
		return Digest{}, Errorf(fault.Usage, "sdk: offer: no content, or %d bytes", size)
	}
	h := sha256.New()
	o := &offer{ref: Ref{Size: size}, content: content}
	for chunk, err := range o.chunks() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return Digest{}, err
		}
		h.Write(chunk)
	}
	if n, err := content.ReadAt(make([]byte, 1), size); n != 0 || !errors.Is(err, io.EOF) {
		return Digest{}, errors.Join(ErrDigest, err)
	}
	return Digest(h.Sum(nil)), nil
}

func (v *shelf) add(o *offer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) >= maxOffers {
		return ErrOffers
	}
	if v.open == nil {
		v.open = map[Token]*offer{}
	}
	v.open[o.ref.Token] = o
	return nil
}

func (v *shelf) remove(t Token) {
	v.mu.Lock()
	o := v.open[t]
	delete(v.open, t)
	v.mu.Unlock()
	if o != nil {
		o.forget()
		o.mu.Lock()
		defer o.mu.Unlock()
		o.content = nil
	}
}

// serve is the handler of the reserved capability. Who has not both token and digest learns nothing.
func (v *shelf) serve(_ context.Context, d *Delivery) iter.Seq2[[]byte, error] {
	var f fetchContent
	if err := wire.Decode(d.Content, &f); err != nil {
		return failing(err)
	}
	v.mu.Lock()
	o := v.open[f.Token]
	v.mu.Unlock()
	if o == nil || o.ref.Digest != f.Digest {
		return failing(errNoOffer)
	}
	return o.chunks()
}

func failing(err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, err) }
}

// chunks yields the content as long as it is not withdrawn.
func (o *offer) chunks() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for at := int64(0); at < o.ref.Size; {
			chunk, err := o.chunk(at)
			if !yield(chunk, err) || err != nil {
				return
			}
			at += int64(len(chunk))
		}
	}
}

func (o *offer) chunk(at int64) ([]byte, error) {
	chunk := make([]byte, min(chunkSize, o.ref.Size-at))
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.content == nil {
		return nil, errWithdrawn
	}
	if n, err := o.content.ReadAt(chunk, at); n < len(chunk) {
		return nil, fmt.Errorf("%w: only %d bytes: %w", ErrDigest, at+int64(n), err)
	}
	return chunk, nil
}
