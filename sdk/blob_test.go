package sdk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// blob makes so many bytes, the same each time.
func blob(size int) []byte {
	b := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(b)
	return b
}

func offer(t *testing.T, a *sdk.Agent, b []byte) sdk.Ref {
	t.Helper()
	ref, err := a.Offer(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("offer: %v", err)
	}
	return ref
}

func TestFetch(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3 << 20} {
			b := blob(size)
			ref := offer(t, bob, b)
			if ref.Agent != bob.ID() || ref.Process != bob.Self().Process || ref.Size != int64(size) || ref.Digest != sha256.Sum256(b) {
				t.Errorf("%+v", ref)
			}
			for range 2 {
				var got bytes.Buffer
				if err := alice.Fetch(t.Context(), ref, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
					t.Fatalf("%d of %d bytes: %v", got.Len(), size, err)
				}
			}
		}
	})
}

// A reference fits a message of a type of one's own, and fetches from where it was sent.
func TestAReferenceTravelsInAMessage(t *testing.T) {
	type job struct {
		Input sdk.Ref `json:"input"`
		By    sdk.ID  `json:"by"`
	}
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		handle(t, bob, "bytes.count", func(ctx context.Context, r *sdk.Request[job]) (number, error) {
			b, err := sdk.FetchBytes(ctx, bob, r.Data.Input, 1<<20)
			if r.Data.By != r.From.ID {
				return number{}, sdk.Errorf(code.Denied, "by another")
			}
			return number{len(b)}, err
		})
		j := job{offer(t, alice, blob(500_000)), alice.ID()}
		n, err := sdk.Call[number](t.Context(), alice, sdk.Any("bytes.count"), j)
		if err != nil || n.N != 500_000 {
			t.Fatalf("%d %v", n.N, err)
		}
		j.Input = offer(t, alice, blob(2<<20))
		_, err = sdk.Call[number](t.Context(), alice, sdk.Any("bytes.count"), j)
		wantCode(t, err, "too_large")
	})
}

func TestTheTextOfAReference(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		ref := offer(t, realm.Agent(t, "bob"), blob(10))
		text, err := ref.MarshalText()
		if err != nil || len(text) > 200 {
			t.Fatalf("%s %v", text, err)
		}
		var again sdk.Ref
		if err := again.UnmarshalText(text); err != nil || again != ref {
			t.Fatalf("%v %v", again, err)
		}
		raw, err := json.Marshal(ref)
		if err != nil || string(raw) != `"`+string(text)+`"` {
			t.Errorf("%s %v", raw, err)
		}
		if err := json.Unmarshal(raw, &again); err != nil || again != ref {
			t.Errorf("%v %v", again, err)
		}
		if strings.Contains(fmt.Sprint(ref), fmt.Sprintf("%x", ref.Token)) || !strings.Contains(ref.String(), ref.Digest.String()) {
			t.Errorf("%s", ref)
		}
		for _, bad := range []string{
			"", "conclave-blob:", string(text[1:]), string(text) + "A", string(text) + "\n", string(text[:len(text)-1]),
			strings.Replace(string(text), "conclave-blob:", "conclave-blob: ", 1), "conclave-blob:" + strings.Repeat("A", 1000),
			strings.ToUpper(string(text)),
		} {
			again = sdk.Ref{}
			if err := again.UnmarshalText([]byte(bad)); !errors.Is(err, sdk.ErrRef) || again != (sdk.Ref{}) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		negative := ref
		negative.Size = -1
		if text, err := negative.MarshalText(); err == nil && again.UnmarshalText(text) == nil {
			t.Errorf("a size below zero was read")
		}
	})
}

func FuzzRef(f *testing.F) {
	text, err := sdk.Ref{Size: 5}.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("conclave-blob:pQFYIQ"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var ref sdk.Ref
		if ref.UnmarshalText(text) != nil {
			return
		}
		again, err := ref.MarshalText()
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q was read, and is written %q", text, again)
		}
	})
}

