package sdk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// A publisher that has many topics and does not answer keeps nobody from joining the others.
func TestASilentPublisherOfManyTopics(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		alice, mallory := realm.Agent(t, "alice"), realm.Agent(t, "mallory")
		advertise := func(a *sdk.Agent, topic string) {
			t.Helper()
			if err := a.Advertise(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 64 {
			advertise(mallory, fmt.Sprintf("report.m%d", n))
		}
		var honest []*sdk.Agent
		for n := range 6 {
			honest = append(honest, realm.Agent(t, fmt.Sprint("bob", n)))
			advertise(honest[n], "report.news")
		}
		realm.Intercept(func(p sdktest.Packet) []sdktest.Packet {
			if strings.Contains(p.Subject, ".req."+mallory.ID().String()+".") {
				return nil
			}
			return []sdktest.Packet{p}
		})
		defer realm.Intercept(nil)
		var got list[string]
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			s, err := sdk.SubscribeBytes(alice, "report.*", func(_ context.Context, d *sdk.Delivery) ([]byte, error) {
				got.add(d.From.Name)
				return nil, nil
			})
			if s == nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		for _, a := range honest {
			if _, err := sdk.PublishBytes(t.Context(), a, "report.news", []byte("first")); err != nil {
				t.Fatal(err)
			}
		}
		if all := got.all(); len(all) != len(honest) {
			t.Errorf("heard at first: %q", all)
		}
		<-begun
	})
}
