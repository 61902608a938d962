package mesh

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

func TestReadFrame(t *testing.T) {
	for name, row := range map[string]struct {
		in    string
		limit int
		out   string
		want  error
	}{
		"honest":           {"\x00\x00\x00\x02hi", 2, "hi", nil},
		"more behind":      {"\x00\x00\x00\x02hi\x00", 2, "hi", nil},
		"end":              {"", 2, "", io.EOF},
		"end in the head":  {"\x00\x00\x00", 2, "", io.ErrUnexpectedEOF},
		"end before":       {"\x00\x00\x00\x02", 2, "", io.ErrUnexpectedEOF},
		"end inside":       {"\x00\x00\x00\x02h", 2, "", io.ErrUnexpectedEOF},
		"empty":            {"\x00\x00\x00\x00", 2, "", ErrFrame},
		"one too long":     {"\x00\x00\x00\x03abc", 2, "", ErrTooLarge},
		"longest possible": {"\xff\xff\xff\xff", maxFrame, "", ErrTooLarge},
	} {
		got, err := readFrame(strings.NewReader(row.in), row.limit)
		if string(got) != row.out || !errors.Is(err, row.want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestTheLongestMessagesFit(t *testing.T) {
	for _, message := range []any{
		request{ID: 1<<64 - 1, Op: strings.Repeat("o", maxOp), Left: 1<<64 - 1, Body: make([]byte, MaxBody)},
		reply{ID: 1<<64 - 1, Body: make([]byte, MaxBody)},
		reply{ID: 1<<64 - 1, Refusal: refuse(&fault.Error{Code: fault.Internal, Message: strings.Repeat("m", 1e6), Hint: strings.Repeat("h", 1e6)})},
	} {
		if _, err := pack(message, maxFrame); err != nil {
			t.Error(err)
		}
	}
	refused := welcome{Refusal: refuse(&fault.Error{Code: fault.Internal, Message: strings.Repeat("m", 1e6), Hint: strings.Repeat("h", 1e6)})}
	if _, err := pack(refused, maxWelcome); err != nil {
		t.Error(err)
	}
	if _, err := pack(request{ID: 1, Op: joinOp, Body: make([]byte, maxJoin-maxOpening)}, maxJoin); err != nil {
		t.Error(err)
	}
	_, err := pack(reply{Body: make([]byte, maxFrame)}, maxFrame)
	wantErr(t, err, ErrTooLarge)
}

func TestMessagesAreOfOneKindEach(t *testing.T) {
	encode := func(v any) []byte {
		b, err := wire.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, row := range map[string]struct {
		request
		ok bool
	}{
		"call":           {request{ID: 1, Op: "o", Left: 1, Body: []byte{1}}, true},
		"bare call":      {request{ID: 1, Op: "o"}, true},
		"end of a call":  {request{ID: 1}, true},
		"sign of life":   {request{}, true},
		"no id":          {request{Op: "o"}, false},
		"end with body":  {request{ID: 1, Body: []byte{1}}, false},
		"end with limit": {request{ID: 1, Left: 1}, false},
		"long op":        {request{ID: 1, Op: strings.Repeat("o", maxOp+1)}, false},
	} {
		if _, err := parseRequest(encode(row.request)); (err == nil) != row.ok {
			t.Errorf("request, %s: %v", name, err)
		}
	}
	refused := refusal{Code: fault.Denied}
	for name, row := range map[string]struct {
		reply
		ok bool
	}{
		"answer":             {reply{ID: 1, Body: []byte{1}}, true},
		"empty answer":       {reply{ID: 1}, true},
		"refusal":            {reply{ID: 1, Refusal: refused}, true},
		"sign of life":       {reply{}, true},
		"both":               {reply{ID: 1, Refusal: refused, Body: []byte{1}}, false},
		"text without code":  {reply{ID: 1, Refusal: refusal{Message: "m"}}, false},
		"hint without code":  {reply{ID: 1, Refusal: refusal{Hint: "h"}}, false},
		"answer to nobody":   {reply{Body: []byte{1}}, false},
		"refusal of nothing": {reply{Refusal: refused}, false},
	} {
		if _, err := parseReply(encode(row.reply)); (err == nil) != row.ok {
			t.Errorf("reply, %s: %v", name, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00\x00\x01x"))
	f.Add([]byte("\x00\x10\x00\x01"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 12
		var again []byte
		for r := bytes.NewReader(in); ; {
			frame, err := readFrame(r, limit)
			if err != nil {
				break
			}
			if len(frame) == 0 || len(frame) > limit {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			n := len(frame)
			again = append(append(again, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), frame...)
		}
		if !bytes.HasPrefix(in, again) {
			t.Error("what was read is not what was there")
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, r := range []request{{}, {ID: 1}, {ID: 7, Op: "op", Left: 5, Body: []byte("body")}} {
		b, err := wire.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseRequest(in)
		if err != nil {
			wantErr(t, err, ErrFrame)
			return
		}
		wantSame(t, in, r)
	})
}

func FuzzParseReply(f *testing.F) {
	for _, r := range []reply{{}, {ID: 7, Body: []byte("body")}, {ID: 1, Refusal: refuse(ErrStranger.WithHint("hint"))}} {
		b, err := wire.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseReply(in)
		if err != nil {
			wantErr(t, err, ErrFrame)
			return
		}
		wantSame(t, in, r)
	})
}

func FuzzWelcome(f *testing.F) {
	for _, w := range []welcome{{Realm: wire.Realm{1}}, {Refusal: refuse(ErrRealm)}} {
		frame, err := pack(w, maxWelcome)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var w welcome
		if receiveOne(bytes.NewReader(in), maxWelcome, &w) == nil {
			wantSame(t, in[4:4+int(in[2])<<8+int(in[3])], w)
		}
	})
}

// wantSame demands that a message that was accepted is in its one encoding.
func wantSame(t *testing.T, in []byte, message any) {
	t.Helper()
	again, err := wire.Encode(message)
	if err != nil || !bytes.Equal(again, in) {
		t.Errorf("%x encodes as %x, %v", in, again, err)
	}
}