func TestFetchRefusals(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		low := realm.Agent(t, "carol", sdktest.Level(identity.Observer))
		b := blob(200_000)
		honest := offer(t, bob, b)
		other := offer(t, bob, blob(300_000))
		try := func(a *sdk.Agent, change func(*sdk.Ref)) (int, error) {
			ref := honest
			change(&ref)
			var got bytes.Buffer
			err := a.Fetch(t.Context(), ref, &got)
			return got.Len(), err
		}
		if n, err := try(alice, func(*sdk.Ref) {}); err != nil || n != len(b) {
			t.Fatalf("%d %v", n, err)
		}
		for _, c := range []struct {
			name   string
			who    *sdk.Agent
			change func(*sdk.Ref)
			code   code.Code
			most   int // bytes written
		}{
			{"wrong token", alice, func(r *sdk.Ref) { r.Token[3] ^= 1 }, code.Denied, 0},
			{"no token", alice, func(r *sdk.Ref) { r.Token = sdk.Token{} }, code.Denied, 0},
			{"another content's token", alice, func(r *sdk.Ref) { r.Token = other.Token }, code.Denied, 0},
			{"wrong digest", alice, func(r *sdk.Ref) { r.Digest[0] ^= 1 }, code.Denied, 0},
			{"a level that may not call", low, func(*sdk.Ref) {}, code.Denied, 0},
			{"too small a size", alice, func(r *sdk.Ref) { r.Size-- }, "bad_signature", len(b) - 1},
			{"no size", alice, func(r *sdk.Ref) { r.Size = 0 }, "bad_signature", 0},
			{"too large a size", alice, func(r *sdk.Ref) { r.Size++ }, "bad_signature", len(b)},
			{"another process", alice, func(r *sdk.Ref) { r.Process = alice.Self().Process }, "unknown", 0},
			{"another agent", alice, func(r *sdk.Ref) { r.Agent = alice.ID() }, "unknown", 0},
		} {
			n, err := try(c.who, c.change)
			if sdk.CodeOf(err) != c.code || n > c.most {
				t.Errorf("%s: %d bytes, %v has code %q, want %q", c.name, n, err, sdk.CodeOf(err), c.code)
			}
		}
		if n, err := try(alice, func(*sdk.Ref) {}); err != nil || n != len(b) { // wrong references have done no harm
			t.Fatalf("%d %v", n, err)
		}
		ref := honest
		if _, err := sdk.FetchBytes(t.Context(), alice, ref, ref.Size-1); sdk.CodeOf(err) != "too_large" {
			t.Errorf("%v", err)
		}
		ref.Size++
		if b, err := sdk.FetchBytes(t.Context(), alice, ref, 1<<20); b != nil || !errors.Is(err, sdk.ErrDigest) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// changing is a content that somebody can change, and of which every reading is told.
type changing struct {
	b     atomic.Pointer[[]byte]
	reads atomic.Int64
	at    func(off int64)
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	if c.at != nil {
		c.at(off)
	}
	return bytes.NewReader(*c.b.Load()).ReadAt(p, off)
}

func (c *changing) set(b []byte) { c.b.Store(&b) }

// A content that changes after it was offered is not taken for the one that the reference names.
func TestFetchVerifiesTheContent(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		b := blob(200_000)
		var c changing
		c.set(b)
		ref, err := bob.Offer(t.Context(), &c, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sdk.FetchBytes(t.Context(), alice, ref, 1<<20); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d %v", len(got), err)
		}
		flipped := bytes.Clone(b)
		flipped[150_000] ^= 1
		for name, now := range map[string][]byte{"one bit": flipped, "shorter": b[:100_000], "empty": nil} {
			c.set(now)
			if got, err := sdk.FetchBytes(t.Context(), alice, ref, 1<<20); got != nil || !errors.Is(err, sdk.ErrDigest) && sdk.CodeOf(err) != "bad_signature" {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	})
}

func TestOfferRefusals(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob := realm.Agent(t, "bob")
		b := blob(1000)
		offer(t, bob, b)
		for _, size := range []int64{999, 1001, 0, 1 << 40} {
			if _, err := bob.Offer(t.Context(), bytes.NewReader(b), size); !errors.Is(err, sdk.ErrDigest) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		_, err := bob.Offer(t.Context(), bytes.NewReader(b), -1)
		wantCode(t, err, "usage")
		_, err = bob.Offer(t.Context(), nil, 0)
		wantCode(t, err, "usage")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = bob.Offer(ctx, bytes.NewReader(b), 1000)
		wantErr(t, err, context.Canceled)
		err = sdk.HandleBytes(bob, "conclave.blob", func(context.Context, *sdk.Delivery) ([]byte, error) { return nil, nil })
		wantCode(t, err, "usage")
		refs := []sdk.Ref{}
		for range 1023 {
			refs = append(refs, offer(t, bob, nil))
		}
		_, err = bob.Offer(t.Context(), bytes.NewReader(nil), 0)
		wantErr(t, err, sdk.ErrOffers)
		bob.Withdraw(refs[0])
		offer(t, bob, nil)
	})
}

