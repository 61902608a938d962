// Hello is two agents: one serves a capability, the other asks whoever serves it. Run it beside `conclave dev`.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

type text struct{ Text string }

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		line := strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Fprintf(os.Stderr, "hello: %s; is a bus running? start one: conclave dev\n", line)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	summariser, err := sdk.Connect(ctx, sdk.Context("dev"), sdk.Name("summariser")) // enrolled the first time
	if err != nil {
		return err
	}
	defer summariser.Close(ctx)
	err = sdk.Handle(summariser, "text.summarise", func(_ context.Context, r *sdk.Request[text]) (text, error) {
		first, _, _ := strings.Cut(r.Data.Text, ".") // r.From is verified
		return text{fmt.Sprintf("%s…, for %s (%s)", first, r.From.Name, r.From.Level)}, nil
	})
	if err != nil {
		return err
	}
	writer, err := sdk.Connect(ctx, sdk.Context("dev"), sdk.Name("writer"))
	if err != nil {
		return err
	}
	defer writer.Close(ctx)
	answer, err := sdk.Call[text](ctx, writer, sdk.To("summariser", "text.summarise"), text{"To be, or not to be. That is the question."})
	fmt.Fprintln(out, answer.Text)
	return err
}
