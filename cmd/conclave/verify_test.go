package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	sdkverify "github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// certified has an action decided, and returns its certificate and realm.
func certified(s shell) (raw []byte, realm string, roster uint64) {
	s.Helper()
	m := s.serveSolo()
	s.enrol("worker")
	d := document[decisionDoc](s, "--context", "worker", "decision", "propose", "db.migrate", "--target", "prod", "--param", "x=\u202ey")
	s.ok("--context", "operator", "decision", "approve", d.ID.String())
	path := s.path("honest.cert")
	s.ok("--context", "worker", "decision", "wait", d.ID.String(), "--out", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		s.Errorf("the file: %v %v", info, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	r := document[struct{ Roster uint64 }](s, "decision", "verify", path, "--realm", m.Realm)
	return raw, m.Realm, r.Roster
}

func TestVerifyRefuses(t *testing.T) {
	s := newShell(t)
	raw, realm, roster := certified(s)
	exactly, newer := strconv.FormatUint(roster, 10), strconv.FormatUint(roster+1, 10)
	verify := func(text, realm string, flags ...string) ended {
		return s.feed(text, append([]string{"--json", "decision", "verify", "-", "--realm", realm}, flags...)...)
	}
	encoding, err := sdkverify.Unpack(raw)
	if err != nil || len(encoding) <= len(raw) || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		t.Fatalf("a file of %d bytes for an encoding of %d: %v", len(raw), len(encoding), err)
	}
	for _, flags := range [][]string{nil, {"--roster", "0"}, {"--roster", exactly}} {
		for _, text := range [][]byte{raw, encoding} {
			e := verify(string(text), realm, flags...)
			if r := decode[report](t, e.stdout); e.status != 0 || !r.Valid || r.Code != "" || e.stderr != "" {
				t.Fatalf("honest, %d bytes, %q: %+v", len(text), flags, e)
			}
		}
	}
	id, err := hex.DecodeString(realm)
	if err != nil {
		t.Fatal(err)
	}
	id[31] ^= 1
	honest := string(raw)
	for _, row := range []struct {
		name, text, realm string
		flags             []string
		code              string
	}{
		{"nothing", "", realm, nil, "malformed"},
		{"the first byte", honest[:1], realm, nil, "malformed"},
		{"half", honest[:len(raw)/2], realm, nil, "malformed"},
		{"all but the last byte", honest[:len(raw)-1], realm, nil, "malformed"},
		{"without the first byte", honest[1:], realm, nil, "malformed"},
		{"a byte more", honest + "\x00", realm, nil, "malformed"},
		{"twice", honest + honest, realm, nil, "malformed"},
		{"a line's end more", honest + "\n", realm, nil, "malformed"},
		{"text", "certificate\n", realm, nil, "malformed"},
		{"half of the encoding", string(encoding[:len(encoding)/2]), realm, nil, "malformed"},
		{"the encoding and a byte more", string(encoding) + "\x00", realm, nil, "malformed"},
		{"the encoding after the file", honest + string(encoding), realm, nil, "malformed"},
		{"the mark of a file before the encoding", "\x1f\x8b" + string(encoding), realm, nil, "malformed"},
		{"in hexadecimal", hex.EncodeToString(raw), realm, nil, "malformed"},
		{"another realm by one bit", honest, hex.EncodeToString(id), nil, "wrong_realm"},
		{"no realm", honest, strings.Repeat("0", 64), nil, ""},
		{"a newer roster", honest, realm, []string{"--roster", newer}, "superseded"},
		{"the newest roster", honest, realm, []string{"--roster", "18446744073709551615"}, "superseded"},
	} {
		e := verify(row.text, row.realm, row.flags...)
		refused := decode[map[string]refusal](t, e.stderr)["error"]
		if e.status != exitVerification || (row.code != "" && string(refused.Code) != row.code) {
			t.Errorf("%s: exit %d, code %q: %s", row.name, e.status, refused.Code, refused.Message)
		}
		if r := decode[report](t, e.stdout); r.Valid || r.Code == "" || r.Code != string(refused.Code) {
			t.Errorf("%s: report %+v, error %q", row.name, r, refused.Code)
		}
	}
	s.flippedBits(raw, verify, realm)
	s.flippedBits(encoding, verify, realm)
	if r := s.feed(strings.Repeat("x", maxInput+1), "decision", "verify", "-", "--realm", realm); r.status != exitLocal {
		t.Errorf("too long: %+v", r)
	}
	long := s.write("long.cert", strings.Repeat("x", maxInput+1))
	s.refused(exitLocal, "too_large", "decision", "verify", long, "--realm", realm)
	if out := s.feed(honest, "decision", "verify", "-", "--realm", realm).stdout; !strings.Contains(out, `"\u202ey"`) {
		t.Errorf("for people: %q", out)
	}
}

// flippedBits changes one bit in each of fifty places.
func (s shell) flippedBits(raw []byte, verify func(text, realm string, flags ...string) ended, realm string) {
	s.Helper()
	for i := range 50 {
		at := i * (len(raw) - 1) / 49
		changed := []byte(string(raw))
		changed[at] ^= 1 << (i % 8)
		if e := verify(string(changed), realm); e.status != exitVerification {
			s.Errorf("byte %d of %d changed: exit %d\n%s%s", at, len(raw), e.status, e.stdout, e.stderr)
		}
	}
}
