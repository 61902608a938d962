// Command conclave runs and drives a realm: a bus for agents that need not trust each other, with a registry, trust
// levels, and decisions on what is risky.
//
//	conclave dev                              a realm to try, gone at exit
//	conclave server init|run|status           a realm to keep
//	conclave server token|join, cluster       more nodes for it
//	conclave agent token, agent enroll        let an agent in
//	conclave decision ls|approve|verify       decide, and check what was decided
//	conclave guard -- COMMAND                 run a command once it is approved
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := newProgram(os.Stdin, os.Stdout, os.Stderr, os.Getenv, isTerminal).run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// isTerminal reports whether a person sits at the other end of the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
