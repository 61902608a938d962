package sdk_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// claim has carol look at a call, by a statement that alice has changed as she likes.
func (w *trio) claim(t *testing.T, p standing.Parts, change func(e *trust.Evidence)) error {
	t.Helper()
	e := evidenceOf(t, w, p)
	change(&e)
	raw, err := w.realm.Profile(t, "alice").Signer.Cosign(w.realm.ID(), e)
	if err != nil {
		t.Fatal(err)
	}
	content, err := wire.Encode(claimContent{raw, &p})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdk.CallBytes(t.Context(), w.alice, sdk.To("carol", trust.Attests), content)
	return err
}

// The ledger forgets after a day which requests it has counted. Nobody gets signatures for later, by which one call would
// count day after day: neither an attester's nor a person's.
func TestAttackStatementsForLater(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		p, _ := w.ask(t, "hello").Parts()
		person := w.realm.Operator(t, 2)
		byHand := func(change func(e *trust.Evidence)) error {
			e := evidenceOf(t, w, p)
			e.Attester = person.ID()
			change(&e)
			raw, err := w.realm.Profile(t, "alice").Signer.Cosign(w.realm.ID(), e)
			if err != nil {
				t.Fatal(err)
			}
			_, err = person.Standing().Countersign(raw)
			return err
		}
		hour := time.Hour.Milliseconds()
		for _, c := range []struct {
			name        string
			issued, end int64 // from now
			refused     bool
		}{
			{"for an hour", 0, hour, false},
			{"made half an hour ago", -hour / 2, hour / 2, false},
			{"for tomorrow", 25 * hour, 26 * hour, true},
			{"for next year", 24 * 365 * hour, 24*365*hour + 1, true},
			{"for a day", 0, 24 * hour, true},
			{"over", -hour, -hour / 2, true},
		} {
			shift := func(e *trust.Evidence) { e.Issued, e.Expires = e.Issued+c.issued, e.Issued+c.end }
			for by, err := range map[string]error{"attester": w.claim(t, p, shift), "person": byHand(shift)} {
				if (err != nil) != c.refused || sdk.CodeOf(err) == code.Uncertain {
					t.Errorf("%s, by %s: %v", c.name, by, err)
				}
			}
		}
	})
}

// streamContent is what a request for a stream holds.
type streamContent struct {
	Capability string `cbor:"1,keyasint"`
	Body       []byte `cbor:"2,keyasint"`
	Window     struct {
		Items uint64 `cbor:"1,keyasint"`
		Bytes uint64 `cbor:"2,keyasint"`
	} `cbor:"3,keyasint"`
}

// failureContent is what a fault holds.
type failureContent struct {
	Code      string `cbor:"1,keyasint"`
	Unhandled uint64 `cbor:"3,keyasint,omitempty"`
}

// sign makes one envelope of a call as its sender can, with what its digest is of.
func (w *trio) sign(t *testing.T, from, to *identity.Process, purpose envelope.Purpose, of wire.Digest, content any, issued int64) standing.Part {
	t.Helper()
	body, err := wire.Encode(content)
	if err != nil {
		t.Fatal(err)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	in := bus.In(w.realm.ID())
	d := envelope.Draft{
		To: envelope.ToProcess(to.Principal(), to.Credential().ID()), Purpose: purpose, InReplyTo: of, Issued: issued, Expires: issued + 60_000,
		Subject: in.Request(to.Principal(), bus.TokenOf(to.Credential().ID()), from.Principal()), Counter: 1, Content: body,
		Protection: envelope.SealedTo(to.SealingKey()),
	}
	if purpose != envelope.Request {
		d.Subject = in.Reply(to.Principal(), bus.TokenOf(to.Credential().ID()), from.Principal(), bus.TokenOf(of))
	}
	signed, err := envelope.Seal(from, d, bytes.NewReader(salt))
	if err != nil {
		t.Fatal(err)
	}
	return standing.Part{Envelope: signed.Raw, Salt: salt, Content: body}
}

// What is shown as a call is one: no part of a stream, nothing that was never handled, and not of another time.
func TestAttackWhatIsShownAsACall(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		alice, bob := newProcess(t, w.realm, w.realm.Profile(t, "alice").Signer), newProcess(t, w.realm, w.realm.Profile(t, "bob").Signer)
		show := func(request any, answer func(of wire.Digest) standing.Part, after time.Duration) error {
			t.Helper()
			issued := time.Now().Add(after).UnixMilli()
			p := standing.Parts{
				Agent: w.bob.ID(), Asking: alice.Credential().Raw(), Asked: bob.Credential().Raw(),
				Request: w.sign(t, alice, bob, envelope.Request, wire.Digest{}, request, issued),
			}
			_, id, err := envelope.Attest(p.Request.Envelope, envelope.DefaultLimit, w.realm.ID(), alice.Credential().Statement().Signing)
			if err != nil {
				t.Fatal(err)
			}
			if answer != nil {
				p.Answer, p.Answered = answer(id), true
			}
			_, err = w.report(t, standing.Outcome{Exchange: exchangeOf(p)})
			return err
		}
		fault := func(unhandled uint64) func(of wire.Digest) standing.Part {
			return func(of wire.Digest) standing.Part {
				return w.sign(t, bob, alice, envelope.Fault, of, failureContent{"internal", unhandled}, time.Now().UnixMilli())
			}
		}
		asked, stream := content{"text.upper", []byte("x")}, streamContent{Capability: "text.upper", Body: []byte("x")}
		stream.Window.Items, stream.Window.Bytes = 8, 1<<20
		for name, err := range map[string]error{"unanswered": show(asked, nil, 0), "failed": show(asked, fault(0), 0)} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, err := range map[string]error{
			"a stream": show(stream, nil, 0), "not handled": show(asked, fault(1), 0), "tomorrow's": show(asked, nil, 24*time.Hour),
		} {
			wantCode(t, err, "bad_signature")
			if err == nil {
				t.Errorf("%s counts as a call", name)
			}
		}
	})
}

// A node that tells another agent's standing than it was asked for is not believed.
func TestTheNodeTellsAnothersStanding(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		if v := w.standing(t, "bob"); v.ID != w.bob.ID() {
			t.Fatalf("honest: %+v", v)
		}
		rewrite(w.realm, func(a *control.Account) bool {
			a.ID = w.carol.ID()
			return true
		})
		defer w.realm.Intercept(nil)
		_, err := w.alice.Standing().Of(t.Context(), "bob")
		wantCode(t, err, code.Malformed)
	})
}

// An attester that never answers takes a share of the time that a report has, not all of it.
func TestASilentAttesterHoldsUpNoReport(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		report := func() error {
			x := w.ask(t, "x")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := w.alice.Standing().Report(ctx, standing.Outcome{Action: "file.write", Exchange: x, OK: true})
			return err
		}
		if err := report(); err != nil {
			t.Fatalf("with nobody silent: %v", err)
		}
		var asked atomic.Int64
		silent := w.realm.Agent(t, "silent", sdktest.Of(2), sdktest.Attests())
		serveRaw(t, silent, trust.Attests, func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		settle()
		for n := 0; asked.Load() < 4; n++ {
			if err := report(); err != nil {
				t.Fatalf("report %d, the silent one was asked %d times: %v", n, asked.Load(), err)
			}
		}
	})
}
