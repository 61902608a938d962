package sdk_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// Events that are over, which nobody need have signed, cost the reader a bounded number of questions.
func TestOverdueEventsDoNotSpendTheReadersRate(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		bob, mallory := realm.Agent(t, "bob"), realm.Agent(t, "mallory")
		got := 0
		if _, err := sdk.SubscribeBytes(bob, "news.*", func(_ context.Context, _ *sdk.Delivery) ([]byte, error) { got++; return nil, nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := sdk.PublishBytes(t.Context(), mallory, "news.local", []byte("honest")); err != nil {
			t.Fatal(err)
		}
		settle()
		asked := func() (n int) {
			settle()
			for _, p := range realm.Packets() {
				if p.From == bob.ID() {
					n++
				}
			}
			return n
		}
		before := asked()
		key, err := wire.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		subject, err := bus.In(realm.ID()).Topic(mallory.ID(), "news.local")
		if err != nil {
			t.Fatal(err)
		}
		issued := time.Now().UnixMilli() - 60_000 - identity.Skew
		for i := range 100 {
			raw, err := wire.Sign(key, realm.ID(), envelope.Envelope{
				Version: 1, From: mallory.ID(), Credential: mallory.Self().Process, To: envelope.ToTopic("news.local"),
				Subject: subject, Purpose: envelope.Event, Issued: issued, Expires: issued + 1, Counter: uint64(100 + i),
				Encryption: envelope.Plain, Body: []byte("boo"),
			})
			if err != nil {
				t.Fatal(err)
			}
			realm.Inject(t, sdktest.Packet{Subject: subject, Data: raw})
		}
		if n := asked() - before; n > bus.MaxProcesses {
			t.Errorf("100 overdue events made the reader ask %d times", n)
		}
		if _, err := sdk.PublishBytes(t.Context(), mallory, "news.local", []byte("honest")); err != nil {
			t.Fatal(err)
		}
		settle()
		if got == 0 {
			t.Error("no honest event came")
		}
	})
}
