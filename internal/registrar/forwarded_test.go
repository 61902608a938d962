package registrar

import (
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/ledger"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
)

func TestForwardedEntriesAreThoseOfHonestNodes(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		leader, from := w.at[0], w.at[1]
		now := time.Now().UnixMilli()
		tick := func(s *seat, at int64) []byte {
			raw, err := s.tick(at)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		w.World.Now = now
		root := w.Roots[0]
		command := func(author, signer identity.Signer) []byte {
			return w.Sign(w.Command(author.ID(), registry.TypeOperator, registry.AddOperator{Operator: w.Signer(identity.Operator).ID(), Name: "ben"}), signer)
		}
		honest := command(root, root)
		stranger := w.Signer(identity.Operator)
		for name, c := range map[string]struct {
			entry ledger.Entry
			code  fault.Code
		}{
			"a command and a tick":   {ledger.Entry{Ticks: [][]byte{tick(from, now)}, Command: honest}, ""},
			"a command":              {ledger.Entry{Command: honest}, ""},
			"a tick":                 {ledger.Entry{Ticks: [][]byte{tick(from, now)}}, ""},
			"an old tick":            {ledger.Entry{Ticks: [][]byte{tick(from, now-60_000)}}, ""},
			"nothing":                {ledger.Entry{}, fault.Denied},
			"two ticks":              {ledger.Entry{Ticks: [][]byte{tick(from, now), tick(from, now+1)}}, fault.Denied},
			"a tick of another node": {ledger.Entry{Ticks: [][]byte{tick(w.at[2], now)}}, fault.Denied},
			"no tick":                {ledger.Entry{Ticks: [][]byte{honest}}, fault.Denied},
			"junk as a tick":         {ledger.Entry{Ticks: [][]byte{[]byte("junk")}}, fault.Malformed},
			"junk as a command":      {ledger.Entry{Command: []byte("junk")}, fault.Malformed},
			"a stranger's command":   {ledger.Entry{Command: command(stranger, stranger)}, fault.Unknown},
			"a forged command":       {ledger.Entry{Command: command(root, stranger)}, fault.NoQuorum},
		} {
			raw, err := wire.Encode(c.entry)
			if err != nil {
				t.Fatal(err)
			}
			if err := leader.Forwarded(from.ID(), raw); fault.CodeOf(err) != c.code {
				t.Errorf("%s: %v has code %q, want %q", name, err, fault.CodeOf(err), c.code)
			}
		}
		if err := leader.Forwarded(from.ID(), []byte("junk")); fault.CodeOf(err) != fault.Malformed {
			t.Errorf("junk: %v", err)
		}
	})
}
