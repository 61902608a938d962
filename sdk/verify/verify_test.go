package verify_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger/ledgertest"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// decided returns a certificate of a decision that may be executed an hour after it was proposed, and its realm.
func decided(t *testing.T) (raw []byte, w *ledgertest.World) {
	t.Helper()
	w = ledgertest.New(t, ledgertest.Preset(t, policy.Solo), 1, 1)
	worker := w.Agent(w.Roots[0], "worker", identity.Journeyer)
	o := w.Propose(worker, worker.ID(), "db.migrate", func(p *consensus.Proposal) { p.NotBefore = w.Now + 60*ledgertest.Minute })
	w.Cast(w.Roots[0], o, consensus.Approve)
	raw, err := w.Certificate(o.Proposal).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw, w
}

func TestCertificate(t *testing.T) {
	raw, w := decided(t)
	root := verify.TrustRoot{Realm: w.Realm}
	remembers := verify.NewVerifier()
	for name, parse := range map[string]func([]byte, verify.TrustRoot) (*verify.Certificate, verify.Report, error){
		"once": verify.Parse, "first": remembers.Parse, "again": remembers.Parse,
	} {
		c, report, err := parse(raw, root)
		if err != nil || !report.Valid {
			t.Fatalf("%s: %v, %+v", name, err, report)
		}
		if c.Class() != consensus.R3 || c.Ballots() != 1 || c.NotBefore() != w.Now+60*ledgertest.Minute || string(c.Raw()) != string(raw) {
			t.Errorf("%s: got %s, %d ballots, from %d", name, c.Class(), c.Ballots(), c.NotBefore())
		}
		if err := c.Verify(root, c.Action(), c.NotBefore()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Verify(root, c.Action(), c.Expires()-1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var early *verify.Early
		if err := c.Verify(root, c.Action(), w.Now); !errors.As(err, &early) || early.From != c.NotBefore() {
			t.Errorf("%s: before its time: %v", name, err)
		}
		if err := c.Verify(verify.TrustRoot{Realm: wire.Realm{1}}, c.Action(), c.NotBefore()); err == nil {
			t.Errorf("%s: of another realm", name)
		}
		if err := c.Verify(root, consensus.Action{Kind: "db.migrate"}, c.NotBefore()); err == nil {
			t.Errorf("%s: for another action", name)
		}
		raw[len(raw)-1] ^= 1
		if c, report, err := parse(raw, root); c != nil || report.Valid || err == nil {
			t.Errorf("%s: spoilt, and accepted", name)
		}
		raw[len(raw)-1] ^= 1
	}
}

func TestFile(t *testing.T) {
	raw, w := decided(t)
	root := verify.TrustRoot{Realm: w.Realm}
	c, _, err := verify.Parse(raw, root)
	if err != nil {
		t.Fatal(err)
	}
	file := c.File()
	if len(file) >= len(raw) {
		t.Errorf("%d bytes as a file, %d without", len(file), len(raw))
	}
	again, report, err := verify.NewVerifier().Parse(file, root)
	if err != nil || !report.Valid || string(again.Raw()) != string(raw) || string(again.File()) != string(file) {
		t.Errorf("from the file: %v %+v", err, report)
	}
	if got, err := verify.Unpack(file); err != nil || string(got) != string(raw) {
		t.Errorf("unpacked: %d bytes, %v", len(got), err)
	}
	if got, err := verify.Unpack(raw); err != nil || string(got) != string(raw) {
		t.Errorf("what is not packed: %d bytes, %v", len(got), err)
	}
	for name, bad := range map[string][]byte{"twice": append(slices.Clone(file), file...), "cut off": file[:len(file)-1], "two bytes": file[:2]} {
		if _, err := verify.Unpack(bad); fault.CodeOf(err) != fault.Malformed {
			t.Errorf("%s: %v", name, err)
		}
		if c, report, err := verify.Parse(bad, root); c != nil || err == nil || report.Valid || report.Code != fault.Malformed {
			t.Errorf("%s: %v %+v", name, err, report)
		}
		if x := verify.Explain(bad, root); x.Valid || len(x.Unreadable) != 1 {
			t.Errorf("%s: explained as %+v", name, x.Unreadable)
		}
	}
}

func TestExplain(t *testing.T) {
	raw, w := decided(t)
	x := verify.Explain(raw, verify.TrustRoot{Realm: w.Realm})
	if !x.Valid || len(x.Signatures) == 0 || len(x.Unproved) == 0 || x.Decision.Class != "R3" {
		t.Fatalf("got %+v", x)
	}
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"valid":true`, `"not_proved":[`, `"message":"84`, `"checks":[{"name":"format"`, `"kind":"db.migrate"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %.400s", want, b)
		}
	}
}