func TestWithdraw(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		fetch := func(ref sdk.Ref) error { return alice.Fetch(t.Context(), ref, io.Discard) }
		first, second := offer(t, bob, blob(10)), offer(t, bob, blob(10))
		bob.Withdraw(first)
		wantCode(t, fetch(first), code.Denied)
		wantCode(t, fetch(second), "")
		bob.Withdraw(first) // again, and with what was never offered
		bob.Withdraw(sdk.Ref{})
		ctx, cancel := context.WithCancel(t.Context())
		third, err := bob.Offer(ctx, bytes.NewReader(nil), 0)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, fetch(third), "")
		cancel()
		settle()
		wantCode(t, fetch(third), code.Denied)
	})
}

// Withdrawing in the middle ends those who fetch, and nobody reads the content afterwards.
func TestWithdrawWhileItIsFetched(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		b := blob(8 << 20)
		c := changing{}
		c.set(b)
		ref, err := bob.Offer(t.Context(), &c, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		written, reads := 0, int64(0)
		err = alice.Fetch(t.Context(), ref, writer(func(p []byte) (int, error) {
			if written == 0 {
				settle() // the window is full
				bob.Withdraw(ref)
				reads = c.reads.Load()
			}
			written += len(p)
			return len(p), nil
		}))
		wantCode(t, err, code.NotFound)
		if written >= len(b) || c.reads.Load() != reads {
			t.Errorf("%d bytes were written; %d reads after the withdrawal", written, c.reads.Load()-reads)
		}
	})
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A writer that fails ends the stream on both sides.
func TestFetchIntoAWriterThatFails(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		ref := offer(t, bob, blob(8<<20))
		full := errors.New("disk full")
		err := alice.Fetch(t.Context(), ref, writer(func([]byte) (int, error) { return 0, full }))
		wantErr(t, err, full)
		settle()
		if n, m := sdk.StreamsServed(bob), sdk.StreamsRead(alice); n+m != 0 {
			t.Errorf("%d streams are served, %d are read", n, m)
		}
	})
}

// What a fetch reads ahead is bounded by the window, whatever the content's size.
func TestFetchReadsAheadNoMoreThanItsWindow(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice")
		b := blob(8 << 20)
		c := changing{}
		c.set(b)
		ref, err := bob.Offer(t.Context(), &c, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		var furthest atomic.Int64
		c.at = func(off int64) { furthest.Store(max(furthest.Load(), off)) }
		written := int64(0)
		err = alice.Fetch(t.Context(), ref, writer(func(p []byte) (int, error) {
			settle()
			if ahead := furthest.Load() - written; ahead > 1<<20+128<<10 {
				t.Errorf("%d bytes ahead", ahead)
			}
			written += int64(len(p))
			return len(p), nil
		}))
		if err != nil || written != int64(len(b)) {
			t.Errorf("%d bytes, %v", written, err)
		}
	})
}
