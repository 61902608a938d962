// Ensemble has five checkers of different make decide on real actions together, and tells them afterwards what was right: what
// each one's word is worth moves with it. See README.md.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

//go:embed testdata/*.json
var testdata embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ensemble:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// start runs it in a realm of `conclave dev`.
func start(ctx context.Context) (err error) {
	in := flag.String("context", "dev", "the `context` of a realm that is yours alone")
	dir := flag.String("actions", "", "a `folder` of labelled actions, as examples/ensemble/testdata, which is the default")
	flag.Parse()
	folder, err := fs.Sub(testdata, "testdata")
	if *dir != "" {
		folder = os.DirFS(*dir)
	}
	if err != nil {
		return err
	}
	list, err := load(folder)
	if err != nil {
		return err
	}
	state, err := os.MkdirTemp("", "conclave-ensemble-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	person, err := sdk.Connect(ctx, sdk.Context(*in))
	if err != nil {
		return fmt.Errorf("context %q: %w (is a bus running? start one: conclave dev)", *in, err)
	}
	defer func() { err = errors.Join(err, person.Close(context.WithoutCancel(ctx))) }()
	p := program{person: person, state: state, out: os.Stdout}
	if err := p.run(ctx, list); err != nil {
		return err
	}
	p.summary()
	return nil
}
