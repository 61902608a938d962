package sdk_test

import (
	"context"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
)

// One operation is a request and its reply, one after the other, over a bus in memory.
func BenchmarkCall(b *testing.B) {
	realm := sdktest.New(b)
	alice, bob := realm.Agent(b, "alice"), realm.Agent(b, "bob")
	err := sdk.HandleBytes(bob, "text.echo", func(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil })
	if err != nil {
		b.Fatal(err)
	}
	content, to := make([]byte, 256), sdk.To("bob", "text.echo")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdk.CallBytes(b.Context(), alice, to, content); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation is a message from publisher to handler, as many under way as fit, over a bus in memory.
func BenchmarkPublish(b *testing.B) {
	realm := sdktest.New(b)
	alice, bob := realm.Agent(b, "alice"), realm.Agent(b, "bob")
	if err := alice.Advertise(b.Context(), "news.local"); err != nil {
		b.Fatal(err)
	}
	got := make(chan struct{}, 4096)
	_, err := sdk.SubscribeBytes(bob, "news.local", func(context.Context, *sdk.Delivery) ([]byte, error) {
		got <- struct{}{}
		return nil, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	content, underWay := make([]byte, 256), 0
	b.ReportAllocs()
	for b.Loop() {
		if underWay == cap(got) {
			<-got
			underWay--
		}
		if _, err := sdk.PublishBytes(b.Context(), alice, "news.local", content); err != nil {
			b.Fatal(err)
		}
		underWay++
	}
	for range underWay {
		<-got
	}
}
