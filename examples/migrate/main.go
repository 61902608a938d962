// Migrate is an agent that may not change a database until others have approved: it runs one SQL file on one SQLite
// file, exactly once and exactly as voted on, or leaves the database byte for byte as it was. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p := program{out: os.Stdout, connect: connect}
	err := p.parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = p.run(ctx)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "migrate:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(exitCode(err))
}

// again repeats calls: asking a reviewer twice changes nothing, and when the reviewer's node goes away in the middle nobody
// says so.
var again = middleware.Backoff{Attempts: 6, Each: 2 * time.Second, Again: true}

// connect connects as the principal of a context, or as an agent of the name where the context is an operator's.
func connect(ctx context.Context, in, name string) (*sdk.Agent, error) {
	agent, err := sdk.Connect(ctx, sdk.Context(in), sdk.Name(name))
	if err != nil {
		return nil, fmt.Errorf("%s in context %q: %w (is a bus running? start one: conclave dev)", name, in, err)
	}
	agent.UseCalls(middleware.RetryCalls(again))
	return agent, nil
}

var errUsage = errors.New("usage")

// parse reads the command line.
func (p *program) parse(args []string, help io.Writer) error {
	flags := flag.NewFlagSet("migrate", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&p.database, "db", "", "the SQLite `file` to change")
	flags.StringVar(&p.sqlFile, "sql", "", "the `file` with the SQL to run")
	flags.StringVar(&p.context, "context", "dev", "the context to propose in")
	flags.StringVar(&p.key, "key", "", "`name` of this change: the same again is the same decision, also after it ran")
	flags.StringVar(&p.certificate, "certificate", "", "where the certificate is written (default: SQL file + .cert)")
	flags.DurationVar(&p.timeout, "timeout", 0, "how long to wait for approval (default: as long as the decision is open)")
	flags.StringVar(&p.reviewing, "review", "", "only review, as `statements` or backup, until interrupted")
	flags.StringVar(&p.sample, "sample", "", "make a small database `file` to try with, and nothing else")
	reviewers := flags.String("reviewer-context", "",
		"contexts of the two reviewers, `A,B`, or one for both (default: --context); none: they run elsewhere")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil || flags.NArg() > 0:
		return fmt.Errorf("%w: %q", errUsage, flags.Args())
	}
	if p.reviewing == "" && p.sample == "" && (p.database == "" || p.sqlFile == "") {
		return fmt.Errorf("%w: --db FILE and --sql FILE are needed", errUsage)
	}
	if p.certificate == "" {
		p.certificate = p.sqlFile + ".cert"
	}
	switch {
	case *reviewers == "":
		p.reviewers = []string{p.context}
	case *reviewers != "none":
		p.reviewers = strings.Split(*reviewers, ",")
	}
	if len(p.reviewers) > len(roles) || slices.Contains(p.reviewers, "") {
		return fmt.Errorf("%w: --reviewer-context takes one or two contexts", errUsage)
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
	case code.Rejected:
		return 7
	case code.Pending:
		return 8
	case code.Unreachable, code.Uncertain:
		return 3
	case code.Denied, code.Spent, code.Expired, code.Quarantined:
		return 4
	case code.NotFound:
		return 5
	case code.NoResponder:
		return 6
	}
	return 1
}
