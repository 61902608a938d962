package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// The exit codes. A code keeps its meaning for ever.
const (
	exitOK           = 0
	exitLocal        = 1
	exitUsage        = 2
	exitNetwork      = 3
	exitDenied       = 4
	exitNotFound     = 5
	exitNobody       = 6
	exitRejected     = 7
	exitPending      = 8
	exitVerification = 9
	exitGuard        = 125 // of guard, for every failure of its own: the rest belongs to the command
)

// statusNote marks, in a command's annotations, that all its own failures exit with 125.
const statusNote = "conclave.exit-125"

// failure is what an error code means to a shell and to a person.
type failure struct {
	status int
	hint   string // the next command, where the error itself names none
}

// failures has one row for every code; docs/errors.md says the same to people.
var failures = map[fault.Code]failure{
	fault.Internal:      {exitLocal, "if it stays, report it with the output of: conclave version"},
	fault.DiskFull:      {exitLocal, "make room, then run the command again"},
	fault.InUse:         {exitLocal, "end the other process, or choose another --data or --listen"},
	fault.LooseMode:     {exitLocal, "take the others' rights away: chmod go= FILE"},
	fault.HandlerFailed: {exitLocal, "the fault lies with the agent that was called; see who it is: conclave discover"},
	fault.TooLarge:      {exitLocal, "send less at a time"},
	fault.Conflict:      {exitLocal, "look at it as it is now: conclave agent show NAME"},
	fault.Version:       {exitLocal, "another version wrote it; see ours: conclave version"},

	fault.Usage:        {exitUsage, "conclave help"},
	fault.InvalidInput: {exitUsage, "see what is expected: conclave discover CAPABILITY, or the command's --help"},

	fault.Unreachable: {exitNetwork, "does a node run there, and of several a majority? conclave server run, or conclave dev; see where: conclave context show"},
	fault.Uncertain:   {exitNetwork, "look before you repeat it: conclave decision ls, conclave agent ls"},

	fault.Rate:        {exitDenied, "try again in a moment"},
	fault.WindowFull:  {exitDenied, "end idle processes, then try again"},
	fault.Denied:      {exitDenied, "see what a level may do: conclave trust show NAME"},
	fault.Quarantined: {exitDenied, "an operator can lift it: conclave agent release NAME"},
	fault.Revoked:     {exitDenied, "it is for ever; enrol anew: conclave agent token --name NAME"},
	fault.NoQuorum:    {exitDenied, "see who there is: conclave operator ls, conclave agent ls"},
	fault.Spent:       {exitDenied, "it is good once; make a new one"},
	fault.Expired:     {exitDenied, "its time is over; make a new one"},
	fault.NotYet:      {exitDenied, "compare the clocks: conclave server status"},

	fault.NotFound: {exitNotFound, "check the name or path; see what there is: conclave context ls, conclave agent ls"},
	fault.Unknown:  {exitNotFound, "see what there is: conclave agent ls, conclave decision ls"},

	fault.NoResponder: {exitNobody, "see who is there: conclave discover"},

	fault.Rejected: {exitRejected, "see who voted how: conclave decision show ID"},

	fault.Pending: {exitPending, "wait on: conclave decision wait ID"},

	fault.Malformed:    {exitVerification, "it is not what it says it is; get it again from its source"},
	fault.WrongRealm:   {exitVerification, "compare the realm id: conclave context show"},
	fault.WrongKind:    {exitVerification, "this is a statement of another kind; get the right file"},
	fault.BadSignature: {exitVerification, "do not trust it; tell an operator"},
	fault.BadKey:       {exitVerification, "do not trust it; tell an operator"},
	fault.Superseded:   {exitVerification, "somebody shows an older state than was seen before; tell an operator"},
	fault.Misaddressed: {exitVerification, "it was made for another recipient or action"},
	fault.Replayed:     {exitVerification, "it was sent before; tell an operator"},
}

// exitStatus is the error that ends the program with a status and without a report, as guard does with the status of
// the command it ran.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// unverified marks an error as a failed verification, whatever its code.
type unverified struct{ error }

func (u unverified) Unwrap() error { return u.error }

