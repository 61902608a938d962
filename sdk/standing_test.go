package sdk_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// trio is three agents of three operators: alice has bob work, and carol attests what he did.
type trio struct {
	realm             *sdktest.Realm
	alice, bob, carol *sdk.Agent
	claims            list[standing.Claim]
}

// inTrio runs a test with three agents of three operators.
func inTrio(t *testing.T, fn func(t *testing.T, w *trio)) {
	t.Helper()
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		w := &trio{
			realm: realm, alice: realm.Agent(t, "alice"), bob: realm.Agent(t, "bob", sdktest.Of(1)),
			carol: realm.Agent(t, "carol", sdktest.Of(2), sdktest.Attests()),
		}
		serveRaw(t, w.bob, "text.upper", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
			if len(d.Content) == 0 {
				return nil, sdk.Errorf(code.InvalidInput, "nothing to do")
			}
			if d.Content[0] == '!' {
				return d.Content, nil // wrong, on purpose
			}
			return bytes.ToUpper(d.Content), nil
		})
		w.attest(t, w.carol)
		fn(t, w)
	}, sdktest.Standard(3))
}

func serveRaw(t *testing.T, a *sdk.Agent, capability string, h sdk.HandlerFunc) {
	t.Helper()
	if err := sdk.HandleBytes(a, capability, h); err != nil {
		t.Fatal(err)
	}
}

