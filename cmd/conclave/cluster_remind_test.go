package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

// keptFile writes commands as a node keeps them.
func (s shell) keptFile(name string, commands ...[]byte) string {
	s.Helper()
	raw, err := registry.Kept{Commands: commands}.Encode()
	if err != nil {
		s.Fatal(err)
	}
	return s.write(name, string(raw))
}

func TestClusterRemind(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	if d := document[remindedDoc](s, "cluster", "remind"); d.News+d.Known+d.Refused != 0 || d.Reminders == nil {
		t.Errorf("nothing is kept: %+v", d)
	}
	c := document[contextLine](s, "context", "show")
	operator, err := agefile.Load(c.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	realm, err := wire.ParseRealm(c.Realm)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(by identity.Signer, body registry.RaiseEpoch) []byte {
		command, err := registry.New(by.ID(), registry.TypeEpoch, body, [16]byte{byte(body.Epoch)}, time.Now().UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := by.Cosign(realm, command)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	lost := signed(operator, registry.RaiseEpoch{Principal: operator.ID(), Epoch: 1}) // ends no credential of today
	file := s.keptFile("lost.cbor", lost, lost)
	if d := document[remindedDoc](s, "cluster", "remind", "--from", file); d.News != 1 || len(d.Reminders) != 1 || d.Reminders[0].Says != "epoch 1" {
		t.Errorf("what was lost: %+v", d)
	}
	if out := s.ok("cluster", "remind", "--from", file); !strings.Contains(out, "0 took effect, 1 known, 0 refused") {
		t.Errorf("again: %q", out)
	}
	stranger, _, err := identity.GenerateSigner(identity.Operator)
	if err != nil {
		t.Fatal(err)
	}
	forged := s.keptFile("forged.cbor", signed(stranger, registry.RaiseEpoch{Principal: operator.ID(), Epoch: 2}))
	if e := s.run("cluster", "remind", "--from", forged); e.status != exitDenied || !strings.Contains(e.stdout, "0 known, 1 refused") {
		t.Errorf("a stranger's: exit %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	s.refused(exitNotFound, "not_found", "cluster", "remind", "--from", s.path("none"))
	s.refused(exitVerification, "malformed", "cluster", "remind", "--from", s.write("text", "not CBOR"))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s.refused(exitLocal, "loose_mode", "cluster", "remind", "--from", file)
}

func TestContextForget(t *testing.T) {
	s := newShell(t)
	s.serveSolo()
	s.ok("agent", "ls")
	before := document[contextLine](s, "context", "show")
	if before.HeadSize == 0 && before.Roster == 0 {
		s.ok("agent", "token", "--name", "x") // nothing was done yet: no head either
	}
	s.ok("context", "forget", before.Name)
	after := document[contextLine](s, "context", "show")
	if after.HeadSize != 0 || after.HeadRoot != "" || after.Realm != before.Realm || after.Key != before.Key || !after.Selected {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.ok("agent", "ls")
	s.refused(exitNotFound, "not_found", "context", "forget", "nobody")
}
