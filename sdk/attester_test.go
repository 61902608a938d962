package sdk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// findingContent is what package standing answers.
type findingContent struct {
	Statement []byte `cbor:"1,keyasint,omitempty"`
	OK        bool   `cbor:"2,keyasint,omitempty"`
}

// What an attester answers is worth what it has signed: the statement that it was asked about, and no other.
func TestAttackAttester(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		mallory := w.realm.Agent(t, "mallory", sdktest.Of(2), sdktest.Attests())
		signer := w.realm.Profile(t, "mallory").Signer
		answer := func(f findingContent) []byte {
			raw, err := wire.Encode(f)
			if err != nil {
				t.Error(err)
			}
			return raw
		}
		cosign := func(raw []byte, by identity.Signer) []byte {
			signed, err := identity.AddTo[trust.Evidence](by, w.realm.ID(), raw)
			if err != nil {
				t.Error(err)
			}
			return signed
		}
		altered := func(raw []byte, change func(e *trust.Evidence)) []byte {
			c, err := wire.ParseCosigned[trust.Evidence](raw, wire.MaxStatement)
			if err != nil {
				t.Error(err)
			}
			change(&c.Claim)
			signed, err := signer.Cosign(w.realm.ID(), c.Claim)
			if err != nil {
				t.Error(err)
			}
			return signed
		}
		var behave func(statement []byte) []byte
		serveRaw(t, mallory, trust.Attests, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			var c claimContent
			if err := wire.Decode(d.Content, &c); err != nil {
				return nil, err
			}
			return behave(c.Statement), nil
		})
		report := func() (trust.Effect, error) {
			return w.report(t, standing.Outcome{Exchange: w.ask(t, "x"), OK: true, Attester: "mallory"})
		}
		behave = func(raw []byte) []byte { return answer(findingContent{Statement: cosign(raw, signer)}) }
		if effect, err := report(); err != nil || effect.Nominal <= 0 {
			t.Fatalf("honest: %+v %v", effect, err)
		}
		counted := len(w.standing(t, "bob").Account.Traces)
		for name, fn := range map[string]func(raw []byte) []byte{
			"nothing signed":     func(raw []byte) []byte { return answer(findingContent{Statement: raw}) },
			"agreed, not signed": func([]byte) []byte { return answer(findingContent{OK: true}) },
			"found otherwise":    func([]byte) []byte { return answer(findingContent{}) },
			"no answer":          func([]byte) []byte { return nil },
			"noise":              func([]byte) []byte { return []byte("yes") },
			"the verdict turned": func(raw []byte) []byte {
				return answer(findingContent{Statement: altered(raw, func(e *trust.Evidence) { e.OK = false })})
			},
			"another class": func(raw []byte) []byte {
				return answer(findingContent{Statement: altered(raw, func(e *trust.Evidence) { e.Action = "payments.pay" })})
			},
			"another request": func(raw []byte) []byte {
				return answer(findingContent{Statement: altered(raw, func(e *trust.Evidence) { e.Request[3] ^= 1 })})
			},
			"about another agent": func(raw []byte) []byte {
				return answer(findingContent{Statement: altered(raw, func(e *trust.Evidence) { e.Subject = w.carol.ID() })})
			},
			"a third signature": func(raw []byte) []byte {
				return answer(findingContent{Statement: cosign(cosign(raw, signer), w.realm.Profile(t, "bob").Signer)})
			},
			"another one's instead": func(raw []byte) []byte {
				return answer(findingContent{Statement: cosign(raw, w.realm.Profile(t, "carol").Signer)})
			},
		} {
			behave = fn
			if effect, err := report(); err == nil || sdk.CodeOf(err) == code.Uncertain {
				t.Errorf("%s: %+v %v", name, effect, err)
			}
		}
		if n := len(w.standing(t, "bob").Account.Traces); n != counted {
			t.Errorf("%d were counted", n-counted)
		}
	})
}

// A call that has not left proves nothing, and one whose answer never came only that it was made.
func TestCallsWithoutAnAnswer(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		ctx, x := standing.Follow(t.Context())
		_, err := sdk.CallBytes(ctx, w.alice, sdk.Any("text.nobody"), nil)
		wantErr(t, err, sdk.ErrNoResponder)
		_, err = w.report(t, standing.Outcome{Agent: "bob", Exchange: x})
		wantErr(t, err, standing.ErrNothingAsked)

		begun := make(chan struct{})
		serveRaw(t, w.bob, "text.never", func(ctx context.Context, _ *sdk.Delivery) ([]byte, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		settle()
		ctx, x = standing.Follow(t.Context())
		short, cancel := context.WithCancel(ctx)
		go func() {
			<-begun
			cancel()
		}()
		_, err = sdk.CallBytes(short, w.alice, sdk.To("bob", "text.never"), []byte("x"))
		wantErr(t, err, sdk.ErrTimeout)
		effect, err := w.report(t, standing.Outcome{Exchange: x})
		if err != nil || effect.Nominal >= 0 {
			t.Errorf("%+v %v", effect, err)
		}
		claims := w.claims.all()
		if c := claims[len(claims)-1]; !c.Called || c.Answered || c.Capability != "text.never" || !c.Evidence.Result.IsZero() {
			t.Errorf("%+v", c)
		}
	})
}

// Calls that leave together, and answers that come together, can be proved one by one.
func TestCallsThatLeaveTogetherAreProved(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		w.ask(t, "x") // a session, so that requests go under its key
		const calls = 64
		exchanges, done := make([]*standing.Exchange, calls), make(chan error, 2*calls)
		for i := range calls {
			var ctx context.Context
			ctx, exchanges[i] = standing.Follow(t.Context())
			go func() {
				text := fmt.Sprintf("text %d", i)
				out, err := sdk.CallBytes(ctx, w.alice, sdk.To("bob", "text.upper"), []byte(text))
				if err == nil && string(out) != strings.ToUpper(text) {
					err = fmt.Errorf("%q", out)
				}
				done <- err
			}()
			go func() { // and not followed
				_, err := sdk.CallBytes(t.Context(), w.alice, sdk.To("bob", "text.upper"), []byte("y"))
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for i, x := range exchanges {
			if effect, err := w.report(t, standing.Outcome{Exchange: x, OK: true}); err != nil || effect.Subject != w.bob.ID() {
				t.Fatalf("call %d: %+v %v", i, effect, err)
			}
		}
		for i, c := range w.claims.all() {
			if string(c.Request) != fmt.Sprintf("text %d", i) {
				t.Errorf("claim %d is of %q", i, c.Request)
			}
		}
	})
}

// What does not fit a message is said, and nothing is counted.
func TestExchangesThatAreTooLarge(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		if _, err := w.report(t, standing.Outcome{Exchange: w.ask(t, strings.Repeat("x", 40<<10)), OK: true}); err != nil {
			t.Fatal(err)
		}
		_, err := w.report(t, standing.Outcome{Exchange: w.ask(t, strings.Repeat("x", 100<<10)), OK: true})
		wantCode(t, err, code.TooLarge)
	})
}