// attest has an agent check work by doing it again.
func (w *trio) attest(t *testing.T, a *sdk.Agent) {
	t.Helper()
	err := a.Standing().Attest(func(_ context.Context, c standing.Claim) (bool, error) {
		w.claims.add(c)
		if !c.Called {
			return false, sdk.Errorf(code.NotFound, "no such work")
		}
		return c.Answered && c.Failure == nil && bytes.Equal(c.Answer, bytes.ToUpper(c.Request)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ask has bob make text upper case, and returns the followed call.
func (w *trio) ask(t *testing.T, text string) *standing.Exchange {
	t.Helper()
	ctx, x := standing.Follow(t.Context())
	_, _ = sdk.CallBytes(ctx, w.alice, sdk.To("bob", "text.upper"), []byte(text))
	if _, ok := x.Parts(); !ok {
		t.Fatal("the call left nothing")
	}
	return x
}

func (w *trio) report(t *testing.T, o standing.Outcome) (trust.Effect, error) {
	t.Helper()
	o.Action = "file.write"
	return w.alice.Standing().Report(t.Context(), o)
}

func (w *trio) standing(t *testing.T, name string) standing.View {
	t.Helper()
	v, err := w.alice.Standing().Of(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What both sides say of a call moves the score of who worked, once, in the class of the action.
func TestAnOutcomeIsAttestedAndCounted(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		x := w.ask(t, "hello")
		effect, err := w.report(t, standing.Outcome{Exchange: x, OK: true})
		if err != nil {
			t.Fatal(err)
		}
		if effect.Subject != w.bob.ID() || effect.Act != trust.Outcome || effect.Class != 1 || effect.Weight <= 0 {
			t.Errorf("effect %+v", effect)
		}
		claims := w.claims.all()
		if len(claims) != 1 || string(claims[0].Request) != "hello" || string(claims[0].Answer) != "HELLO" ||
			claims[0].Capability != "text.upper" || claims[0].Author.Name != "alice" || claims[0].Subject.Name != "bob" {
			t.Errorf("claims %+v", claims)
		}
		v := w.standing(t, "bob")
		if v.ID != w.bob.ID() || v.Level != identity.Journeyer || v.Scores[1].Good <= 0 || len(v.Account.Traces) != 1 ||
			v.Account.Traces[0].By != w.carol.ID() {
			t.Errorf("standing %+v", v)
		}
		_, err = w.report(t, standing.Outcome{Exchange: x, OK: true})
		wantCode(t, err, code.Spent)
		if again := w.standing(t, "bob"); again.Scores[1].Good != v.Scores[1].Good {
			t.Error("it was counted twice")
		}
		if _, err = w.report(t, standing.Outcome{Exchange: w.ask(t, "hello"), OK: true}); err != nil {
			t.Errorf("the same content, asked again: %v", err)
		}
		ranks, err := w.bob.Standing().Ranking(t.Context())
		if err != nil || len(ranks) != 3 {
			t.Errorf("%+v %v", ranks, err)
		}
		own, err := w.bob.Standing().Own(t.Context())
		if err != nil || own.ID != w.bob.ID() || own.Score != w.standing(t, "bob").Score {
			t.Errorf("%+v %v", own, err)
		}
	})
}

// An attester that found otherwise signs nothing, and says what it found.
func TestAnAttesterFindsOtherwise(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		x := w.ask(t, "!wrong")
		_, err := w.report(t, standing.Outcome{Exchange: x, OK: true})
		wantErr(t, err, standing.ErrOtherwise)
		if v := w.standing(t, "bob"); len(v.Account.Traces) != 0 {
			t.Errorf("it was counted: %+v", v.Account.Traces)
		}
		effect, err := w.report(t, standing.Outcome{Exchange: x})
		if err != nil || effect.Weight >= 0 {
			t.Errorf("as found: %+v %v", effect, err)
		}
		effect, err = w.report(t, standing.Outcome{Exchange: w.ask(t, "")})
		if err != nil || effect.Nominal >= 0 {
			t.Errorf("a failure: %+v %v", effect, err)
		}
		claims := w.claims.all()
		if last := claims[len(claims)-1]; !last.Answered || sdk.CodeOf(last.Failure) != code.InvalidInput {
			t.Errorf("claim %+v", last)
		}
	})
}

func TestWhoMayAttest(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		for i, name := range []string{"alice-too", "bob-too"} {
			w.attest(t, w.realm.Agent(t, name, sdktest.Of(i), sdktest.Attests()))
		}
		w.attest(t, w.realm.Agent(t, "anybody", sdktest.Of(2))) // may serve it, and was not made an attester
		for range 8 {
			if _, err := w.report(t, standing.Outcome{Exchange: w.ask(t, "x"), OK: true}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range w.claims.all() {
			if c.Evidence.Attester != w.carol.ID() {
				t.Errorf("%s was asked", c.Evidence.Attester)
			}
		}
		for _, name := range []string{"alice-too", "bob-too"} {
			_, err := w.report(t, standing.Outcome{Exchange: w.ask(t, "x"), OK: true, Attester: name})
			wantCode(t, err, code.Denied)
		}
		if err := w.carol.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		if effect, err := w.report(t, standing.Outcome{Exchange: w.ask(t, "x"), OK: true}); err != nil || effect.Cap != trust.ByNothing {
			t.Errorf("where nobody else is: %+v %v", effect, err)
		}
		w.realm.Quarantine(t, "anybody")
		settle()
		_, err := w.report(t, standing.Outcome{Exchange: w.ask(t, "x"), OK: true})
		wantErr(t, err, standing.ErrNoAttester)
		_, err = w.report(t, standing.Outcome{Agent: "bob", OK: true})
		wantErr(t, err, standing.ErrNothingAsked)
		_, err = w.report(t, standing.Outcome{Agent: "carol", Exchange: w.ask(t, "x"), OK: true})
		wantErr(t, err, trust.ErrNoParty)
	})
}

// An attester judges the kinds of work that it can, and passes on why it cannot judge.
func TestAnAttesterJudgesWhatItCan(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		able := w.realm.Agent(t, "able", sdktest.Of(2), sdktest.Attests())
		judge := func(context.Context, standing.Claim) (bool, error) {
			return false, sdk.Errorf(code.Rate, "busy")
		}
		wantCode(t, able.Standing().Attest(judge, "no kind!"), code.Malformed)
		if err := able.Standing().Attest(judge, "file.*", "db.read"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, able.Standing().Attest(judge), "usage") // twice
		x := w.ask(t, "x")
		_, err := w.report(t, standing.Outcome{Exchange: x, OK: true, Attester: "able"})
		wantCode(t, err, code.Rate)
		_, err = w.alice.Standing().Report(t.Context(), standing.Outcome{
			Exchange: x, OK: true, Attester: "able", Action: "payments.pay",
		})
		wantCode(t, err, code.Denied)
		ungranted := w.realm.Agent(t, "ungranted", sdktest.Serves("text.*"))
		if err := ungranted.Standing().Attest(judge); sdk.CodeOf(err) != code.Denied {
			t.Errorf("without the grant: %v", err)
		}
	})
}

func TestACallIsReportedSoon(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		x, later := w.ask(t, "x"), w.ask(t, "y")
		if _, err := w.report(t, standing.Outcome{Exchange: x, OK: true}); err != nil {
			t.Fatal(err)
		}
		for _, a := range []*sdk.Agent{w.bob, w.carol} { // who serves announces itself all the time
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(11 * time.Hour)
		_, err := w.report(t, standing.Outcome{Exchange: later, OK: true})
		wantErr(t, err, standing.ErrNoAttester) // all that is missing
		time.Sleep(2 * time.Hour)
		for _, x := range []*standing.Exchange{x, later} {
			_, err := w.report(t, standing.Outcome{Exchange: x, OK: true})
			wantCode(t, err, code.Expired)
		}
	})
}

// claimContent is what package standing sends.
type claimContent struct {
	Statement []byte          `cbor:"1,keyasint"`
	Parts     *standing.Parts `cbor:"2,keyasint,omitempty"`
}

