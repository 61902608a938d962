// Approval holds the command line of a coding agent until two reviewing agents and a person have approved exactly it, runs it
// once, and shows that each way around this is refused. See README.md.
package main

import (
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
	p := program{out: os.Stdout, errs: os.Stderr, connect: connect}
	err := p.parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = p.run(ctx)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "approval:", strings.ReplaceAll(err.Error(), "\n", "; "))
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

var errUsage = errors.New("usage: approval [flags] -- COMMAND [ARG]")

// parse reads the command line.
func (p *program) parse(args []string, help io.Writer) error {
	flags := flag.NewFlagSet("approval", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&p.context, "context", "dev", "the `context` of a realm that is yours alone")
	flags.StringVar(&p.certificate, "certificate", "approval.cert", "the `file` that the certificate is written to")
	flags.StringVar(&p.reason, "reason", "", "what the agent says that it is for")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil || flags.NArg() == 0:
		return errUsage
	}
	p.argv = flags.Args()
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
	case code.Rejected:
		return 7
	case code.Pending:
		return 8
	case code.Unreachable, code.Uncertain:
		return 3
	case code.Denied, code.Spent, code.Expired:
		return 4
	case code.NotFound:
		return 5
	}
	return 1
}
