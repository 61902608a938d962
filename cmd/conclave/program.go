package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// program is one run of the command line. Nothing of it outlives the run.
type program struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer // several goroutines write lines to it
	rawErr   io.Writer // what a guarded command inherits
	env      func(string) string
	terminal func(stream any) bool
	flags    flags
	started  bool // a command's own code was reached: what fails before is wrong usage
}

// flags are those that every command has.
type flags struct {
	context string
	json    bool
	output  string
	noInput bool
	noColor bool
	timeout time.Duration
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer, env func(string) string, terminal func(any) bool) *program {
	p := &program{stdin: stdin, stdout: stdout, stderr: &lines{w: stderr}, env: env, terminal: terminal}
	p.rawErr = p.stderr
	if f, ok := stderr.(*os.File); ok {
		p.rawErr = f
	}
	return p
}

// lines lets one write through at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// run parses the arguments, runs the command they name, reports its error and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !p.started {
		p.flags.json = p.flags.json || typedJSON(args)
	}
	if !p.started || codeOf(err) == fault.Usage && fault.HintOf(err) == "" {
		err = &fault.Error{Code: fault.Usage, Message: err.Error(), Hint: cmd.CommandPath() + " --help", Err: err}
	}
	return p.report(err, cmd.Annotations[statusNote] != "")
}

// typedJSON looks for --json where the flags could not be read to their end. What stands behind -- belongs to somebody
// else.
func typedJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true", "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			if i+1 < len(args) && args[i+1] == "json" {
				return true
			}
		}
	}
	return false
}

// root returns the whole command tree.
func (p *program) root() *cobra.Command {
	messages := messageCommands{p}
	root := group("conclave", "A bus for agents that need not trust each other",
		"Agents find and call each other by signed, encrypted messages; an operator says what each may do; what is\n"+
			"risky runs only once enough of those concerned have approved it.",
		"  conclave dev\n  conclave discover\n  conclave help exit-codes",
		demoCommand(p), devCommand(p), serverCommands{p}.group(), clusterCommands{p}.group(), agentCommands{p}.group(), operatorCommands{p}.group(),
		trustCommands{p}.group(), contextCommands{p}.group(), messages.call(), messages.pub(), messages.sub(), discoverCommand(p),
		decisionCommands{p}.group(), inboxCommand(p), policyCommands{p}.group(), guardCommand(p), simulateCommand(p), benchCommand(p), benchServer(p), versionCommand(p), exitCodes())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	p.globalFlags(root)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	p.complete(root)
	p.mark(root)
	return root
}

func (p *program) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&p.flags.context, "context", "", "context to use instead of $CONCLAVE_CONTEXT or the selected one")
	f.BoolVar(&p.flags.json, "json", false, "one JSON document on stdout, errors as JSON on stderr")
	f.StringVarP(&p.flags.output, "output", "o", "text", "text or json")
	f.BoolVar(&p.flags.noInput, "no-input", false, "never ask")
	f.BoolVar(&p.flags.noColor, "no-color", false, "no colours; also by NO_COLOR or TERM=dumb")
	f.DurationVar(&p.flags.timeout, "timeout", 0, "how long to wait at most, as 30s or 10m (default the command's own limit)")
}

// complete gives the commands that cobra adds what ours have.
func (p *program) complete(root *cobra.Command) {
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			c.Example = "  source <(conclave completion bash)"
			for _, shell := range c.Commands() {
				shell.Example = "  conclave completion " + shell.Name() + " > conclave." + shell.Name()
			}
		case "help":
			c.Example = "  conclave help exit-codes"
		}
	}
	_ = root.RegisterFlagCompletionFunc("context", completeContexts) // fails only for an unknown flag
}

// mark notes when a command's own code begins, and settles the output form before. Whoever types too much or too little
// is shown the form.
func (p *program) mark(c *cobra.Command) {
	for _, child := range c.Commands() {
		p.mark(child)
	}
	own := c.RunE
	if own == nil {
		return
	}
	accepts := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if accepts == nil || accepts(c, args) == nil {
			return nil
		}
		return fmt.Errorf("%s, but the form is: %s", arguments(len(args)), c.UseLine())
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		switch p.flags.output {
		case "json":
			p.flags.json = true
		case "text":
		default:
			return fmt.Errorf("--output is text or json, not %q", p.flags.output)
		}
		p.started = true
		return own(c, args)
	}
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// group returns a command that only holds others.
func group(use, short, long, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		hint := c.CommandPath() + " --help"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = c.CommandPath() + " " + near[0]
		}
		return fault.New(fault.Usage, fmt.Sprintf("no command %q in %s", args[0], c.CommandPath())).WithHint(hint)
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(children...)
	return c
}

// within bounds a command's work: by --timeout, or else by the command's own limit, if that is not 0.
func (p *program) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if p.flags.timeout > 0 {
		limit = p.flags.timeout
	}
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// logger takes what goes wrong in the background.
func (p *program) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

// say tells the person, on stderr.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// confirm asks a yes-or-no question where a person sits at a terminal; elsewhere, and with --no-input, the command
// line itself is the answer.
func (p *program) confirm(question string) error {
	if p.flags.noInput || !p.terminal(p.stdin) {
		return nil
	}
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, err := readLine(p.stdin)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return fault.New(fault.Usage, "not confirmed: nothing was done")
	}
	return nil
}

// readLine reads up to a line's end, byte by byte, so that nothing behind it is lost.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < 1024 {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if err != nil {
			return string(line), err
		}
	}
	return string(line), nil
}