// Nobody gets an attester's signature under a call that was not so.
func TestAttackClaims(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		honest, _ := w.ask(t, "hello").Parts()
		other, _ := w.ask(t, "other").Parts()
		ctx, x := standing.Follow(t.Context())
		if _, err := sdk.CallBytes(ctx, w.carol, sdk.To("bob", "text.upper"), []byte("hers")); err != nil {
			t.Fatal(err)
		}
		hers, _ := x.Parts()
		ask := func(change func(p *standing.Parts, e *trust.Evidence)) error {
			p, e := honest, evidenceOf(t, w, honest)
			if change != nil {
				change(&p, &e)
			}
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
		if err := ask(nil); err != nil {
			t.Fatalf("the honest claim: %v", err)
		}
		before := len(w.claims.all())
		for name, change := range map[string]func(p *standing.Parts, e *trust.Evidence){
			"another question":          func(p *standing.Parts, _ *trust.Evidence) { p.Request.Content = other.Request.Content },
			"another answer":            func(p *standing.Parts, _ *trust.Evidence) { p.Answer.Content = []byte("BYE") },
			"another salt":              func(p *standing.Parts, _ *trust.Evidence) { p.Answer.Salt = other.Answer.Salt },
			"no salt":                   func(p *standing.Parts, _ *trust.Evidence) { p.Answer.Salt = nil },
			"the other call's answer":   func(p *standing.Parts, _ *trust.Evidence) { p.Answer = other.Answer },
			"the other call's question": func(p *standing.Parts, _ *trust.Evidence) { p.Request = other.Request },
			"somebody else's call":      func(p *standing.Parts, _ *trust.Evidence) { *p = hers },
			"the question as answer":    func(p *standing.Parts, _ *trust.Evidence) { p.Answer = p.Request },
			"the answer as question":    func(p *standing.Parts, _ *trust.Evidence) { p.Request = p.Answer },
			"bob's process as asking":   func(p *standing.Parts, _ *trust.Evidence) { p.Asking = p.Asked },
			"alice's process as asked":  func(p *standing.Parts, _ *trust.Evidence) { p.Asked = p.Asking },
			"another agent":             func(p *standing.Parts, _ *trust.Evidence) { p.Agent = w.carol.ID() },
			"no answer shown":           func(p *standing.Parts, _ *trust.Evidence) { p.Answered, p.Answer = false, standing.Part{} },
			"a bit of the envelope": func(p *standing.Parts, _ *trust.Evidence) {
				p.Answer.Envelope = bytes.Clone(p.Answer.Envelope)
				p.Answer.Envelope[len(p.Answer.Envelope)-1] ^= 1
			},
			"another request named": func(_ *standing.Parts, e *trust.Evidence) { e.Request[0] ^= 1 },
			"another result named":  func(_ *standing.Parts, e *trust.Evidence) { e.Result[0] ^= 1 },
			"another attester":      func(_ *standing.Parts, e *trust.Evidence) { e.Attester = w.realm.OperatorProfile(2).Signer.ID() },
			"another author":        func(_ *standing.Parts, e *trust.Evidence) { e.Author = w.realm.OperatorProfile(0).Signer.ID() },
			"not an outcome": func(_ *standing.Parts, e *trust.Evidence) {
				*e = trust.Evidence{
					Version: 1, Act: trust.Rating, Subject: e.Subject, Author: e.Author, Nonce: e.Nonce, Issued: e.Issued,
					Expires: e.Expires, Value: 1000,
				}
			},
		} {
			if err := ask(change); err == nil || sdk.CodeOf(err) == code.Uncertain {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(w.claims.all()); n != before {
			t.Errorf("%d claims reached the attester's function", n-before)
		}
	})
}

// evidenceOf is what alice says of a call, naming carol.
func evidenceOf(t *testing.T, w *trio, p standing.Parts) trust.Evidence {
	t.Helper()
	raw, err := w.alice.Standing().Draft(t.Context(), standing.Outcome{
		Action: "file.write", OK: true, Attester: "carol", Exchange: exchangeOf(p),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := wire.ParseCosigned[trust.Evidence](raw, wire.MaxStatement)
	if err != nil {
		t.Fatal(err)
	}
	return c.Claim
}

func exchangeOf(p standing.Parts) *standing.Exchange {
	x := new(standing.Exchange)
	x.Keep(p)
	return x
}

// People attest by hand what agents have drafted.
func TestAPersonAttests(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		person, other := w.realm.Operator(t, 2), w.realm.Operator(t, 1)
		draft, err := w.alice.Standing().Draft(t.Context(), standing.Outcome{
			Action: "file.write", OK: true, Exchange: w.ask(t, "hello"), Attester: person.ID().String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.alice.Standing().Submit(t.Context(), draft)
		if err == nil {
			t.Error("counted without the attester")
		}
		_, err = other.Standing().Countersign(draft)
		wantErr(t, err, trust.ErrNoParty)
		signed, err := person.Standing().Countersign(draft)
		if err != nil {
			t.Fatal(err)
		}
		effect, err := w.bob.Standing().Submit(t.Context(), signed) // anybody hands it in
		if err != nil || effect.Weight <= 0 {
			t.Errorf("%+v %v", effect, err)
		}
	})
}

func TestRatingsAndAlarms(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		person := w.realm.Operator(t, 0)
		effect, err := person.Standing().Rate(t.Context(), "bob", 800, "clear answers")
		if err != nil || effect.Act != trust.Rating || effect.Weight <= 0 {
			t.Errorf("%+v %v", effect, err)
		}
		if effect, err = w.alice.Standing().Rate(t.Context(), "bob", -1000, "slow"); err != nil || effect.Weight != 0 || effect.Nominal >= 0 {
			t.Errorf("of who has received nothing: %+v %v", effect, err)
		}
		_, err = w.bob.Standing().Rate(t.Context(), "bob", 1000, "I am good")
		wantCode(t, err, code.Denied)
		_, err = person.Standing().Rate(t.Context(), "alice", 1000, "mine")
		wantCode(t, err, code.Denied)
		_, err = person.Standing().Rate(t.Context(), "bob", 1001, "")
		wantCode(t, err, code.Malformed)
		_, err = person.Standing().Rate(t.Context(), "nobody", 1, "")
		wantCode(t, err, code.Unknown)
		if effect, err = person.Standing().Alarm(t.Context(), "bob", 300, "odd traffic"); err != nil || effect.Act != trust.Alarm {
			t.Errorf("%+v %v", effect, err)
		}
		if v := w.standing(t, "bob"); v.Suspicion == 0 {
			t.Errorf("standing %+v", v)
		}
		_, err = w.alice.Standing().Alarm(t.Context(), "bob", 300, "not granted")
		wantCode(t, err, code.Denied)
		_, err = person.Standing().Own(t.Context())
		wantCode(t, err, code.Denied) // people have no standing
	})
}

// submitted has as many operators sign a command as are given, and hands it in.
func submitted(t *testing.T, realm *sdktest.Realm, raw []byte, others ...int) (registry.Answer, error) {
	t.Helper()
	for _, i := range others {
		var err error
		if raw, err = realm.Operator(t, i).Admin().Countersign(raw); err != nil {
			t.Fatal(err)
		}
	}
	return realm.Operator(t, 0).Admin().Submit(t.Context(), raw)
}

func prepared(t *testing.T, raw []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// People endorse, accuse and pardon; what is grave, and what loosens, takes several of them.
func TestPeopleMoveStandings(t *testing.T) {
	inTrio(t, func(t *testing.T, w *trio) {
		bob, person := w.bob.ID(), w.realm.Operator(t, 0).Admin()
		raw, err := person.Endorse(bob, trust.Unit, "knows the trade")
		answer, err := submitted(t, w.realm, prepared(t, raw, err))
		if err != nil {
			t.Fatal(err)
		}
		if effect, err := admin.Effect(answer); err != nil || effect.Act != trust.Endorsement || effect.Weight != trust.Unit {
			t.Errorf("%+v %v", effect, err)
		}
		raw, err = person.Accuse(bob, 1, "late again")
		if answer, err = submitted(t, w.realm, prepared(t, raw, err)); err != nil {
			t.Fatal(err)
		}
		if effect, err := admin.Effect(answer); err != nil || effect.Weight >= 0 || effect.Level != identity.Journeyer {
			t.Errorf("%+v %v", effect, err)
		}
		raw, err = person.Pardon(bob, trust.Unit/4, "explained")
		_, err = submitted(t, w.realm, prepared(t, raw, err))
		wantCode(t, err, "no_quorum")
		raw, err = person.Pardon(bob, trust.Unit/4, "explained")
		if _, err = submitted(t, w.realm, prepared(t, raw, err), 1, 2); err != nil {
			t.Error(err)
		}
		raw, err = person.Accuse(bob, 4, "sold the keys")
		_, err = submitted(t, w.realm, prepared(t, raw, err))
		wantCode(t, err, "no_quorum")
		raw, err = person.SignOff(bob, identity.Principal, "well done")
		_, err = submitted(t, w.realm, prepared(t, raw, err), 1, 2)
		wantCode(t, err, code.Denied) // it has not earned that
		raw, err = person.Accuse(bob, 4, "sold the keys")
		if _, err = submitted(t, w.realm, prepared(t, raw, err), 1, 2); err != nil {
			t.Fatal(err)
		}
		if p, err := w.alice.Who(t.Context(), "bob"); err != nil || p.Status != "quarantined" || p.Level != identity.Quarantined {
			t.Errorf("%+v %v", p, err)
		}
	})
}
