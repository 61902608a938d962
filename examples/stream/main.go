// Stream is two agents: one tells a text word by word for as long as somebody reads, and hands it over as a whole by
// reference. Run it beside `conclave dev`.
package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
)

const story = "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, " +
	"and nothing particular to interest me on shore, I thought I would sail about a little."

type wish struct {
	Words int `json:"words" jsonschema:"how many words to tell, all if 0"`
}

type word struct {
	Text string `json:"text"`
}

type whole struct {
	Story sdk.Ref `json:"story"`
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		fmt.Fprintln(os.Stderr, "is a bus running? start one: conclave dev")
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	teller, err := sdk.Connect(ctx, sdk.Context("dev"), sdk.Name("teller")) // enrolled the first time
	if err != nil {
		return err
	}
	defer teller.Close(ctx)
	teller.Use(middleware.RateLimit(middleware.Rate{Every: 10 * time.Millisecond, Burst: 100}), middleware.Recover(nil))
	if err := sdk.HandleStream(teller, "story.tell", tell); err != nil {
		return err
	}
	err = sdk.Handle(teller, "story.whole", func(context.Context, *sdk.Request[struct{}]) (whole, error) {
		ref, err := teller.Offer(ctx, strings.NewReader(story), int64(len(story)))
		return whole{ref}, err
	})
	if err != nil {
		return err
	}
	listener, err := sdk.Connect(ctx, sdk.Context("dev"), sdk.Name("listener"))
	if err != nil {
		return err
	}
	defer listener.Close(ctx)
	return listen(ctx, listener, out)
}

// tell yields word by word. Its yield waits while the reader is slow, and returns false once the reader has gone.
func tell(_ context.Context, r *sdk.Request[wish]) iter.Seq2[word, error] {
	return func(yield func(word, error) bool) {
		for i, w := range strings.Fields(story) {
			if i == r.Data.Words && i > 0 || !yield(word{w}, nil) {
				return
			}
		}
	}
}

func listen(ctx context.Context, listener *sdk.Agent, out io.Writer) error {
	for w, err := range sdk.Stream[word](ctx, listener, sdk.Any("story.tell"), wish{Words: 20}) {
		if err != nil {
			return err
		}
		fmt.Fprintln(out, w.Text)
		if strings.HasSuffix(w.Text, ".") {
			break // the teller's sequence ends, too
		}
	}
	answer, err := sdk.Call[whole](ctx, listener, sdk.Any("story.whole"), struct{}{})
	if err != nil {
		return err
	}
	text, err := sdk.FetchBytes(ctx, listener, answer.Story, 1<<20) // verified against the digest in the reference
	fmt.Fprintf(out, "%d bytes in all\n", len(text))
	return err
}