// report tells of the error on stderr and returns the exit status; 125 for guard's own failures.
func (p *program) report(err error, guard bool) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	r := describe(err)
	if p.flags.json {
		p.reportJSON(r)
	} else {
		p.say("conclave: %s (%s)", visible(r.Message), r.Code)
		if r.Hint != "" {
			p.say("  %s", visible(r.Hint))
		}
	}
	var failed unverified
	switch {
	case guard:
		return exitGuard
	case errors.As(err, &failed):
		return exitVerification
	}
	return failures[r.Code].status
}

// refusal is an error as scripts read it.
type refusal struct {
	Code      fault.Code `json:"code"`
	Message   string     `json:"message"`
	Hint      string     `json:"hint"`
	Retryable bool       `json:"retryable"`
}

// describe gives every error a code of the closed list, and a hint.
func describe(err error) refusal {
	code := codeOf(err)
	if _, known := failures[code]; !known { // a newer node's
		code = fault.Internal
	}
	r := refusal{
		Code: code, Message: strings.ReplaceAll(err.Error(), "\n", "; "), Hint: fault.HintOf(err), Retryable: code.Retryable(),
	}
	if r.Hint == "" {
		r.Hint = failures[code].hint
	}
	return r
}

// advised gives an error that names no next command one that fits its code and what was done.
func advised(err error, hints map[fault.Code]string) error {
	hint := hints[codeOf(err)]
	if err == nil || hint == "" || fault.HintOf(err) != "" {
		return err
	}
	return &fault.Error{Code: codeOf(err), Message: err.Error(), Hint: hint, Err: err}
}

// codeOf returns the error's code, also for errors of the machine, which have none.
func codeOf(err error) fault.Code {
	if errors.Is(err, agefile.ErrMalformed) {
		return fault.InvalidInput // a broken file of ours is no failed verification
	}
	if code := fault.CodeOf(err); code != fault.Internal {
		return code
	}
	for _, row := range []struct {
		is   error
		code fault.Code
	}{
		{datadir.ErrInUse, fault.InUse},
		{datadir.ErrLooseMode, fault.LooseMode},
		{datadir.ErrNewerVersion, fault.Version},
		{datadir.ErrNoSpace, fault.DiskFull},
		{datadir.ErrTooLarge, fault.TooLarge},
		{fs.ErrNotExist, fault.NotFound},
		{syscall.EISDIR, fault.InvalidInput},
		{fs.ErrExist, fault.Conflict},
		{context.DeadlineExceeded, fault.Unreachable},
	} {
		if errors.Is(err, row.is) {
			return row.code
		}
	}
	return fault.Internal
}

func (p *program) reportJSON(r refusal) {
	b, err := json.Marshal(map[string]refusal{"error": r})
	if err != nil {
		return // texts and a bool always encode
	}
	p.say("%s", printable(b))
}

// usage returns an error about the command line.
func usage(format string, args ...any) error {
	return fault.New(fault.Usage, fmt.Sprintf(format, args...))
}

// asUsage says that what was typed is wrong: the parser's own code and words would tell of bytes that came from
// elsewhere.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	message := strings.Replace(err.Error(), wire.ErrMalformed.Error()+": ", "", 1)
	return &fault.Error{Code: fault.Usage, Message: message, Hint: fault.HintOf(err), Err: err}
}

// typed says of a statement that has no proper form, before it is signed, that what was typed is wrong.
func typed(err error) error {
	if codeOf(err) == fault.Malformed {
		return asUsage(err)
	}
	return err
}

// exitCodes is the help topic of that name.
func exitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes. Each keeps its meaning for ever.

  0    done
  1    a failure on this machine, in the agent that was called, or because something changed meanwhile
  2    the command line or the input is wrong
  3    no connection, or no answer in time
  4    denied: by rights, level, status, quorum or rate, or because it has expired or was used before
  5    no such thing
  6    nobody answers for this target
  7    the decision was rejected, silence included, or cancelled, or ended by a new policy
  8    the decision is still pending
  9    a verification failed: the one to raise an alarm on
  125  guard could not run the command; every other code of guard is the command's own

With --json the error stands on stderr as {"error":{"code","message","hint","retryable"}}.`,
	}
}
