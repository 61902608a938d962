package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// hears has a receiver hear one message of a connection.
func hears(r *receiver, stream uint64) {
	content := filler(minSize)
	write(content, stream, 0, time.Time{})
	r.take(content)
}

// TestReceiver is what counts as heard: messages of the flood's connections, and nothing else.
func TestReceiver(t *testing.T) {
	r := &receiver{}
	hears(r, quarantineNodes)
	r.take(make([]byte, heading-1))
	if newest, _ := r.heard(); !newest.IsZero() {
		t.Error("something else was heard")
	}
	before := time.Now()
	hears(r, 1)
	if newest, oldest := r.heard(); newest.Before(before) || !oldest.IsZero() {
		t.Errorf("one of three: %s, %s", newest, oldest)
	}
	for stream := range uint64(quarantineNodes) {
		hears(r, stream)
	}
	if newest, oldest := r.heard(); oldest.Before(before) || newest.Before(oldest) {
		t.Errorf("all three: %s, %s", newest, oldest)
	}
}

// TestFloodIsAwaited is one that is heard everywhere, one that is not, one that ends, and one that does not end.
func TestFloodIsAwaited(t *testing.T) {
	b := &bout{}
	b.patience = time.Minute
	f, list := &fleet{realm: &realm{bout: b}}, []*receiver{{}, {}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for nth := uint64(0); ctx.Err() == nil; nth++ {
			for _, r := range list {
				hears(r, nth%quarantineNodes)
			}
			_ = pause(ctx, time.Millisecond)
		}
	}()
	if err := f.flooded(t.Context(), list); err != nil {
		t.Error(err)
	}
	b.patience = 2 * pollEvery
	if _, err := f.ebb(t.Context(), list); !errors.Is(err, errNotSilent) {
		t.Errorf("heard for ever: %v", err)
	}
	cancel()
	<-done
	b.patience = time.Minute
	last, err := f.ebb(t.Context(), list)
	if err != nil || len(last) != 2 || time.Since(last[0]) < silence || time.Since(last[1]) < silence {
		t.Errorf("ended: %v %v", last, err)
	}
	b.patience = time.Millisecond
	if err := f.flooded(t.Context(), list); !errors.Is(err, errDry) {
		t.Errorf("nothing is heard: %v", err)
	}
	if err := pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("paused: %v", err)
	}
}

// TestFloodSpeaks is what a flood says: its credential, and so many publications at each turn.
func TestFloodSpeaks(t *testing.T) {
	signer, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		t.Fatal(err)
	}
	node, _, err := identity.GenerateSigner(identity.Node)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{realm: &realm{id: [32]byte{1}}}
	p, err := f.newProcess(signer)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := shows(p)()
	if err != nil {
		t.Fatal(err)
	}
	token, err := shown.Token()
	if err != nil {
		t.Fatal(err)
	}
	publication := []byte("PUB x 1\r\nx\r\n")
	for perSecond, times := range map[int]int{1: 1, 1000: 1, 9000: 9} {
		fl, err := newFlood(door{"127.0.0.1:1", node.ID()}, p, publication, perSecond)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(fl.burst, bytes.Repeat(publication, times)) {
			t.Errorf("%d a second: %q", perSecond, fl.burst)
		}
		var options map[string]any
		line, ok := bytes.CutPrefix(fl.hello, []byte("CONNECT "))
		if err := json.Unmarshal(line, &options); err != nil || !ok || options["auth_token"] != token || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("%v %q", err, fl.hello)
		}
	}
	if _, err := newFlood(door{"127.0.0.1:1", signer.ID()}, p, publication, 1); err == nil {
		t.Error("a pin that is no node's was taken")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	fl, err := newFlood(door{"127.0.0.1:1", node.ID()}, p, publication, 1)
	if err != nil {
		t.Fatal(err)
	}
	fl.run(ended) // returns
}
