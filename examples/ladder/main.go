// Ladder is a newcomer's climb and fall: agents that sort and hash files, one of them wrong on purpose, an auditor that checks
// the work itself, and a person who signs off. See README.md.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p := program{out: os.Stdout, connect: connect}
	err := p.parse(os.Args[1:], os.Stdin, os.Stderr)
	if err == nil {
		err = p.run(ctx)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ladder:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(exitCode(err))
}

// connect connects as the person whose realm it is.
func connect(ctx context.Context, in string) (*sdk.Agent, error) {
	person, err := sdk.Connect(ctx, sdk.Context(in))
	if err != nil {
		return nil, fmt.Errorf("context %q: %w (is a bus running? start one: conclave dev)", in, err)
	}
	return person, nil
}

var errUsage = errors.New("usage: ladder [flags] [FILE ...]")

// parse reads the command line.
func (p *program) parse(args []string, stdin io.Reader, help io.Writer) error {
	flags := flag.NewFlagSet("ladder", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&p.context, "context", "dev", "the `context` of a realm that is yours alone")
	step := flags.Bool("step", false, "wait for Enter after each part, so that you can look by the CLI")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	}
	p.files = flags.Args()
	p.pause = func() {}
	if *step {
		lines := bufio.NewScanner(stdin)
		p.pause = func() {
			_, _ = fmt.Fprint(p.out, "            [Enter] ") // nothing depends on it
			lines.Scan()
		}
	}
	return nil
}

// exitCode maps an error to what `conclave` itself exits with.
func exitCode(err error) int {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	switch sdk.CodeOf(err) {
	case code.Unreachable, code.Uncertain:
		return 3
	case code.Denied, code.Spent, code.Expired:
		return 4
	case code.NotFound:
		return 5
	}
	return 1
}
