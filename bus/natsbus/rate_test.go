package natsbus_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
)

// BenchmarkStream is a message's way from one connection over TLS through a broker to another, no more than 4,096 under
// way; allocations are those of all three together.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { stream(b, size) })
	}
}

// dial connects as the n-th process.
func dial(t testing.TB, n byte, o natsbus.Options) *natsbus.Conn {
	t.Helper()
	o.Present = func() (natsbus.Presentation, error) { return show(n), nil }
	c, err := natsbus.Dial(ctx(t), o)
	must(t, err)
	t.Cleanup(func() { _ = c.Close(ctx(t)) })
	return c
}

func stream(b *testing.B, size int) {
	node, _ := start(b, "")
	from, to := dial(b, 1, options(node.Addr())), dial(b, 2, options(node.Addr()))
	const credits, share = 64, 64
	credit := make(chan struct{}, credits)
	var got atomic.Int64
	all := make(chan struct{})
	_, err := to.Subscribe(subject, func(string, []byte) {
		switch n := got.Add(1); {
		case n == int64(b.N):
			close(all)
		case n%share == 0:
			credit <- struct{}{}
		}
	})
	must(b, err)
	ctx, data := context.Background(), make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i >= credits*share && i%share == 0 {
			<-credit
		}
		if err := from.Publish(ctx, subject, data); err != nil {
			b.Fatal(err)
		}
	}
	<-all
}

// BenchmarkPublish is the sender's side alone: the broker has nobody to deliver to.
func BenchmarkPublish(b *testing.B) {
	node, _ := start(b, "")
	from := dial(b, 1, options(node.Addr()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	data := make([]byte, 256)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := from.Publish(ctx, subject, data); err != nil {
			b.Fatal(err)
		}
	}
}
