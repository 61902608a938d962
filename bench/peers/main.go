// Command peers measures other systems beside conclave, each with its own settings stated, so that figures taken in one
// place on one machine can stand in one table. It is a module of its own: conclave does not depend on what it compares
// itself with.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: peers gossipsub [--json] [--messages N] [--size BYTES] [--window N] [--rounds N]")

// run measures the peer that args name and writes its result.
func run(ctx context.Context, args []string, out, usage io.Writer) error {
	if len(args) == 0 || args[0] != "gossipsub" {
		return errUsage
	}
	flags := flag.NewFlagSet("peers gossipsub", flag.ContinueOnError)
	flags.SetOutput(usage)
	asJSON := flags.Bool("json", false, "print one JSON object")
	var w workload
	flags.IntVar(&w.messages, "messages", 20_000, "messages of one round")
	flags.IntVar(&w.size, "size", 256, "bytes of one message, 8 or more")
	flags.IntVar(&w.window, "window", 256, "messages published and not yet received, at most")
	flags.IntVar(&w.rounds, "rounds", 5, "rounds, of which the median counts")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 || w.messages < 1 || w.size < 8 || w.window < 1 || w.rounds < 1 {
		return errUsage
	}
	rounds, err := gossipsub(ctx, w)
	if err != nil {
		return fmt.Errorf("gossipsub: %w", err)
	}
	r := summarize("gossipsub", rounds)
	if *asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err = fmt.Fprintf(out, "%s: %.0f %s (median of %d, spread %.0f %%), %.1f µs of CPU a message; %d B, window %d; %v\n",
		r.Name, r.Value, r.Unit, len(r.Rounds), 100*r.Spread, r.CPU, w.size, w.window, r.Versions)
	return err
}
