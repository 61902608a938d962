package sdk_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// An agent that may not read one of its topics any more goes on reading the others, renews its credential, and
// reads the topic again when it may.
func TestRenewalOutlivesATopicThatIsDenied(t *testing.T) {
	p, err := policy.Preset(policy.Solo)
	if err != nil {
		t.Fatal(err)
	}
	p.Levels[1].Rights.Subscribe = []string{"report.*"}
	for name, least := range map[string]identity.Level{"still allowed": identity.Apprentice, "denied": identity.Observer} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, realm *sdktest.Realm) {
				bob, alice := realm.Agent(t, "bob"), realm.Agent(t, "alice", sdktest.With(sdk.CredentialLife(12*time.Minute)))
				var got list[string]
				for _, topic := range []string{"news", "report.daily"} {
					if err := bob.Advertise(t.Context(), topic); err != nil {
						t.Fatal(err)
					}
					_, err := sdk.SubscribeBytes(alice, topic, func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
						got.add(d.Topic)
						return nil, nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				realm.SetLevel(t, "alice", least)
				time.Sleep(30 * time.Minute)
				if _, err := sdk.PublishBytes(t.Context(), bob, "report.daily", nil); err != nil {
					t.Fatal(err)
				}
				if all := got.all(); len(all) != 1 {
					t.Errorf("heard %q", all)
				}
				realm.SetLevel(t, "alice", identity.Apprentice)
				time.Sleep(10 * time.Second) // publishers are looked for again
				if _, err := sdk.PublishBytes(t.Context(), bob, "news", nil); err != nil {
					t.Fatal(err)
				}
				if all := got.all(); len(all) != 2 {
					t.Errorf("heard %q", all)
				}
			}, sdktest.WithPolicy(p, 1))
		})
	}
}
